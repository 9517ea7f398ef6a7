"""Runs side by side: put together by setting, cut where all have data, compared problem by problem and by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from coevolve.config import Config
from coevolve.errors import RunError
from coevolve.evaluation.chosen import facts_of
from coevolve.evaluation.meters import open_meter
from coevolve.evaluation.suites import part_and_key
from coevolve.methods.reporting import Summary
from coevolve.monitor.summary import summarise
from coevolve.runs.provenance import starts_of
from coevolve.statistics import Estimate, crossed, crossed_difference
from coevolve.store.records import RunRecords
from coevolve.studies.grouping import grouped
from coevolve.worlds.base import HELD_OUT, SUITES, TRANSFER
from coevolve.worlds.play import PLAY

Verdict = Literal["higher", "lower", "not told apart", "no verdict"]
Column = Literal["right", "greedy", "calls"]

# Where a run's folder is says nothing about its setting.
_PLACES = {"run.dir", "run.name"}
Problems = Literal["held_out", "dialogues", "suites", "play"]
# The part of an evaluation, and how the keys of its suites begin; what follows is the level, the number of turns, or
# the name of a chosen suite.
_SUITES: dict[Problems, tuple[str, str]] = {
    "held_out": (HELD_OUT, ""),
    "dialogues": (TRANSFER, "dialogue_"),
    "suites": (SUITES, ""),
    "play": (PLAY, ""),
}


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The held-out problems after one iteration, one entry per problem; all runs of one setting meet the same ones."""

    problems: tuple[str, ...]
    levels: NDArray[np.str_]  # of a dialogue: its user turns; of a chosen suite or a contest: its name
    right: NDArray[np.float64]  # share of right sampled answers; of a match 1 where it was not lost
    greedy: NDArray[np.float64]  # 1 where the greedy answer is right; NaN of dialogues, which are only sampled
    calls: NDArray[np.float64]  # tool calls per sampled answer


@dataclass(frozen=True, slots=True)
class ReadRun:
    """What of one run is compared."""

    path: Path
    seed: int
    config: Config
    summary: Summary
    held_out: tuple[HeldOut, ...]  # by iteration, as many as are evaluated
    base: object = None  # digest of the base model; None where it was not recorded
    code: str | None = None  # the version of the code that finished it; None where it was not recorded
    problems: Problems = "held_out"  # what ``held_out`` is of

    @property
    def finished(self) -> bool:
        """Whether the run has finished."""
        return bool(self.summary["status"] == "finished")


Runs = Mapping[str, Sequence[ReadRun]]  # by label


@dataclass(frozen=True, slots=True)
class Difference:
    """A label against the first one: the second minus the first, and how the two were paired."""

    estimate: Estimate
    seeds: tuple[int, ...]  # that both have; empty: none, and the seeds were not paired
    same_problems: bool
    over_seeds: bool  # whether the interval speaks of seeds as well: both sides have two or more

    @property
    def verdict(self) -> Verdict:
        """Whether the interval excludes 0, and on which side; none where one side has a single seed.

        Two seeds of one setting differ as well: an interval over problems alone would call that a difference.
        """
        if not self.over_seeds:
            return "no verdict"
        if self.estimate.low > 0:
            return "higher"
        return "lower" if self.estimate.high < 0 else "not told apart"


def read_runs(folders: Sequence[Path], problems: Problems = "held_out") -> dict[str, list[ReadRun]]:
    """Runs by label, labels in the order given, seeds ascending; see :func:`coevolve.studies.grouping.grouped`.

    A run that has not finished is read as far as it is; one of a world of games on its matches.

    Args:
        problems: what the runs are compared on; a run whose world has no held-out problems is read on its suites.

    Raises:
        RunError: a run is missing, damaged or has evaluated nothing, or no such problems; or two runs of a label share
            their seed or differ in more than their seed.
    """
    return grouped([_read(folder, problems) for folder in folders])


def on_suites(runs: Runs) -> dict[str, list[ReadRun]]:
    """The same runs read on their chosen suites; labels with a run that has none are left out.

    Raises:
        RunError: a table is missing or damaged.
    """
    return {
        label: [
            run
            if run.problems == "suites"
            else replace(run, held_out=_tables(RunRecords.open(run.path), "suites"), problems="suites")
            for run in mine
        ]
        for label, mine in runs.items()
        if all(run.config.evaluation.suites for run in mine)
    }


def last_common_iteration(runs: Runs) -> int:
    """The last iteration that every run has evaluated."""
    return min(len(run.held_out) for mine in runs.values() for run in mine) - 1


def differing(values: Sequence[Mapping[str, object]]) -> dict[str, list[object]]:
    """The keys whose values differ, each with its value in every configuration; places of folders left out."""
    rows = {key: [one[key] for one in values] for key in values[0]} if values else {}
    return {key: row for key, row in rows.items() if key not in _PLACES and any(x != row[0] for x in row)}


def held_out(runs: Sequence[ReadRun], iteration: int, column: Column = "right", level: str | None = None) -> Estimate:
    """The mean of a label after an iteration, with the interval over its problems and seeds."""
    return crossed([_values(run, iteration, column, level) for run in runs])


def held_out_difference(
    first: Sequence[ReadRun],
    second: Sequence[ReadRun],
    iteration: int,
    column: Column = "right",
    level: str | None = None,
    *,
    first_iteration: int | None = None,
) -> Difference:
    """A label against the first: on the seeds that both have, or on all where they share too few to tell scatter.

    Args:
        iteration: after which both are measured.
        first_iteration: after which the first is measured, where that is another one.
    """
    at = (iteration if first_iteration is None else first_iteration, iteration)
    seeds = tuple(sorted({run.seed for run in first} & {run.seed for run in second}))
    if len(seeds) == 1 and min(len(first), len(second)) > 1:
        seeds = ()
    a, b = ([run for run in runs if not seeds or run.seed in seeds] for runs in (first, second))
    same_problems = problems_of(a[0], at[0], level) == problems_of(b[0], at[1], level)
    values = [[_values(run, t, column, level) for run in runs] for t, runs in zip(at, (a, b), strict=True)]
    found = crossed_difference(*values, same_problems=same_problems, same_seeds=bool(seeds))
    return Difference(found, seeds, same_problems, over_seeds=min(len(a), len(b)) > 1)


def levels_of(runs: Runs) -> list[str]:
    """The levels of held-out problems that every run has, in order."""
    sets = [set(run.held_out[0].levels.tolist()) for mine in runs.values() for run in mine]
    return sorted(set.intersection(*sets), key=lambda level: (len(level), level))


def problems_of(run: ReadRun, iteration: int, level: str | None = None) -> tuple[str, ...]:
    """The names of the problems that a run was measured on, of one level or of all."""
    table = run.held_out[iteration]
    if level is None:
        return table.problems
    return tuple(id for id, of in zip(table.problems, table.levels.tolist(), strict=True) if of == level)


def _values(run: ReadRun, iteration: int, column: Column, level: str | None) -> NDArray[np.float64]:
    table = run.held_out[iteration]
    values: NDArray[np.float64] = getattr(table, column)
    return values if level is None else values[table.levels == level]


def _read(folder: Path, problems: Problems) -> ReadRun:
    run = RunRecords.open(folder)
    meter = open_meter(run.config.world, run.config.dialogue)
    if problems == "held_out" and not meter.has_held_out(run.config.evaluation):
        problems = "play" if meter.has_contests(run.config.evaluation) else "suites"
        if problems == "suites" and not run.config.evaluation.suites:
            what = f"a run of the world {run.config.world} has no held-out problems, so there is nothing to compare"
            raise RunError(what, where=str(folder), fix="measure runs on suites: evaluation.suites")
    tables = _tables(run, problems)
    if not tables:
        raise RunError(
            "the run has not evaluated anything yet", where=str(folder), fix=f"let it go on: coevolve resume {folder}"
        )
    return ReadRun(
        folder, run.config.seed, run.config, summarise(folder), tables, run.facts.get("base"), _code(run), problems
    )


def _tables(run: RunRecords, problems: Problems) -> tuple[HeldOut, ...]:
    recorded = run.recorded("meter/evaluation-")
    names = [f"meter/evaluation-{t}.parquet" for t in range(run.config.iterations + 1)]
    return tuple(_held_out_table(run, name, problems) for name in names if name in recorded)


def _code(run: RunRecords) -> str | None:
    """Commit and changes of coevolve and of one's own code, as the last start of a run has recorded them."""
    starts = starts_of(run.facts)
    last = starts[-1] if starts else {}
    found = last.get("code") or {}
    if found.get("commit") is None:
        return None
    changes = {"coevolve": found.get("diff_sha256"), **(last.get("own_code") or {})}
    words = [f"{name} {str(digest)[:12]}" for name, digest in changes.items() if digest]
    return f"{str(found['commit'])[:12]}{' with changes (' + ', '.join(words) + ')' if words else ''}"


def _held_out_table(run: RunRecords, name: str, problems: Problems) -> HeldOut:
    part, begin = _SUITES[problems]
    placed = [(*part_and_key(str(row["set"])), row) for row in run.read_table(name)]
    found = [(key, row) for of, key, row in placed if of == part and key.startswith(begin)]
    rows = [row for _, row in found]
    if not rows and problems == "dialogues":
        what = "the run was not measured on held-out dialogues"
        raise RunError(what, where=str(run.path), fix="set evaluation.dialogues, for example to 40, and run it again")
    if not rows and problems == "suites":
        what = "the run was measured on no suite"
        raise RunError(what, where=str(run.path), fix="set evaluation.suites and run it again")
    facts = facts_of(run) or {}
    digests = {name: f"{kept.digest[:16]}/" for name, kept in facts.items()} if problems == "suites" else {}
    numbers = {
        key: np.array([[row[key]] for row in rows], dtype=np.float64).reshape(len(rows))
        for key in ("samples_right", "k", "greedy_right", "tool_calls")
    }
    return HeldOut(
        problems=tuple(digests.get(key, "") + str(row["task_id"]) for key, row in found),
        levels=np.array([key.removeprefix(begin) for key, _ in found], dtype=np.str_),
        right=numbers["samples_right"] / numbers["k"],
        greedy=numbers["greedy_right"],
        calls=numbers["tool_calls"],
    )
