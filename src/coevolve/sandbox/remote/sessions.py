"""The server's side of waiting: the queue before the pool, and the open sessions, their owners and their next cells."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from coevolve.sandbox.base import Stats, ToolResult

_SHORTEST_S, _LONGEST_S = 1, 30  # what a client is told to wait


class Busy(Exception):
    """The snippet was not run. ``retry_after_s`` says when to ask again; None if there is no point."""

    def __init__(self, reason: str, retry_after_s: int | None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Admission:
    """The queue before the pool. The pool never holds more than it can run, so a client that leaves leaves nothing
    behind.

    Args:
        workers: how many snippets the pool runs at once.
        limit: how many more may wait.
        wait_s: seconds that a snippet may wait before it is rejected.
        stats: the pool's totals, from which the next free slot is estimated."""

    def __init__(self, *, workers: int, limit: int, wait_s: float, stats: Callable[[], Stats]) -> None:
        self.workers, self.limit, self.wait_s = workers, limit, wait_s
        self.running = self.waiting = 0
        self._stats = stats
        self._places = asyncio.Semaphore(workers)
        self._closing = False

    async def run(self, submit: Callable[[], Future[ToolResult]]) -> ToolResult:
        """Run a snippet.

        A cancelled caller leaves the queue; if its snippet is already running, it keeps its slot until it has ended,
        and its result is dropped.

        Raises:
            Busy: it was not run.
            SandboxInfraError: the pool failed.
        """
        await self._take_place()
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def settle() -> None:
            self.running -= 1
            self._places.release()
            ended.set()

        self.running += 1
        try:
            future = submit()
        except BaseException:
            settle()
            raise
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(settle))
        await ended.wait()
        return future.result()

    async def _take_place(self) -> None:
        if not self._closing and self.waiting >= self.limit and self._places.locked():
            raise Busy(f"{self.limit} snippets are waiting already", self.retry_after_s())
        self.waiting += 1
        try:
            async with asyncio.timeout(self.wait_s):
                await self._places.acquire()
        except TimeoutError:
            raise Busy(f"the snippet waited for {self.wait_s:g} s", self.retry_after_s()) from None
        finally:
            self.waiting -= 1
        if self._closing:
            self._places.release()
            raise Busy("the server is stopping", None)

    def retry_after_s(self) -> int:
        """Estimated seconds until the present queue will have run, from the snippets so far."""
        stats = self._stats()
        mean_s = stats.busy_s / stats.calls if stats.calls else 0.0
        seconds = math.ceil((self.waiting + self.running) * mean_s / self.workers)
        return min(_LONGEST_S, max(_SHORTEST_S, seconds))

    def close(self) -> None:
        """Accept nothing more, and reject what waits."""
        self._closing = True
        self._places.release()  # each rejected one wakes the next


_RETRY_AFTER_S = 5


class Unknown(Exception):
    """There is no such session, or this is not its next cell: its state is lost and nothing was run."""


@dataclass(slots=True)
class _Session:
    cells: int
    running: bool
    used_at: float


class Sessions:
    """The sessions of all clients. A client reaches its own only: the secret name of the client is part of their names.

    Cells are numbered, so that a server that was restarted, or has dropped a session, never runs a later cell in a
    fresh process.

    Args:
        limit: how many may be open at once.
        idle_s: a session unused for so long is ended.
        end: ends a session of the pool.
    """

    def __init__(self, *, limit: int, idle_s: float, end: Callable[[str], None]) -> None:
        self.limit, self.idle_s = limit, idle_s
        self._end = end
        self._open: dict[str, _Session] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, client: str, session: str, cell: int) -> str:
        """Called before a cell runs; returns the session's name in the pool.

        Args:
            client: the secret name of the client.
            session: the client's name of its session.
            cell: number of the cell, from 1.

        Raises:
            Unknown: the cell cannot be run in the state that it expects.
            Busy: too many sessions are open.
        """
        name = _name(client, session)
        known = self._open.get(name)
        if known is None and cell == 1:
            if len(self._open) >= self.limit:
                raise Busy(f"{self.limit} sessions are open already", _RETRY_AFTER_S)
            known = self._open[name] = _Session(0, False, 0.0)
        if known is None or known.running or cell != known.cells + 1:
            raise Unknown
        known.cells, known.running, known.used_at = cell, True, time.monotonic()
        return name

    def done(self, client: str, session: str) -> None:
        """The cell has ended."""
        known = self._open.get(_name(client, session))
        if known:
            known.running, known.used_at = False, time.monotonic()

    def not_run(self, client: str, session: str) -> None:
        """The cell was rejected; it may be sent again."""
        self.done(client, session)
        known = self._open.get(_name(client, session))
        if known and known.cells == 1:
            del self._open[_name(client, session)]
        elif known:
            known.cells -= 1

    def end(self, client: str, session: str) -> None:
        """Forget a session; an unknown one is not an error."""
        self._forget(_name(client, session))

    def sweep(self) -> None:
        """End sessions that were idle for too long."""
        oldest = time.monotonic() - self.idle_s
        for name in [n for n, s in self._open.items() if not s.running and s.used_at < oldest]:
            self._forget(name)

    def _forget(self, name: str) -> None:
        if self._open.pop(name, None):
            self._end(name)


def _name(client: str, session: str) -> str:
    return f"{client}/{session}"
