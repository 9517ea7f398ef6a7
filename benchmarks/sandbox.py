"""What a snippet costs in the sandbox, against a fresh interpreter for each.

    python benchmarks/sandbox.py [--json] [--snippets 500] [--preload numpy sympy]

CPU is what the machine spent on a snippet in all: our process with its supervising thread, the sandbox's
interpreter, and the snippet's own process. It is the total of a pool's life, less that of a pool that runs
nothing, by snippet. Wall times depend on what else the machine does; CPU hardly does.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import quantiles
from time import perf_counter

from coevolve.sandbox.pool import SandboxPool

CODE = {
    "print": "print(3440 % 61)",
    "search": "print([n for n in range(1, 2000) if n % 7 == 3 and n % 11 == 5 and n % 13 == 2])",
    "error": "print(1 / 0)",
    "numpy": "import numpy as np; print(np.linalg.det(np.eye(3)))",
    "sympy": "import sympy; x = sympy.Symbol('x'); print(sympy.solve(x**2 - 5*x + 6))",
}


@dataclass(frozen=True)
class Row:
    """One kind of snippet, run one way. Milliseconds but for the rate."""

    snippet: str
    way: str
    p50_ms: float
    p99_ms: float
    per_s: float
    cpu_ms: float


def _cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _row(snippet: str, way: str, run: Callable[[], object], count: int) -> tuple[Row, float]:
    """The row without its CPU, and the CPU seconds at its start."""
    start_cpu, start, times = _cpu_seconds(), perf_counter(), []
    for _ in range(count):
        before = perf_counter()
        run()
        times.append((perf_counter() - before) * 1e3)
    cuts = quantiles(times, n=100)
    return Row(snippet, way, cuts[49], cuts[98], count / (perf_counter() - start), 0.0), start_cpu


def in_fresh_interpreters(snippet: str, count: int) -> Row:
    """A new interpreter for each snippet, not confined at all."""
    command = [sys.executable, "-I", "-c", CODE[snippet]]
    row, start_cpu = _row(snippet, "fresh", lambda: subprocess.run(command, capture_output=True), count)
    return Row(**{**asdict(row), "cpu_ms": (_cpu_seconds() - start_cpu) / count * 1e3})


def in_the_sandbox(snippet: str, count: int, preload: tuple[str, ...]) -> Row:
    """One snippet after the other, in one pool."""
    start_cpu = _cpu_seconds()
    SandboxPool(preload=preload).close()
    empty_cpu = _cpu_seconds() - start_cpu
    start_cpu = _cpu_seconds()
    with SandboxPool(preload=preload) as pool:
        row, _ = _row(snippet, "sandbox", lambda: pool.run(CODE[snippet]), count)
    cpu = _cpu_seconds() - start_cpu - empty_cpu
    return Row(**{**asdict(row), "cpu_ms": cpu / count * 1e3})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--snippets", type=int, default=500)
    parser.add_argument("--preload", nargs="*", choices=("numpy", "sympy"), default=())
    arguments = parser.parse_args()
    rows = []
    for snippet in ("print", "search", "error", *arguments.preload):
        preload = (snippet,) if snippet in arguments.preload else ()
        rows.append(in_fresh_interpreters(snippet, max(10, arguments.snippets // 20)))
        rows.append(in_the_sandbox(snippet, arguments.snippets, preload))
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    print(f"{'snippet':10}{'way':10}{'p50 ms':>9}{'p99 ms':>9}{'per s':>9}{'CPU ms':>9}")
    for row in rows:
        figures = f"{row.p50_ms:9.2f}{row.p99_ms:9.2f}{row.per_s:9.0f}{row.cpu_ms:9.2f}"
        print(f"{row.snippet:10}{row.way:10}{figures}")


if __name__ == "__main__":
    main()
