"""The numbers of a comparison: a result per setting, up to the iteration that all runs have evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coevolve.config.keys import values_by_key
from coevolve.evaluation.phase import run_reports
from coevolve.methods.reporting import Quantity, Span, Summary, iterations
from coevolve.statistics import Estimate, share_of
from coevolve.studies.comparison import (
    Difference,
    Problems,
    ReadRun,
    Runs,
    differing,
    held_out,
    held_out_difference,
    last_common_iteration,
    levels_of,
)
from coevolve.studies.grouping import equal_settings, unlike
from coevolve.studies.quantities import over_runs, quantities_of

LABELS_KEY = "solver.labels"
# A seed that ends this far from the nearest of the others, and this many times as far as they are from each other.
_APART, _TIMES = 0.1, 4


@dataclass(frozen=True, slots=True)
class SettingResult:
    """One label: means over its seeds (and, of held-out accuracy, problems) up to the common iteration."""

    label: str
    preset: str
    seeds: tuple[int, ...]
    curve: tuple[Estimate, ...]  # mean@k by iteration, 0 is the base model
    levels: Mapping[str, Estimate]  # after the common iteration
    difference: Difference | None  # to the reference, after the common iteration; None in the reference itself
    quantities: Mapping[str, Sequence[Estimate]]  # by key, t-intervals over seeds
    known: Mapping[str, Quantity]  # what these keys stand for
    world: str = ""
    problems: Problems = "held_out"  # what was measured
    gap: bool = False  # true labels are all that tells it from the reference: the difference is what votes cost

    @property
    def mean(self) -> Estimate:
        """mean@k after the common iteration."""
        return self.curve[-1]

    def as_json(self) -> dict[str, object]:
        """The same as JSON values; rates are fractions, unknown bounds null."""
        return {
            "label": self.label,
            "world": self.world,
            "preset": self.preset,
            "seeds": list(self.seeds),
            "curve": [estimate_json(found) for found in self.curve],
            "levels": {level: estimate_json(found) for level, found in self.levels.items()},
            "mean": estimate_json(self.mean),
            "difference": difference_json(self.difference) if self.difference else None,
            "oracle_gap": self.gap,
            "quantities": {key: [estimate_json(x) for x in found] for key, found in self.quantities.items()},
        }


def side_by_side(runs: Runs, reference: str | None = None, *, each_at_its_end: bool = False) -> list[SettingResult]:
    """A result per label, in order; differences are to ``reference``, the first label when None.

    A reference that is not among the labels leaves all differences out.

    Args:
        each_at_its_end: labels with more iterations than others are compared after their own last one, and not after
            the last that all have: for settings with a budget in common instead.
    """
    levels = levels_of(runs)
    reference = next(iter(runs)) if reference is None else reference
    together = {label: {label: mine} if each_at_its_end else runs for label, mine in runs.items()}
    ends = {label: last_common_iteration(those) for label, those in together.items()}
    known = quantities_of(report for mine in runs.values() for report in run_reports(mine[0].config))
    return [
        SettingResult(
            label=label,
            preset=mine[0].config.preset,
            seeds=tuple(run.seed for run in mine),
            curve=tuple(held_out(mine, t) for t in range(last + 1)),
            levels={level: held_out(mine, last, level=level) for level in levels},
            difference=held_out_difference(runs[reference], mine, last, first_iteration=ends[reference])
            if label != reference and reference in runs
            else None,
            quantities={
                key: over_runs([_until(run.summary, last) for run in mine], quantity)
                for key, quantity in known.items()
                if quantity.span is not Span.RUN or have_ended(together[label])
            },
            known=known,
            world=mine[0].config.world,
            problems=mine[0].problems,
            gap=reference in runs and _oracle(mine) and unlike(runs[reference][0], mine[0]) == [LABELS_KEY],
        )
        for (label, mine), last in zip(runs.items(), ends.values(), strict=True)
    ]


def have_ended(runs: Runs) -> bool:
    """Whether all runs have come to their end together, so that what is known at a run's end can be compared."""
    last = last_common_iteration(runs)
    return all(run.finished and len(run.held_out) == last + 1 for mine in runs.values() for run in mine)


def config_differences(runs: Runs) -> dict[str, list[object]]:
    """The keys in which the settings differ, each with its value in every label."""
    different = differing([values_by_key(mine[0].config) for mine in runs.values()])
    return {key: row for key, row in different.items() if key != "seed"}


def notes(runs: Runs) -> list[str]:
    """What a reader must know before the numbers: which runs go on, which were cut, and what one seed cannot say."""
    last = last_common_iteration(runs)
    every = [run for mine in runs.values() for run in mine]
    out = [
        f"{run.path} has not finished ({run.summary['status']}): {_evaluated(run)}" for run in every if not run.finished
    ]
    if any(len(run.held_out) > last + 1 for run in every):
        out.append(f"all are compared after {_after(last)}, the last evaluation that every run has")
    single = [label for label, mine in runs.items() if len(mine) == 1]
    if single:
        verb = "have" if len(single) > 1 else "has"
        out.append(
            f"{', '.join(single)} {verb} one seed: such intervals are over problems only, and say nothing about another"
            " seed; a verdict needs two seeds or more of each setting: --seeds 0,1,2"
        )
    out += [text for label, mine in runs.items() if (text := _stray_seed(label, mine, last))]
    for label, mine in runs.items():
        versions = sorted({run.code for run in mine if run.code})
        if len(versions) > 1:
            out.append(f"the runs of {label} come from several versions of the code: {', '.join(versions)}")
    labels = list(runs)
    oracles = [label for label in labels if _oracle(runs[label])]
    out += [f"{label} learned from true labels (oracle): it is no result of a method" for label in oracles]
    out += [
        f"{labels[i]} and {labels[j]} have the same configuration: what differs between them does not stand in it"
        for i, j in equal_settings(list(runs.values()))
    ]
    first, *others = runs.values()
    unlike = [label for label, mine in list(runs.items())[1:] if not _same_problems(first, mine, last)]
    if others and unlike:
        out.append(f"{', '.join(unlike)}: other held-out problems than {next(iter(runs))}, so not paired by problem")
    return out


def _oracle(runs: Sequence[ReadRun]) -> bool:
    return runs[0].config.oracle


def _stray_seed(label: str, runs: Sequence[ReadRun], iteration: int) -> str | None:
    """What a seed that ends far from all others means for the interval over seeds."""
    ends = sorted((float(run.held_out[iteration].right.mean()), run.seed) for run in runs)
    if len(ends) < 3:
        return None
    for (one, seed), others in ((ends[0], ends[1:]), (ends[-1], ends[:-1])):
        low, high = others[0][0], others[-1][0]
        if max(low - one, one - high) > max(_APART, _TIMES * (high - low)):
            share = share_of(1, len(ends))
            return (
                f"seed {seed} of {label} ends at {100 * one:.1f} %, the others at {100 * low:.1f} to"
                f" {100 * high:.1f} %: seeds do not scatter normally, so the interval over seeds is a rough guide; that"
                f" {100 * share.low:.0f} to {100 * share.high:.0f} % of all seeds end like it is all that"
                f" {len(ends)} seeds say (95 %)"
            )
    return None


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


def _until(summary: Summary, last: int) -> Summary:
    return {**summary, "iterations": iterations(summary)[: last + 1]}


def _evaluated(run: ReadRun) -> str:
    last = len(run.held_out) - 1
    return f"evaluated up to {_after(last)} of {run.config.iterations}" if last else "only the base model is evaluated"


def _after(iteration: int) -> str:
    return f"iteration {iteration}" if iteration else "the base model"


def _same_problems(first: Sequence[ReadRun], second: Sequence[ReadRun], iteration: int) -> bool:
    return first[0].held_out[iteration].problems == second[0].held_out[iteration].problems
