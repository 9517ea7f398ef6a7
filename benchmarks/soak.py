"""Does the sandbox last: many snippets, some hostile, its interpreter killed again and again.

    python benchmarks/soak.py [--snippets 50000] [--hostile 0.05] [--kill-every 3] [--json]

Every good snippet has an end that no other has, known beforehand. The exit code is 1 when anything was lost, wrong,
left behind or piled up. Memory is judged from 10,000 snippets on: below, it is still filling its caches.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import signal
import sys
import time
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from queue import Empty, SimpleQueue

import process_table
from soak_snippets import Good, Hostile, good, hostile

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.base import Limits, ToolResult
from coevolve.sandbox.pool import SandboxPool

WARM_UP = 0.2  # of the snippets
FLAT = 0.05
JUDGES_MEMORY = 10_000
_LOST_S = 60.0  # nothing comes back for so long: what is in flight is lost
_ATTEMPTS = 20
_EXAMPLES = 5

Ended = tuple[int, int, Good | Hostile, Future[ToolResult]]


@dataclass(frozen=True, slots=True)
class Level:
    """What the supervising process holds while nothing runs."""

    descriptors: int
    memory_mb: float
    zombies: int


@dataclass(slots=True)
class Tally:
    """What was counted; the examples are for people."""

    good: int = 0
    hostile: int = 0
    wrong: int = 0
    odd: int = 0
    infra: int = 0
    lost: int = 0
    kills: int = 0
    examples: list[str] = field(default_factory=list)

    def note(self, what: str, snippet: Good | Hostile, outcome: object) -> None:
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{what}: {snippet.code[:200]!r} -> {str(outcome)[:600]}")


@dataclass(frozen=True, slots=True)
class Findings:
    """Figures, checks that passed or not, and examples of what went wrong."""

    figures: dict[str, float]
    checks: dict[str, bool]
    examples: list[str]


class Soak:
    """Feeds one pool, with a fixed number of snippets in flight.

    Args:
        pool: its limits should be short, hostile snippets use them up.
        options: the parsed command line.
    """

    def __init__(self, pool: SandboxPool, options: argparse.Namespace) -> None:
        self.tally = Tally()
        self.leaders: set[int] = set()  # every zygote seen
        self._pool, self._options = pool, options
        self._chance = random.Random(options.seed)
        self._ended: SimpleQueue[Ended] = SimpleQueue()
        self._flying = 0
        self._see_zygotes()

    def run(self, numbers: range) -> Level:
        """Run these snippets, wait until all have ended, and look at what is there then."""
        waiting = iter(numbers)
        next_kill = self._next_kill()
        while True:
            while self._flying < self._options.in_flight and (n := next(waiting, None)) is not None:
                is_hostile = self._chance.random() < self._options.hostile
                self._submit(n, 1, hostile(self._chance, n) if is_hostile else good(n))
            if not self._flying or not self._collect(next_kill):
                return self._settled()
            if time.monotonic() >= next_kill:
                self._kill_a_zygote()
                next_kill = self._next_kill()

    def _submit(self, number: int, attempt: int, snippet: Good | Hostile) -> None:
        self._flying += 1
        future = self._pool.submit(snippet.code)
        future.add_done_callback(lambda done: self._ended.put((number, attempt, snippet, done)))

    def _collect(self, until: float) -> bool:
        """Judge what has ended; False when nothing ends any more."""
        silent_since = time.monotonic()
        while True:
            try:
                ended = self._ended.get(timeout=max(0.0, min(until - time.monotonic(), 1.0)))
            except Empty:
                if time.monotonic() >= until:
                    return True
                if time.monotonic() - silent_since > _LOST_S:
                    self.tally.lost += self._flying
                    return False
                continue
            self._flying -= 1
            self._judge(*ended)
            return True

    def _judge(self, number: int, attempt: int, snippet: Good | Hostile, done: Future[ToolResult]) -> None:
        tally = self.tally
        try:
            result = done.result()
        except SandboxInfraError as error:
            tally.infra += 1
            if attempt < _ATTEMPTS:
                self._submit(number, attempt + 1, snippet)
            else:
                tally.lost += 1
                tally.note("lost", snippet, error)
            return
        if isinstance(snippet, Good):
            tally.good += 1
            if not snippet.is_right(result):
                tally.wrong += 1
                tally.note("wrong", snippet, result)
        else:
            tally.hostile += 1
            if not snippet.is_right(result):
                tally.odd += 1
                tally.note("odd end", snippet, result)

    # The zygotes.

    def _next_kill(self) -> float:
        mean = self._options.kill_every
        return time.monotonic() + (self._chance.expovariate(1 / mean) if mean else float("inf"))

    def _see_zygotes(self) -> list[int]:
        found = process_table.zygotes()
        self.leaders.update(found)
        return found

    def _kill_a_zygote(self) -> None:
        """By its pidfd, so that no other process of the same number can be hit."""
        for pid in self._see_zygotes()[:1]:
            watch = os.pidfd_open(pid)
            try:
                if pid in process_table.zygotes():
                    signal.pidfd_send_signal(watch, signal.SIGKILL)
                    self.tally.kills += 1
            except ProcessLookupError:
                pass  # it was just being replaced
            finally:
                os.close(watch)

    def _settled(self) -> Level:
        """What is there once the pool has its spares back and has buried its dead."""
        previous = None
        for _ in range(100):
            time.sleep(0.1)
            gc.collect()
            self._see_zygotes()
            level = (process_table.open_descriptors(), len(self._zombies()))
            if level == previous and not level[1]:
                break
            previous = level
        return Level(level[0], process_table.resident_mb(), level[1])

    def _zombies(self) -> list[process_table.Process]:
        ours = [*process_table.children(os.getpid()), *process_table.of_sessions(self.leaders)]
        return [process for process in ours if process.state == "Z"]


def left_over(leaders: set[int]) -> int:
    """How many processes outlived the pool by more than a second."""
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline and process_table.of_sessions(leaders):
        time.sleep(0.05)
    return len(process_table.of_sessions(leaders)) + len(process_table.zygotes())


def measured(options: argparse.Namespace) -> Findings:
    """The whole soak, from an open pool to a closed one."""
    before = process_table.open_descriptors()
    limits = Limits(options.cpu, options.wall, memory_mb=128, output_bytes=16384)
    start, cpu = time.monotonic(), time.process_time()
    with SandboxPool(limits=limits, workers=options.workers) as pool:
        soak = Soak(pool, options)
        part = int(options.snippets * WARM_UP)
        warm, end = soak.run(range(part)), soak.run(range(part, options.snippets))
        spoilt = pool.stats.infra_failures
    duration, cpu = time.monotonic() - start, time.process_time() - cpu
    tally, remaining = soak.tally, left_over(soak.leaders)
    after = process_table.open_descriptors()
    figures = {
        "snippets": options.snippets,
        "good": tally.good,
        "hostile": tally.hostile,
        "duration_s": round(duration, 1),
        "snippets_per_s": round(options.snippets / duration, 1),
        "our_cpu_ms_per_snippet": round(cpu / options.snippets * 1e3, 3),
        "zygotes_killed": tally.kills,
        "attempts_spoilt": spoilt,
        "infra_errors_tried_again": tally.infra,
        "lost": tally.lost,
        "wrong": tally.wrong,
        "odd_ends_of_hostile": tally.odd,
        "descriptors_warm": warm.descriptors,
        "descriptors_end": end.descriptors,
        "descriptors_left": after - before,
        "memory_mb_warm": round(warm.memory_mb, 2),
        "memory_mb_end": round(end.memory_mb, 2),
        "zombies": warm.zombies + end.zombies,
        "processes_left": remaining,
    }
    checks = {
        "every snippet came back": tally.lost == 0 and tally.good + tally.hostile == options.snippets,
        "no good snippet ended wrongly": tally.wrong == 0,
        "no hostile snippet ended oddly": tally.odd == 0,
        "no zombies": figures["zombies"] == 0,
        "descriptors flat within 5 %": end.descriptors <= warm.descriptors * (1 + FLAT),
        "no descriptors left": after == before,
        "no processes left": remaining == 0,
    }
    if options.snippets >= JUDGES_MEMORY:
        checks["memory flat within 5 %"] = end.memory_mb <= warm.memory_mb * (1 + FLAT)
    return Findings(figures, checks, tally.examples)


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--snippets", type=int, default=50_000)
    parser.add_argument("--hostile", type=float, default=0.05, help="share of hostile snippets")
    parser.add_argument(
        "--kill-every", type=float, default=3.0, help="mean seconds between kills of a zygote; 0 = none"
    )
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--cpu", type=float, default=0.1, help="CPU seconds of a snippet")
    parser.add_argument("--wall", type=float, default=0.5, help="wall seconds of a snippet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def main() -> None:
    options = parsed()
    found = measured(options)
    if options.json:
        print(json.dumps(asdict(found)))
    else:
        for name, figure in found.figures.items():
            print(f"{name.replace('_', ' '):32}{figure:>10,}")
        for name, passed in found.checks.items():
            print(f"{name:32}{'ok' if passed else 'FAILED':>10}")
        print(*found.examples, sep="\n", end="")
    sys.exit(0 if all(found.checks.values()) else 1)


if __name__ == "__main__":
    main()
