"""Whole runs at a server: the same numbers as with the local sandbox, and what becomes of them when it dies."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coevolve.config import Config
from coevolve.errors import SandboxInfraError
from coevolve.loading import load_config
from coevolve.rollout.base import PolicyWeights
from coevolve.rollout.service import LocalRollouts
from coevolve.runs.checkpoints import read_weights
from coevolve.types import Origin, Role, StopReason, Task
from coevolve.worlds.miniature.learner import ASSETS, MiniatureWorld

from .conftest import TOKEN, Fake, Server, Start
from .waiting import until

Cli = Callable[..., Any]
Tiny = Callable[..., list[str]]
ORIGIN = Origin("agent0", Role.PROPOSER, 1)
TASKS = [Task(f"t{n}", (f"Let a = {n + 40} * 80. Find a.",), "chain", ORIGIN) for n in range(10)]
OTHERS = [Task(f"o{n}", (f"Let a = {n + 40} * 81. Find a.",), "chain", ORIGIN) for n in range(10)]


@pytest.fixture
def at_defaults(start_server: Start, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server for the configuration's own limits, and the token where a run looks for it."""
    monkeypatch.setenv("COEVOLVE_SANDBOX_TOKEN", TOKEN)
    return start_server("--workers", "2", limits=())


def remote(url: str) -> tuple[str, str]:
    return "sandbox.backend=remote", f"sandbox.url={url}"


def test_a_run_at_a_server_gives_the_bytes_of_a_local_one(
    at_defaults: Server, start_server: Start, cli: Cli, tiny: Tiny, finished: Path, tmp_path: Path
) -> None:
    """It is even the same when the server is killed in between and the run taken up again at its successor."""
    run = tmp_path / "run"
    threading.Thread(target=_kill_in_mid_run, args=(at_defaults, run), daemon=True).start()
    ended = cli(*tiny(run, *remote(at_defaults.url)), environment={"COEVOLVE_SANDBOX_TOKEN": TOKEN})
    ended.assert_clear("the sandbox lost", "coevolve resume", "server")
    manifest = json.loads((run / "manifest.json").read_text())
    assert (manifest["status"], len(manifest["phases"]) > 0) == ("failed", True)
    assert manifest["sandbox"]["server"].startswith(at_defaults.url)
    assert manifest["sandbox"]["landlock"].startswith("on")
    start_server("--workers", "2", limits=(), port=at_defaults.port)
    assert cli("resume", str(run), "--quiet", environment={"COEVOLVE_SANDBOX_TOKEN": TOKEN}).code == 0
    assert (run / "metrics.jsonl").read_bytes() == (finished / "metrics.jsonl").read_bytes()
    written = b"".join(p.read_bytes() for p in run.rglob("*") if p.is_file())
    assert TOKEN.encode() not in written


def _kill_in_mid_run(server: Server, run: Path) -> None:
    until(lambda: (run / "manifest.json").exists() and "iteration-0/evaluate" in (run / "manifest.json").read_text())
    server.stop(signal.SIGKILL)


def rollouts_at(url: str) -> tuple[LocalRollouts, PolicyWeights, Config]:
    config = load_config("nano", overrides=remote(url))
    return LocalRollouts(config, MiniatureWorld(), ASSETS), PolicyWeights("base", -1, read_weights(ASSETS)), config


def test_an_answer_that_lost_its_snippet_ends_there_and_is_counted(
    at_defaults: Server, fake: Callable[..., Fake]
) -> None:
    """Between client and server, everything but one snippet gets through: the third after the client's own."""
    broken: list[str] = []

    def break_one(number: int, path: str, data: bytes) -> tuple[int, bytes] | None:
        code = json.loads(data)["code"]
        if number == 3:
            broken.append(code)
        if code in broken:
            return None
        status, _, answer = at_defaults.send("POST", path, raw=data)
        return status, json.dumps(answer).encode()

    health = json.dumps(at_defaults.send("GET", "/health")[2]).encode()
    rollouts, base, _ = rollouts_at(fake(break_one, health).url)
    whole, _, _ = rollouts_at(at_defaults.url)
    try:
        answers = [x for group in rollouts.solve(base, TASKS, 2, seed=1) for x in group]
        expected = [x for group in whole.solve(base, TASKS, 2, seed=1) for x in group]
    finally:
        rollouts.close()
        whole.close()
    lost = [x for x in answers if x.lost]
    assert 1 <= len(lost) <= 2
    for x in lost:
        assert (x.stop, x.answer) == (StopReason.INFRASTRUCTURE, None)
        assert broken[0] in x.text
        assert broken[0] not in [call.code for call in x.tool_calls]
    assert rollouts.cost.answers_lost == len(lost)
    kept = {(x.task_id, x.sample): x.text for x in answers if not x.lost}
    assert kept.items() <= {(x.task_id, x.sample): x.text for x in expected}.items()


def test_a_server_that_dies_while_answers_are_made_stops_the_run(at_defaults: Server) -> None:
    rollouts, base, _ = rollouts_at(at_defaults.url)
    try:
        rollouts.solve(base, TASKS, 1, seed=1)
        at_defaults.stop(signal.SIGKILL)
        with pytest.raises(SandboxInfraError, match="the sandbox lost") as caught:
            rollouts.solve(base, OTHERS, 2, seed=2)
        assert "server" in caught.value.fix
    finally:
        rollouts.close()
