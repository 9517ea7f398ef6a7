"""One writer per run folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from coevolve.errors import RunError

_held: set[int] = set()


def _forget_in_child() -> None:
    """Close the descriptors in a forked child: an orphaned worker must not keep the folder locked."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)


class FolderLock:
    """An exclusive lock on ``folder/.lock`` that ends with the process at the latest."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            RunError: another process holds it.
            OSError: the lock file cannot be made.
        """
        path = folder / ".lock"
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._descriptor, 32).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise RunError(
                f"another process is writing to this run{owner and f' (process {owner})'}",
                where=str(path),
                fix="wait until it has ended or stop it with Ctrl-C, then: coevolve resume " + str(folder),
            ) from None
        _held.add(self._descriptor)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._descriptor is not None and self._descriptor in _held:
            _held.remove(self._descriptor)
            os.close(self._descriptor)
        self._descriptor = None
