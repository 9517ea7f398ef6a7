"""Equal snippets run once: their result is remembered, and while the first one runs the others wait for it."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

from coevolve.sandbox.base import Status, ToolResult

Start = Callable[[str, "Future[ToolResult]"], None]
_REPEATABLE = (Status.OK, Status.ERROR)  # how a snippet ends that would end the same way again
# What code says that got too little of what it shares with others: threads, memory, files or buffers of the machine.
# EAGAIN, ENOMEM, ENFILE, ENOSPC and ENOBUFS; the limit of open files (24) is each snippet's own.
_SHORTAGE = re.compile(r"can't (?:start|allocate) new thread|\[Errno (?:11|12|23|28|105)\]")


class ResultCache:
    """Results by code text. May be used by any thread.

    Args:
        size: how many results to keep (least recently used go first); only OK and ERROR are kept, and no error that
            the machine may have caused. With 0 every snippet is run.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._results: OrderedDict[str, ToolResult] = OrderedDict()
        self._running: dict[str, Future[ToolResult]] = {}  # the first of equal snippets in flight
        self._lock = threading.Lock()
        self.calls = 0  # snippets asked for
        self.hits = 0  # those of them for which nothing was executed

    def submit(self, code: str, start: Start) -> Future[ToolResult]:
        """The result of a snippet, now or later.

        Args:
            code: the snippet.
            start: runs a snippet and fulfils the future given to it; called if there is no result yet."""
        future: Future[ToolResult] = Future()
        with self._lock:
            self.calls += 1
            known, leader = self._results.get(code), self._running.get(code)
            if known:
                self._results.move_to_end(code)
            elif self._size and leader is None:
                self._running[code] = future
            self.hits += bool(known or leader)
        if known:
            future.set_result(known)
        elif leader:
            leader.add_done_callback(lambda done: self._follow(code, start, done, future))
        else:
            if self._size:
                future.add_done_callback(lambda done: self._remember(code, done))
            start(code, future)
        return future

    def pass_by(self, code: str, start: Start) -> Future[ToolResult]:
        """The result of a snippet that depends on state, so that it is neither looked up nor cached."""
        future: Future[ToolResult] = Future()
        with self._lock:
            self.calls += 1
        start(code, future)
        return future

    def _follow(self, code: str, start: Start, done: Future[ToolResult], future: Future[ToolResult]) -> None:
        """Answer a snippet that was submitted while the same one ran; run it again if that result is not conclusive."""
        if not future.set_running_or_notify_cancel():
            with self._lock:
                self.hits -= 1
        elif _repeatable(done):
            future.set_result(replace(done.result(), cached=True))
        else:
            with self._lock:
                self.hits -= 1
            start(code, future)

    def _remember(self, code: str, done: Future[ToolResult]) -> None:
        with self._lock:
            del self._running[code]
            if not _repeatable(done):
                return
            self._results[code] = replace(done.result(), cached=True)
            if len(self._results) > self._size:
                self._results.popitem(last=False)


def _repeatable(done: Future[ToolResult]) -> bool:
    if done.cancelled() or done.exception() is not None:
        return False
    result = done.result()
    return result.status in _REPEATABLE and not _SHORTAGE.search(result.stderr)
