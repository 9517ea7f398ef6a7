"""What runs are compared by: the quantities that their phases report, and those that every run has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from coevolve.methods.reporting import ABSENT, Better, PhaseReport, Quantity, Span, Summary, Unit
from coevolve.statistics import Estimate, over_seeds

OF_RUNS = (
    Quantity("wall_s", "wall s", ("wall_s",), Unit.SECONDS, Better.LOWER, span=Span.RUN),
    Quantity("cpu_s", "CPU s", ("cpu_s",), Unit.SECONDS, Better.LOWER, span=Span.RUN),
    Quantity(
        key="tokens",
        heading="M tokens",
        path=("tokens", "sampled"),
        unit=Unit.TOKENS,
        better=Better.LOWER,
        span=Span.RUN,
        default=False,
        meaning="sampled in the run",
    ),
)


def quantities_of(reports: Iterable[PhaseReport]) -> dict[str, Quantity]:
    """The quantities of runs by key, in order; of a key that several methods have, the first."""
    found: dict[str, Quantity] = {}
    for quantity in (q for report in reports for q in report.quantities):
        found.setdefault(quantity.key, quantity)
    return found | {quantity.key: quantity for quantity in OF_RUNS}


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
