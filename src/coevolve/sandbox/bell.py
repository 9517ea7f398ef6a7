"""Wakes a thread that waits in poll()."""

from __future__ import annotations

import contextlib
import os


class Bell:
    """A pipe that other threads ring and one thread waits for. Rings may run into one."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def fileno(self) -> int:
        """Readable when it was rung."""
        return self._read

    def ring(self) -> None:
        """Wake the thread."""
        with contextlib.suppress(BlockingIOError):  # full: the thread has plenty of reasons to wake up
            os.write(self._write, b"!")

    def silence(self) -> None:
        """Take note of all rings so far; to be called when it is readable."""
        os.read(self._read, 65536)

    def close(self) -> None:
        """Nobody may ring any more."""
        os.close(self._read)
        os.close(self._write)
