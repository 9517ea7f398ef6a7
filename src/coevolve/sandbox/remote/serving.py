"""The life of a server process: its pool, its socket, its end."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from coevolve.config import SandboxSection
from coevolve.errors import ConfigError, SandboxUnavailable
from coevolve.sandbox.factory import TOKEN_VARIABLE, limits_of, open_pool
from coevolve.sandbox.pool import SandboxPool
from coevolve.sandbox.remote.server import SandboxServer, health_of
from coevolve.sandbox.remote.sessions import Admission, Sessions
from coevolve.sandbox.sessions import DESCRIPTORS_EACH
from coevolve.system import http_url, is_loopback, why_not_listening

_SHORTEST_TOKEN = 16
_IDLE_CONNECTION_S = 60.0  # also the limit for a request's headers; longer than clients keep connections
_LINGER_S = 2.0  # how long a refused body is read and discarded, so that the refusal arrives
_MOST_CONNECTIONS = 4096
_OWN_FILES = 256  # descriptors reserved for other things than connections
_GRACE_S = 2.0  # beyond the longest life of a snippet, for what runs when the server is told to stop


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What a server is started with; see ``coevolve sandbox serve --help``."""

    host: str
    port: int
    sandbox: SandboxSection
    queue: int
    wait_s: float
    sessions: int
    token: str | None


def token_from(file: Path | None) -> str | None:
    """The token in a file, else that of the environment, else none.

    Raises:
        ConfigError: the file cannot be read, or the token is too short to be a secret.
    """
    where = TOKEN_VARIABLE if file is None else str(file)
    try:
        token = os.environ.get(TOKEN_VARIABLE) if file is None else file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the token cannot be read: {error}", where=where, fix="name a text file") from error
    if token is not None and len(token) < _SHORTEST_TOKEN:
        raise ConfigError(
            f"the token has {len(token)} characters, and fewer than {_SHORTEST_TOKEN} can be guessed",
            where=where,
            fix="make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return token


def serve(options: ServerOptions, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. Running snippets may then finish, queued ones are rejected, and no process is
    left.

    Args:
        options: what to serve, and where.
        announce: called with the address and the layers when the server is ready.

    Raises:
        ConfigError: others could reach the server, and there is no token.
        SandboxUnavailable: snippets cannot be confined here, or the address cannot be used.
    """
    if options.token is None and not is_loopback(options.host):
        raise ConfigError(
            f"other machines could run code here: {options.host} is not a loopback address, and there is no token",
            where="coevolve sandbox serve --host",
            fix=f"give a token (--token-file FILE or {TOKEN_VARIABLE}), or leave --host away",
        )
    connections = _connections(options.sessions)
    with open_pool(options.sandbox, cache=0, sessions=options.sessions) as pool:
        asyncio.run(_serve(options, pool, connections, announce))


async def _serve(options: ServerOptions, pool: SandboxPool, most: int, announce: Callable[[str], None]) -> None:
    admission = Admission(
        workers=options.sandbox.workers, limit=options.queue, wait_s=options.wait_s, stats=lambda: pool.stats
    )
    # A session that was idle for too long is lost; when nobody has asked for it for as long again, it is forgotten.
    sessions = Sessions(limit=options.sessions, idle_s=2 * options.sandbox.session_idle_s, end=pool.end_session)
    health = health_of(
        pool,
        limits=limits_of(options.sandbox),
        preload=tuple(options.sandbox.preload),
        wait_s=options.wait_s,
        sessions=options.sessions,
    )
    runner = web.AppRunner(
        SandboxServer(pool, health, admission, sessions, options.token).application(),
        access_log=None,
        logger=_log(),
        auto_decompress=False,  # a few bytes could become many
        handler_cancellation=True,
        keepalive_timeout=_IDLE_CONNECTION_S,
        lingering_time=_LINGER_S,
        shutdown_timeout=limits_of(options.sandbox).longest_wall_s + _GRACE_S,
    )
    await runner.setup()
    stop = _stop_at_signals(pool)
    try:
        socket = await _listen(runner, options, most)
        announce(_ready(options, pool, socket))
        await stop.wait()
        socket.close()
    finally:
        admission.close()
        await runner.cleanup()


def _log() -> logging.Logger:
    """A log of our own faults. Malformed requests are answered but not logged: they may contain the token."""
    log = logging.getLogger(__name__)
    log.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))
    return log


async def _listen(runner: web.AppRunner, options: ServerOptions, most: int) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    server = runner.server
    assert server is not None

    def accept() -> asyncio.BaseProtocol:
        return server() if len(server.connections) < most else _TurnedAway()

    try:
        return await loop.create_server(accept, options.host, options.port)
    except OSError as error:
        why, fix = why_not_listening(error)
        where = f"{options.host}:{options.port}"
        raise SandboxUnavailable(f"the server cannot listen: {why}", where=where, fix=fix) from error


def _ready(options: ServerOptions, pool: SandboxPool, socket: asyncio.Server) -> str:
    host, port = options.host, socket.sockets[0].getsockname()[1]
    access = "no token" if options.token is None else "token needed"
    layers = "; ".join(f"{layer} {state}" for layer, state in pool.layers.items())
    return f"sandbox server ready at {http_url(host, port)} ({options.sandbox.workers} at once, {access}): {layers}"


class _TurnedAway(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _stop_at_signals(pool: SandboxPool) -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM; the second one ends what still runs."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            loop.run_in_executor(None, pool.close)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    return stop


def _connections(sessions: int) -> int:
    """How many connections there are descriptors for besides those of sessions; raises this process' limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = _OWN_FILES + DESCRIPTORS_EACH * sessions
    wanted = _MOST_CONNECTIONS + others
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, soft - others)
