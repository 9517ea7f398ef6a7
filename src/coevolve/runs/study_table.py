"""The table of a study in the layout of the paper's ablations: a row per variant, its held-out results, and by how much
it differs from the first one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coevolve.evaluation.statistics import Estimate
from coevolve.runs.comparison import (
    Difference,
    ReadRun,
    held_out,
    held_out_difference,
    last_common_iteration,
    levels_of,
    read_runs,
)
from coevolve.runs.quantities import BY_KEY, Quantity, over_runs
from coevolve.runs.study import Cell, Study, state_of

# What the miniature can add to held-out accuracy.
ADDED: tuple[Quantity, ...] = tuple(BY_KEY[key] for key in ("labels", "first_executor", "pool_calls", "calls"))


@dataclass(frozen=True, slots=True)
class VariantResult:
    """One row: means over seeds and problems of the last executor."""

    row: str
    title: str
    seeds: tuple[int, ...]
    levels: dict[str, Estimate]
    mean: Estimate
    difference: Difference | None  # to the first row; None in it, and while it has no finished cell
    added: dict[str, list[Estimate]]  # by key of ADDED, one per iteration

    def as_json(self) -> dict[str, object]:
        """The same as JSON values; rates are fractions, unknown bounds null."""
        out: dict[str, object] = {"row": self.row, "title": self.title, "seeds": list(self.seeds)}
        out |= {"levels": {level: estimate_json(found) for level, found in self.levels.items()}}
        out |= {"mean": estimate_json(self.mean), "difference": None}
        if self.difference:
            out["difference"] = difference_json(self.difference)
        return out | {key: [estimate_json(x) for x in found] for key, found in self.added.items()}


def study_table(study: Study, cells: Sequence[Cell]) -> list[VariantResult]:
    """A row for each variant with at least one finished cell, in the order of the study.

    Raises:
        RunError: a folder holds another run than its cell, or a damaged one.
    """
    finished: dict[str, list[ReadRun]] = {}
    for cell in cells:
        if state_of(cell) == "finished":
            finished.setdefault(cell.row, []).extend(*read_runs([cell.path]).values())
    if not finished:
        return []
    iteration, levels = last_common_iteration(finished), levels_of(finished)
    reference = next(iter(study.rows))
    out = []
    for row in (name for name in study.rows if name in finished):
        runs = sorted(finished[row], key=lambda run: run.seed)
        first = finished.get(reference) if row != reference else None
        out.append(
            VariantResult(
                row=row,
                title=study.title_of(row),
                seeds=tuple(run.seed for run in runs),
                levels={level: held_out(runs, iteration, level=level) for level in levels},
                mean=held_out(runs, iteration),
                difference=held_out_difference(first, runs, iteration) if first else None,
                added={quantity.key: over_runs([run.summary for run in runs], quantity) for quantity in ADDED},
            )
        )
    return out


def estimate_json(estimate: Estimate) -> dict[str, float | int | None]:
    """``{"mean", "low", "high", "n"}``, null for what is unknown."""
    numbers = {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}
    return {name: None if x != x else x for name, x in numbers.items()} | {"n": estimate.n}


def difference_json(difference: Difference) -> dict[str, object]:
    """The estimate of a difference with how it was paired and what it says."""
    return estimate_json(difference.estimate) | {
        "verdict": difference.verdict,
        "paired_seeds": list(difference.seeds),
        "same_problems": difference.same_problems,
        "over_seeds": difference.over_seeds,
    }
