"""The life of the server: its socket, its engine, and its end at a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from coevolve.errors import ConfigError
from coevolve.runs.answerer import Answerer
from coevolve.runs.stopping import Stopped, leave_closed_terminal
from coevolve.serving.app import Options, Service
from coevolve.serving.engine import Engine
from coevolve.system import is_loopback, why_not_listening

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ECHO_S = 0.2  # a launcher that passes Ctrl-C on makes two signals of one
_IDLE_CONNECTION_S = 60
_DELIVERY_S = 2  # for what was answered before the end and is still on its way


class Stop:
    """The request to stop: once to finish what is in flight, twice to end at once."""

    def __init__(self) -> None:
        self.asked, self.at_once = asyncio.Event(), asyncio.Event()
        self.number = 0  # of the last signal
        self._asked_at = 0.0

    def ask(self, number: int) -> None:
        """Take a signal."""
        self.number = number
        if number == signal.SIGHUP:
            leave_closed_terminal()
        if not self.asked.is_set():
            self._asked_at = time.monotonic()
            self.asked.set()
        elif time.monotonic() - self._asked_at > _ECHO_S:
            self.at_once.set()

    def listen(self) -> None:
        """Take the signals of this process; in a thread other than the main one they are left alone."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # under nohup it stays ignored
                loop.add_signal_handler(number, self.ask, number)


Announce = Callable[[Service], None]


def bound(host: str, port: int, token: str | None) -> socket.socket:
    """A socket that listens there.

    Raises:
        ConfigError: the address cannot be used, or other machines could reach it and there is no token.
    """
    if token is None and not is_loopback(host):
        raise ConfigError(f"other machines could reach {host}, and there is no token", where="coevolve serve --host")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((str(address[0]), port), family=family, backlog=1024)
    except OSError as error:
        why, fix = why_not_listening(error)
        raise ConfigError(f"the server cannot listen: {why}", where=f"{host}:{port}", fix=fix) from error


async def serve(
    answerer: Answerer,
    options: Options,
    listening: socket.socket,
    *,
    places: int,
    grace_s: float,
    announce: Announce,
    stop: Stop | None = None,
) -> None:
    """Answer requests until a signal.

    Args:
        answerer: who answers.
        options: how.
        listening: where requests come in; closed at the end.
        places: answers that may be written or wait at once.
        grace_s: how long what is in flight may take after the first signal.
        announce: called when requests are answered, and again when no new ones are.
        stop: the request to stop; default: the signals of this process.

    Raises:
        CoevolveError: the engine cannot be started, or cannot be started again.
        Stopped: a second signal has ended it.
    """
    stop = stop or Stop()
    stop.listen()
    engine = Engine(answerer, places)
    try:
        if not await _started(engine, stop):
            return
        service = Service(engine, options)
        server = _server(service)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        announce(service)
        await _first(stop.asked.wait(), engine.broken)
        service.stopping = True
        if not engine.broken.done():
            announce(service)
            await _first(service.idle.wait(), stop.at_once.wait(), asyncio.sleep(grace_s))
        await _end(engine, stop)
        server.should_exit, server.force_exit = True, stop.at_once.is_set()
        await running
        service.reader.shutdown(wait=False)
    finally:
        listening.close()
        await _end(engine, stop)
    if engine.broken.done():
        raise engine.broken.result()
    if stop.at_once.is_set():
        raise Stopped(stop.number)


async def _started(engine: Engine, stop: Stop) -> bool:
    """Whether the engine is ready; not where a signal came first.

    Raises:
        CoevolveError: it cannot be started.
    """
    start = asyncio.create_task(engine.start())
    await _first(start, stop.asked.wait())
    if start.done():
        start.result()
        return True
    start.cancel()
    return False


async def _end(engine: Engine, stop: Stop) -> None:
    if stop.at_once.is_set():
        engine.kill()
        return
    closing = asyncio.create_task(engine.close())
    await _first(closing, stop.at_once.wait())
    if not closing.done():
        engine.kill()
        await closing


async def _first(*events: object) -> None:
    """Wait for the first of several; the others are left, or given up where they are coroutines."""
    tasks = [asyncio.ensure_future(event) for event in events]  # type: ignore[call-overload]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task, event in zip(tasks, events, strict=True):
        if task is not event:
            task.cancel()


def _server(service: Service) -> uvicorn.Server:
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # requests are not worth a line each
    return _Uvicorn(
        uvicorn.Config(
            service.application(),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_IDLE_CONNECTION_S,
            timeout_graceful_shutdown=_DELIVERY_S,
        )
    )


class _Uvicorn(uvicorn.Server):
    """Leaves the signals to us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
