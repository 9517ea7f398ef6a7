"""The pools of a run for the task browser of the report, within a budget of bytes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from coevolve.curriculum.voting import counted_as
from coevolve.grading.canonical import canonical
from coevolve.report.segments import segments
from coevolve.runs.records import RunRecords

MOST_TASKS = 5000
MOST_TRAJECTORIES = 8  # of one task: as many as can be compared side by side

_SHOWN = (
    "iteration",
    "task_id",
    "question",
    "steps",
    "topic",
    "well_formed",
    "duplicate",
    "reserved",
    "proposed_answer",
    "p_hat",
    "label",
    "valid",
    "k",
    "tied",
    "kept",
    "reason",
    "tool_calls",
)


def browser_tasks(folder: RunRecords, budget: int) -> tuple[list[dict[str, Any]], str]:
    """The tasks of the finished pools with their trajectories, and a sentence about what was left out.

    Kept tasks come first, the iterations by turns. A task beyond the budget keeps its numbers and loses its
    trajectories; of the numbers there are at most MOST_TASKS.

    Args:
        folder: the run.
        budget: bytes of JSON for tasks and trajectories together.

    Raises:
        RunError: a file of a finished pool is missing or damaged.
    """
    everything = _tasks(folder)
    forms = [task.pop("forms") for task in everything]  # the page shows one form of each answer
    order = sorted(range(len(everything)), key=lambda i: (not everything[i]["kept"], *_turn(everything[i])))
    chosen = order[:MOST_TASKS]
    tasks = [everything[i] for i in sorted(chosen)]
    groups = _groups(folder, {(task["iteration"], task["task_id"]) for task in tasks})
    budget -= _size(tasks)
    dropped = samples = 0
    for i in chosen:
        task = everything[i]
        group = groups.get((task["iteration"], task["task_id"]), [])
        shown = [_trajectory(row, forms[i]) for row in group[:MOST_TRAJECTORIES]]
        cost = _size(shown)
        if cost > budget:
            dropped, shown = dropped + 1, []
        else:
            budget -= cost
            samples += len(group) - len(shown)
        task |= {"trajectories": shown, "answered": len(group)}
    return tasks, _left_out(folder, len(everything), len(everything) - len(tasks), dropped, samples)


def _size(value: object) -> int:
    """Bytes that a value takes in the page, where "<" and its like are written as escapes."""
    text = json.dumps(value, separators=(",", ":"))
    return len(text) + 5 * sum(map(text.count, "<>&"))


def _tasks(folder: RunRecords) -> list[dict[str, Any]]:
    """The rows of all pools, with what only the meter knows under its own key."""
    meter, first = _by_task(folder, "meter/tasks-"), _by_task(folder, "meter/first-executor-")
    found = []
    for name in folder.recorded("tasks/iteration-"):
        for row in folder.read_table(name):
            key = (_number(name), row["task_id"])
            known = meter.get(key, {})
            counts: Sequence[Mapping[str, object]] = row["counts"] or ()  # type: ignore[assignment]
            found.append(
                {column: row.get(column) for column in _SHOWN}
                | {
                    "counts": [[count["answer"], count["votes"]] for count in counts],
                    "forms": row.get("forms") or [[count["answer"]] for count in counts],
                    "truth": known.get("truth"),
                    "right": known.get("label_right"),
                    "first": first.get(key, {}).get("pass_rate"),
                }
            )
    return found


def _by_task(folder: RunRecords, prefix: str) -> dict[tuple[str, object], Mapping[str, object]]:
    """The rows of the meter's tables of all iterations, by iteration and task."""
    return {(_number(name), row["task_id"]): row for name in folder.recorded(prefix) for row in folder.read_table(name)}


def _number(name: str) -> str:
    """The iteration in a name such as ``meter/tasks-2.parquet``."""
    return name.rsplit("-", 1)[-1].removesuffix(".parquet")


def _groups(folder: RunRecords, wanted: set[tuple[Any, Any]]) -> dict[tuple[Any, Any], list[dict[str, Any]]]:
    """Trajectories by iteration and task, only those whose answers were votes of a pool."""
    groups: dict[tuple[Any, Any], list[dict[str, Any]]] = defaultdict(list)
    for name in folder.recorded("trajectories/"):
        for row in folder.read_table(name):
            key = (row["iteration"], row["task_id"])
            if key in wanted and str(row["phase"]).endswith("pool"):
                groups[key].append(row)
    return groups


def _trajectory(row: Mapping[str, Any], forms: Sequence[Sequence[str]]) -> dict[str, Any]:
    """One trajectory as the page shows it; ``vote`` is the index of its answer among the votes, or null."""
    return {
        "sample": row["sample"],
        "policy": row["policy"],
        "answer": row["answer"],
        "vote": counted_as(canonical(row["answer"]), forms) if row["answer"] is not None else None,
        "stop": row["stop"],
        "segments": segments(row["text"], row["tool_calls"] or ()),
    }


def _turn(task: Mapping[str, Any]) -> tuple[str, Any]:
    """An order that takes the iterations by turns: task names end in their number within the pool."""
    return str(task["task_id"])[-4:], task["iteration"]


def _left_out(folder: RunRecords, total: int, tasks: int, dropped: int, samples: int) -> str:
    if total and not folder.recorded("trajectories/"):
        return "This run did not keep its trajectories (run.keep_trajectories)."
    parts = [f"{tasks} of {total} tasks"] if tasks else []
    if dropped:
        parts.append(f"the trajectories of {dropped} of {total} tasks")
    if samples:
        parts.append(f"{samples} trajectories beyond the first {MOST_TRAJECTORIES} of a task")
    where = "they are in the Parquet files of the run folder"
    return f"To bound its size this page leaves out {', '.join(parts)}; {where}." if parts else ""
