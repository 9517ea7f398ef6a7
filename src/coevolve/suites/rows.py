"""Rows of JSONL, JSON, CSV and Parquet files as they stand there, each with its place, and errors that name it."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from coevolve.errors import ConfigError

ENDINGS = (".parquet", ".jsonl", ".json", ".csv")
_LONGEST_FIELD = 16 * 1024 * 1024  # of a CSV file, in characters; the library's own limit is 128 Ki


class Number(str):
    """A number with the digits that its file has: a float would lose some of them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its fields by name. Of a CSV file all values are texts, and an empty one is no value."""

    place: str  # "questions.jsonl, line 3"
    fields: dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """All rows of a file, in order; none is left out, and empty lines are no rows.

    Raises:
        ConfigError: there is no such file, it has another form than its ending says, or it is empty.
    """
    ending = path.suffix.lower()
    if not path.is_file():
        meant = like(path)
        fix = f"did you mean {' or '.join(meant)}?" if meant else "look at the path; it starts at this folder"
        raise ConfigError("there is no such file", where=str(path), fix=fix)
    if ending not in ENDINGS:
        raise ConfigError(
            f"a file of questions ends in {', '.join(ENDINGS)}", where=str(path), fix="rename it to what it is"
        )
    reader = {".parquet": _parquet, ".jsonl": _jsonl, ".json": _json, ".csv": _csv}[ending]
    try:
        rows = list(reader(path))
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror or error}", where=str(path)) from error
    if not rows:
        raise ConfigError("the file has no rows", where=str(path), fix="one question with its answer per row")
    return rows


def like(path: Path) -> list[str]:
    """Files beside a path that is none, with names like its own and rows in them."""
    folder = path.parent
    files = [file.name for file in folder.iterdir() if file.suffix.lower() in ENDINGS] if folder.is_dir() else []
    return [str(folder / name) for name in difflib.get_close_matches(path.name, sorted(files), n=3, cutoff=0.7)]


def _text(path: Path) -> str:
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"it is not UTF-8: byte 0x{raw[error.start]:02x} cannot be read",
            where=f"{path}, line {line}",
            fix="save it as UTF-8",
        ) from error


def _jsonl(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_text(path).split("\n"), start=1):  # other separators may stand within a text
        if line.strip():
            place = f"{path}, line {number}"
            yield Row(place, _object(_parsed(line, place, "one JSON object per line"), place))


def _json(path: Path) -> Iterator[Row]:
    text = _text(path)
    if not text.strip():
        return
    content = _parsed(text, str(path), "a list of objects; a file with one object per line ends in .jsonl")
    if not isinstance(content, list):
        raise ConfigError(
            f"it holds {what(content)}, not a list of rows",
            where=str(path),
            fix="write [{...}, {...}], or one object per line into a file that ends in .jsonl",
        )
    for number, value in enumerate(content, start=1):
        place = f"{path}, row {number}"
        yield Row(place, _object(value, place))


def _parsed(text: str, place: str, form: str) -> Any:
    try:
        content = json.loads(
            text, parse_int=Number, parse_float=Number, parse_constant=_no_number, object_pairs_hook=_pairs
        )
        if "\\ud" in text.lower():  # an escape may write half a character, which nothing can encode
            json.dumps(content, ensure_ascii=False).encode()
        return content
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"it has half a character: {error.object[error.start]!a}", where=place, fix="write the character itself"
        ) from error
    except json.JSONDecodeError as error:
        at = f"column {error.colno}" if "line" in place.rsplit(",", 1)[-1] else f"line {error.lineno}"
        raise ConfigError(f"it is not JSON: {error.msg} at {at}", where=place, fix=form) from error
    except ValueError as error:
        raise ConfigError(str(error), where=place, fix=form) from error
    except RecursionError as error:
        raise ConfigError("it is nested too deeply", where=place, fix=form) from error


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice!r} stands there twice")
    return found


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(
            f"the row is {what(value)}, not an object",
            where=place,
            fix='write {"question": "...", "answer": "..."}',
        )
    return value


def _csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            place = f"{path}, line {reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _header(cells, place)
            elif len(cells) != len(header):
                raise ConfigError(
                    f"the row has {len(cells)} fields, and the header has {len(header)}",
                    where=place,
                    fix='put texts with commas or line breaks between quotation marks, and write " as "" within them',
                )
            else:
                yield Row(place, {k: v if v.strip() else None for k, v in zip(header, cells, strict=True)})
    except csv.Error as error:
        raise ConfigError(f"it is not CSV: {error}", where=f"{path}, line {reader.line_num}") from error


def _header(cells: list[str], place: str) -> list[str]:
    names = [cell.strip() for cell in cells]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"the header names {twice!r} twice", where=place, fix="rename one of the columns")
    if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
        raise ConfigError("the columns are not separated by commas", where=place, fix="save it with commas")
    return names


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, partitioning=None)
    except pa.ArrowException as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"it is not Parquet: {reason}", where=str(path)) from error
    for number, fields in enumerate(table.to_pylist(), start=1):
        yield Row(f"{path}, row {number}", {name: None if value != value else value for name, value in fields.items()})


def as_text(value: Any) -> str | None:
    """A text or a number as a text; None for anything else."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, float):  # of a Parquet file, in which a column of whole numbers with gaps is one of floats
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return str(value) if isinstance(value, int | Decimal) else None


def what(value: Any) -> str:
    """The type of a value, as its author would say it."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, Number | int | float | Decimal):
        return "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
