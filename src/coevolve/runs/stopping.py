"""Stopping a run: Ctrl-C, SIGTERM or SIGHUP once to finish the current batch, twice to stop at once.

SIGHUP is what a terminal sends when it is closed. Where it is ignored, as under ``nohup``, it stays ignored.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ECHO_S = 0.2  # a launcher that passes Ctrl-C on makes two signals of one
_SAID = b"\nfinishing this batch, then saving it; a second signal stops at once\n"


class Stopped(KeyboardInterrupt):
    """A signal ended the run; what was finished is kept."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number  # of the signal


class StopRequest:
    """Takes the signals while it is active; in a thread other than the main one it leaves them alone."""

    def __init__(self) -> None:
        self._working = False
        self._asked: int | None = None
        self._asked_at = 0.0

    @property
    def asked(self) -> bool:
        """Whether the run is to stop at the next possible place."""
        return self._asked is not None

    @contextmanager
    def active(self) -> Iterator[None]:
        """Take the signals in this block."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        wanted = [number for number in _SIGNALS if number != signal.SIGHUP or not ignored]
        before = {number: signal.signal(number, self._take) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def working(self) -> Iterator[None]:
        """There is a batch in hand in this block; outside of it the first signal stops at once."""
        self._working = True
        try:
            yield
        finally:
            self._working = False

    def check(self) -> None:
        """A batch is finished and kept.

        Raises:
            Stopped: the run was asked to stop.
        """
        if self._asked is not None:
            raise Stopped(self._asked)

    def _take(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if number == signal.SIGHUP:
            leave_closed_terminal()
        if not self._working:
            raise Stopped(number)
        if self._asked is None:
            self._asked, self._asked_at = number, now
            with suppress(OSError):  # whoever started the run may have gone
                os.write(2, _SAID)  # no lock is taken: the signal may have come while one was held
        elif now - self._asked_at > _ECHO_S:
            raise Stopped(number)


def leave_closed_terminal() -> None:
    """Have output go nowhere that went to a terminal which is gone: writing there would fail, and with it the batch."""
    poll = select.poll()
    for descriptor in (1, 2):
        poll.register(descriptor, 0)  # asked for nothing: what remains are errors and the end
    closed = [descriptor for descriptor, event in poll.poll(0) if event & select.POLLHUP]
    if closed:
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        for descriptor in closed:
            os.dup2(nowhere, descriptor)
        os.close(nowhere)
