"""The columns of a run's Parquet files, written down so that every shard of one kind has the same types."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch

import pyarrow as pa
import pyarrow.parquet as pq

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
}
_TRAJECTORIES = {
    "iteration": _integer,
    "phase": _text,
    "set": _text,
    "task_id": _text,
    "question": _text,
    "sample": _integer,
    "policy": _text,
    "policy_version": _integer,
    "contract": _text,
    "text": _text,
    "answer": _text,
    "stop": _text,
    "tool_calls": pa.list_(pa.struct([("code", _text), ("observation", _text), ("status", _text)])),
    "prompt": pa.list_(_integer),
    "tokens": pa.list_(_integer),
    "mask": pa.list_(_flag),
    "logprobs": pa.list_(pa.float32()),
}
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
_KINDS = {
    "tasks/*": _TASKS,
    "trajectories/*": _TRAJECTORIES,
    "meter/tasks-*": _METER_TASKS,
    "meter/first-executor-*": _FIRST_EXECUTOR,
    "meter/evaluation-*": _METER_EVALUATION,
}


def encode(relative: str, rows: Sequence[Mapping[str, object]]) -> bytes:
    """Rows as a Parquet file; columns that the kind of table does not know get the type of their values.

    Raises:
        ValueError: a value does not fit the type of its column.
    """
    known = next((columns for pattern, columns in _KINDS.items() if fnmatch(relative, pattern)), {})
    extra = [name for name in dict.fromkeys(key for row in rows for key in row) if name not in known]
    columns = {name: pa.array([row.get(name) for row in rows], type=kind) for name, kind in known.items()}
    columns |= {name: pa.array([row.get(name) for row in rows]) for name in extra}
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target, compression="zstd")
    return target.getvalue()


def decode(data: bytes) -> list[dict[str, object]]:
    """The rows of a Parquet file.

    Raises:
        ValueError: the bytes are not a whole Parquet file.
    """
    rows: list[dict[str, object]] = pq.read_table(io.BytesIO(data)).to_pylist()
    return rows
