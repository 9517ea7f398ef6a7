"""The JSON Lines logs of a run: equal values give equal bytes, lines can be read while the log is written, and an open
log knows its length and hash.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from coevolve.errors import RunError
from coevolve.store import atomic


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


_OPEN = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_CHUNK = 1 << 20


class OpenLog:
    """Takes bytes at its end and knows their number and hash.

    Args:
        path: the file; made when it is not there.
        begin: its length when the phase began.
        length: its length with what counts of the phase; what comes after it is cut off.

    Raises:
        OSError: the system refused.
    """

    def __init__(self, path: Path, begin: int, length: int) -> None:
        self._descriptor = os.open(path, _OPEN, 0o666)
        try:
            os.ftruncate(self._descriptor, length)
            self._hash = hashlib.sha256()
            for at in range(begin, length, _CHUNK):
                self._hash.update(os.pread(self._descriptor, min(_CHUNK, length - at), at))
        except OSError:
            os.close(self._descriptor)
            raise
        self.length = length

    @property
    def sha256(self) -> str:
        """Of what the phase has added, as hexadecimal digits."""
        return self._hash.hexdigest()

    def append(self, data: bytes) -> None:
        """Add bytes; they are on the disk only after ``flush``.

        Raises:
            OSError: the system refused, for example for want of space; a part may have been written.
        """
        atomic.write_all(self._descriptor, data)
        self._hash.update(data)
        self.length += len(data)

    def flush(self) -> None:
        """Have the system put everything on the disk.

        Raises:
            OSError: it could not.
        """
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Take no more."""
        os.close(self._descriptor)
