"""The sessions of a pool: which process belongs to which name, which cells wait for it, and why a session is lost."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections import deque
from collections.abc import Container

from coevolve.errors import ConfigError, SandboxInfraError
from coevolve.sandbox.base import session_lost
from coevolve.sandbox.running import Job, Session
from coevolve.sandbox.session_child import SessionChild
from coevolve.sandbox.zygotes import Spares

DESCRIPTORS_EACH = (
    5  # that a session takes in this process: two pipes, a socket, a pidfd, and one for those just ending
)
_OTHER_DESCRIPTORS = 128  # what a training run may open besides


class Sessions:
    """All sessions of a pool. ``of`` and ``end`` may be called by any thread, the rest by the supervisor's alone.

    Args:
        maximum: how many can live at once.
        idle_s: seconds after the end of its last cell at which a session is lost.

    Raises:
        ConfigError: so many sessions need more open files than this process may have.
    """

    def __init__(self, maximum: int, idle_s: float) -> None:
        if maximum:
            _allow_descriptors(maximum)
        self.maximum, self._idle_s = maximum, idle_s
        self.spares = Spares(SessionChild, 0)
        self._names: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._ended: deque[Session] = deque()
        self._processes: dict[int, Session] = {}  # by their child's identifier
        self._resting: dict[int, float] = {}  # identifier -> when its last cell ended; the oldest comes first

    def of(self, name: str) -> Session:
        """The session of this name, created if necessary.

        Raises:
            SandboxInfraError: too many are alive already."""
        with self._lock:
            session = self._names.get(name)
            if session is None:
                live = sum(not session.lost for session in self._names.values())
                if live >= self.maximum:
                    raise SandboxInfraError(
                        f"{live} sessions live in this sandbox, it may have no more.",
                        where=f"session {name!r}",
                        fix="End sessions that are over with end_session(), or make the pool with more max_sessions.",
                    )
                session = self._names[name] = Session()
            return session

    def end(self, name: str) -> None:
        """Forget a name; the process ends at the next :meth:`sweep`."""
        with self._lock:
            session = self._names.pop(name, None)
        if session:
            self._ended.append(session)

    def resume(self, session: Session) -> tuple[int, SessionChild]:
        """Called before a cell runs; returns the process to send it to, a new one for the first cell."""
        if session.child is None:
            session.identifier, session.child = self.spares.take()
            self._processes[session.identifier] = session
        session.busy = True
        self._resting.pop(session.identifier, None)
        return session.identifier, session.child

    def rest(self, session: Session) -> None:
        """Called when a cell has ended and its process is alive."""
        session.busy = False
        if not session.lost:
            self._resting[session.identifier] = time.monotonic()

    def sweep(self) -> None:
        """Drop sessions that were ended or idle for too long."""
        while self._ended:
            self.lose(self._ended.popleft(), "it was ended")
        oldest = time.monotonic() - self._idle_s
        while self._resting:
            identifier, since = next(iter(self._resting.items()))
            if since > oldest:
                return
            self.lose(self._processes[identifier], f"it was not used for {self._idle_s:g} seconds")

    def patience_ms(self) -> float | None:
        """Milliseconds until the next session is overdue; None for never."""
        if not self._resting:
            return None
        since = next(iter(self._resting.values()))
        return max(0.0, since + self._idle_s - time.monotonic()) * 1e3 + 1.0

    def lose(self, session: Session, why: str) -> None:
        """Mark a session as lost: end its process and answer the waiting cells. The first reason stands."""
        session.lost = session.lost or why
        self._resting.pop(session.identifier, None)
        if session.child:
            session.child.kill(None)
        for job in session.take_waiting():
            answer_lost(job, session)

    def bury(self, identifier: int, why: str) -> SessionChild | None:
        """The process has ended and with it its session, which is returned; None if it belonged to no session."""
        session = self._processes.get(identifier)
        if session is None:
            return None
        self.lose(session, why)
        return self.restart(identifier)

    def restart(self, identifier: int) -> SessionChild | None:
        """Called when a process has ended; a session that has run no cell yet may get a new one."""
        session = self._processes.pop(identifier, None)
        if session is None:
            return None
        child, session.child, session.busy = session.child, None, False
        return child

    def take_waiting(self) -> list[Job]:
        """All cells that wait for an earlier one."""
        return [job for session in self._processes.values() for job in session.take_waiting()]

    def clear(self, why: str, among: Container[int]) -> list[SessionChild]:
        """Drop the sessions of the children with these identifiers; returns these and the spare children among them,
        which nobody else reaps.
        """
        children = [self.bury(identifier, why) for identifier in list(self._processes) if identifier in among]
        return [*self.spares.clear(among), *(child for child in children if child)]


def answer_lost(job: Job, session: Session) -> None:
    """Answer a cell, in words a model can read, that its session's variables are gone."""
    if job.may_start():
        job.future.set_result(session_lost(session.lost))


def _allow_descriptors(sessions: int) -> None:
    """Raise this process' soft limit of open files where so many sessions need it."""
    needed = len(os.listdir("/proc/self/fd")) + DESCRIPTORS_EACH * sessions + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise ConfigError(
            f"{sessions} sessions need {needed} open files, this process may have {hard}.",
            where="max_sessions",
            fix="Raise the limit (ulimit -Hn), or let fewer sessions live at once (in a run: engine.max_rows).",
        )
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
