"""The jobs that wait for a child: first come, first served, and the cells of one session one after the other."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.running import Job, Session
from coevolve.sandbox.sessions import answer_lost


class Waiting:
    """A queue. Any thread may append; everything else is the supervisor's."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def append(self, job: Job) -> None:
        """The last in line."""
        self._jobs.append(job)

    def put_back(self, jobs: Iterable[Job]) -> None:
        """The first in line, in this order."""
        self._jobs.extendleft(reversed(list(jobs)))

    def take(self, has_child: Callable[[Session | None], bool]) -> Job | None:
        """The first job that can start now; None if it has to wait, or there is none.

        Those of lost sessions are answered on the way, those of sessions that run an earlier cell are left to them,
        and cancelled ones are dropped.

        Args:
            has_child: whether a child is there for a session, or for a snippet (None).
        """
        while self._jobs:
            job = self._jobs.popleft()
            session = job.session
            if session and session.lost:
                answer_lost(job, session)
            elif session and session.busy:
                session.waiting.append(job)
            elif not has_child(session):
                self._jobs.appendleft(job)
                return None
            elif job.may_start():
                return job
            elif session:
                self.let_next(session)
        return None

    def let_next(self, session: Session) -> None:
        """No cell of this session runs any more: the turn of the one that waits for this."""
        if session.waiting:
            self._jobs.appendleft(session.waiting.popleft())

    def fail(self, error: SandboxInfraError) -> None:
        """Fail all of them."""
        while self._jobs:
            job = self._jobs.popleft()
            if job.may_start():
                job.future.set_exception(error)


class Bell:
    """A pipe that other threads ring and one thread waits for. Rings may run into one."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def fileno(self) -> int:
        """Readable when it was rung."""
        return self._read

    def ring(self) -> None:
        """Wake the thread."""
        with contextlib.suppress(BlockingIOError):  # full: the thread has plenty of reasons to wake up
            os.write(self._write, b"!")

    def silence(self) -> None:
        """Take note of all rings so far; to be called when it is readable."""
        os.read(self._read, 65536)

    def close(self) -> None:
        """Nobody may ring any more."""
        os.close(self._read)
        os.close(self._write)
