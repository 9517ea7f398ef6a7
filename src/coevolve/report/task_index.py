"""Every task and held-out problem of a run in columns: what the task browser lists, filters and sorts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from coevolve.methods.config import CoevolutionConfig
from coevolve.report.transcripts import LONGEST_ANSWER, Forms, shortened
from coevolve.store.records import RunRecords

MOST_TASKS = 40_000
LONGEST_QUESTION = 1_000  # characters
MOST_VOTES = 24  # different answers of a task that are counted one by one

WRITTEN, HELD_OUT = 0, 1  # where a task comes from: written in training, or a problem that measures

Key = tuple[int, int, str]  # origin, iteration, task id

_PLAIN = ("steps", "p_hat", "k", "tool_calls", "tied", "kept")
_TASKS = (*_PLAIN, "task_id", "question", "topic", "proposed_answer", "label", "counts", "forms", "reason")
_EVALUATION = ("set", "task_id", "question", "truth", "samples_right", "k", "majority", "majority_right", "tool_calls")
COLUMNS = (
    "origin",
    "iteration",
    "task_id",
    "question",
    "set",
    "steps",
    "topic",
    "p_hat",
    "label",
    "truth",
    "right",
    "counts",
    "k",
    "tied",
    "kept",
    "reason",
    "fate",
    "tool_calls",
    "first",
    "own",
    "samples_right",
)


_CODED = ("set", "topic", "reason", "fate")
_FLAGS = ("right", "tied", "kept")
_OUTSIDE = "outside the gate"
_FATES = {  # what became of a task, where the reason in the table of tasks says it in short
    "no_answer": "no answer",
    "duplicate": "written before",
    "reserved": "a held-out problem",
    "narrow": "majority too narrow",
    "tied": "tied vote",
    "unverified": "not verified by the tool",
    "output": "not what its programs printed",
    "programs": "too few different programs",
    "numbers": "numbers of the question not used",
    "refusals": "called unanswerable",
    "own_answer": "not its writer's answer",
}


@dataclass
class TaskIndex:
    """Columns of equal length, one place per task; ``forms`` has the canonical keys of a pool task's votes."""

    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    forms: list[Forms | None] = field(default_factory=list)
    total: int = 0  # tasks of the run, those that are not listed included

    def __len__(self) -> int:
        return len(self.forms)

    def keys(self) -> Iterator[Key]:
        """What each place stands for."""
        names = ("origin", "iteration", "task_id")
        yield from zip(*(self.columns[name] for name in names), strict=True)

    def add(self, forms: Forms | None, **values: Any) -> None:
        """One more task; what is not given is null."""
        for name, column in self.columns.items():
            column.append(values.get(name))
        self.forms.append(forms)

    def chosen(self, places: Sequence[int]) -> TaskIndex:
        """Only these places, in this order."""
        columns = {name: [column[i] for i in places] for name, column in self.columns.items()}
        return TaskIndex(columns, [self.forms[i] for i in places], self.total)

    def as_json(self) -> dict[str, Any]:
        """The columns as JSON values: names that repeat as codes, flags as 1 and 0, rates with six digits."""
        found: dict[str, Any] = dict(self.columns)
        for name in _CODED:
            found[name] = _coded(self.columns[name])
        for name in _FLAGS:
            found[name] = [None if flag is None else int(flag) for flag in self.columns[name]]
        for name in ("p_hat", "tool_calls", "first"):
            found[name] = [None if value is None else round(value, 6) for value in self.columns[name]]
        reasons = {reason: _FATES.get(reason, reason) for reason in found["reason"]["values"]}
        return {"n": len(self), "total": self.total, "columns": found, "reasons": reasons}

    def by_importance(self) -> list[int]:
        """All places: kept tasks first, then other tasks of pools, then held-out problems; iterations by turns."""
        origin, iteration = (np.array(self.columns[name], dtype=int) for name in ("origin", "iteration"))
        dropped = np.array([not kept for kept in self.columns["kept"]], dtype=bool)
        seen: dict[tuple[int, int, bool], int] = defaultdict(int)
        turn = np.zeros(len(self), dtype=int)
        for i, group in enumerate(zip(origin.tolist(), iteration.tolist(), dropped.tolist(), strict=True)):
            turn[i] = seen[group]
            seen[group] += 1
        order: list[int] = np.lexsort((iteration, turn, dropped, origin)).tolist()
        return order


def read_index(folder: RunRecords, most: int = MOST_TASKS) -> TaskIndex:
    """The tasks of all finished pools and the problems of all evaluations; beyond ``most`` the less important go.

    Raises:
        RunError: a table of a finished phase is missing or damaged.
    """
    index = TaskIndex()
    _read_pools(folder, index)
    _read_evaluations(folder, index)
    index.total = len(index)
    if len(index) <= most:
        return index
    return index.chosen(sorted(index.by_importance()[:most]))


def task_forms(folder: RunRecords, key: Key) -> Forms | None:
    """The canonical keys of each class of votes on a task; None for a held-out problem, on which nobody votes.

    Raises:
        RunError: a table of a finished phase is missing or damaged.
    """
    origin, iteration, task_id = key
    if origin == HELD_OUT:
        return None
    names = [name for name in folder.recorded("tasks/iteration-") if iteration_of(name) == iteration]
    rows = (row for name in names for row in _rows(folder, name, ("task_id", "counts", "forms")))
    return next((_forms(row) for row in rows if row["task_id"] == task_id), [])


def _forms(row: Mapping[str, Any]) -> Forms:
    forms: Forms = row["forms"] or [[count["answer"]] for count in row["counts"] or ()]
    return forms


def _read_pools(folder: RunRecords, index: TaskIndex) -> None:
    known = _by_task(folder, "meter/tasks-", ("truth", "label_right"))
    first = _by_task(folder, "meter/first-executor-", ("pass_rate",))
    gate = folder.config.gate if isinstance(folder.config, CoevolutionConfig) else None
    for name in folder.recorded("tasks/iteration-"):
        iteration = iteration_of(name)
        for row in _rows(folder, name, _TASKS):
            key = (iteration, row["task_id"])
            truth, right = known.get(key, (None, None))
            counts = [[shortened(c["answer"], LONGEST_ANSWER), c["votes"]] for c in (row["counts"] or ())[:MOST_VOTES]]
            rest = sum(count["votes"] for count in (row["counts"] or ())[MOST_VOTES:])
            index.add(
                _forms(row),
                **{column: row[column] for column in _PLAIN},
                origin=WRITTEN,
                iteration=iteration,
                task_id=row["task_id"],
                question=shortened(row["question"], LONGEST_QUESTION),
                topic=row["topic"],
                reason=row["reason"],
                fate=_fate(row, gate.bounds(iteration) if gate else None),
                own=shortened(row["proposed_answer"], LONGEST_ANSWER),
                label=shortened(row["label"], LONGEST_ANSWER),
                counts=[*counts, ["other answers", rest]] if rest else counts,
                truth=shortened(truth, LONGEST_ANSWER),
                right=right,
                first=first.get(key, (None,))[0],
            )


def _fate(row: Mapping[str, Any], bounds: tuple[float, float] | None) -> str:
    """What became of a task, in words; of one outside of the gate on which side it is."""
    if row["kept"]:
        return "kept"
    if row["reason"] == _OUTSIDE:
        return "too unsure" if bounds and (row["p_hat"] or 0) < bounds[0] else "too easy"
    return _FATES.get(row["reason"], row["reason"]) or "left out"


def problem_sets(folder: RunRecords) -> frozenset[str]:
    """Names of the sets of held-out problems that were measured, such as ``level-1``."""
    names = folder.recorded("meter/evaluation-")
    return frozenset(str(row["set"]) for name in names for row in _rows(folder, name, ("set",)))


def _read_evaluations(folder: RunRecords, index: TaskIndex) -> None:
    for name in folder.recorded("meter/evaluation-"):
        for row in _rows(folder, name, _EVALUATION):
            index.add(
                None,
                origin=HELD_OUT,
                iteration=iteration_of(name),
                task_id=row["task_id"],
                set=row["set"],
                question=shortened(row["question"], LONGEST_QUESTION),
                truth=shortened(row["truth"], LONGEST_ANSWER),
                label=shortened(row["majority"], LONGEST_ANSWER),
                right=row["majority_right"],
                counts=[],
                k=row["k"],
                samples_right=row["samples_right"],
                tool_calls=row["tool_calls"],
            )


def _rows(folder: RunRecords, name: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows with all the named columns; one that the table does not have is null."""
    for batch in folder.scan(name, columns):
        for row in batch.to_pylist():
            yield {column: row.get(column) for column in columns}


def _by_task(folder: RunRecords, prefix: str, columns: Sequence[str]) -> dict[tuple[int, str], tuple[Any, ...]]:
    """Some columns of the meter's tables of all iterations, by iteration and task."""
    return {
        (iteration_of(name), row["task_id"]): tuple(row[column] for column in columns)
        for name in folder.recorded(prefix)
        for row in _rows(folder, name, ("task_id", *columns))
    }


def iteration_of(name: str) -> int:
    """The iteration in a name such as ``meter/tasks-2.parquet``."""
    found = re.search(r"-(\d+)", name)
    return int(found[1]) if found else 0


def _coded(values: Sequence[str | None]) -> dict[str, list[Any]]:
    """Each different value once, and for every place its number."""
    names = sorted({value for value in values if value is not None})
    code = {name: i for i, name in enumerate(names)}
    return {"values": names, "codes": [None if value is None else code[value] for value in values]}
