"""How many snippets a server takes on: a bounded queue, a bounded wait in it, and a clear answer when both are full."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import Future

from coevolve.sandbox.base import Stats, ToolResult

_SHORTEST_S, _LONGEST_S = 1, 30  # what a client is told to wait


class Busy(Exception):
    """The snippet was not run. ``retry_after_s`` is when to ask again; None when there is no use in it."""

    def __init__(self, reason: str, retry_after_s: int | None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Admission:
    """The queue before the pool. The pool never holds more than it can run, so a client that goes leaves nothing.

    Args:
        workers: how many snippets the pool runs at once.
        limit: how many more may wait.
        wait_s: how long a snippet may wait before it is sent back.
        stats: the pool's sums, from which the next free place is estimated.
    """

    def __init__(self, *, workers: int, limit: int, wait_s: float, stats: Callable[[], Stats]) -> None:
        self.workers, self.limit, self.wait_s = workers, limit, wait_s
        self.running = self.waiting = 0
        self._stats = stats
        self._places = asyncio.Semaphore(workers)
        self._closing = False

    async def run(self, submit: Callable[[], Future[ToolResult]]) -> ToolResult:
        """Run a snippet.

        A caller that is cancelled leaves the queue; where its snippet runs already, that keeps its place until it has
        ended, and its result is dropped.

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
        """Seconds until what waits now will have run, as far as the snippets so far tell."""
        stats = self._stats()
        mean_s = stats.busy_s / stats.calls if stats.calls else 0.0
        seconds = math.ceil((self.waiting + self.running) * mean_s / self.workers)
        return min(_LONGEST_S, max(_SHORTEST_S, seconds))

    def close(self) -> None:
        """Take nothing more on, and send back what waits."""
        self._closing = True
        self._places.release()  # each that is sent back wakes the next
