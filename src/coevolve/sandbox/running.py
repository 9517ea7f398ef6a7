"""The snippets that are running: their clocks are checked and their output is read, both from outside.

A snippet that ends within a few milliseconds, as nearly all do, is never checked: its pipes are read once, after its
end."""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Container, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.base import Limits, Status, ToolResult
from coevolve.sandbox.child import Child
from coevolve.sandbox.session_child import SessionChild, Told


@dataclass(slots=True)
class Counters:
    """Totals of the supervisor; seconds are sums over snippets."""

    calls: int = 0
    infra_failures: int = 0
    busy_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(slots=True, eq=False)
class Job:
    """A queued or running snippet, or a session's cell.

    Args:
        code: what is to run.
        future: gets the result.
        session: of a cell; None for a snippet.
        bare: it names no package, and needs none of the preloads.
        spoilt: how many attempts have failed.
    """

    code: bytes
    future: Future[ToolResult]
    session: Session | None = None
    bare: bool = False
    spoilt: int = 0

    def may_start(self) -> bool:
        """False if it was cancelled while queued; after the first start it cannot be cancelled any more."""
        return self.future.running() or self.future.set_running_or_notify_cancel()


@dataclass(slots=True, eq=False)
class Session:
    """Cells that run one after the other in one process, from the first cell to the loss of that process.

    Args:
        child: its process; None before the first cell and after the loss.
        identifier: of the child.
        busy: a cell runs.
        waiting: cells that arrived in the meantime.
        lost: why no further cell can run; empty while the session is alive."""

    child: SessionChild | None = None
    identifier: int = -1
    busy: bool = False
    waiting: deque[Job] = field(default_factory=deque)
    lost: str = ""

    def take_waiting(self) -> list[Job]:
        """The cells that wait, no longer kept here."""
        jobs = list(self.waiting)
        self.waiting.clear()
        return jobs


def broken(reason: str) -> SandboxInfraError:
    """The error of snippets that the sandbox could not run."""
    return SandboxInfraError(
        f"The sandbox failed: {reason}.",
        where="the sandbox's processes, not the snippet's code",
        fix="Look for a shortage of memory or descriptors, or a program that kills processes, then resume.",
    )


def closed() -> SandboxInfraError:
    """The error of snippets submitted after closing."""
    return SandboxInfraError("The sandbox is closed.", fix="Submit snippets before close().")


_QUIET_S = 0.005  # a snippet runs for this long before its output is watched
_STEP_S = 0.02  # the shortest interval between two checks of a running snippet's clocks
_LONGEST_STEP_S = 0.25
_LOOKS = 64  # at a snippet up to its wall limit: from these it is known how long it was blocked
_CORES = os.cpu_count() or 1


@dataclass(slots=True)
class Run:
    """A job in a child, and what is known of its time.

    Args:
        job: what runs.
        child: where.
        check_at: when to look at its clocks next.
        seen_at: when they were looked at last.
        blocked_s: seconds in which none of its threads could have used a core.
    """

    job: Job
    child: Child
    check_at: float
    seen_at: float
    blocked_s: float = 0.0

    def own_seconds(self, now: float, cpu_s: float) -> float:
        """The seconds that it would have taken on a machine of its own: those in which it used a core or was blocked.

        What is left out is its waiting for a core, of whichever thread, also of those that have ended since. Summing
        up what the kernel says about each thread's waiting would lose the latter, and would count what two threads
        wait for together twice. So the clock is put together from the rest: CPU, which the kernel counts for the whole
        process, and being blocked, which is looked at from time to time: each look stands for the time since the
        last one, so that the looks are right on average.

        Args:
            now: seconds of the monotonic clock.
            cpu_s: what it has used.
        """
        if not self.child.is_runnable():
            self.blocked_s += now - self.seen_at
        self.seen_at = now
        return min(now - self.child.sent_at, cpu_s + self.blocked_s)


class Running:
    """What runs, by its child's identifier.

    Args:
        limits: what one snippet may use.
        poll: where output pipes are registered once they are watched.
    """

    def __init__(self, limits: Limits, poll: select.poll) -> None:
        self._limits, self._poll = limits, poll
        self._runs: dict[int, Run] = {}
        self._watched: dict[int, Child] = {}  # by pipe
        self._channels: dict[int, int] = {}  # of session children that may tell something, to their identifier

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def add(self, identifier: int, job: Job, child: Child) -> None:
        """Start watching a child that was just sent a job."""
        self._runs[identifier] = Run(job, child, child.sent_at + _QUIET_S, child.sent_at)
        if isinstance(child, SessionChild):
            self._channels[child.channel] = identifier
            self._poll.register(child.channel, select.POLLIN)

    def remove(self, identifier: int) -> Run | None:
        """Stop watching a child; None if nothing ran there."""
        run = self._runs.pop(identifier, None)
        if run:
            self._unwatch(run.child)
            if isinstance(run.child, SessionChild):
                self._unlisten(run.child)
        return run

    def clear(self, among: Container[int]) -> list[Run]:
        """The runs in the children with these identifiers, which are no longer watched."""
        return [run for identifier in list(self._runs) if identifier in among and (run := self.remove(identifier))]

    def read(self, descriptor: int) -> None:
        """A watched pipe has something to read."""
        child = self._watched.get(descriptor)
        if child and not child.drain(self._limits.output_bytes):
            self._unwatch(child)

    def ended(self, descriptor: int) -> tuple[int, Run, SessionChild] | None:
        """The session's cell that has ended according to its child's message on this channel; None if none has.

        A child that sends a malformed message is killed."""
        identifier = self._channels.get(descriptor)
        if identifier is None:
            return None
        run = self._runs[identifier]
        child = run.child
        assert isinstance(child, SessionChild)
        told = child.told()
        if told is Told.BEGUN:
            return None
        self._unlisten(child)
        if told is Told.NONSENSE:
            child.kill(None)
        if told is not Told.ENDED or child.verdict:  # its death is on its way, or its deadline
            return None
        child.rest()
        child.drain(self._limits.output_bytes)
        return None if child.verdict else (identifier, run, child)

    def patience_ms(self) -> float | None:
        """Milliseconds until the next check of the clocks; None to wait for an event."""
        if not self._runs:
            return None
        return max(0.0, min(run.check_at for run in self) - time.monotonic()) * 1e3 + 1.0

    def check(self) -> None:
        """Kill every child that has used up its time."""
        now = time.monotonic()
        for run in self:
            if run.check_at <= now:
                run.check_at = now + self._look_at(run, now)

    def _look_at(self, run: Run, now: float) -> float:
        """Check one run; returns the seconds until its next check."""
        child = run.child
        if child.verdict:
            return 1.0
        cpu_s = child.cpu_seconds() - child.cpu_before_s
        cpu_left = self._limits.cpu_s - cpu_s
        wall_left = min(
            self._limits.wall_s - run.own_seconds(now, cpu_s), self._limits.longest_wall_s - (now - child.sent_at)
        )
        if wall_left <= 0 or cpu_left <= 0:
            child.kill(Status.CPU_LIMIT if cpu_left <= 0 else Status.TIMEOUT)
        elif child.pipes[0] not in self._watched:
            self._watch(child)
        return max(_STEP_S, min(wall_left, cpu_left / _CORES, self._limits.wall_s / _LOOKS, _LONGEST_STEP_S))

    def _unlisten(self, child: SessionChild) -> None:
        if self._channels.pop(child.channel, None) is not None:
            self._poll.unregister(child.channel)

    def _watch(self, child: Child) -> None:
        for pipe in child.pipes:
            self._watched[pipe] = child
            self._poll.register(pipe, select.POLLIN)

    def _unwatch(self, child: Child) -> None:
        for pipe in child.pipes:
            if self._watched.pop(pipe, None):
                self._poll.unregister(pipe)
