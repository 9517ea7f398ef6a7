"""Servers on loopback: over the embedded model, and over processes that do as the test says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from coevolve.runs.answerer import Answerer, of_target
from coevolve.serving.app import Options, Service
from coevolve.serving.engine import Engine
from coevolve.serving.life import _server, bound

PATIENCE_S = 300.0  # of tests, for a busy machine


class Background:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    service: Service
    client: httpx.Client

    def chat(self, question: str, **parameters: object) -> httpx.Response:
        messages = [{"role": "user", "content": question}]
        return self.client.post("/v1/chat/completions", json={"messages": messages, **parameters})


Serving = Callable[..., Any]  # serving(engine, show="all", ...): a context with a Served


@pytest.fixture(scope="session")
def background() -> Iterator[Background]:
    running = Background()
    yield running
    running.close()


@pytest.fixture(scope="session")
def answerer() -> Answerer:
    """The embedded base model."""
    return of_target("miniature", overrides=["engine.workers=1"])


@pytest.fixture(scope="session")
def engine(background: Background, answerer: Answerer) -> Iterator[Engine]:
    """One process with the embedded model: it costs seconds to start, so all tests share it."""

    async def started() -> Engine:
        engine = Engine(answerer, places=64)
        await engine.start()
        return engine

    running = background.run(started())
    yield running
    background.run(running.close())


@pytest.fixture(scope="session")
def serving(background: Background) -> Serving:
    @contextmanager
    def serve(engine: Engine, **options: Any) -> Iterator[Served]:
        listening = bound("127.0.0.1", 0, None)
        service, url = Service(engine, Options("m", **options)), f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = _server(service)
        running = asyncio.run_coroutine_threadsafe(server.serve(sockets=[listening]), background.loop)
        headers = {} if service.options.token is None else {"Authorization": f"Bearer {service.options.token}"}
        try:
            with httpx.Client(base_url=url, headers=headers, timeout=PATIENCE_S) as client:
                yield Served(service, client)
        finally:
            server.should_exit = True
            running.result(PATIENCE_S)
            service.reader.shutdown()

    return serve


@pytest.fixture(scope="session")
def served(engine: Engine, serving: Serving) -> Iterator[Served]:
    """The embedded model as it is served by default."""
    with serving(engine) as server:
        yield server
