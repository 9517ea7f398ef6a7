"""Cells of sessions, and what tests ask about their results."""

from __future__ import annotations

from itertools import count

from coevolve.sandbox.base import Status, ToolResult
from coevolve.sandbox.pool import SandboxPool

_numbers = count()


def new_name() -> str:
    """A session's name that no test has used."""
    return f"session {next(_numbers)}"


def run(pool: SandboxPool, name: str, *cells: str) -> list[ToolResult]:
    """Run cells of one session one after the other."""
    return [pool.run(cell, name) for cell in cells]


def pid_of(pool: SandboxPool, name: str) -> int:
    """The process of a session that lives."""
    child = pool._sessions._names[name].child
    assert child
    return child.pid


def is_lost(result: ToolResult, why: str) -> bool:
    """The cell was not run, because its session is lost for this reason."""
    words = f"SessionLost: this was not run. The session's variables are gone: {why}"
    nothing = (result.stdout, result.exit_code, result.signal, result.wall_ms) == ("", None, None, 0.0)
    return result.status is Status.SESSION_LOST and result.stderr.startswith(words) and nothing
