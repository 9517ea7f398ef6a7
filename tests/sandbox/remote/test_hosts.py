"""Several servers behind one client: shared out by load, never overfed; a lost one costs what was on its way."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from coevolve.errors import ConfigError, SandboxInfraError, SandboxUnavailable
from coevolve.methods.registry import load_config
from coevolve.sandbox.base import Status, ToolResult
from coevolve.sandbox.remote.client import RemoteTool

from .conftest import LIMITS, TOKEN, Fake, Script, Server, Start
from .waiting import until

NAP = "import time; time.sleep(0.05); print({})"
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


@pytest.fixture
def connect() -> Iterator[Callable[..., RemoteTool]]:
    """``connect(url, url, requests=...)``; closed at the end."""
    made: list[RemoteTool] = []

    def make(*urls: str, **options: Any) -> RemoteTool:
        made.append(RemoteTool(*urls, **({"token": TOKEN, "limits": LIMITS} | options)))
        return made[-1]

    yield make
    for tool in made:
        tool.close()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost server is asked again at once."""
    monkeypatch.setattr("coevolve.sandbox.remote.hosts._FIRST_REST_S", 0.05)


def outputs(results: list[Future[ToolResult]]) -> list[str]:
    return [result.result().stdout for result in results]


def held(gate: threading.Event, most: list[int]) -> Script:
    """The client's own probe is answered; the rest when the gate opens. ``most`` is how many were there at once."""
    lock, there = threading.Lock(), [0]

    def script(number: int, path: str, data: bytes) -> tuple[int, bytes]:
        if json.loads(data)["code"] == "print(6 * 7)":
            return 200, json.dumps(GOOD | {"stdout": "42\n"}).encode()
        with lock:
            there[0] += 1
            most[0] = max(most[0], there[0])
        gate.wait(30)
        with lock:
            there[0] -= 1
        return 200, json.dumps(GOOD).encode()

    return script


def health_with(server: Server, **changes: Any) -> bytes:
    return json.dumps(server.send("GET", "/health")[2] | changes).encode()


def test_each_server_gets_snippets_by_its_workers_and_never_more_than_it_may_have(
    server: Server, fake: Callable[..., Fake], connect: Callable[..., RemoteTool]
) -> None:
    gate, small, large = threading.Event(), [0], [0]
    queue = server.send("GET", "/health")[2]["queue"]
    a = fake(held(gate, small), health_with(server, queue=queue | {"workers": 1}))
    b = fake(held(gate, large), health_with(server, queue=queue | {"workers": 3}))
    tool = connect(a.url, b.url, requests=6)
    first = [tool.submit("print(1)") for _ in range(8)]
    until(lambda: small[0] + large[0] == 8)
    assert (small[0], large[0]) == (2, 6)  # in proportion, and then the larger one is full
    rest = [tool.submit("print(1)") for _ in range(12)]
    until(lambda: small[0] == 6)
    gate.set()
    assert outputs(first + rest) == ["1\n"] * 20
    assert (small[0], large[0]) == (6, 6)
    assert tool.stats.infra_failures == 0


def test_a_full_server_is_left_alone_and_that_is_no_failure(
    start_server: Start, connect: Callable[..., RemoteTool]
) -> None:
    servers = [start_server("--workers", "1", "--queue", "0") for _ in range(2)]
    tool = connect(*(server.url for server in servers))
    assert outputs([tool.submit(NAP.format(n)) for n in range(6)]) == [f"{n}\n" for n in range(6)]
    assert tool.stats.infra_failures == 0
    assert tool.stats.told == ()


def test_a_snippet_for_which_no_server_has_room_in_time_is_lost_and_the_key_is_named(
    server: Server, fake: Callable[..., Fake], relay: Script, connect: Callable[..., RemoteTool]
) -> None:
    def full(number: int, path: str, data: bytes) -> tuple[int, bytes]:
        return relay(number, path, data) if number == 0 else (503, b"{}")

    two = [fake(full) for _ in range(2)]
    for one in two:
        one.headers["Retry-After"] = "1"
    tool = connect(*(one.url for one in two), patience_s=0.2)
    with pytest.raises(SandboxInfraError, match=r"within 0\.2 s \(sandbox\.patience_s\)"):
        tool.run("print(1)")
    assert [len(one.posts) for one in two] == [2, 2], "a server that is full is not asked again before its time"
    assert tool.stats.infra_failures == 0


def test_a_server_that_is_killed_costs_no_stateless_snippet_and_its_successor_is_used_again(
    start_server: Start, connect: Callable[..., RemoteTool], soon: None
) -> None:
    dies, lives = start_server("--workers", "1"), start_server("--workers", "1")
    tool = connect(dies.url, lives.url)
    running = [tool.submit(NAP.format(n)) for n in range(40)]
    until(lambda: dies.queue()["running"] == 1)
    dies.stop(signal.SIGKILL)
    assert outputs(running) == [f"{n}\n" for n in range(40)]
    assert outputs([tool.submit(NAP.format(n)) for n in range(4)]) == [f"{n}\n" for n in range(4)]
    (told,) = tool.stats.told
    assert told.startswith(f"sandbox server {dies.url} is out: ")
    start_server("--workers", "1", port=dies.port)
    until(lambda: len(tool.stats.told) == 2)
    assert tool.stats.told[1] == f"sandbox server {dies.url} is back"
    assert outputs([tool.submit(NAP.format(n)) for n in range(4)]) == [f"{n}\n" for n in range(4)]


def test_a_server_behind_a_cut_link_is_found_silent_and_its_snippets_go_to_the_other(
    start_server: Start, connect: Callable[..., RemoteTool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coevolve.sandbox.remote.hosts._PULSE_S", 0.1)
    monkeypatch.setattr("coevolve.sandbox.remote.hosts._HEALTH_S", 3.0)
    cut, lives = start_server("--workers", "1"), start_server("--workers", "1")
    tool = connect(cut.url, lives.url)
    running = [tool.submit(NAP.format(n)) for n in range(20)]
    until(lambda: cut.queue()["running"] == 1)
    cut.process.send_signal(signal.SIGSTOP)
    try:
        assert outputs(running) == [f"{n}\n" for n in range(20)]
        assert f"{cut.url} is out: no answer within 3 s" in " ".join(tool.stats.told)
    finally:
        cut.process.send_signal(signal.SIGCONT)


def test_a_session_stays_at_its_server_and_ends_with_it(
    start_server: Start, connect: Callable[..., RemoteTool]
) -> None:
    dies, lives = (start_server("--workers", "1", "--sessions", "8") for _ in range(2))
    tool = connect(dies.url, lives.url, sessions=8)
    names = [f"s{n}" for n in range(4)]
    first = [tool.submit(f"x = {n}; print(x)", name) for n, name in enumerate(names)]
    assert outputs(first) == [f"{n}\n" for n in range(4)]
    open_at = [server.send("GET", "/health")[2]["sessions_open"] for server in (dies, lives)]
    assert sum(open_at) == 4
    assert min(open_at) > 0
    dies.stop(signal.SIGKILL)
    fates = []
    for n, name in enumerate(names):
        for _ in range(2):  # a lost session stays lost
            try:
                fates.append(tool.run("print(x)", name).stdout == f"{n}\n")
            except SandboxInfraError:
                fates.append(False)
    assert fates.count(True) == 2 * open_at[1]
    assert tool.run("print(5)", "another").status is Status.OK


def test_a_snippet_that_brings_down_every_server_is_tried_twice_only(
    server: Server, fake: Callable[..., Fake], relay: Script, connect: Callable[..., RemoteTool]
) -> None:
    def fatal(number: int, path: str, data: bytes) -> tuple[int, bytes] | None:
        return None if b"poison" in data else relay(number, path, data)

    three = [fake(fatal) for _ in range(3)]
    tool = connect(*(one.url for one in three))
    with pytest.raises(SandboxInfraError, match="The sandbox server failed"):
        tool.run("print('poison')")
    assert sum(b"poison" in json.dumps(post).encode() for one in three for post in one.posts) == 2
    assert tool.stats.infra_failures == 2


def test_a_server_that_does_not_answer_at_the_start_is_told_and_the_others_do(
    server: Server, connect: Callable[..., RemoteTool]
) -> None:
    tool = connect("http://127.0.0.1:9", server.url)
    assert tool.run("print(1)").stdout == "1\n"
    assert tool.layers["server"].startswith("http://127.0.0.1:9 (did not answer), http://127.0.0.1:")
    assert "127.0.0.1:9 is out: it cannot be reached: Connection refused" in tool.stats.told[0]
    with pytest.raises(SandboxUnavailable, match="cannot be reached"):
        connect("http://127.0.0.1:9", "http://127.0.0.1:10")


def test_one_server_that_is_not_what_was_asked_for_is_refused_at_the_start(
    server: Server, fake: Callable[..., Fake], relay: Script, connect: Callable[..., RemoteTool]
) -> None:
    limits = server.send("GET", "/health")[2]["limits"] | {"wall_s": 3.0}
    with pytest.raises(SandboxUnavailable, match="--wall 20"):
        connect(server.url, fake(relay, health_with(server, limits=limits)).url)
    with pytest.raises(SandboxUnavailable, match="401"):
        connect(server.url, fake(lambda *post: (401, b"{}")).url)


def test_addresses_are_checked_one_by_one() -> None:
    def asked(url: str) -> tuple[str, ...]:
        return load_config("nano", overrides=["sandbox.backend=remote", f"sandbox.url={url}"]).sandbox.addresses

    assert asked("http://a:1") == ("http://a:1",)
    assert asked("[http://a:1, http://b:2]") == ("http://a:1", "http://b:2")
    for wrong in ("[http://a:1, b:2]", "[]", "[http://a:1, http://a:1/]"):
        with pytest.raises(ConfigError, match=r"sandbox\.url"):
            asked(wrong)
