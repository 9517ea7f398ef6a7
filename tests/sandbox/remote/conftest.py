"""Real servers on free ports of this machine, a way to send them anything, and servers that misbehave."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import coevolve
from coevolve.sandbox.base import Limits

TOKEN = "a-token-for-these-tests"
# On a busy machine a snippet waits for its CPU for long: only what sleeps may reach the wall limit.
LIMITS = Limits(cpu_s=0.3, wall_s=20.0, memory_mb=128, output_bytes=20_000)
OPTIONS = ("--cpu", "0.3", "--wall", "20", "--memory", "128", "--output", "20000")
Answer = tuple[int, Mapping[str, str], dict[str, Any]]


@dataclass
class Server:
    """A server process; ``send`` speaks to it without any of our client's code."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = TOKEN,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
            sent = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
            connection.request(method, path, data, sent | dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), json.loads(answer.read())
        finally:
            connection.close()

    def queue(self) -> dict[str, int]:
        return dict(self.send("GET", "/health")[2]["queue"])

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=30)


Start = Callable[..., Server]


@pytest.fixture(scope="session")
def start_server() -> Iterator[Start]:
    """``start_server("--workers", "1", token=None, limits=OPTIONS, port=0, log=None)``: ``log`` is its stderr."""
    started: list[Server] = []

    def start(
        *options: str,
        token: str | None = TOKEN,
        limits: tuple[str, ...] = OPTIONS,
        port: int = 0,
        log: int | None = None,
    ) -> Server:
        environment = os.environ | {"PYTHONPATH": str(Path(coevolve.__file__).parents[1])}
        environment.pop("COEVOLVE_SANDBOX_TOKEN", None)
        if token is not None:
            environment["COEVOLVE_SANDBOX_TOKEN"] = token
        command = [sys.executable, "-m", "coevolve", "sandbox", "serve", "--port", str(port), *limits, *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"ready at (http://127\.0\.0\.1:\d+) ", line)
        assert found, line
        started.append(Server(process, found[1]))
        return started[-1]

    yield start
    for server in started:
        server.stop(signal.SIGKILL)
        if server.process.stdout:
            server.process.stdout.close()


@pytest.fixture(scope="session")
def server(start_server: Start) -> Server:
    """One for all tests that only run snippets."""
    return start_server("--workers", "2")


Script = Callable[[int, str, bytes], tuple[int, bytes] | None]


class Fake:
    """A server that does as a function says: the n-th POST (from 0), its path and body to (status, body), or to a
    broken connection (None). To GET it answers ``health``; ``headers`` are added to all answers.
    """

    def __init__(self, script: Script, health: bytes) -> None:
        self.posts: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        fake, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(200, health)

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    number = len(fake.posts)
                    fake.posts.append(json.loads(data))
                answer = script(number, self.path, data)
                if answer is None:
                    self.close_connection = True
                else:
                    self._answer(*answer)

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **fake.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def fake(server: Server) -> Iterator[Callable[..., Fake]]:
    """``fake(script)``; of its health it says what the real server says, or what is given."""
    made: list[Fake] = []

    def make(script: Script, health: bytes | None = None) -> Fake:
        made.append(Fake(script, health or json.dumps(server.send("GET", "/health")[2]).encode()))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def relay(server: Server) -> Script:
    """What the real server answers to the same POST."""

    def pass_on(number: int, path: str, body: bytes) -> tuple[int, bytes]:
        status, _, answer = server.send("POST", path, raw=body)
        return status, json.dumps(answer).encode()

    return pass_on
