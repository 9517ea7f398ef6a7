"""What a snippet costs in the sandbox, against its goals and against a fresh interpreter for each.

    python benchmarks/sandbox.py [--json] [--snippets 500]

CPU is what the machine spent on a snippet in all: our process with its supervising thread, the sandbox's
interpreter, and the snippet's own process with its start. Wall times depend on what else the machine does; CPU hardly
does.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from time import perf_counter, sleep

import process_table

from coevolve.sandbox import selftest
from coevolve.sandbox.base import Limits
from coevolve.sandbox.pool import SandboxPool

CODE = {
    "print": selftest.ONE_LINERS[""],
    "search": "print([n for n in range(1, 2000) if n % 7 == 3 and n % 11 == 5 and n % 13 == 2])",
    "error": "print(1 / 0)",
    "numpy": selftest.ONE_LINERS["numpy"],
    "sympy": selftest.ONE_LINERS["sympy"],
}
PACKAGES = ("numpy", "sympy")
SLOWER = {"numpy": 5, "sympy": 5}  # a fresh interpreter is run that many times less often than for print
WORKERS = 2
TURNS = 4
CPU_S, WALL_S = 0.2, 0.3
BUSY = 1.3  # a fresh interpreter waits for nothing but cores; taking so many times its CPU, it did not get them
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of snippet, run one way. Milliseconds."""

    snippet: str
    way: str
    p50_ms: float
    p99_ms: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and the bound it must keep; ``measured`` is None where this machine does not let us look."""

    name: str
    sign: str  # "<=" or ">="
    bound: float
    unit: str
    measured: float | None

    @property
    def kept(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured <= self.bound if self.sign == "<=" else self.measured >= self.bound


def _preload(snippet: str) -> tuple[str, ...]:
    return (snippet,) if snippet in PACKAGES else ()


def in_fresh_interpreters(snippet: str, count: int) -> Row:
    """A new interpreter for each snippet, with one thread like the sandbox's, and not confined at all."""
    command = [sys.executable, "-I", "-c", CODE[snippet]]
    before = process_table.cpu_seconds()
    found = selftest.spread(
        lambda: subprocess.run(command, capture_output=True, check=snippet != "error", env=_ONE_THREAD), count
    )
    return Row(snippet, "fresh", found.p50_ms, found.p99_ms, (process_table.cpu_seconds() - before) / count * 1e3)


def in_the_sandbox(snippet: str, count: int) -> Row:
    """One snippet after the other, in one pool."""
    with SandboxPool(preload=_preload(snippet)) as pool:
        pool.run(CODE[snippet])
        before = process_table.cpu_seconds()
        found = selftest.spread(lambda: pool.run(CODE[snippet]), count)
        cpu_s = process_table.cpu_seconds() - before
    return Row(snippet, "sandbox", found.p50_ms, found.p99_ms, cpu_s / count * 1e3)


def beside_preloads(count: int) -> tuple[Row, Row]:
    """The same snippet where both packages are preloaded, by turns: as it is, and with the name of one of them, so that
    it is forked from the interpreter that has loaded them.
    """
    ways = {"bare": CODE["print"], "loaded": f"{CODE['print']}  # {PACKAGES[0]}"}
    cpu_s, found = dict.fromkeys(ways, 0.0), dict[str, selftest.Spread]()
    with SandboxPool(preload=PACKAGES) as pool:
        for _ in range(TURNS):
            for way, code in ways.items():
                pool.run(code)
                before = process_table.cpu_seconds()
                found[way] = selftest.spread(partial(pool.run, code), count)
                cpu_s[way] += process_table.cpu_seconds() - before
    rows = [Row("print", way, found[way].p50_ms, found[way].p99_ms, cpu_s[way] / TURNS / count * 1e3) for way in ways]
    return rows[0], rows[1]


def per_second(snippet: str, count: int) -> float:
    """Snippets per second when all are submitted at once."""
    with SandboxPool(preload=_preload(snippet), workers=WORKERS) as pool:
        start = perf_counter()
        for future in [pool.submit(CODE[snippet]) for _ in range(count)]:
            future.result()
        return count / (perf_counter() - start)


def without_spares(count: int) -> float:
    """The median when every sleeping process is killed just before, so that one has to be forked."""
    times = []
    with SandboxPool() as pool:
        for _ in range(count):
            sleep(0.02)  # the spares of the last one are asleep now
            for pid in process_table.snippets():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            start = perf_counter()
            selftest.run_well(pool, CODE["print"])
            times.append((perf_counter() - start) * 1e3)
    return median(times)


def kills(count: int) -> Iterator[Goal]:
    """The worst of some, in milliseconds after the limit."""
    with SandboxPool(limits=Limits(wall_s=WALL_S)) as pool:
        worst = max(selftest.late_by_wall(pool, WALL_S) for _ in range(count))
        yield Goal("killed after the wall deadline, worst", "<=", 100, "ms", worst)
    with SandboxPool(limits=Limits(cpu_s=CPU_S, wall_s=100 * CPU_S)) as pool:
        worst = max(selftest.late_by_cpu(pool, CPU_S) for _ in range(count))
        yield Goal("killed after the CPU limit, worst", "<=", 100, "ms", worst)


def private_mb(count: int) -> float | None:
    """Memory of an idle session that it shares with no other process, the median of some, in MiB."""
    with SandboxPool() as pool:
        inner = {int(selftest.run_well(pool, "import os; print(os.getpid())", str(n)).stdout) for n in range(count)}
        pids = [pid for pid in process_table.snippets() if process_table.inner_pid(pid) in inner]
        try:
            return median(process_table.private_mb(pid) for pid in pids)
        except PermissionError:
            return None


def goals(rows: list[Row], count: int) -> Iterator[Goal]:
    """Everything that is promised, measured now."""
    of = {(row.snippet, row.way): row for row in rows}
    yield Goal("print, spare waiting, p50", "<=", 2, "ms", of["print", "sandbox"].p50_ms)
    yield Goal("print, spare waiting, p99", "<=", 20, "ms", of["print", "sandbox"].p99_ms)
    yield Goal("print, no spare, p50", "<=", 12, "ms", without_spares(max(2, count // 10)))
    for snippet, bound in {"print": 150, "numpy": 150, "sympy": 60}.items():
        fewer = 5 if snippet == "sympy" else 1
        rate = per_second(snippet, max(10, count // fewer))
        yield Goal(f"{snippet}, {WORKERS} at once", ">=", bound, "per s", rate)
    for snippet, bound in {"numpy": 10, "sympy": 15}.items():
        ratio = of[snippet, "fresh"].cpu_ms / of[snippet, "sandbox"].cpu_ms
        yield Goal(f"{snippet}, CPU of a fresh interpreter", ">=", bound, "times", ratio)
    yield Goal("print, CPU", "<=", 8, "ms", of["print", "sandbox"].cpu_ms)
    ratio = of["print", "loaded"].cpu_ms / of["print", "bare"].cpu_ms
    yield Goal("no package named, CPU if one was", ">=", 1.5, "times", ratio)
    yield from kills(max(2, count // 50))
    with SandboxPool() as pool:
        yield Goal("cell of a session, p50", "<=", 1, "ms", selftest.cells(pool, count).p50_ms)
    yield Goal("private memory of an idle session", "<=", 5, "MiB", private_mb(10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--snippets", type=int, default=500)
    options = parser.parse_args()
    count: int = options.snippets
    rows = []
    for snippet in CODE:
        slower = SLOWER.get(snippet, 1)
        rows.append(in_fresh_interpreters(snippet, max(2, count // 10 // slower)))
        rows.append(in_the_sandbox(snippet, max(10, count // (5 if snippet == "sympy" else 1))))
    rows += beside_preloads(max(5, count // (2 * TURNS)))
    found = list(goals(rows, count))
    if options.json:
        listed = [asdict(goal) | {"kept": goal.kept} for goal in found]
        print(json.dumps({"goals": listed, "ways": [asdict(row) for row in rows]}, indent=2))
        return
    print(f"{'goal':40}{'must':>16}{'measured':>12}")
    for goal in found:
        verdict = {None: "cannot be seen here", True: "ok", False: "missed"}[goal.kept]
        measured = "" if goal.measured is None else f"{goal.measured:.2f}"
        print(f"{goal.name:40}{f'{goal.sign} {goal.bound:g} {goal.unit}':>16}{measured:>12}  {verdict}")
    slow = max(row.p50_ms / row.cpu_ms for row in rows if row.snippet == "print" and row.way == "fresh")
    if slow > BUSY:
        print(f"\nThe machine is busy: a fresh interpreter took {slow:.1f} times its CPU. Judge by CPU and ratios.")
    print(f"\n{'snippet':10}{'way':10}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>9}")
    for row in rows:
        print(f"{row.snippet:10}{row.way:10}{row.p50_ms:9.2f}{row.p99_ms:9.2f}{row.cpu_ms:9.2f}")


if __name__ == "__main__":
    main()
