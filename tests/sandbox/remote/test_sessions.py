"""Sessions at a real server: the same as in the local pool, one client's from another's reach, none left behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.base import Status
from coevolve.sandbox.pool import SandboxPool
from coevolve.sandbox.remote.client import RemoteTool

from .conftest import LIMITS, TOKEN, Server, Start
from .waiting import until


@pytest.fixture
def tool(server: Server) -> Iterator[RemoteTool]:
    with connect(server) as tool:
        yield tool


def connect(server: Server, **options: Any) -> RemoteTool:
    return RemoteTool(server.url, token=TOKEN, limits=LIMITS, sessions=2, cache_size=10, **options)


def open_at(server: Server) -> int:
    return int(server.send("GET", "/health")[2]["sessions_open"])


def test_cells_share_what_the_earlier_ones_left(tool: RemoteTool) -> None:
    assert tool.run("x = 41", "a").status is Status.OK
    assert tool.run("x += 1; print(x)", "a").stdout == "42\n"
    assert tool.run("x += 1; print(x)", "a").stdout == "43\n", "never from the cache"
    assert tool.run("print('x' in globals())", "b").stdout == "False\n"
    assert tool.run("print('x' in globals())").stdout == "False\n"


@pytest.mark.parametrize("end", ["import sys; sys.exit(3)", "while True: pass", "print('x' * 30_000)", "1 / 0"])
def test_the_end_of_a_session_is_told_as_by_the_local_pool(tool: RemoteTool, end: str) -> None:
    with SandboxPool(limits=LIMITS) as local:
        for cell in ("x = 1", end, "print(x)", "print(x)"):
            ours, theirs = (one.run(cell, "s") for one in (tool, local))
            assert (ours.status, ours.stdout, ours.stderr) == (theirs.status, theirs.stdout, theirs.stderr)


def test_two_clients_may_use_the_same_name(server: Server, tool: RemoteTool) -> None:
    with connect(server) as other:
        tool.run("x = 'mine'", "s")
        other.run("x = 'theirs'", "s")
        assert [one.run("print(x)", "s").stdout for one in (tool, other)] == ["mine\n", "theirs\n"]
        other.end_session("s")
        assert tool.run("print(x)", "s").stdout == "mine\n"


def test_an_ended_session_is_forgotten_and_its_name_starts_anew(server: Server, tool: RemoteTool) -> None:
    tool.run("x = 1", "s")
    calm = server.queue()["running"]
    running, waiting = tool.submit("import time; time.sleep(1.5)", "s"), tool.submit("print(x)", "s")
    until(lambda: server.queue()["running"] == calm + 1)
    tool.end_session("s")
    assert running.result().status is Status.KILLED
    assert waiting.result().status is Status.SESSION_LOST
    assert tool.run("print('x' in globals())", "s").stdout == "False\n"


def test_a_client_that_closes_leaves_no_session(server: Server) -> None:
    before = open_at(server)
    with connect(server) as tool:
        tool.run("x = 1", "a")
        tool.run("x = 1", "b")
        assert open_at(server) == before + 2
    until(lambda: open_at(server) == before)


def test_sessions_of_clients_that_are_gone_are_forgotten_after_a_while(start_server: Start) -> None:
    server = start_server("--session-idle", "1")
    cell = {"code": "x = 1", "session": "1", "cell": 1}
    client = {"Coevolve-Client": "0" * 32}
    assert server.send("POST", "/v1/run", cell, headers=client)[2]["status"] == "ok"
    assert open_at(server) == 1
    until(lambda: open_at(server) == 0)
    assert server.send("POST", "/v1/run", cell | {"cell": 2}, headers=client)[0] == 409


def test_too_many_sessions_are_sent_back_until_one_ends(start_server: Start) -> None:
    server = start_server("--sessions", "2")
    with connect(server, patience_s=0.5) as patient, connect(server) as other:
        other.run("x = 1", "a")
        other.run("x = 1", "b")
        with pytest.raises(SandboxInfraError, match="busy"):
            patient.run("x = 1", "c")
        assert patient.run("print(1)").stdout == "1\n"
        other.end_session("a")
        until(lambda: open_at(server) == 1)
        assert patient.run("print(2)", "d").stdout == "2\n"


def test_a_session_does_not_survive_its_server(start_server: Start) -> None:
    server = start_server()
    with connect(server) as tool:
        tool.run("x = 1", "s")
        server.stop(signal.SIGKILL)
        start_server(port=server.port)
        for _ in range(2):
            with pytest.raises(SandboxInfraError):
                tool.run("print(x)", "s")
        assert tool.run("print('x' in globals())", "new").stdout == "False\n"
