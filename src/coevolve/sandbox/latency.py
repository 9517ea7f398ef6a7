"""How quick a tool is here, measured by using it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import quantiles
from time import perf_counter

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.base import Status, Tool, ToolResult

# By the package that must be preloaded; "" for none.
ONE_LINERS = {
    "": "print(3440 % 61)",
    "numpy": "import numpy as np; print(np.linalg.det(np.eye(3)))",
    "sympy": "import sympy; x = sympy.Symbol('x'); print(sympy.solve(x**2 - 5*x + 6))",
}
_SESSION = "latency"
_SLEEPS, _COMPUTES = "import time; time.sleep(3600)", "while True: pass"


@dataclass(frozen=True, slots=True)
class Spread:
    """Wall milliseconds of calls one after the other."""

    p50_ms: float
    p99_ms: float


def spread(call: Callable[[], object], times: int) -> Spread:
    """Call it so often, at least twice."""
    taken = []
    for _ in range(times):
        start = perf_counter()
        call()
        taken.append((perf_counter() - start) * 1e3)
    cuts = quantiles(taken, n=100, method="inclusive")
    return Spread(cuts[49], cuts[98])


def run_well(tool: Tool, code: str, session: str | None = None) -> ToolResult:
    """Run code that cannot fail.

    Raises:
        SandboxInfraError: it did.
    """
    return _ended_by(Status.OK, tool, code, session)


def _ended_by(end: Status, tool: Tool, code: str, session: str | None = None) -> ToolResult:
    result = tool.run(code, session)
    if result.status is not end:
        what = f"A snippet that had to end with {end} ended with {result.status}: {result.stderr.strip()[-300:]}"
        raise SandboxInfraError(what, where=repr(code), fix="Look at the limits of the sandbox.")
    return result


def snippets(tool: Tool, package: str, times: int) -> Spread:
    """One-liners in processes of their own.

    Raises:
        SandboxInfraError: one failed.
    """
    return spread(lambda: run_well(tool, ONE_LINERS[package]), times)


def cells(tool: Tool, times: int) -> Spread:
    """Trivial cells of one session, its first not counted.

    Raises:
        SandboxInfraError: one failed.
    """
    run_well(tool, "count = 0", _SESSION)
    try:
        return spread(lambda: run_well(tool, "count += 1", _SESSION), times)
    finally:
        tool.end_session(_SESSION)


def late_by_wall(tool: Tool, wall_s: float) -> float:
    """Milliseconds from the wall deadline of a sleeping snippet to its end.

    Raises:
        SandboxInfraError: it ended otherwise.
    """
    return _ended_by(Status.TIMEOUT, tool, _SLEEPS).wall_ms - wall_s * 1e3


def late_by_cpu(tool: Tool, cpu_s: float) -> float:
    """Milliseconds of CPU that a computing snippet got beyond its limit. The wall limit must be far away.

    Raises:
        SandboxInfraError: it ended otherwise.
    """
    return _ended_by(Status.CPU_LIMIT, tool, _COMPUTES).cpu_ms - cpu_s * 1e3
