"""One problem before and after: which held-out problem the page shows beside its first figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from coevolve.report.task_index import HELD_OUT, TaskIndex

SHORTEST, LONGEST = 60, 320  # characters of a question that says something and can be read at a glance


def before_and_after(index: TaskIndex, shown: Sequence[bool]) -> list[int] | None:
    """Places in the index of one problem, answered by the base model and by the last executor that was measured.

    It is one that the base model got wrong in every sample and the last executor got right in every sample, so the page
    shows what changed and not the luck of one draw. It is an example and no figure: what it stands for is beside it.
    Where there is none with stored answers, None.

    Args:
        index: tasks and problems of the run.
        shown: of each place, whether the page holds its trajectories.
    """
    columns = index.columns
    measured = [i for i in range(len(index)) if columns["origin"][i] == HELD_OUT and columns["k"][i] and shown[i]]
    last = max((columns["iteration"][i] for i in measured), default=0)
    if last == 0:
        return None
    keys = {(columns["set"][i], columns["task_id"][i]): i for i in measured if columns["iteration"][i] == 0}
    pairs = list(_pairs(columns, measured, keys, last))
    return max(pairs, key=lambda pair: _merit(columns, pair), default=None)


def _pairs(
    columns: dict[str, list[Any]], measured: list[int], first: dict[tuple[str, str], int], last: int
) -> Iterator[list[int]]:
    """Problems of which all samples were wrong before and all are right now."""
    for now in measured:
        before = first.get((columns["set"][now], columns["task_id"][now]))
        if columns["iteration"][now] != last or before is None:
            continue
        if columns["samples_right"][before] == 0 and columns["samples_right"][now] == columns["k"][now]:
            yield [before, now]


def _merit(columns: dict[str, list[Any]], pair: list[int]) -> tuple[bool, bool, int, int]:
    """A question of readable length that the tool was used for; of those the longest, of equal ones the first."""
    question = columns["question"][pair[1]]
    readable = SHORTEST <= len(question) <= LONGEST
    return readable, (columns["tool_calls"][pair[1]] or 0) > 0, len(question) if readable else -len(question), -pair[1]
