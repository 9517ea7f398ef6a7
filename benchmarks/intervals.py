"""How often the 95 % intervals of ``coevolve compare`` hold the truth.

    python benchmarks/intervals.py [--repeats 1000] [--into docs/compare.md]

First, simulated runs of three seeds: every answer is the sum of what its seed, its problem and chance add, all normal
around 0; the truth of a mean and of a difference is 0. The last column draws both problems and seeds with replacement,
as a plain bootstrap would.

Second, one run near the ends of a rate, exactly: the chances of all numbers of right problems whose interval holds the
truth; the least of several numbers of problems.

Third, three seeds of which each collapses with some chance: it ends at 20 % and the others at 90 %, give or take 2.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from coevolve.commands.markdown import markdown_table, write_between
from coevolve.statistics import crossed, crossed_difference, estimate, share_of

SEEDS, PROBLEMS, RESAMPLES = 3, 60, 1000
SPREADS = {  # standard deviations of what seed, problem and chance add
    "problems matter, seeds do not": (0.0, 0.3, 0.15),
    "both matter": (0.1, 0.3, 0.15),
    "seeds matter, problems do not": (0.1, 0.0, 0.15),
    "only chance": (0.0, 0.0, 0.15),
}
TRUTHS, SIZES = (0.5, 0.9, 0.99, 0.999), (60, 117, 177, 300, 400)
COLLAPSES = (0.0, 0.1, 0.3, 0.5)  # chances of a seed
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


def near_the_ends(truth: float) -> list[float]:
    """The least coverage over SIZES of the interval of one run, and of the plain percentile bootstrap."""
    shares = []
    for n in SIZES:
        counts = np.arange(n + 1)
        chances = stats.binom.pmf(counts, n, truth)
        plain = (stats.binom.ppf(tail, n, counts / n) / n for tail in (0.025, 0.975))
        low, high = plain
        ours = 0.0
        for right in counts[chances > 1e-7]:
            found = estimate(np.repeat([1.0, 0.0], [right, n - right]))
            ours += chances[right] * (found.low <= truth <= found.high)
        shares.append((ours, float(chances[(low <= truth) & (truth <= high)].sum())))
    return [min(column) for column in zip(*shares, strict=True)]


def collapsing(chance: float, repeats: int) -> list[float]:
    """How often three seeds hold the mean of all seeds, and how often they hold the chance of a collapse."""
    rng = np.random.default_rng(20_251_120)
    hits = np.zeros(2)
    for _ in range(repeats):
        collapsed = rng.random(SEEDS) < chance
        means = np.where(collapsed, 0.2, 0.9) + rng.normal(0, 0.02, SEEDS)
        mean = crossed(np.repeat(np.clip(means, 0, 1)[:, None], PROBLEMS, axis=1), resamples=RESAMPLES)
        share = share_of(int(collapsed.sum()), SEEDS)
        hits += [mean.low <= 0.9 - 0.7 * chance <= mean.high, share.low <= chance <= share.high]
    return [float(share) for share in hits / repeats]


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1000, help="simulated comparisons of each kind")
    parser.add_argument("--into", type=Path, metavar="FILE", help="write the table between the markers of this file")
    options = parser.parse_args(arguments)
    head = ["what matters", "mean", "paired difference", "the same by a plain bootstrap"]
    rows = [[name, *(f"{100 * x:.1f} %" for x in coverage(s, options.repeats))] for name, s in SPREADS.items()]
    tables = [markdown_table([head, *rows])]
    least = [[f"{100 * t:g} %", *(f"{100 * x:.1f} %" for x in near_the_ends(t))] for t in TRUTHS]
    tables.append(markdown_table([["truth, one run", "least coverage", "the same by a plain bootstrap"], *least]))
    rows = [[f"{100 * c:.0f} %", *(f"{100 * x:.1f} %" for x in collapsing(c, options.repeats))] for c in COLLAPSES]
    tables.append(markdown_table([["seeds that collapse", "mean of all seeds", "share of collapses"], *rows]))
    table = "\n\n".join(tables)
    if options.into:
        write_between(options.into, table)
    else:
        print(table)


if __name__ == "__main__":
    main()
