"""The queue of jobs that wait for a child (first come, first served; cells of a session in order), and the bell that
wakes its thread.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.running import Job, Session
from coevolve.sandbox.sessions import answer_lost


class Waiting:
    """The queue. Any thread may append; everything else is for the supervisor's thread."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def append(self, job: Job) -> None:
        """Add a job at the end."""
        self._jobs.append(job)

    def put_back(self, jobs: Iterable[Job]) -> None:
        """Return jobs to the front, in this order."""
        self._jobs.extendleft(reversed(list(jobs)))

    @property
    def first(self) -> Job | None:
        """The one that has waited longest; None without any."""
        return self._jobs[0] if self._jobs else None

    def take(self, has_child: Callable[[Job], bool]) -> Job | None:
        """The first job that can start now; None if it has to wait, or there is none.

        On the way, jobs of lost sessions are answered, jobs of sessions that are running an earlier cell are handed to
        the session, and cancelled ones are dropped.

        Args:
            has_child: whether a child is there for a job.
        """
        while self._jobs:
            job = self._jobs.popleft()
            session = job.session
            if session and session.lost:
                answer_lost(job, session)
            elif session and session.busy:
                session.waiting.append(job)
            elif not has_child(job):
                self._jobs.appendleft(job)
                return None
            elif job.may_start():
                return job
            elif session:
                self.let_next(session)
        return None

    def let_next(self, session: Session) -> None:
        """The session is idle again: queue the next cell that waits for it."""
        if session.waiting:
            self._jobs.appendleft(session.waiting.popleft())

    def fail(self, error: SandboxInfraError) -> None:
        """Fail all of them."""
        while self._jobs:
            job = self._jobs.popleft()
            if job.may_start():
                job.future.set_exception(error)


class Bell:
    """A pipe that other threads ring to wake one waiting thread. Several rings may coalesce."""

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
        """Clear all rings so far; to be called when it is readable."""
        os.read(self._read, 65536)

    def close(self) -> None:
        """Close the pipe; nobody may ring any more."""
        os.close(self._read)
        os.close(self._write)
