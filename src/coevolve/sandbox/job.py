"""A snippet on its way through the supervisor, what the supervisor counts, and the errors of the sandbox
itself.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.base import ToolResult


@dataclass(slots=True)
class Counters:
    """What the supervisor has done so far; seconds are sums over snippets."""

    calls: int = 0
    infra_failures: int = 0
    busy_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(slots=True, eq=False)
class Job:
    """A snippet on its way, and how many attempts at it were spoilt."""

    code: bytes
    future: Future[ToolResult]
    spoilt: int = 0

    def may_start(self) -> bool:
        """False if it was cancelled while it waited; from the first start on it cannot be cancelled."""
        return self.future.running() or self.future.set_running_or_notify_cancel()


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
