"""The server as any HTTP client meets it: what it answers, what it refuses, how full it may be."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import coevolve
from coevolve.sandbox.base import Limits
from coevolve.sandbox.pool import SandboxPool
from coevolve.sandbox.remote.server import SandboxServer, health_of
from coevolve.sandbox.remote.sessions import Admission, Sessions

from .conftest import LIMITS, TOKEN, Server, Start
from .waiting import SLEEP, until


@pytest.fixture
def impatient_port(pool: SandboxPool, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The handlers in this process, with less time for a body than they give otherwise."""
    monkeypatch.setattr("coevolve.sandbox.remote.server._BODY_S", 0.1)
    health = health_of(pool, limits=Limits(), preload=(), wait_s=1, sessions=0)
    admission = Admission(workers=1, limit=0, wait_s=1, stats=lambda: pool.stats)
    app = SandboxServer(pool, health, admission, Sessions(limit=0, idle_s=9, end=pool.end_session), None).application()
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(app)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield runner.addresses[0][1]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(runner.cleanup())
    loop.close()


def test_health_says_what_runs_snippets_and_needs_no_token(server: Server) -> None:
    status, _, health = server.send("GET", "/health", token=None)
    assert (status, health["ok"]) == (200, True)
    assert health["limits"]["wall_s"] == LIMITS.wall_s
    assert health["layers"]["seccomp"].startswith("on")
    assert health["versions"]["coevolve"] == coevolve.__version__
    assert set(health["queue"]) == {"workers", "running", "waiting", "limit"}
    assert TOKEN not in json.dumps(health)


def test_a_snippet_is_run_and_its_result_told(server: Server) -> None:
    status, _, result = server.send("POST", "/v1/run", {"code": "print(6 * 7)"})
    assert (status, result["status"], result["stdout"], result["exit_code"]) == (200, "ok", "42\n", 0)


@pytest.mark.parametrize("path", ["/v1/run", "/run_code", "/v1/sessions/end", "/nowhere"])
@pytest.mark.parametrize("token", [None, "a-token-for-these-test", TOKEN + "s", "ÿ"])
def test_without_the_token_nothing_is_done(server: Server, path: str, token: str | None) -> None:
    status, headers, body = server.send("POST", path, {"code": "print(1)"}, token=token)
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "stdout" not in body


@pytest.mark.parametrize("host", ["pages.example", "pages.example:8765", "127.0.0.1.pages.example", "[::2]", ""])
def test_without_a_token_only_a_loopback_address_is_answered(start_server: Start, host: str) -> None:
    """A page that a browser of this machine shows can have its own name lead to 127.0.0.1."""
    server = start_server(token=None)
    for method, path in (("POST", "/v1/run"), ("POST", "/run_code"), ("GET", "/health")):
        status, _, body = server.send(method, path, {"code": "print(1)"}, token=None, headers={"Host": host})
        assert status == 403
        assert "stdout" not in json.dumps(body)
    for host in ("127.0.0.1", "localhost:1", "[::1]:8765", "127.1.2.3:8765"):
        assert server.send("POST", "/v1/run", {"code": "1"}, token=None, headers={"Host": host})[0] == 200
    assert server.stop() == 0


def test_a_request_that_makes_no_sense_is_not_kept_in_the_log(start_server: Start, tmp_path: Path) -> None:
    """It could hold the token, and who sends it need not have one."""
    with (tmp_path / "log").open("w+") as log:
        server = start_server(log=log.fileno())
        for nonsense in (
            f"POST /v1/run HTTP/1.1\nAuthorization: Bearer {TOKEN}\n\n",
            f"POST /v1/run HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: -1\r\n\r\n",
            f"POST /v1/run HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            f"POST /v1/run HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nX: {TOKEN}\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
                line.sendall(nonsense.encode())
                assert b" 400 " in line.recv(64)
        assert server.stop() == 0
        log.seek(0)
        assert log.read() == ""


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400),
        (b"print(1)", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"code": 1}', 400),
        (b'{"code": ["print(1)"]}', 400),
        (b'{"code": "1", "session": 7}', 400),
        (b'{"code": "1", "session": "../x", "cell": 1}', 400),
        (b'{"code": "1", "session": "1", "cell": 1}', 400),  # of no client
        (b"[" * 100_000, 400),
        (b'{"code": ' + b"9" * 10_000 + b"}", 400),
        (b"\xff\xfe", 400),
        (b'{"code": "' + b"x" * 500_000 + b'"}', 413),
    ],
)
def test_a_body_that_is_no_request_is_refused_with_a_reason(server: Server, raw: bytes, status: int) -> None:
    answer, _, body = server.send("POST", "/v1/run", raw=raw)
    assert answer == status
    assert body["error"]


def test_other_content_other_methods_and_compression_are_refused(server: Server) -> None:
    body = {"code": "print(1)"}
    assert server.send("POST", "/v1/run", body, headers={"Content-Type": "text/plain"})[0] == 415
    compressed = b"\x1f\x8b\x08\x00" + b"\x00" * 20
    assert server.send("POST", "/v1/run", raw=compressed, headers={"Content-Encoding": "gzip"})[0] == 400
    assert server.send("GET", "/v1/run")[0] == 405
    assert server.send("POST", "/health", body)[0] == 405


@pytest.mark.parametrize("length", ["Content-Length: 5000000000", "Transfer-Encoding: chunked"])
def test_a_body_that_is_too_large_is_refused_before_it_is_there(server: Server, length: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        head = (
            f"POST /v1/run HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
        )
        line.sendall(f"{head}{length}\r\n\r\n".encode())
        if "chunked" in length:
            line.sendall(b"".join(b"10000\r\n" + b"x" * 0x10000 + b"\r\n" for _ in range(8)))
        assert line.recv(64).startswith(b"HTTP/1.1 413 ")


def test_a_full_queue_sends_back_and_says_when_to_come_again(start_server: Start) -> None:
    server = start_server("--workers", "1", "--queue", "1")
    with ThreadPoolExecutor() as threads:
        running = threads.submit(server.send, "POST", "/v1/run", SLEEP)
        until(lambda: server.queue()["running"] == 1)
        waiting = threads.submit(server.send, "POST", "/v1/run", SLEEP)
        until(lambda: server.queue()["waiting"] == 1)
        for path in ("/v1/run", "/run_code"):
            status, headers, body = server.send("POST", path, SLEEP)
            assert status == 503
            assert 1 <= int(headers["Retry-After"]) <= 30
            assert "waiting already" in json.dumps(body)
        assert [one.result()[2]["stdout"] for one in (running, waiting)] == ["1\n2\n"] * 2


def test_a_snippet_does_not_wait_longer_than_the_server_promises(start_server: Start) -> None:
    server = start_server("--workers", "1", "--queue-wait", "0.3")
    with ThreadPoolExecutor() as threads:
        running = threads.submit(server.send, "POST", "/v1/run", SLEEP)
        until(lambda: server.queue()["running"] == 1)
        status, headers, body = server.send("POST", "/v1/run", SLEEP)
        assert (status, "Retry-After" in headers) == (503, True)
        assert "waited" in body["error"]
        assert running.result()[2]["stdout"] == "1\n2\n"


def test_a_client_that_hangs_up_leaves_nothing(start_server: Start) -> None:
    server = start_server("--workers", "1")
    body = json.dumps(SLEEP).encode()
    head = (
        f"POST /v1/run HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    lines = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(4)]
    for line in lines:
        line.sendall(head.encode() + body)
    until(lambda: server.queue()["waiting"] == 3)
    for line in lines:
        line.close()
    until(lambda: server.queue()["waiting"] == 0)
    assert server.send("POST", "/v1/run", {"code": "print(3)"})[2]["stdout"] == "3\n"
    until(lambda: server.queue()["running"] == 0)


def test_a_client_that_sends_its_body_drop_by_drop_is_not_waited_for(impatient_port: int) -> None:
    with socket.create_connection(("127.0.0.1", impatient_port), timeout=20) as line:
        line.sendall(
            b"POST /v1/run HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        assert line.recv(64).startswith(b"HTTP/1.1 408 ")


def test_sessions_of_another_client_or_of_another_life_cannot_be_reached(server: Server) -> None:
    """A cell is run only where the server has the session, for this client, and is at this cell."""
    for client in ("0" * 32, "1" * 32):
        cell = {"code": "print(1)", "session": "1", "cell": 2}
        assert server.send("POST", "/v1/run", cell, headers={"Coevolve-Client": client})[0] == 409


def test_other_machines_need_a_token(cli: Any) -> None:
    cli("sandbox", "serve", "--host", "0.0.0.0", "--port", "0").assert_clear("token", "--token-file", code=2)


def test_a_token_is_read_from_a_file_and_a_short_one_refused(cli: Any, tmp_path: Path, start_server: Start) -> None:
    file = tmp_path / "token"
    file.write_text("short\n")
    cli("sandbox", "serve", "--token-file", str(file)).assert_clear("5 characters", "secrets", code=2)
    cli("sandbox", "serve", "--token-file", str(tmp_path / "no")).assert_clear("cannot be read", code=2)
    file.write_text(TOKEN + "\n")
    server = start_server("--token-file", str(file), token=None)
    assert [server.send("POST", "/v1/run", {"code": "1"}, token=t)[0] for t in (None, TOKEN)] == [401, 200]


def test_a_port_in_use_is_said(cli: Any, server: Server) -> None:
    cli("sandbox", "serve", "--port", str(server.port)).assert_clear("port is in use", "--port")
