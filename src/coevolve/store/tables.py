"""The columns of a run's Parquet files, written down so that every shard of one kind has the same types."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GROUP_BYTES = 32 << 20  # of values in one row group, about: what writing and reading hold at once
GROUP_ROWS = 1 << 14

_text, _integer, _real, _flag = pa.string(), pa.int32(), pa.float64(), pa.bool_()

_TASKS = {
    "iteration": _integer,
    "task_id": _text,
    "question": _text,
    "steps": _integer,
    "topic": _text,
    "well_formed": _flag,
    "duplicate": _flag,
    "reserved": _flag,
    "proposed_answer": _text,
    "p_hat": _real,
    "label": _text,
    "counts": pa.list_(pa.struct([("answer", _text), ("votes", _integer)])),
    "forms": pa.list_(pa.list_(_text)),
    "valid": _integer,
    "k": _integer,
    "tied": _flag,
    "kept": _flag,
    "reason": _text,
    "tool_calls": _real,
    "refused": pa.list_(pa.struct([("reason", _text), ("answers", _integer)])),
    "outputs": _integer,
    "supported": _integer,
    "programs": _integer,
    "shape": _text,
    "numbers": _real,
    "refusals": _real,
    "own_answer_agrees": _flag,
    "asked_topic": _text,
    "asked_level": _text,
}
_QUESTIONS = {"step": _integer, "question": _text, "shape": _text}
_PROGRAMS = {
    "kind": _text,
    "program": _text,
    "inputs": pa.list_(_text),
    "outputs": pa.list_(_text),
    "message": _text,
    "solved": _real,
}
_TRAJECTORIES = {
    "iteration": _integer,
    "phase": _text,
    "set": _text,
    "task_id": _text,
    "question": _text,
    "sample": _integer,
    "policy": _text,
    "policy_versions": pa.list_(_integer),
    "contract": _text,
    "agent": _text,
    "seat": _integer,
    "reward": _real,
    "text": _text,
    "answer": _text,
    "refused": _text,
    "unrun": _integer,
    "stop": _text,
    "tool_calls": pa.list_(pa.struct([("code", _text), ("observation", _text), ("status", _text)])),
    "prompt": pa.list_(_integer),
    "tokens": pa.list_(_integer),
    "mask": pa.list_(_flag),
    "logprobs": pa.list_(pa.float32()),
}
_JOURNAL = {name: kind for name, kind in _TRAJECTORIES.items() if name not in ("iteration", "phase", "set", "question")}
_METER_TASKS = {"task_id": _text, "truth": _text, "label_right": _flag}
_FIRST_EXECUTOR = {"task_id": _text, "pass_rate": _real}
_METER_EVALUATION = {
    "set": _text,
    "task_id": _text,
    "question": _text,
    "truth": _text,
    "samples_right": _integer,
    "k": _integer,
    "majority": _text,
    "majority_right": _flag,
    "greedy_right": _flag,
    "tool_calls": _real,
}
_METER_SUITES = {
    "task_id": _text,
    "question": _text,
    "truth": _text,
    "kind": _text,
    "options": pa.list_(_text),
    "level": _text,
    "topic": _text,
    "family": _text,
    "scored": _flag,
}
_PROBE_TASKS = {"task_id": _text, "question": _text, "label": _text, "p_hat": _real}
_PROBE = {
    "iteration": _integer,
    "task_id": _text,
    "agreement": _real,
    "best_agreement": _real,
    "best": _integer,
    "present": _integer,
}
_CURRICULUM = {
    "task_id": _text,
    "question": _text,
    "answer": _text,
    "solution": _text,
    "round": _integer,
    "parent": _text,
    "failed": _text,
    "success": _real,
    "asked": _integer,
}
_CURRICULUM_ANSWERS = {
    "task_id": _text,
    "sample": _integer,
    "right": _flag,
    "prompt": pa.list_(_integer),
    "tokens": pa.list_(_integer),
    "mask": pa.list_(_flag),
}
_KINDS = {
    "curriculum/questions-*": _CURRICULUM,
    "curriculum/answers-*": _CURRICULUM_ANSWERS,
    "tasks/*": _TASKS,
    "questions/*": _QUESTIONS,
    "programs/*": _PROGRAMS,
    "trajectories/*": _TRAJECTORIES,
    "partial/*": _JOURNAL,
    "meter/tasks-*": _METER_TASKS,
    "meter/first-executor-*": _FIRST_EXECUTOR,
    "meter/evaluation-*": _METER_EVALUATION,
    "meter/suites/*": _METER_SUITES,
    "probe/tasks*": _PROBE_TASKS,
    "probe/iteration-*": _PROBE,
}


# Tables with true answers or problems to measure on carry this mark in their schema.
_MEASURING_ONLY = ("meter/*", "trajectories/suites-*")
_MARK = {b"coevolve": b"for measuring only: nothing that learns may read this"}


def is_for_measuring(path: Path) -> bool:
    """Whether a Parquet file holds what nothing that learns may read, whatever it is called by now.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a whole Parquet file.
    """
    found = pq.read_schema(path).metadata or {}
    return all(found.get(key) == value for key, value in _MARK.items())


def columns_of(relative: str) -> Mapping[str, pa.DataType]:
    """The columns that a table of this name always has, in their order; none for a kind that is not known."""
    return next((columns for pattern, columns in _KINDS.items() if fnmatch(relative, pattern)), {})


def write(sink: io.RawIOBase, relative: str, rows: Iterable[Mapping[str, object]]) -> None:
    """Rows as a Parquet file (zstd), one row group after the other, so that no more than one is held at a time.

    Columns that the kind of table does not know get the type of their values in the first row group.

    Args:
        sink: the file to write.
        relative: its name in the run folder, which says what kind of table it is.
        rows: the rows in their order.

    Raises:
        OSError: the system refused.
        ValueError: a value does not fit the type of its column, or a later row group has a column more.
    """
    groups = _groups(rows)
    table = _table(columns_of(relative), next(groups, []))
    if any(fnmatch(relative, pattern) for pattern in _MEASURING_ONLY):
        table = table.replace_schema_metadata(_MARK)
    with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        writer.write_table(table)
        for group in groups:
            more = _table({field.name: field.type for field in table.schema}, group)
            if more.num_columns > table.num_columns:
                new = more.column_names[table.num_columns :]
                raise ValueError(f"{relative}: column {new[0]} begins only after the first row group")
            writer.write_table(more.replace_schema_metadata(table.schema.metadata))


def batches(path: Path, columns: Sequence[str] | None = None, task_id: str | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file in parts that fit in memory.

    Args:
        path: the file.
        columns: what to read; a part of a nested column is named like ``tool_calls.list.element.status``.
        task_id: leave out row groups that cannot have a row of this task; other rows than its own may still come.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a whole Parquet file.
    """
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):  # a batch never holds more than one
            if task_id is not None and not _may_have(file.metadata.row_group(group), task_id):
                continue
            yield from file.iter_batches(1 << 13, row_groups=[group], columns=columns and list(columns))


def _may_have(group: pq.RowGroupMetaData, task_id: str) -> bool:
    """Whether a row of the task can be in a row group, by the least and the greatest id that the file says it has."""
    columns = [group.column(i) for i in range(group.num_columns)]
    known = next((c.statistics for c in columns if c.path_in_schema == "task_id"), None)
    return known is None or not known.has_min_max or bool(known.min <= task_id <= known.max)


def read(path: Path) -> list[dict[str, object]]:
    """All rows of a Parquet file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a whole Parquet file.
    """
    with path.open("rb") as source:
        rows: list[dict[str, object]] = pq.read_table(source).to_pylist()
    return rows


def _groups(rows: Iterable[Mapping[str, object]]) -> Iterator[list[Mapping[str, object]]]:
    """The rows in parts of at most GROUP_ROWS, or of as many as reach GROUP_BYTES."""
    group: list[Mapping[str, object]] = []
    size = 0
    for row in rows:
        group.append(row)
        size += sum(map(_size, row.values()))
        if size >= GROUP_BYTES or len(group) >= GROUP_ROWS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _size(value: object) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    return len(value) if isinstance(value, str) else 8


def _table(known: Mapping[str, pa.DataType], rows: Sequence[Mapping[str, object]]) -> pa.Table:
    extra = [name for name in dict.fromkeys(key for row in rows for key in row) if name not in known]
    columns = {name: _array([row.get(name) for row in rows], kind) for name, kind in known.items()}
    return pa.table(columns | {name: pa.array([row.get(name) for row in rows]) for name in extra})


def _array(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    """Values as a column; arrays of numbers are joined instead of looked at one number at a time."""
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    if not arrays or len(arrays) < len(values):
        return pa.array(values, type=kind)
    ends = np.cumsum([0, *map(len, arrays)])
    inner = pa.array(np.concatenate(arrays), type=kind.value_type)
    return pa.ListArray.from_arrays(pa.array(ends, type=pa.int32()), inner, type=kind)
