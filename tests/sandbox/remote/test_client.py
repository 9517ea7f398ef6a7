"""The tool at a real server: the same results as the local pool, whatever happens to the server in between."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

import pytest

from coevolve.errors import SandboxInfraError, SandboxUnavailable
from coevolve.sandbox.base import Status, ToolResult
from coevolve.sandbox.pool import SandboxPool
from coevolve.sandbox.remote.client import RemoteTool

from .conftest import LIMITS, TOKEN, Fake, Script, Server, Start
from .waiting import SLEEP, until

CODE = [
    "print(6 * 7)",
    "",
    "1 / 0",
    "print('ü', '\\x00', '\\ud800'.encode('utf-8', 'surrogatepass'))",
    "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)",
    "def f(:",
    "print('x' * 300_000)",
    "import os; os.write(1, bytes(range(256)))",
    "import os; os.write(1, b'\\xff' * 19_000)",  # six bytes of JSON each
    "bytearray(1 << 40)",
    "import ctypes; ctypes.string_at(0)",
    "print(1, flush=True)\nwhile True: pass",
    "print('\ud800')",
    "x = 1\n" * 20_000,  # too long
]


@pytest.fixture
def connect(server: Server) -> Iterator[Callable[..., RemoteTool]]:
    """``connect(url=..., cache_size=...)``; closed at the end."""
    made: list[RemoteTool] = []

    def make(url: str = server.url, **options: Any) -> RemoteTool:
        made.append(RemoteTool(url, **({"token": TOKEN, "limits": LIMITS} | options)))
        return made[-1]

    yield make
    for tool in made:
        tool.close()


@pytest.fixture(scope="module")
def local() -> Iterator[SandboxPool]:
    with SandboxPool(limits=LIMITS) as pool:
        yield pool


def timeless(result: ToolResult) -> ToolResult:
    return replace(result, wall_ms=0.0, cpu_ms=0.0)


@pytest.mark.parametrize("code", CODE, ids=range(len(CODE)))
def test_a_result_is_the_same_as_in_the_local_pool(
    code: str, connect: Callable[..., RemoteTool], local: SandboxPool
) -> None:
    assert timeless(connect().run(code)) == timeless(local.run(code))


def test_hundreds_of_snippets_are_in_flight_at_once(connect: Callable[..., RemoteTool]) -> None:
    tool = connect()
    results = [tool.submit(f"print({n})") for n in range(400)]
    assert [r.result().stdout for r in results] == [f"{n}\n" for n in range(400)]
    stats = tool.stats
    assert (stats.calls, stats.cache_hits, stats.infra_failures) == (400, 0, 0)
    assert stats.cpu_s > 0
    assert stats.busy_s > 0


def test_equal_snippets_are_run_once(connect: Callable[..., RemoteTool]) -> None:
    tool = connect(cache_size=8)
    first, second = tool.submit("print(1)"), tool.submit("print(1)")
    assert (first.result().cached, second.result().cached, tool.run("print(1)").cached) == (False, True, True)
    assert (tool.stats.calls, tool.stats.cache_hits) == (3, 2)


def test_the_layers_are_those_of_the_server_and_name_it(connect: Callable[..., RemoteTool], local: SandboxPool) -> None:
    layers = dict(connect().layers)
    assert layers.pop("server").startswith("http://127.0.0.1:")
    assert layers == dict(local.layers)
    assert TOKEN not in str(connect().layers)


def test_a_busy_server_is_asked_again_and_that_is_no_failure(
    start_server: Start, connect: Callable[..., RemoteTool]
) -> None:
    tool = connect(start_server("--workers", "1", "--queue", "0").url)
    results = [tool.submit(f"import time; time.sleep(0.3); print({n})") for n in range(2)]
    assert [r.result().stdout for r in results] == ["0\n", "1\n"]
    assert tool.stats.infra_failures == 0


def test_a_server_that_stays_busy_is_given_up(start_server: Start, connect: Callable[..., RemoteTool]) -> None:
    server = start_server("--workers", "1", "--queue", "0")
    tool = connect(server.url, patience_s=0.2)
    first = tool.submit(SLEEP["code"])
    until(lambda: server.queue()["running"] == 1)
    with pytest.raises(SandboxInfraError, match="busy"):
        tool.run("print(2)")
    assert first.result().stdout == "1\n2\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"token": "some-other-token"}, "401"),
        ({"token": None}, "401"),
        ({"url": "http://127.0.0.1:9"}, "Connection refused"),
        ({"limits": replace(LIMITS, wall_s=3.0)}, "--wall 3"),
        ({"limits": replace(LIMITS, cpu_s=1.5, memory_mb=64)}, "--cpu 1.5 --memory 64"),
        ({"preload": ("numpy",)}, "--preload numpy"),
        ({"sessions": 5000}, "--sessions 5000"),
    ],
)
def test_a_server_that_is_not_the_one_asked_for_is_refused_at_start(
    options: dict[str, Any], words: str, connect: Callable[..., RemoteTool]
) -> None:
    with pytest.raises(SandboxUnavailable) as caught:
        connect(**options)
    assert words in str(caught.value)
    assert caught.value.fix


def test_a_server_with_packages_that_the_run_has_not_is_told_the_option_for_none(
    server: Server, fake: Callable[..., Fake], relay: Script, connect: Callable[..., RemoteTool]
) -> None:
    health = server.send("GET", "/health")[2] | {"preload": ["numpy"]}
    with pytest.raises(SandboxUnavailable, match="--preload ''"):
        connect(fake(relay, json.dumps(health).encode()).url)


def test_a_server_without_walls_is_used_only_when_that_is_wanted(
    server: Server, fake: Callable[..., Fake], relay: Script, connect: Callable[..., RemoteTool]
) -> None:
    health = server.send("GET", "/health")[2]
    health["layers"]["landlock"] = "missing: not in this kernel"
    bare = fake(relay, json.dumps(health).encode())
    with pytest.raises(SandboxUnavailable, match=r"without landlock \(not in this kernel\)"):
        connect(bare.url)
    assert connect(bare.url, unsafe=True).run("print(1)").stdout == "1\n"


def test_a_server_that_dies_fails_what_runs_and_its_successor_takes_over(
    start_server: Start, connect: Callable[..., RemoteTool]
) -> None:
    server = start_server("--workers", "1")
    tool = connect(server.url)
    running = [tool.submit(SLEEP["code"]) for _ in range(20)]
    until(lambda: server.queue()["running"] == 1)
    server.stop(signal.SIGKILL)
    for one in running:
        with pytest.raises(SandboxInfraError, match="The sandbox server failed"):
            one.result()
    assert tool.stats.infra_failures == 40
    start_server("--workers", "1", port=server.port)
    assert tool.run("print(3)").stdout == "3\n"


def test_closing_fails_what_is_not_finished_and_ends_the_thread(connect: Callable[..., RemoteTool]) -> None:
    tool = connect(requests=1)
    results = [tool.submit(f"import time; time.sleep(1); print({n})") for n in range(3)]
    results[2].cancel()
    tool.close()
    for one in results[:2]:
        with pytest.raises(SandboxInfraError, match="closed"):
            one.result()
    with pytest.raises(CancelledError):
        results[2].result()
    with pytest.raises(SandboxInfraError, match="closed"):
        tool.run("print(1)")
    assert not any(t.name == "coevolve-sandbox-client" and t.is_alive() for t in threading.enumerate())


def test_a_tool_that_is_forgotten_ends_its_thread(server: Server) -> None:
    before = threading.active_count()
    tool = RemoteTool(server.url, token=TOKEN, limits=LIMITS)
    assert tool.run("print(1)").status is Status.OK
    del tool
    until(lambda: threading.active_count() == before)
