"""What the default run must show on the miniature, and what is aimed at: one judged row per measure.

Used by levers.py. Runs are summaries (``coevolve.monitor.summary.summarise``) of one setting, one per seed, of three
iterations each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np

from coevolve.evaluation.report import first_levels
from coevolve.methods.reporting import ABSENT, Summary, at, iterations, number_at

LABELS_MUST, LABELS_AIM = (0.80, 0.80, 0.75), (0.90, 0.95, 0.90)
Numbers = list[float]
Verdict = bool | None  # None: nothing is asked
Row = dict[str, str]


def judged_rows(runs: Sequence[Summary]) -> list[Row]:
    """All measures of the runs of one setting, in the order of the table.

    A row has the keys measure, must, aim, measured, verdict. A number that a run does not have makes its row "not
    measured".
    """
    makers: tuple[Callable[[Sequence[Summary]], Row], ...] = (
        _gain, _rising, _first_levels, _greedy, _calls, _first_executor, _pool_calls, _labels, _well_formed,
        _duplicates, _wall, _control,
    )  # fmt: skip
    return [make(runs) for make in makers]


def _gain(runs: Sequence[Summary]) -> Row:
    begin, end = _mean(_held_out(runs, "mean_at_8"), 0), _mean(_held_out(runs, "mean_at_8"), -1)
    return _row(
        "held-out mean@8, base → iteration 3",
        ("≤ 15 % → ≥ 50 %", "≤ 15 % → ≥ 65 %"),
        _chain([begin, end], _percent),
        lambda: (_reaches(0.15, begin) and _reaches(end, 0.50), _reaches(0.15, begin) and _reaches(end, 0.65)),
    )


def _rising(runs: Sequence[Summary]) -> Row:
    seeds = _held_out(runs, "mean_at_8")
    means = _means(seeds)
    return _row(
        "mean@8 higher after every iteration",
        ("on the mean of the seeds", "in every seed"),
        _chain(means, _percent),
        lambda: (_rises(means), all(_rises(seed) for seed in seeds)),
    )


def _first_levels(runs: Sequence[Summary]) -> Row:
    value = _mean([[_number(first_levels(at(iterations(run)[-1], "held_out", "by_level")))] for run in runs], 0)
    return _at_least("mean@8 of levels 1-3 after iteration 3", value, 0.75, 0.90)


def _greedy(runs: Sequence[Summary]) -> Row:
    means = _means(_held_out(runs, "greedy"))
    return _row(
        "greedy after iteration 3 against iteration 1",
        ("not lower by more than 2 points", "higher"),
        _chain([means[1], means[3]], _percent),
        lambda: (_reaches(means[3], means[1] - 0.02), means[3] > means[1]),
    )


def _calls(runs: Sequence[Summary]) -> Row:
    means = _means(_held_out(runs, "tool_calls"))
    by_level = _means(
        [
            [_number(number_at(iterations(run)[-1], "held_out", "tool_calls_by_level", level)) for level in "1234"]
            for run in runs
        ]
    )
    return _row(
        "tool calls per held-out solution",
        ("≤ 1.3 → ≥ 2.2", "= steps ± 10 % on levels 1-4"),
        f"{_chain([means[0], means[-1]], _decimals)} (levels 1-4: {', '.join(map(_decimals, by_level))})",
        lambda: (
            _reaches(1.3, means[0]) and _reaches(means[-1], 2.2),
            all(_reaches(0.1, abs(calls / steps - 1)) for steps, calls in enumerate(by_level, 1)),
        ),
    )


def _first_executor(runs: Sequence[Summary]) -> Row:
    seeds = _pools(runs, "first_executor_pass_rate")
    means = _means(seeds)
    faithful = at(runs[0], "preset") == "mini-paper"
    fall = means[0] - means[-1]
    return _row(
        "first executor's pass rate on pools 1 / 2 / 3",
        ("falls by ≥ 20 points" if faithful else "falls", "falls every iteration in every seed"),
        _chain(means, _percent),
        lambda: (_reaches(fall, 0.20) if faithful else fall > 0, all(_rises([-x for x in seed]) for seed in seeds)),
    )


def _pool_calls(runs: Sequence[Summary]) -> Row:
    seeds = _pools(runs, "fixed_executor_tool_calls")
    means = _means(seeds)
    return _row(
        "tool calls of one fixed executor on these pools",
        ("rise by ≥ 0.3", "rise every iteration in every seed"),
        _chain(means, _decimals),
        lambda: (_reaches(means[-1] - means[0], 0.3), all(_rises(seed) for seed in seeds)),
    )


def _labels(runs: Sequence[Summary]) -> Row:
    means = _means(_pools(runs, "label_accuracy_kept"))
    name = "kept pseudo-labels that are true, iterations 1 / 2 / 3"
    if at(runs[0], "preset") == "mini-paper":
        return _row(name, ("reported", ""), _chain(means, _percent), lambda: (None, None))
    return _row(
        name,
        ("≥ 80 / 80 / 75 %", "≥ 90 / 95 / 90 %"),
        _chain(means, _percent),
        lambda: tuple(all(map(_reaches, means, limits)) for limits in (LABELS_MUST, LABELS_AIM)),
    )


def _well_formed(runs: Sequence[Summary]) -> Row:
    return _at_least(
        "well-formed questions, worst pool", float(np.min(_means(_pools(runs, "well_formed")))), 0.90, 0.95
    )


def _duplicates(runs: Sequence[Summary]) -> Row:
    worst = float(np.max(_means(_pools(runs, "duplicates"))))  # NaN spreads, unlike in max()
    limits = ("≤ 5 %", "≤ 2 %")
    return _row(
        "exact duplicates, worst pool", limits, _percent(worst), lambda: (_reaches(0.05, worst), _reaches(0.02, worst))
    )


def _wall(runs: Sequence[Summary]) -> Row:
    slowest = float(np.max([_number(number_at(run, "wall_s")) for run in runs]))
    shown = ABSENT if np.isnan(slowest) else f"{slowest / 60:.1f} min"
    return _row(
        "wall time of the run, slowest seed",
        ("≤ 6 min", "≤ 3 min"),
        shown,
        lambda: (_reaches(360, slowest), _reaches(180, slowest)),
    )


def _control(runs: Sequence[Summary]) -> Row:
    forced = _mean([[_number(number_at(run, "controls", "fence_forced_base", "mean_at_8"))] for run in runs], 0)
    trained = _mean(_held_out(runs, "mean_at_8"), -1)
    return _row(
        "control: mean@8 of the base with the first fence forced",
        ("reported", "below the executor of iteration 3"),
        _percent(forced),
        lambda: (None, forced < trained),
    )


def _at_least(name: str, value: float, must: float, aim: float) -> Row:
    limits = (f"≥ {100 * must:.0f} %", f"≥ {100 * aim:.0f} %")
    return _row(name, limits, _percent(value), lambda: (_reaches(value, must), _reaches(value, aim)))


def _row(name: str, asked: tuple[str, str], measured: str, judge: Callable[[], tuple[Verdict, ...]]) -> Row:
    must, aim = judge()
    if ABSENT in measured:
        verdict = "not measured"
    elif must is False:
        verdict = "**missed**"
    elif aim is None:
        verdict = ""
    else:
        verdict = "aim met" if aim else "must met" if must else "aim missed"
    return {"measure": name, "must": asked[0], "aim": asked[1], "measured": measured, "verdict": verdict}


def _held_out(runs: Sequence[Summary], key: str) -> list[Numbers]:
    return [[_number(number_at(row, "held_out", key)) for row in iterations(run)] for run in runs]


def _pools(runs: Sequence[Summary], key: str) -> list[Numbers]:
    return [[_number(number_at(row, "pool", key)) for row in iterations(run)[1:]] for run in runs]


def _number(value: float | None) -> float:
    """NaN for what is missing: it spreads through means and is shown as such."""
    return float("nan") if value is None else value


def _means(seeds: Sequence[Numbers]) -> Numbers:
    """The mean over seeds of each number."""
    return [float(x) for x in np.mean(seeds, axis=0)]


def _mean(seeds: Sequence[Numbers], index: int) -> float:
    return _means(seeds)[index]


def _reaches(value: float, bound: float) -> bool:
    """value >= bound, where a rounding error decides nothing."""
    return value >= bound - 1e-9


def _rises(numbers: Numbers) -> bool:
    return all(b > a for a, b in pairwise(numbers))


def _chain(numbers: Iterable[float], show: Callable[[float], str]) -> str:
    return " → ".join(map(show, numbers))


def _percent(share: float) -> str:
    return ABSENT if np.isnan(share) else f"{100 * share:.1f} %"


def _decimals(value: float) -> str:
    return ABSENT if np.isnan(value) else f"{value:.2f}"
