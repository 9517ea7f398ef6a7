"""A server that fails: one more attempt, then an error of the sandbox, and never a result."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest

from coevolve.errors import SandboxInfraError, SandboxUnavailable
from coevolve.sandbox.remote.client import RemoteTool

from .conftest import LIMITS, TOKEN, Fake, Script, Server

GOOD = {
    "status": "ok",
    "stdout": "1\n",
    "stderr": "",
    "truncated": False,
    "exit_code": 0,
    "signal": None,
    "wall_ms": 1.0,
    "cpu_ms": 1.0,
}


def body(**changes: object) -> bytes:
    return json.dumps(GOOD | changes).encode()


FAULTS: dict[str, tuple[int, bytes] | None] = {
    "hangs up": None,
    "internal error": (500, b'{"error": "out of memory"}'),
    "gateway": (502, b"<html>Bad Gateway</html>"),
    "stopping": (503, b"{}"),
    "too slow": (408, b"{}"),
    "nothing": (200, b""),
    "half of it": (200, body()[:40]),
    "no JSON": (200, b"42\n"),
    "a list": (200, b"[1]"),
    "deep": (200, b"[" * 50_000),
    "large number": (200, body().replace(b"1.0", b"9" * 5000)),
    "not finite": (200, body().replace(b"1.0", b"NaN")),
    "unknown status": (200, body(status="fine")),
    "status of another type": (200, body(status=None)),
    "text that is none": (200, body(stdout=["1\n"])),
    "number for a flag": (200, body(truncated=0)),
    "flag for a number": (200, body(exit_code=True)),
    "missing": (200, b'{"status": "ok"}'),
    "huge": (200, body(stdout="x" * 200_000)),
    "not UTF-8": (200, b"\xff" + body()),
    "less time than none": (200, body(wall_ms=-0.1)),
    "more time than there was": (200, body(wall_ms=1e12)),
    "less CPU than none": (200, body(cpu_ms=-5)),
    "more CPU than allowed": (200, body(cpu_ms=400_000)),
    "more output than allowed": (200, body(stdout="x" * 15_000, stderr="y" * 6_000)),
    "a code beyond a byte": (200, body(status="error", exit_code=256)),
    "a code below zero": (200, body(status="error", exit_code=-1)),
    "no such signal": (200, body(status="killed", exit_code=None, signal=65)),
    "signal zero": (200, body(status="killed", exit_code=None, signal=0)),
    "two ends": (200, body(exit_code=0, signal=9)),
    "well with a code": (200, body(exit_code=1)),
    "well with no code": (200, body(exit_code=None)),
    "an error with code zero": (200, body(status="error")),
    "no memory with code zero": (200, body(status="memory")),
    "late with a code": (200, body(status="timeout")),
    "killed by nothing": (200, body(status="killed", exit_code=None)),
    "cut but whole": (200, body(status="output_limit")),
    "lost and ended": (200, body(status="session_lost", exit_code=1)),
}


def tool_at(fake: Fake, **options: Any) -> RemoteTool:
    return RemoteTool(fake.url, token=TOKEN, **({"limits": LIMITS} | options))


def after_the_probe(relay: Script, *answers: tuple[int, bytes] | None) -> Script:
    """The real server's answer to the first snippet, which every client sends; then these, the last one for ever."""

    def script(number: int, path: str, data: bytes) -> tuple[int, bytes] | None:
        return relay(number, path, data) if number == 0 else answers[min(number, len(answers)) - 1]

    return script


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_borne_once_and_is_never_a_result(
    fault: str, fake: Callable[..., Fake], relay: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coevolve.sandbox.remote.courier._PAUSE_S", 0.01)
    once = fake(after_the_probe(relay, FAULTS[fault], (200, body())))
    with tool_at(once) as tool:
        assert tool.run("print(1)").stdout == "1\n"
        assert tool.stats.infra_failures == 1
    always = fake(after_the_probe(relay, FAULTS[fault]))
    with tool_at(always, cache_size=4) as tool:
        for attempt in (1, 2):  # what failed is not remembered
            with pytest.raises(SandboxInfraError, match="The sandbox server failed"):
                tool.run("print(1)")
            assert len(always.posts) == 1 + 2 * attempt


@pytest.mark.parametrize(
    "end",
    [
        {},
        {"wall_ms": 0, "cpu_ms": 0.0},
        {"wall_ms": 4 * LIMITS.wall_s * 1e3 + 500, "cpu_ms": LIMITS.cpu_s * 1e3 + 200, "stdout": "x" * 20_000},
        {"status": "error", "exit_code": 255},
        {"status": "memory", "exit_code": 1},
        {"status": "timeout", "exit_code": None, "signal": 9, "truncated": True},
        {"status": "cpu_limit", "exit_code": None, "signal": 9},
        {"status": "killed", "exit_code": None, "signal": 64},
        {"status": "output_limit", "exit_code": None, "signal": 9, "truncated": True},
        {"status": "output_limit", "exit_code": 0, "truncated": True},
        {"status": "session_lost", "exit_code": None},
    ],
)
def test_every_end_that_a_snippet_can_have_is_believed(
    end: dict[str, object], fake: Callable[..., Fake], relay: Script
) -> None:
    with tool_at(fake(after_the_probe(relay, (200, body(**end))))) as tool:
        assert asdict(tool.run("print(1)")) == GOOD | end | {"cached": False}


@pytest.mark.parametrize("status", [301, 400, 401, 404, 409, 413, 415])
def test_a_refusal_is_not_asked_for_twice(status: int, fake: Callable[..., Fake], relay: Script) -> None:
    refusing = fake(after_the_probe(relay, (status, b'{"error": "because"}')))
    refusing.headers["Location"] = "http://127.0.0.1:9/elsewhere"
    with tool_at(refusing) as tool, pytest.raises(SandboxInfraError, match=rf"{status} .*because"):
        tool.run("print(1)")
    assert len(refusing.posts) == 2


@pytest.mark.parametrize("fault", ["hangs up", "internal error", "half of it", "huge"])
def test_a_cell_whose_fate_is_unknown_is_never_run_again(fault: str, fake: Callable[..., Fake], relay: Script) -> None:
    forgetful = fake(after_the_probe(relay, (200, body()), FAULTS[fault], (200, body())))
    with tool_at(forgetful) as tool:
        assert tool.run("x = 1", "s").stdout == "1\n"
        for _ in range(2):
            with pytest.raises(SandboxInfraError):
                tool.run("x += 1", "s")
        assert [post["cell"] for post in forgetful.posts[1:]] == [1, 2]
        assert tool.run("x = 1", "other").stdout == "1\n"
        assert len({post["session"] for post in forgetful.posts[1:]}) == 2


def test_cells_go_one_after_the_other(fake: Callable[..., Fake], relay: Script) -> None:
    at_once: list[int] = []

    def slowly(number: int, path: str, data: bytes) -> tuple[int, bytes] | None:
        if number == 0:
            return relay(number, path, data)
        at_once.append(1)
        time.sleep(0.05)
        fault = sum(at_once) > 1
        at_once.pop()
        return (400, b'{"error": "two at once"}') if fault else (200, body())

    with tool_at(fake(slowly)) as tool:
        cells = [tool.submit(f"print({n})", "s") for n in range(5)]
        assert [cell.result().status for cell in cells] == ["ok"] * 5


def test_a_session_ends_with_its_name_and_the_name_may_come_again(fake: Callable[..., Fake], relay: Script) -> None:
    server = fake(after_the_probe(relay, (200, body())))
    with tool_at(server) as tool:
        tool.end_session("never heard of")
        tool.run("x = 1", "s")
        tool.end_session("s")
        tool.run("x = 2", "s")
    told = [(post.get("session"), post.get("cell"), post.get("sessions")) for post in server.posts[1:]]
    assert sorted(told, key=str) == [("1", 1, None), ("2", 1, None), (None, None, ["1"]), (None, None, ["2"])]


def test_a_server_that_does_not_answer_is_given_up_after_its_own_promise(
    fake: Callable[..., Fake], relay: Script, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wall limit, the longest wait in the queue by the server's own word, and something for the network."""
    monkeypatch.setattr("coevolve.sandbox.remote.hosts._NETWORK_S", 0.1)
    limits = replace(LIMITS, wall_s=0.5)
    told = {"wait_s": 0.2, "limits": asdict(limits)}
    health = json.dumps(server.send("GET", "/health")[2] | told).encode()

    def silent(number: int, path: str, data: bytes) -> tuple[int, bytes] | None:
        if number == 0:
            return relay(number, path, data)
        time.sleep(4)
        return None

    with (
        tool_at(fake(silent, health), limits=limits) as tool,
        pytest.raises(SandboxInfraError, match=r"no answer within 2\.3 s"),
    ):
        tool.run("print(1)", "a session, so that it is not asked twice")


@pytest.mark.parametrize("told", [{"wait_s": -1}, {"wait_s": 1e9}, {"sessions": -1}, {"sessions": 10**30}])
def test_a_server_that_promises_what_makes_no_sense_is_refused_at_start(
    told: dict[str, object], server: Server, fake: Callable[..., Fake], relay: Script
) -> None:
    health = json.dumps(server.send("GET", "/health")[2] | told).encode()
    with pytest.raises(SandboxUnavailable, match="makes no sense"):
        tool_at(fake(relay, health))


@pytest.mark.parametrize(
    "health",
    [b"", b"pong", b"{}", b"[]", b'{"protocol": 2}', b'{"protocol": 1}', b'{"protocol": 1, "limits": {"cpu_s": -1}}'],
)
def test_what_is_no_server_of_ours_is_refused_at_start(health: bytes, fake: Callable[..., Fake], relay: Script) -> None:
    with pytest.raises(SandboxUnavailable, match="makes no sense"):
        tool_at(fake(relay, health or b" "))
