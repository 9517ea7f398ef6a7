"""The data set of a run: its tables joined to one Parquet file per split, and a card that lists their columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from coevolve.export.cards import Split, dataset_card
from coevolve.store import tables
from coevolve.store.records import RunRecords


@dataclass(frozen=True, slots=True)
class Source:
    """Which tables of a run become a split; ``kind`` is the name that ``tables.columns_of`` knows."""

    config: str
    split: str
    prefixes: tuple[str, ...]
    kind: str


# True answers stand in the two meter configurations only, and these have no split to train on.
SOURCES = (
    Source("tasks", "train", ("tasks/iteration-",), "tasks/iteration"),
    Source("trajectories", "train", ("trajectories/pool-",), "trajectories/pool"),
    Source("trajectories", "test", ("trajectories/held-out-", "trajectories/transfer-"), "trajectories/held-out"),
    Source("meter", "pool", ("meter/tasks-",), "meter/tasks-1"),
    Source("meter_evaluation", "test", ("meter/evaluation-",), "meter/evaluation-1"),
)


def write_dataset(path: Path, folder: RunRecords, summary: dict[str, object], until: int | None) -> None:
    """Fill a new folder with the tables of finished phases, up to an iteration where one is given, and their card.

    Raises:
        OSError: the disk refuses.
        RunError: a table is damaged.
    """
    path.mkdir(parents=True)
    splits = []
    for source in SOURCES:
        names = [
            name
            for prefix in source.prefixes
            for name in folder.recorded(prefix)
            if until is None or _iteration(name) <= until
        ]
        if names:
            splits.append(_write_split(path, folder, source, names))
    (path / "README.md").write_text(dataset_card(folder.config, summary, splits), encoding="utf-8")


def _write_split(path: Path, folder: RunRecords, source: Source, names: list[str]) -> Split:
    """Join tables to one file, a part at a time; ``iteration`` is added where only the file's name had it."""
    columns = {"iteration": pa.int32()} | dict(tables.columns_of(source.kind))
    schema = pa.schema(list(columns.items()))
    file = path / source.config / f"{source.split}.parquet"
    file.parent.mkdir(exist_ok=True)
    examples = size = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for name in names:
            for batch in _grouped(folder.scan(name)):
                table = _with_columns(batch, schema, _iteration(name))
                writer.write_table(table)
                examples += table.num_rows
                size += table.nbytes
    return Split(source.config, source.split, file.relative_to(path).as_posix(), columns, examples, size)


def _grouped(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The batches in parts of at least GROUP_BYTES, for row groups of a good size."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(part.nbytes for part in held) >= tables.GROUP_BYTES:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def _with_columns(table: pa.Table, schema: pa.Schema, iteration: int) -> pa.Table:
    """The table with exactly the schema's columns; one that it lacks is null, the iteration that of its file."""
    absent: Mapping[str, Callable[[pa.Field], pa.Array]] = {
        "iteration": lambda field: pa.array([iteration] * table.num_rows, type=field.type)
    }
    found = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else absent.get(field.name, lambda field: pa.nulls(table.num_rows, type=field.type))(field)
        for field in schema
    ]
    return pa.table(found, schema=schema)


def _iteration(name: str) -> int:
    """The iteration in a name such as ``meter/tasks-2.parquet``."""
    found = re.search(r"-(\d+)\.parquet$", name)
    return int(found[1]) if found else 0
