"""A local pool behind HTTP. Clients may run code in its sandbox, and nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import platform
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress

from aiohttp import web

import coevolve
from coevolve.errors import SandboxInfraError
from coevolve.sandbox.base import Limits, Tool, ToolResult
from coevolve.sandbox.remote import fusion, wire
from coevolve.sandbox.remote.sessions import Admission, Busy, Sessions, Unknown
from coevolve.system import is_loopback

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_BODY_S, _SEND_S = 10.0, 30.0  # for a body to arrive, and for an answer to be read
_SWEEPS_PER_IDLE = 4
_CLIENT_NAME = re.compile(r"[0-9a-f]{32,64}")
_SESSION_NAME = re.compile(r"[0-9]{1,18}")
_PORT = re.compile(r":[0-9]*$")


class SandboxServer:
    """The handlers of one server.

    Args:
        pool: runs the snippets.
        health: what the server reports about itself.
        admission: the queue before the pool.
        sessions: the sessions of its clients.
        token: what every client must send; None to require only a loopback address as the host name."""

    def __init__(
        self, pool: Tool, health: wire.Health, admission: Admission, sessions: Sessions, token: str | None
    ) -> None:
        self._pool, self._health, self._admission, self._sessions = pool, health, admission, sessions
        self._token = None if token is None else _digest(token)

    def application(self) -> web.Application:
        """The routes, behind the checks."""
        limits = self._health.limits
        largest = limits.code_bytes * wire.BYTES_PER_CHARACTER + wire.LARGEST_ENVELOPE
        app = web.Application(client_max_size=largest, middlewares=[_taken_in_time, self._checked])
        app.router.add_get(wire.HEALTH, self._say_health, allow_head=False)
        app.router.add_post(wire.RUN, self._run)
        app.router.add_post(wire.END_SESSIONS, self._end_sessions)
        app.router.add_post(wire.RUN_CODE, self._run_code)
        app.cleanup_ctx.append(self._sweeping)
        return app

    # Handlers.

    async def _say_health(self, request: web.Request) -> web.Response:
        admission = self._admission
        now = {
            "ok": True,
            "queue": {
                "workers": admission.workers,
                "running": admission.running,
                "waiting": admission.waiting,
                "limit": admission.limit,
            },
            "sessions_open": len(self._sessions),
        }
        return _answer(200, now | wire.health_to_body(self._health))

    async def _run(self, request: web.Request) -> web.Response:
        body = await _body(request)
        code, session = wire.take(body, "code", str), wire.take_optional(body, "session", str)
        if session is None:
            result = await self._admission.run(lambda: self._pool.submit(code))
        else:
            _matches(session, _SESSION_NAME, "session")
            result = await self._run_cell(_client(request), session, wire.take(body, "cell", int), code)
        return _answer(200, wire.result_to_body(result))

    async def _run_cell(self, client: str, session: str, cell: int, code: str) -> ToolResult:
        name = self._sessions.begin(client, session, cell)
        try:
            result = await self._admission.run(lambda: self._pool.submit(code, name))
        except Busy:
            self._sessions.not_run(client, session)
            raise
        except BaseException:  # of the pool; or the client has gone, and will never know what this cell did
            self._sessions.end(client, session)
            raise
        self._sessions.done(client, session)
        return result

    async def _end_sessions(self, request: web.Request) -> web.Response:
        body = await _body(request)
        client, sessions = _client(request), wire.take(body, "sessions", list)
        for session in sessions:
            self._sessions.end(client, wire.take({"session": session}, "session", str))
        return _answer(200, {})

    async def _run_code(self, request: web.Request) -> web.Response:
        try:
            asked = fusion.request_from_body(await _body(request), self._health.limits)
        except (fusion.Refused, wire.Malformed) as error:
            return _answer(400, fusion.error_to_body(str(error)))
        try:
            result = await self._admission.run(lambda: self._pool.submit(asked.code))
        except SandboxInfraError as error:
            return _answer(200, fusion.error_to_body(error.what))
        return _answer(200, fusion.result_to_body(result, asked.run_timeout))

    # What stands before them.

    @web.middleware
    async def _checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check the token first; then every error becomes an answer with the reason."""
        try:
            if self._token is None and not _is_for_loopback(request):
                return _answer(403, {"error": "without a token this server is called by a loopback address only"})
            if request.path != wire.HEALTH and not self._may_enter(request):
                return _answer(401, {"error": "a token is needed, and this is not it"}, {"WWW-Authenticate": "Bearer"})
            return await handler(request)
        except Busy as busy:
            after = {} if busy.retry_after_s is None else {"Retry-After": str(busy.retry_after_s)}
            return _answer(503, _fault(request, f"busy: {busy}"), after)
        except Unknown:
            return _answer(409, {"error": "this server has no such session, or is not at this cell"})
        except wire.Malformed as error:
            return _answer(400, _fault(request, str(error)))
        except SandboxInfraError as error:
            return _answer(500, {"error": error.what})
        except web.HTTPException as error:
            return _answer(error.status, _fault(request, error.reason))

    def _may_enter(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return self._token is None or hmac.compare_digest(_digest(given), self._token)

    async def _sweeping(self, app: web.Application) -> AsyncIterator[None]:
        async def sweep() -> None:
            while True:
                await asyncio.sleep(self._sessions.idle_s / _SWEEPS_PER_IDLE)
                self._sessions.sweep()

        task = asyncio.create_task(sweep())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def health_of(pool: Tool, *, limits: Limits, preload: tuple[str, ...], wait_s: float, sessions: int) -> wire.Health:
    """What a server with this pool reports about itself."""
    versions = {"coevolve": coevolve.__version__, "python": platform.python_version()}
    return wire.Health(versions, pool.layers, preload, limits, wait_s, sessions)


@web.middleware
async def _taken_in_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send the answer here, and disconnect a client that does not read it."""
    response = await handler(request)
    try:
        async with asyncio.timeout(_SEND_S):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    return response


async def _body(request: web.Request) -> dict[str, object]:
    """The JSON object of a request; one that is too large is refused before it is read."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(reason="the body must be application/json")
    if (request.content_length or 0) > request.client_max_size:
        raise web.HTTPRequestEntityTooLarge(request.client_max_size, request.content_length or 0)
    try:
        async with asyncio.timeout(_BODY_S):
            data = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    return wire.parse(data)


def _is_for_loopback(request: web.Request) -> bool:
    """False for requests of a web page whose host name resolves to this address (DNS rebinding): browsers are not
    clients.
    """
    return is_loopback(_PORT.sub("", request.host).strip("[]"))


def _client(request: web.Request) -> str:
    return _matches(request.headers.get(wire.CLIENT, ""), _CLIENT_NAME, wire.CLIENT)


def _matches(text: str, form: re.Pattern[str], name: str) -> str:
    if not form.fullmatch(text):
        raise wire.Malformed(f"{name} must be of the form {form.pattern}")
    return text


def _fault(request: web.Request, message: str) -> dict[str, object]:
    return fusion.error_to_body(message) if request.path == wire.RUN_CODE else {"error": message}


def _answer(status: int, body: Mapping[str, object], headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=json.dumps(body).encode(), content_type="application/json", headers=headers)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
