"""The trajectories of a run in compressed chunks, each opened by the page when one of its tasks is looked at."""

from __future__ import annotations

import base64
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import pyarrow as pa

from coevolve.report.task_index import HELD_OUT, WRITTEN, Key, TaskIndex, iteration_of, problem_sets, task_forms
from coevolve.report.transcripts import COLUMNS, STREAMS, rows_of, run_pieces, shown, written
from coevolve.store.records import RunRecords

MOST_OF_A_TASK = 16  # as many as can be compared side by side
MOST_TRAJECTORIES = 64_000
TEXT_BYTES = 80_000_000  # of all trajectories before compression, which bounds the memory of making a page
PAGE_BYTES = 24_000_000  # of all chunks
_KEY = ("set", "iteration", "task_id")
CHUNK_BYTES = 200_000  # before compression; one is opened in a few milliseconds


@dataclass
class Trajectories:
    """What a page holds of the trajectories of an index: ``at[i]`` is [chunk, place in it] of task i, or null."""

    chunks: list[str] = field(default_factory=list)  # zlib streams of JSON in base64
    at: list[list[int] | None] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)  # trajectories that the run folder has of each task
    total: int = 0  # trajectories of the run


def read_trajectories(folder: RunRecords, index: TaskIndex) -> Trajectories:
    """Trajectories of the tasks of an index, the important ones first when there are too many for a page.

    Tables are read a few thousand rows at a time; memory is bounded by TEXT_BYTES whatever the run holds.

    Raises:
        RunError: a table of a finished phase is missing or damaged.
    """
    # 1. Which tasks: by importance, until the page would hold too many trajectories.
    order = index.by_importance()
    keys = list(index.keys())
    measured = problem_sets(folder)
    counted, total = _count(folder, measured)
    answered = [counted[key] for key in keys]
    sizes = accumulate(min(answered[i], MOST_OF_A_TASK) for i in order)
    wanted = {keys[i]: i for i, size in zip(order, sizes, strict=True) if answered[i] and size <= MOST_TRAJECTORIES}
    # 2. Their trajectories as JSON, in the order of the tables; those beyond TEXT_BYTES are read over, not kept.
    texts: dict[int, list[str]] = defaultdict(list)
    room = TEXT_BYTES
    for i, text in _texts(folder, index, wanted, measured):
        room -= len(text)
        if room >= 0:
            texts[i].append(text)
    # 3. Packed by importance again, so that it is the least important tasks that find no room in the page.
    found = Trajectories(answered=answered, at=[None] * len(index), total=total)
    _pack(found, [i for i in order if i in texts], texts)
    return found


def task_trajectories(folder: RunRecords, key: Key) -> list[dict[str, Any]]:
    """The trajectories of one task, as a chunk of the page has them, for a server that gives them out one by one.

    Raises:
        RunError: a table of a finished phase is missing or damaged.
    """
    pieces, forms = run_pieces(folder), task_forms(folder, key)
    names = [name for name in folder.recorded("trajectories/") if iteration_of(name) == key[1]]
    found = _matching(folder, names, {key: 0}, problem_sets(folder), task_id=key[2])
    return [shown(row, forms, pieces) for _, row in found]


def left_out(index: TaskIndex, found: Trajectories) -> str:
    """A sentence on what the page does not hold and where it is; empty when it holds everything."""
    if index.total and not found.total:
        return "This run did not keep its trajectories (run.keep_trajectories)."
    parts = []
    if index.total > len(index):
        parts.append(f"{index.total - len(index):,} of {index.total:,} tasks")
    held = sum(min(n, MOST_OF_A_TASK) for n, at in zip(found.answered, found.at, strict=True) if at)
    if found.total > held:
        parts.append(f"{found.total - held:,} of {found.total:,} trajectories")
    where = "they are in the Parquet files of the run folder (tasks, meter, trajectories)"
    return f"To bound its size this page leaves out {' and '.join(parts)}; {where}." if parts else ""


def _count(folder: RunRecords, measured: frozenset[str]) -> tuple[Counter[Key], int]:
    """Stored trajectories of each task, and of all."""
    counted: Counter[Key] = Counter()
    for name in folder.recorded("trajectories/"):
        for batch in folder.scan(name, _KEY):
            counted.update(_keys(batch, measured))
    return counted, sum(counted.values())


def _keys(batch: pa.RecordBatch, measured: frozenset[str]) -> Iterator[Key]:
    """Whose each trajectory is: that of a problem when its set is one of those measured, else that of a task."""
    columns = (batch.column(name).to_pylist() for name in _KEY)
    for set, iteration, task_id in zip(*columns, strict=True):
        held_out = str(set).removeprefix("greedy-") in measured
        yield HELD_OUT if held_out else WRITTEN, iteration, task_id


def _matching(
    folder: RunRecords,
    names: Sequence[str],
    wanted: Mapping[Key, int],
    measured: frozenset[str],
    task_id: str | None = None,
) -> Iterator[tuple[int, Any]]:
    """Rows of the wanted tasks with the place of each; no more than MOST_OF_A_TASK of one."""
    given: Counter[Key] = Counter()
    for name in names:
        for batch in folder.scan(name, (*COLUMNS, *STREAMS), task_id):
            keys = list(_keys(batch, measured))
            mask = []
            for key in keys:
                given[key] += key in wanted
                mask.append(key in wanted and given[key] <= MOST_OF_A_TASK)
            if any(mask):
                rows = rows_of(batch.filter(pa.array(mask)))
                yield from zip((wanted[key] for key, use in zip(keys, mask, strict=True) if use), rows, strict=True)


def _texts(
    folder: RunRecords, index: TaskIndex, wanted: Mapping[Key, int], measured: frozenset[str]
) -> Iterator[tuple[int, str]]:
    """Place and JSON of every wanted trajectory, in the order of the tables."""
    pieces = run_pieces(folder)
    for i, row in _matching(folder, folder.recorded("trajectories/"), wanted, measured):
        yield i, written(shown(row, index.forms[i], pieces))


def _pack(found: Trajectories, order: Sequence[int], texts: Mapping[int, list[str]]) -> None:
    """Fill chunks with the tasks in this order until the page is full."""
    room = PAGE_BYTES
    for places in _portions(order, texts):
        tasks = ",".join(f"[{','.join(texts[i])}]" for i in places)
        chunk = base64.b64encode(zlib.compress(f"[{tasks}]".encode(errors="replace"), 6)).decode()
        room -= len(chunk)
        if room < 0:
            return
        for place, i in enumerate(places):
            found.at[i] = [len(found.chunks), place]
        found.chunks.append(chunk)


def _portions(order: Sequence[int], texts: Mapping[int, list[str]]) -> Iterator[list[int]]:
    """Tasks in this order, as many at a time as make a chunk."""
    places: list[int] = []
    size = 0
    for i in order:
        places.append(i)
        size += sum(map(len, texts[i]))
        if size >= CHUNK_BYTES:
            yield places
            places, size = [], 0
    if places:
        yield places
