"""Does the sandbox last: many snippets, some hostile, its interpreter killed again and again.

    python benchmarks/soak.py [--snippets 50000] [--hostile 0.05] [--sessions 0.02] [--kill-every 3] [--json]

Every good snippet has an end that no other has, known beforehand; so has every cell of a session. The exit code is 1
when anything was lost, wrong, left behind or piled up. Memory is judged from 10,000 snippets on: below, it is still
filling its caches.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass

import process_table
from soak_feeder import Mixture, Soak

from coevolve.sandbox.base import Limits
from coevolve.sandbox.pool import SandboxPool

WARM_UP = 0.2  # of the snippets
FLAT = 0.05
JUDGES_MEMORY = 10_000


@dataclass(frozen=True, slots=True)
class Findings:
    """Figures, checks that passed or not, and examples of what went wrong."""

    figures: dict[str, float]
    checks: dict[str, bool]
    examples: list[str]


def left_over(leaders: set[int]) -> list[str]:
    """The processes that outlived the pool by more than a second; dead orphans are init's to bury, when it likes."""

    def found() -> set[process_table.Process]:
        living = [process for process in process_table.of_sessions(leaders) if process.state != "Z"]
        return {*living, *process_table.descendants()}

    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline and found():
        time.sleep(0.05)
    return [f"left over: {process}" for process in found()]


def measured(options: argparse.Namespace) -> Findings:
    """The whole soak, from an open pool to a closed one."""
    before = process_table.open_descriptors()
    limits = Limits(options.cpu, options.wall, memory_mb=128, output_bytes=16384)
    start, cpu = time.monotonic(), time.process_time()
    with SandboxPool(limits=limits, workers=options.workers) as pool:
        mixture = Mixture(options.hostile, options.sessions, options.in_flight, options.kill_every, options.seed)
        soak = Soak(pool, mixture)
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
        "sessions": tally.sessions,
        "duration_s": round(duration, 1),
        "snippets_per_s": round(options.snippets / duration, 1),
        "our_cpu_ms_per_snippet": round(cpu / options.snippets * 1e3, 3),
        "interpreters_killed": tally.kills,
        "attempts_spoilt": spoilt,
        "sessions_lost_to_kills": tally.sessions_lost,
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
        "processes_left": len(remaining),
    }
    checks = {
        "every snippet came back": tally.lost == 0 and tally.good + tally.hostile + tally.sessions == options.snippets,
        "no good snippet ended wrongly": tally.wrong == 0,
        "no hostile snippet ended oddly": tally.odd == 0,
        "no zombies": figures["zombies"] == 0,
        "descriptors flat within 5 %": end.descriptors <= warm.descriptors * (1 + FLAT),
        "no descriptors left": after == before,
        "no processes left": not remaining,
    }
    if options.snippets >= JUDGES_MEMORY:
        checks["memory flat within 5 %"] = end.memory_mb <= warm.memory_mb * (1 + FLAT)
    return Findings(figures, checks, [*tally.examples, *remaining])


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--snippets", type=int, default=50_000)
    parser.add_argument("--hostile", type=float, default=0.05, help="share of hostile snippets")
    parser.add_argument(
        "--kill-every", type=float, default=3.0, help="mean seconds between kills of its interpreter; 0 = none"
    )
    parser.add_argument("--sessions", type=float, default=0.02, help="share of sessions, each of some cells")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--cpu", type=float, default=0.1, help="CPU seconds of a snippet")
    parser.add_argument("--wall", type=float, default=1.0, help="wall seconds of a snippet, without waiting for a core")
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
        for example in found.examples:
            print(example)
    sys.exit(0 if all(found.checks.values()) else 1)


if __name__ == "__main__":
    main()
