"""The suites of runs problem by problem: what a solver gained or lost on the very same questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coevolve.evaluation.chosen import facts_of
from coevolve.evaluation.suites import part_and_key
from coevolve.statistics import Estimate, crossed_difference
from coevolve.store.records import RunRecords
from coevolve.worlds.base import SUITES


@dataclass(frozen=True, slots=True)
class OnSuite:
    """How one policy did on the problems of a suite, in the order of its table."""

    problems: tuple[str, ...]
    rates: NDArray[np.float64]  # share of right sampled answers of each


def on_suites(folder: RunRecords, iteration: int) -> dict[str, OnSuite]:
    """What an evaluation found, by suite; empty where it is not finished or measured none.

    Raises:
        RunError: its table is missing or damaged.
    """
    name = f"meter/evaluation-{iteration}.parquet"
    rows: dict[str, list[tuple[str, float]]] = {}
    for batch in folder.scan(name, ("set", "task_id", "samples_right", "k")) if folder.recorded(name) else ():
        for row in batch.to_pylist():
            part, key = part_and_key(row["set"])
            if part == SUITES:
                rows.setdefault(key, []).append((row["task_id"], row["samples_right"] / row["k"]))
    return {
        key: OnSuite(tuple(id for id, _ in found), np.array([rate for _, rate in found])) for key, found in rows.items()
    }


def difference(first: OnSuite, second: OnSuite) -> Estimate:
    """The second's mean minus the first's with its interval over problems, paired by problem.

    Raises:
        ValueError: they are not of the same problems.
    """
    if first.problems != second.problems:
        raise ValueError("numbers of different problems cannot be paired")
    return crossed_difference([first.rates], [second.rates], same_problems=True, same_seeds=True)


def suites_of_run(folder: RunRecords) -> dict[str, dict[str, object]]:
    """What the suites of a run are, and the change from its base model to its newest evaluation, by name.

    Returns:
        for each: n, size, copy, digest, licence, notes, and ``change`` with from, to, mean, ci95 and n; null where only
        one evaluation is finished.

    Raises:
        RunError: a table of a finished evaluation is missing or damaged.
    """
    facts = facts_of(folder)
    if not facts:
        return {}
    last = max((t for t in range(folder.config.iterations + 1) if _is_measured(folder, t)), default=0)
    ends = (on_suites(folder, 0), on_suites(folder, last)) if last else ({}, {})
    return {
        name: {
            "n": kept.n,
            "size": kept.size,
            "copy": kept.copy,
            "digest": kept.digest,
            "licence": kept.licence,
            "notes": list(kept.notes),
            "change": _change(name, *ends, last),
        }
        for name, kept in facts.items()
    }


def _is_measured(folder: RunRecords, iteration: int) -> bool:
    return bool(folder.recorded(f"meter/evaluation-{iteration}.parquet"))


def _change(
    name: str, first: Mapping[str, OnSuite], second: Mapping[str, OnSuite], last: int
) -> dict[str, object] | None:
    if name not in first or name not in second:
        return None
    found = difference(first[name], second[name])
    return {"from": 0, "to": last, "mean": found.mean, "ci95": found.ci95, "n": found.n}
