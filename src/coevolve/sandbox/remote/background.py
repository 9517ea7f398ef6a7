"""The client's own thread: an event loop in which messages travel, and the connections that they share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import TypeVar

import aiohttp

from coevolve.errors import CoevolveError, SandboxInfraError
from coevolve.sandbox.running import closed

Answer = TypeVar("Answer")
_FAREWELL_S = 3.0
_IDLE_CONNECTION_S = 15.0  # shorter than servers keep theirs, so that no message meets a closing one


class Background:
    """Connections and who uses them. :meth:`start` may be called by any thread, what it starts runs in the one here.

    Args:
        token: sent with every message; None for none.
        headers: sent with every message.
        at_once: how many tasks run at once, including those that wait for a busy server."""

    def __init__(self, *, token: str | None, headers: Mapping[str, str], at_once: int) -> None:
        self._headers = dict(headers) | ({} if token is None else {"Authorization": f"Bearer {token}"})
        self._at_once = at_once
        self._owner = os.getpid()
        self._lock = threading.RLock()
        self._closed = False
        self._farewell: Callable[[], Awaitable[None]] | None = None
        self.http: aiohttp.ClientSession
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
        ) as self.http:
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

    # Called in the thread.

    def keep(self, work: Coroutine[None, None, None]) -> None:
        """Let this go on until :meth:`stop`, beside the tasks that somebody waits for."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
