"""What runs are compared by: each quantity reads its numbers off a run's summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coevolve.monitor.summary import Summary, at, iterations, number_at
from coevolve.statistics import Estimate, over_seeds

ABSENT = "–"


@dataclass(frozen=True, slots=True)
class Quantity:
    """One column: the numbers of a run, in order, how they are shown, and what they are where the heading is short."""

    key: str
    heading: str
    read: Callable[[Summary], list[float | None]]
    scale: float = 1.0
    digits: int = 1
    meaning: str = ""

    def show(self, value: float) -> str:
        """A number as it stands in tables."""
        return f"{self.scale * value:.{self.digits}f}"


def first_levels(row: object) -> float | None:
    """mean@8 over levels 1 to 3, which hold equally many problems."""
    levels = [number_at(row, "held_out", "by_level", level) for level in "123"]
    known = [x for x in levels if x is not None]
    return sum(known) / len(known) if len(known) == len(levels) else None


def _each(*path: str, first: int) -> Callable[[Summary], list[float | None]]:
    """One number per iteration, from iteration ``first`` on."""
    return lambda summary: [number_at(row, *path) for row in iterations(summary)[first:]]


def _last(*path: str) -> Callable[[Summary], list[float | None]]:
    return lambda summary: [number_at(iterations(summary)[-1], *path)]


def _dialogues(summary: Summary) -> list[float | None]:
    """Mean accuracy over the sets of held-out dialogues, from the base model on; equally many problems in each."""
    out: list[float | None] = []
    for row in iterations(summary):
        sets = at(row, "transfer")
        names = [name for name in sets if name.startswith("dialogue_")] if isinstance(sets, dict) else []
        means = [x for name in names if (x := number_at(row, "transfer", name, "mean")) is not None]
        out.append(sum(means) / len(means) if means else None)
    return out


QUANTITIES = (
    Quantity(
        "mean_at_8",
        "mean@8",
        _each("held_out", "mean_at_8", first=0),
        100,
        meaning="on held-out questions of one turn",
    ),
    Quantity("greedy", "greedy, last", _last("held_out", "greedy"), 100),
    Quantity("levels_1_to_3", "levels 1-3, last", lambda s: [first_levels(iterations(s)[-1])], 100),
    Quantity(
        "labels",
        "labels right",
        _each("pool", "label_accuracy_kept", first=1),
        100,
        meaning="kept pseudo-labels that are true",
    ),
    Quantity(
        "first_executor",
        "first executor",
        _each("pool", "first_executor_pass_rate", first=1),
        100,
        meaning="pass rate of the executor of iteration 1 on each pool",
    ),
    Quantity(
        "pool_calls",
        "calls on pools",
        _each("pool", "fixed_executor_tool_calls", first=1),
        digits=2,
        meaning="its tool calls there",
    ),
    Quantity("calls", "calls held out", _each("held_out", "tool_calls", first=0), digits=2),
    Quantity("wall_s", "wall s", lambda s: [number_at(s, "wall_s")], digits=0),
    Quantity("cpu_s", "CPU s", lambda s: [number_at(s, "cpu_s")], digits=0),
)
# Columns that a study may ask for; comparisons of any runs go without them.
MORE = (
    Quantity(
        "forced",
        "tool forced",
        lambda s: [number_at(s, "controls", "fence_forced_base", "mean_at_8")],
        100,
        meaning="mean@8 of the base model with its first tool call forced",
    ),
    Quantity("dialogues", "dialogues", _dialogues, 100, meaning="mean@k on held-out dialogues of 2, 3 and 4 turns"),
    *(
        Quantity(
            f"dialogue_{turns}", f"{turns} user turns", _each("transfer", f"dialogue_{turns}", "mean", first=0), 100
        )
        for turns in (2, 3, 4)
    ),
    Quantity("duplicates", "duplicates", _each("pool", "duplicates", first=1), 100, meaning="questions asked before"),
    Quantity(
        "novelty",
        "near the archive",
        _each("pool", "archive_near_share", first=1),
        100,
        meaning="questions near one of an earlier pool",
    ),
    Quantity("tokens", "M tokens", lambda s: [number_at(s, "tokens", "sampled")], 1e-6, meaning="sampled in the run"),
)
BY_KEY = {quantity.key: quantity for quantity in (*QUANTITIES, *MORE)}


def over_runs(runs: Sequence[Summary], quantity: Quantity) -> list[Estimate]:
    """One estimate over seeds per number of a quantity; NaN where any run has no number."""
    return [_complete(values) for values in zip(*(quantity.read(run) for run in runs), strict=True)]


def cell(estimates: Sequence[Estimate], quantity: Quantity) -> str:
    """``12.0 → 50.0 ± 3.1``: the interval is that of the last number."""
    shown = [ABSENT if x.mean != x.mean else quantity.show(x.mean) for x in estimates]
    return " → ".join(shown) + half_width(estimates[-1], quantity) if estimates else ABSENT


def half_width(estimate: Estimate, quantity: Quantity) -> str:
    """`` ± 3.1``, or nothing where the interval is unknown."""
    half = (estimate.high - estimate.low) / 2
    return "" if half != half else f" ± {quantity.show(half)}"


def _complete(values: Sequence[float | None]) -> Estimate:
    """Missing where any seed has no value: a mean over other seeds would be of something else."""
    known = [x for x in values if x is not None]
    return over_seeds(known if len(known) == len(values) else [])
