"""How often the 95 % intervals of ``coevolve compare`` hold the truth, on simulated runs of three seeds.

    python benchmarks/intervals.py [--repeats 1000] [--into docs/compare.md]

Every answer is the sum of what its seed, its problem and chance add, all normal around 0; the truth of a mean and of a
difference is 0. The last column draws both problems and seeds with replacement, as a plain bootstrap would.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coevolve.commands.markdown import markdown_table, write_between
from coevolve.statistics import crossed, crossed_difference

SEEDS, PROBLEMS, RESAMPLES = 3, 60, 1000
SPREADS = {  # standard deviations of what seed, problem and chance add
    "problems matter, seeds do not": (0.0, 0.3, 0.15),
    "both matter": (0.1, 0.3, 0.15),
    "seeds matter, problems do not": (0.1, 0.0, 0.15),
    "only chance": (0.0, 0.0, 0.15),
}
Table = NDArray[np.float64]


def simulated(rng: np.random.Generator, spread: tuple[float, float, float], problems: Table | None = None) -> Table:
    """[seeds, problems]; with ``problems`` these are the same as in another run."""
    of_seed, of_problem, of_chance = spread
    shared = rng.normal(0, of_problem, (1, PROBLEMS)) if problems is None else problems
    return shared + rng.normal(0, of_seed, (SEEDS, 1)) + rng.normal(0, of_chance, (SEEDS, PROBLEMS))


def plain_holds(rng: np.random.Generator, values: Table) -> bool:
    """Whether the plain bootstrap over seeds and problems holds 0."""
    seeds = rng.multinomial(SEEDS, np.full(SEEDS, 1 / SEEDS), RESAMPLES) / SEEDS
    problems = rng.multinomial(PROBLEMS, np.full(PROBLEMS, 1 / PROBLEMS), RESAMPLES) / PROBLEMS
    low, high = np.quantile(np.einsum("rs,sp,rp->r", seeds, values, problems), [0.025, 0.975])
    return bool(low <= 0 <= high)


def coverage(spread: tuple[float, float, float], repeats: int) -> list[float]:
    """Shares of intervals that hold the truth: of a mean, of a paired difference, of that by the plain bootstrap."""
    rng = np.random.default_rng(20_251_120)
    hits = np.zeros(3)
    for _ in range(repeats):
        shared = rng.normal(0, spread[1], (1, PROBLEMS))
        first, second = (simulated(rng, spread, shared) for _ in range(2))
        mean = crossed(simulated(rng, spread), resamples=RESAMPLES)
        paired = crossed_difference(first, second, same_problems=True, same_seeds=True, resamples=RESAMPLES)
        hits += [mean.low <= 0 <= mean.high, paired.low <= 0 <= paired.high, plain_holds(rng, second - first)]
    return [float(share) for share in hits / repeats]


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1000, help="simulated comparisons of each kind")
    parser.add_argument("--into", type=Path, metavar="FILE", help="write the table between the markers of this file")
    options = parser.parse_args(arguments)
    head = ["what matters", "mean", "paired difference", "the same by a plain bootstrap"]
    rows = [[name, *(f"{100 * x:.1f} %" for x in coverage(s, options.repeats))] for name, s in SPREADS.items()]
    table = markdown_table([head, *rows])
    if options.into:
        write_between(options.into, table)
    else:
        print(table)


if __name__ == "__main__":
    main()
