"""A snippet on its way through the supervisor, the session it may belong to, what the supervisor counts, and
the errors of the sandbox itself.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.base import ToolResult
from coevolve.sandbox.session_child import SessionChild


@dataclass(slots=True)
class Counters:
    """What the supervisor has done so far; seconds are sums over snippets."""

    calls: int = 0
    infra_failures: int = 0
    busy_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(slots=True, eq=False)
class Job:
    """A snippet on its way, or a session's cell, and how many attempts at it were spoilt."""

    code: bytes
    future: Future[ToolResult]
    session: Session | None = None
    spoilt: int = 0

    def may_start(self) -> bool:
        """False if it was cancelled while it waited; from the first start on it cannot be cancelled."""
        return self.future.running() or self.future.set_running_or_notify_cancel()


@dataclass(slots=True, eq=False)
class Session:
    """Cells that run one after the other in one process, from the first cell to the loss of that process.

    Args:
        child: its process; None before the first cell and after the loss.
        identifier: of the child.
        busy: a cell runs.
        waiting: cells that came meanwhile.
        lost: why no cell can run any more; empty while the session lives.
    """

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
    """The error of snippets that came too late."""
    return SandboxInfraError("The sandbox is closed.", fix="Submit snippets before close().")
