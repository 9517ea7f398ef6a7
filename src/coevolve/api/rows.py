"""Rows that a run has written, as a list, a data frame or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, overload

from coevolve.errors import CoevolveError

Row = Mapping[str, Any]


class Rows(Sequence[Row]):
    """A list of rows. In data frames and CSV a name inside a nested value is joined to it: ``held_out.mean_at_8``.

    Args:
        rows: mappings from names to values; they need not have the same names.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = list(rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Rows: ...
    def __getitem__(self, index: int | slice) -> Row | Rows:
        return Rows(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<{len(self)} rows: {', '.join(self.columns)}>"

    @property
    def columns(self) -> list[str]:
        """All names of all rows, in the order in which they first occur."""
        return list(dict.fromkeys(name for row in self.flat() for name in row))

    def flat(self) -> Iterator[dict[str, Any]]:
        """The rows with one value per name; lists stay lists."""
        return (dict(_flat("", row)) for row in self._rows)

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame`` with a line per row; what a row does not have is missing in it.

        Raises:
            CoevolveError: pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError:
            raise CoevolveError("to_pandas needs pandas", fix="pip install 'coevolve[pandas]'") from None
        return pandas.DataFrame(list(self.flat()), columns=self.columns)

    def to_csv(self, sink: IO[str]) -> None:
        """Write a heading and a line per row; what a row does not have is empty, and a list is JSON."""
        writer = csv.DictWriter(sink, self.columns, lineterminator="\n")
        writer.writeheader()
        for row in self.flat():
            writer.writerow({name: json.dumps(x) if isinstance(x, list | bool) else x for name, x in row.items()})


def _flat(prefix: str, row: Row) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield prefix + name, value
