"""A live server in this process, and requests to it as a browser or something less friendly would make them."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from coevolve.report.server import WatchServer
from coevolve.report.watched import Shelf

PATIENCE_S = 60.0  # the machine may be busy


class Answer:
    """What came back."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks one server."""

    def __init__(self, server: WatchServer) -> None:
        self.server, self.port = server, server.server_port

    def get(self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.putrequest(method, path, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    def raw(self, request: bytes) -> bytes:
        """The whole answer to these bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as line:
            line.sendall(request)
            parts = []
            while part := line.recv(1 << 16):
                parts.append(part)
        return b"".join(parts)

    @contextmanager
    def listening(self, path: str = "/events") -> Iterator[Iterator[dict[str, Any]]]:
        """The news, as they come."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200, response.read()

        def news() -> Iterator[dict[str, Any]]:
            for line in response:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

        try:
            yield news()
        finally:
            response.close()
            connection.close()

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool], path: str = "/events") -> dict[str, Any]:
        """The first news that are as wanted."""
        with self.listening(path) as news:
            end = time.monotonic() + PATIENCE_S
            for told in news:
                if wanted(told):
                    return told
                assert time.monotonic() < end, told
        raise AssertionError("the server stopped talking")


@pytest.fixture
def served() -> Callable[..., AbstractContextManager[Client]]:
    """``served(path, host=..., port=..., token=...)``: a server of a run or of a folder, for the time of a block."""
    return serving


@contextmanager
def serving(path: Path, *, host: str = "127.0.0.1", port: int = 0, token: str | None = None) -> Iterator[Client]:
    with WatchServer(Shelf(path), host=host, port=port, token=token) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield Client(server)
        finally:
            server.shutdown()
            thread.join()
