"""Whole runs at a server: the same numbers as with the local sandbox, and what becomes of them when it fails."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coevolve.engine.base import Folder
from coevolve.errors import SandboxUnavailable
from coevolve.methods.registry import load_config
from coevolve.rollout.asking import solve
from coevolve.rollout.base import RolloutSettings, Snapshot
from coevolve.rollout.service import LocalRollouts
from coevolve.sandbox.factory import open_tool
from coevolve.types import PROPOSER, Origin, StopReason, Task, Trajectory
from coevolve.worlds.miniature.learner import ASSETS, MiniatureContract

from .conftest import TOKEN, Fake, Script, Server, Start
from .waiting import until

Cli = Callable[..., Any]
Tiny = Callable[..., list[str]]
TOKEN_SET = {"COEVOLVE_SANDBOX_TOKEN": TOKEN}
SHORT = ("iterations=1", "evaluation.forced_fence=false", "solver.steps=1")
ORIGIN = Origin("agent0", PROPOSER, 1)
TASKS = [Task(f"t{n}", (f"Let a = {n + 40} * 80. Find a.",), "chain", ORIGIN) for n in range(10)]


@pytest.fixture(scope="module")
def server(start_server: Start) -> Server:
    """With the limits that a configuration has by itself."""
    return start_server("--workers", "2", limits=())


def remote(url: str) -> tuple[str, str]:
    return "sandbox.backend=remote", f"sandbox.url={url}"


def test_a_run_at_a_server_gives_the_bytes_of_a_local_one(
    server: Server, cli: Cli, tiny: Tiny, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ended = cli(*tiny(run, *remote(server.url)), environment=TOKEN_SET)
    assert ended.code == 0, ended.stderr
    assert not ended.left
    assert (run / "metrics.jsonl").read_bytes() == (finished / "metrics.jsonl").read_bytes()
    layers = json.loads((run / "manifest.json").read_text())["sandbox"]
    assert layers.pop("server").startswith(server.url)
    assert layers == json.loads((finished / "manifest.json").read_text())["sandbox"]
    assert all(TOKEN.encode() not in file.read_bytes() for file in run.rglob("*") if file.is_file())


def test_a_server_that_is_killed_ends_the_run_which_goes_on_at_its_successor(
    start_server: Start, cli: Cli, tiny: Tiny, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    server = start_server("--workers", "2", limits=())
    manifest = run / "manifest.json"

    def kill() -> None:
        until(lambda: manifest.exists() and "iteration-0/evaluate" in manifest.read_text())
        server.stop(signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    ended = cli(*tiny(run, *SHORT, *remote(server.url)), environment=TOKEN_SET)
    ended.assert_clear("the sandbox lost", "coevolve resume", "server")
    assert json.loads(manifest.read_text())["status"] == "failed"
    again = ("resume", str(run), "--quiet")
    cli(*again, environment=TOKEN_SET).assert_clear("cannot be reached", server.url, "coevolve sandbox serve")
    start_server("--workers", "2", limits=(), port=server.port)
    assert cli(*again, environment=TOKEN_SET).code == 0
    assert json.loads(manifest.read_text())["status"] == "finished"


def test_a_snippet_that_gets_lost_on_the_way_is_counted_in_the_summary(
    server: Server, fake: Callable[..., Fake], relay: Script, cli: Cli, tiny: Tiny, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    proxy = fake(all_but_one(relay, []))
    ended = cli(*tiny(run, *SHORT, *remote(proxy.url)), environment=TOKEN_SET)
    assert ended.code == 0, ended.stderr
    lost = json.loads(cli("summary", str(run), "--json").stdout)["answers_lost"]
    assert lost in (1, 2)
    assert f"{lost} answer{'s' * (lost > 1)} lost to the sandbox" in " ".join(cli("summary", str(run)).stdout.split())


def test_an_answer_that_lost_its_snippet_ends_there_and_teaches_nothing(
    server: Server, fake: Callable[..., Fake], relay: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COEVOLVE_SANDBOX_TOKEN", TOKEN)
    broken: list[str] = []
    answers, counted = solved(*remote(fake(all_but_one(relay, broken)).url))
    expected, none = solved(*remote(server.url))
    lost = [x for x in answers if x.lost]
    assert (len(lost), none) == (counted, 0)
    assert 1 <= counted <= 2
    for x in lost:
        assert (x.stop, x.answer) == (StopReason.INFRASTRUCTURE, None)
        assert broken[0] in x.text
        assert broken[0] not in [call.code for call in x.tool_calls]
    texts = {(x.task_id, x.sample): x.text for x in expected}
    assert {(x.task_id, x.sample): x.text for x in answers if not x.lost}.items() <= texts.items()


def test_answers_with_sessions_are_those_of_the_local_sandbox(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COEVOLVE_SANDBOX_TOKEN", TOKEN)
    session = "tool.state=session"
    there, here = (solved(*settings)[0] for settings in ((*remote(server.url), session), (session,)))
    assert [(x.text, x.stop) for x in there] == [(x.text, x.stop) for x in here]
    assert any(len(x.tool_calls) > 1 for x in here)
    assert server.send("GET", "/health")[2]["sessions_open"] == 0


def test_a_server_must_have_room_for_the_sessions_of_all_workers(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COEVOLVE_SANDBOX_TOKEN", TOKEN)
    with pytest.raises(SandboxUnavailable, match="--sessions 1200"):
        open_tool(load_config("nano", overrides=remote(server.url)).sandbox, cache=0, sessions=600, sharing=2)


def solved(*overrides: str) -> tuple[list[Trajectory], int]:
    """Two answers to each task, and how many of them were lost."""
    rollouts = LocalRollouts(RolloutSettings.of(load_config("nano", overrides=overrides), MiniatureContract()), ASSETS)
    try:
        groups = solve(rollouts, Snapshot("base", -1, Folder(ASSETS)), TASKS, 2, seed=1)
        return [x for group in groups for x in group], rollouts.cost.answers_lost
    finally:
        rollouts.close()


def all_but_one(relay: Script, broken: list[str]) -> Script:
    """Everything gets through to the server but one snippet, the third after the client's own."""

    def script(number: int, path: str, data: bytes) -> tuple[int, bytes] | None:
        code = json.loads(data)["code"]
        if number == 3:
            broken.append(code)
        return None if code in broken else relay(number, path, data)

    return script
