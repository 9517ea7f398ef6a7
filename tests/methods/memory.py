"""The tables of a run folder without a disk."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from coevolve.methods.base import Row
from coevolve.store import tables


@dataclass(kw_only=True)
class TablesInMemory:
    """The half of a store that holds tables; they pass through their file format."""

    tables: dict[str, bytes] = field(default_factory=dict)

    def write_table(self, relative: str, rows: Sequence[Row]) -> Path:
        sink = io.BytesIO()
        tables.write(sink, relative, rows)
        self.tables[relative] = sink.getvalue()
        return Path(relative)

    def read_table(self, relative: str) -> list[dict[str, object]]:
        return pq.read_table(io.BytesIO(self.tables[relative])).to_pylist()
