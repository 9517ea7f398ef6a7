"""Runs side by side on the suites that were chosen for them, each on its own and paired by problem."""

from __future__ import annotations

from dataclasses import dataclass

from coevolve.statistics import Estimate
from coevolve.studies.comparison import (
    Difference,
    ReadRun,
    Runs,
    held_out,
    held_out_difference,
    last_common_iteration,
    on_suites,
    problems_of,
)
from coevolve.studies.side_by_side import difference_json, estimate_json


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """One label on one suite, up to the iteration that all labels have evaluated."""

    suite: str
    label: str
    seeds: tuple[int, ...]
    n: int  # problems
    curve: tuple[Estimate, ...]  # mean@k by iteration, 0 is the base model
    gain: Difference  # of the last iteration to the base model, paired by seed and problem
    difference: Difference | None  # to the first label; None in that one, and where its problems are others

    def as_json(self) -> dict[str, object]:
        """The same as JSON values; rates are fractions, unknown bounds null."""
        return {
            "suite": self.suite,
            "label": self.label,
            "seeds": list(self.seeds),
            "n": self.n,
            "curve": [estimate_json(found) for found in self.curve],
            "gain": difference_json(self.gain),
            "difference": difference_json(self.difference) if self.difference else None,
        }


def suite_results(runs: Runs) -> tuple[list[SuiteResult], list[str]]:
    """A result per suite and label that was measured on it, suites in order of first appearance.

    Returns:
        the results, and a note for every label that has other problems under the name of a suite, or not the suite.

    Raises:
        RunError: a table is missing or damaged.
    """
    measured = on_suites(runs)
    if not measured:
        return [], []
    last = last_common_iteration(measured)
    names = list(dict.fromkeys(name for mine in measured.values() for name in _names(mine[0])))
    found: list[SuiteResult] = []
    remarks: list[str] = []
    for name in names:
        having = {label: mine for label, mine in measured.items() if all(name in _names(run) for run in mine)}
        lacking = [label for label in runs if label not in having]
        if lacking:
            remarks.append(f"{', '.join(lacking)}: not measured on {name}")
        first = next(iter(having), None)
        for label, mine in having.items():
            same = problems_of(having[first or label][0], last, name) == problems_of(mine[0], last, name)
            if not same:
                remarks.append(
                    f"{label}: {name} holds other problems than in {first} (another digest, or another "
                    "evaluation.suite_limit), so the two are not compared"
                )
            found.append(
                SuiteResult(
                    suite=name,
                    label=label,
                    seeds=tuple(run.seed for run in mine),
                    n=len(problems_of(mine[0], last, name)),
                    curve=tuple(held_out(mine, t, level=name) for t in range(last + 1)),
                    gain=held_out_difference(mine, mine, last, level=name, first_iteration=0),
                    difference=held_out_difference(having[first], mine, last, level=name)
                    if first is not None and label != first and same
                    else None,
                )
            )
    return found, remarks


def _names(run: ReadRun) -> list[str]:
    return list(dict.fromkeys(run.held_out[0].levels.tolist()))
