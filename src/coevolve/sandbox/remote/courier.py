"""Delivers messages to a server and returns its answers: one thread with an event loop, persistent connections,
retries.

A message has one of three outcomes. It is answered. It is rejected because the server is busy, and resent after the
time that the server names. Or its fate is unknown; then it is resent once if running it twice is harmless, otherwise it
is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import TypeVar

import aiohttp

from coevolve.errors import CoevolveError, SandboxInfraError
from coevolve.sandbox.remote import wire
from coevolve.sandbox.running import closed

Answer = TypeVar("Answer")
_ATTEMPTS = 2
_PAUSE_S = 0.5  # before the second attempt: a server that restarts after a crash needs a moment
_CONNECT_S, _FAREWELL_S = 10.0, 3.0
_IDLE_CONNECTION_S = 15.0  # shorter than servers keep theirs, so that no message meets a closing one
_LONGEST_REST_S = 30.0  # whatever Retry-After says
_REST_S = 2.0  # if the server is busy but does not say for how long
_TOO_MANY, _UNAVAILABLE, _TOO_SLOW = 429, 503, 408
_REFUSALS = frozenset(range(300, 500)) - {_TOO_SLOW}  # the same message would be refused again


class Undelivered(Exception):
    """One attempt failed. ``final``: another one would fail as well; ``unsent``: the server never had it."""

    def __init__(self, reason: str, *, final: bool = False, unsent: bool = False) -> None:
        super().__init__(reason)
        self.final, self.unsent = final, unsent


class _SentBack(Exception):
    """The server is busy and did not look at the message."""

    def __init__(self, after_s: float) -> None:
        super().__init__()
        self.after_s = after_s


class Courier:
    """One server's connections. :meth:`start` may be called by any thread, what it starts runs in the courier's own.

    Args:
        url: of the server, without a slash at the end.
        token: sent with every message; None for none.
        headers: sent with every message.
        at_once: how many tasks run at once, including those that wait for a busy server.
        patience_s: seconds of retrying a busy server before a message counts as lost."""

    def __init__(
        self, url: str, *, token: str | None, headers: Mapping[str, str], at_once: int, patience_s: float
    ) -> None:
        self.url, self.failures = url, 0
        self._headers = dict(headers) | ({} if token is None else {"Authorization": f"Bearer {token}"})
        self._at_once, self._patience_s = at_once, patience_s
        self._owner = os.getpid()
        self._lock = threading.RLock()
        self._closed = False
        self._farewell: Callable[[], Awaitable[None]] | None = None
        self._http: aiohttp.ClientSession
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready: Future[None] = Future()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, name="coevolve-sandbox-client", daemon=True)
        self._thread.start()
        self._ready.result()

    # Called by any thread.

    def start(self, future: Future[Answer], work: Callable[[], Coroutine[None, None, Answer]]) -> None:
        """Schedule this task, which completes the future; after :meth:`stop`, or in another process, it fails."""
        with self._lock:
            if not self._closed and os.getpid() == self._owner:
                self._loop.call_soon_threadsafe(self._begin, future, work)
                return
        future.set_exception(closed())

    def stop(self, farewell: Callable[[], Awaitable[None]] | None = None) -> None:
        """End the thread; what is not finished fails. Does nothing the second time.

        Args:
            farewell: done last, while the connections are still there.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                self._farewell = farewell
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not threading.current_thread():
            self._thread.join()

    # The thread.

    def _main(self) -> None:
        with contextlib.closing(self._loop):
            asyncio.set_event_loop(self._loop)
            try:
                self._loop.run_until_complete(self._live())
            except BaseException as error:
                if self._ready.done():
                    raise
                self._ready.set_exception(error)

    async def _live(self) -> None:
        self._stop, self._places = asyncio.Event(), asyncio.Semaphore(self._at_once)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_CONNECTION_S),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as self._http:
            self._ready.set_result(None)
            await self._stop.wait()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._farewell:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_FAREWELL_S):
                        await self._farewell()

    def _begin(self, future: Future[Answer], work: Callable[[], Coroutine[None, None, Answer]]) -> None:
        task = self._loop.create_task(self._perform(future, work))
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._end(task, future))

    async def _perform(self, future: Future[Answer], work: Callable[[], Coroutine[None, None, Answer]]) -> None:
        async with self._places:
            if not (future.running() or future.set_running_or_notify_cancel()):
                return
            try:
                answer = await work()
            except CoevolveError as error:
                future.set_exception(error)
            except Exception as error:  # a bug of ours; callers must not wait for ever
                future.set_exception(SandboxInfraError(f"The sandbox client failed: {error!r}."))
            else:
                future.set_result(answer)

    def _end(self, task: asyncio.Task[None], future: Future[Answer]) -> None:
        self._tasks.discard(task)
        if not future.done():  # the task was cancelled, perhaps before it began
            future.set_exception(closed())

    # Called by works, in the thread.

    async def deliver(
        self,
        path: str,
        message: Mapping[str, object],
        read: Callable[[wire.Body], Answer],
        *,
        within_s: float,
        largest: int,
        repeatable: bool,
    ) -> Answer:
        """Deliver a message, with as many attempts as make sense.

        Args:
            path: of the endpoint.
            message: the JSON object to post.
            read: makes an answer of the object that comes back; raises Malformed or Undelivered.
            within_s: how long an answer may take.
            largest: how many bytes it may have.
            repeatable: whether the message may be resent when its fate is unknown.

        Raises:
            SandboxInfraError: no answer.
        """
        attempts, give_up_at = 0, time.monotonic() + self._patience_s
        while True:
            try:
                return read(await self._exchange("POST", path, message, within_s, largest))
            except _SentBack as back:
                if time.monotonic() + back.after_s > give_up_at:
                    raise self._lost(
                        f"it was busy for {self._patience_s:g} s", "more --workers, or fewer clients"
                    ) from None
                await asyncio.sleep(back.after_s)
            except (Undelivered, wire.Malformed) as error:
                fault = error if isinstance(error, Undelivered) else Undelivered(f"its answer makes no sense: {error}")
                self.failures += 1
                attempts += 1
                if fault.final or attempts == _ATTEMPTS or not (repeatable or fault.unsent):
                    raise self._lost(str(fault)) from error
                await asyncio.sleep(_PAUSE_S)

    async def ask(self, path: str, read: Callable[[wire.Body], Answer], *, within_s: float, largest: int) -> Answer:
        """A GET, once.

        Raises:
            SandboxInfraError: no answer.
        """
        try:
            return read(await self._exchange("GET", path, None, within_s, largest))
        except _SentBack:
            raise self._lost("it is busy") from None
        except Undelivered as error:
            raise self._lost(str(error)) from error
        except wire.Malformed as error:
            raise self._lost(f"its answer makes no sense: {error}") from error

    async def _exchange(
        self, method: str, path: str, message: Mapping[str, object] | None, within_s: float, largest: int
    ) -> dict[str, object]:
        times = aiohttp.ClientTimeout(total=within_s, sock_connect=_CONNECT_S)
        try:
            async with self._http.request(
                method, self.url + path, json=message, timeout=times, allow_redirects=False
            ) as response:
                data = await _read(response, largest)
                return _accepted(response, data)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Undelivered(f"it cannot be reached: {_words(error)}", unsent=True) from error
        except TimeoutError as error:
            raise Undelivered(f"no answer within {within_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Undelivered(f"the connection broke: {error or type(error).__name__}") from error

    def _lost(self, reason: str, fix: str = "see whether the server runs, then resume") -> SandboxInfraError:
        return SandboxInfraError(f"The sandbox server failed: {reason}.", where=self.url, fix=fix)


def _words(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


async def _read(response: aiohttp.ClientResponse, largest: int) -> bytes:
    """The body of a response; one that is too large is not read to its end."""
    data = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        data += chunk
        if len(data) > largest:
            raise Undelivered(f"its answer is larger than {largest} bytes")
    return bytes(data)


def _accepted(response: aiohttp.ClientResponse, data: bytes) -> dict[str, object]:
    """The JSON object of a successful answer."""
    status, after = response.status, response.headers.get("Retry-After")
    if status == _TOO_MANY or (status == _UNAVAILABLE and after is not None):
        seconds = float(after) if after and after.isascii() and after.isdigit() else _REST_S
        raise _SentBack(min(seconds, _LONGEST_REST_S) * random.SystemRandom().uniform(1.0, 1.25))
    if status == 200:
        return wire.parse(data)
    reason = f"{status} {response.reason or ''}".strip()
    with contextlib.suppress(wire.Malformed):
        body = wire.parse(data)
        reason += f": {str(body.get('error') or body.get('message') or '')[:200]}"
    raise Undelivered(f"it answered {reason}", final=status in _REFUSALS)
