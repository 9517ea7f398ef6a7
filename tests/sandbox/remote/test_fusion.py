"""SandboxFusion's /run_code: our server for its clients, our client for its servers, and one for the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from coevolve.errors import ConfigError, SandboxInfraError
from coevolve.methods.registry import load_config
from coevolve.sandbox.base import Status, ToolResult
from coevolve.sandbox.remote.client import RemoteTool

from .conftest import LIMITS, TOKEN, Fake, Server

FIELDS = {"status", "message", "compile_result", "run_result", "executor_pod_name", "files"}


def ask(server: Server, code: str, **more: object) -> tuple[int, dict[str, Any]]:
    """As its own client asks: all fields, most of them empty."""
    empty = {"stdin": "", "files": {}, "fetch_files": [], "compile_timeout": 10, "run_timeout": 10}
    status, _, answer = server.send("POST", "/run_code", {"code": code, "language": "python"} | empty | more)
    assert set(answer) == FIELDS
    return status, answer


def test_a_snippet_that_succeeds(server: Server) -> None:
    status, answer = ask(server, "print(6 * 7)", memory_limit_MB=1024)
    assert (status, answer["status"], answer["message"], answer["compile_result"]) == (200, "Success", "", None)
    run = answer["run_result"]
    assert (run["status"], run["return_code"], run["stdout"], run["stderr"]) == ("Finished", 0, "42\n", "")
    assert 0 < run["execution_time"] < 2


def test_a_snippet_that_fails(server: Server) -> None:
    _, answer = ask(server, "print(1); 1 / 0")
    run = answer["run_result"]
    assert (answer["status"], run["status"], run["return_code"], run["stdout"]) == ("Failed", "Finished", 1, "1\n")
    assert run["stderr"].endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize("timeout", [0.2, 10])
def test_a_snippet_that_takes_too_long_for_the_client_or_the_server(server: Server, timeout: float) -> None:
    _, answer = ask(server, "import time; print(1, flush=True); time.sleep(0.4)\nwhile True: pass", run_timeout=timeout)
    run = answer["run_result"]
    assert (answer["status"], run["status"], run["return_code"]) == ("Failed", "TimeLimitExceeded", None)
    assert run["stdout"] == "1\n"


def test_a_snippet_that_is_killed_has_minus_its_signal(server: Server) -> None:
    assert ask(server, "import ctypes; ctypes.string_at(0)")[1]["run_result"]["return_code"] == -11


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"language": "cpp"}, "cpp"),
        ({"files": {"a.txt": "YQ=="}}, "files"),
        ({"fetch_files": ["a.txt"]}, "fetch_files"),
        ({"stdin": "1\n"}, "stdin"),
        ({"args": ["-x"]}, "args"),
        ({"memory_limit_MB": 16}, "--memory 16"),
        ({"run_timeout": "soon"}, "run_timeout"),
        ({"run_timeout": 0}, "run_timeout"),
        ({"run_timeout": -5.0}, "run_timeout"),
        ({"language": 3}, "language"),
    ],
)
def test_what_is_not_done_here_is_said(server: Server, more: dict[str, object], word: str) -> None:
    status, answer = ask(server, "print(1)", **more)
    assert (status, answer["status"], answer["run_result"]) == (400, "SandboxError", None)
    assert word in answer["message"]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("print(6 * 7)", Status.OK),
        ("1 / 0", Status.ERROR),
        ("while True: pass", Status.TIMEOUT),
        ("bytearray(1 << 40)", Status.MEMORY),
        ("import ctypes; ctypes.string_at(0)", Status.KILLED),
    ],
)
def test_our_client_understands_our_server_in_this_dialect(server: Server, code: str, status: Status) -> None:
    with (
        RemoteTool(server.url, token=TOKEN, limits=LIMITS, sandboxfusion=True) as foreign,
        RemoteTool(server.url, token=TOKEN, limits=LIMITS) as native,
    ):
        theirs, ours = foreign.run(code), native.run(code)
    assert theirs.status is status
    assert (theirs.stdout, theirs.stderr) == (ours.stdout, ours.stderr)
    assert "SandboxFusion" in foreign.layers["server"]


def answer(outcome: str = "Success", message: str = "", /, **run: object) -> bytes:
    finished = {"status": "Finished", "execution_time": 0.1, "return_code": 0, "stdout": "42\n", "stderr": ""}
    result = finished | run if run.get("status", "") is not None else None
    return json.dumps({"status": outcome, "message": message, "run_result": result, "files": {}}).encode()


def at_a_fake(fake: Callable[..., Fake], data: bytes, **options: Any) -> tuple[RemoteTool, Fake]:
    """A server of this kind that answers the first snippet, which every client sends, and then so."""
    server = fake(lambda number, path, _: (200, data if number else answer()) if path == "/run_code" else (404, b""))
    return RemoteTool(server.url, limits=LIMITS, sandboxfusion=True, **options), server


def of(fake: Callable[..., Fake], data: bytes) -> ToolResult:
    tool, _ = at_a_fake(fake, data)
    with tool:
        return tool.run("print(1)")


def test_a_server_of_this_kind_is_asked_within_the_limits(fake: Callable[..., Fake]) -> None:
    tool, server = at_a_fake(fake, answer())
    with tool:
        assert tool.run("print(1)").stdout == "42\n"
    asked = server.posts[-1]
    assert (asked["code"], asked["language"]) == ("print(1)", "python")
    assert (asked["run_timeout"], asked["memory_limit_MB"]) == (LIMITS.wall_s, LIMITS.memory_mb)


def test_its_answers_have_a_status_of_ours(fake: Callable[..., Fake]) -> None:
    late = of(fake, answer("Failed", status="TimeLimitExceeded", return_code=None, execution_time=2.1))
    assert (late.status, late.exit_code, late.wall_ms) == (Status.TIMEOUT, None, 2100.0)
    failed = of(fake, answer("Failed", return_code=3, stderr="no"))
    assert (failed.status, failed.exit_code, failed.stderr) == (Status.ERROR, 3, "no")
    killed = of(fake, answer("Failed", return_code=-9, stdout=None))
    assert (killed.status, killed.signal, killed.stdout) == (Status.KILLED, 9, "")
    assert of(fake, answer("Failed", return_code=1, stderr="MemoryError\n")).status is Status.MEMORY
    long = of(fake, answer(stdout="é" * 15_000, stderr="x" * 100))
    assert (long.status, long.truncated, long.stdout, long.stderr) == (Status.OUTPUT_LIMIT, True, "é" * 10_000, "")


@pytest.mark.parametrize(
    "data",
    [
        answer("SandboxError", "no more disk", status=None),
        answer("SandboxError", "no more disk"),
        answer("Failed", "no more disk", status="Error"),
        answer("Success", status=None),
        answer("Perfect"),
        answer(status="Pending"),
        answer(return_code=None),
        answer(stdout=5),
        answer(execution_time=-0.5),
        answer(execution_time=1e15),
        answer(return_code=4096),
        answer(return_code=-65),
    ],
)
def test_its_own_failures_are_no_results(data: bytes, fake: Callable[..., Fake]) -> None:
    tool, server = at_a_fake(fake, data)
    with tool, pytest.raises(SandboxInfraError) as caught:
        tool.run("print(1)")
    assert ("no more disk" in str(caught.value)) is (b"no more disk" in data)
    assert len(server.posts) == 3


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        (["sandbox.url=http://h:1"], "local"),
        (["sandbox.dialect=sandboxfusion"], "local"),
        (["sandbox.backend=remote"], "not given"),
        (["sandbox.backend=remote", "sandbox.url=127.0.0.1:8765"], "http://HOST:PORT"),
        (["sandbox.backend=remote", "sandbox.url=ftp://h:1"], "http://HOST:PORT"),
        (["sandbox.backend=remote", "sandbox.url=http://h:99999"], "http://HOST:PORT"),
        (["sandbox.backend=remote", "sandbox.url=http://h:1?token=x"], "http://HOST:PORT"),
        (["sandbox.backend=remote", "sandbox.url=http://h:1", "sandbox.environment=/x"], "environment"),
        (["sandbox.backend=remote", "sandbox.url=http://h:1", "sandbox.namespaces=off"], "namespaces"),
        (["sandbox.backend=remote", "sandbox.url=http://h:1", "sandbox.dialect=sandboxfusion",
          "sandbox.preload=[numpy]"], "preload"),
        (["sandbox.backend=remote", "sandbox.url=http://h:1", "sandbox.dialect=sandboxfusion",
          "sandbox.unsafe=true"], "unsafe"),
    ],
)  # fmt: skip
def test_impossible_combinations_are_errors_of_the_configuration(overrides: list[str], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        load_config("nano", overrides=overrides)


@pytest.mark.parametrize(
    "keys",
    [
        ["sandbox.backend=remote", "sandbox.url=http://me:hunter2@h:1"],
        ["sandbox.backend=remote", "sandbox.url=[http://h:1, http://me:hunter2@h:2]"],
        ["engine.backend=tinker", "lora.enabled=true", "lora.alpha=32", "tinker.url=http://me:hunter2@h:1"],
    ],
)
def test_a_password_in_the_address_is_refused_and_not_repeated(keys: list[str]) -> None:
    with pytest.raises(ConfigError, match="password") as caught:
        load_config("nano", overrides=keys)
    assert "hunter2" not in str(caught.value)
