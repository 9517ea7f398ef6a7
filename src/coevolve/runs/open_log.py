"""A log of the run while a phase adds lines to it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from coevolve.runs import atomic

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
        self._descriptor = os.open(path, _OPEN, 0o644)
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
