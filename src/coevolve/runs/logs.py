"""JSON lines as a run stores them: same values, same bytes, and readable while they are being written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from coevolve.errors import RunError


def line_of(row: Mapping[str, object]) -> bytes:
    """One line: floats with 6 significant digits, NaN and infinity as null.

    Raises:
        TypeError: a value is no JSON value, number or array.
    """
    return (json.dumps(_plain(row), separators=(",", ":"), allow_nan=False) + "\n").encode()


def rows_of(path: Path, fix: str) -> list[dict[str, object]]:
    """The complete lines of a log; the last one is left out while its end is not written.

    Raises:
        RunError: a line is no JSON object; ``fix`` says what to do.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_row(line, f"{path}, line {number}", fix) for number, line in enumerate(lines, 1)]


def _row(line: bytes, where: str, fix: str) -> dict[str, object]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise RunError(f"a line of the log is damaged: {error}", where=where, fix=fix) from error
    if not isinstance(row, dict):
        raise RunError("a line of the log is no JSON object", where=where, fix=fix)
    return row


def _plain(value: object) -> object:
    """The value with numpy types and imprecise digits removed."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
