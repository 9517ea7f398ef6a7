"""One writer per run folder."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from coevolve.errors import RunError

_held: set[int] = set()
_KERNEL_LOCKS = Path("/proc/locks")


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
        self._descriptor: int | None = None
        while self._descriptor is None:  # again where a start that came to nothing has just removed the file
            self._descriptor = _locked(folder / ".lock")
        _held.add(self._descriptor)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._descriptor is not None and self._descriptor in _held:
            _held.remove(self._descriptor)
            os.close(self._descriptor)
        self._descriptor = None


def _locked(path: Path) -> int | None:
    """The descriptor of the locked file; None where the path names another file by now, or none.

    Raises:
        RunError: another process holds the lock.
        OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(descriptor, 32).decode(errors="replace").strip()
        os.close(descriptor)
        raise RunError(
            f"another process is writing to this run{owner and f' (process {owner})'}",
            where=str(path),
            fix="wait until it has ended or stop it with Ctrl-C, then: coevolve resume " + str(path.parent),
        ) from None
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    os.close(descriptor)
    return None


def holder(folder: Path) -> int | None:
    """The process on this machine that holds the lock of a folder; None when there is none.

    Read off the kernel's list: taking the lock to find out could make a run that begins just then fail.

    Raises:
        OSError: this kernel keeps no such list.
    """
    try:
        file, owner = (folder / ".lock").stat(), (folder / ".lock").read_text(errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}"
    for line in _KERNEL_LOCKS.read_text().splitlines():
        fields = line.split()  # "1: FLOCK ADVISORY WRITE 28863 fe:00:2211917 0 EOF"; "1: -> ..." waits for it
        place, _, inode = fields[5].rpartition(":")
        # Some file systems have another device there than in stat: then the process decides.
        if fields[1] == "FLOCK" and inode == str(file.st_ino) and (place == device or fields[4] == owner):
            return int(fields[4])
    return None


def holder_if_known(folder: Path) -> int | None:
    """The process that holds the lock; None also where the kernel does not tell."""
    try:
        return holder(folder)
    except OSError:
        return None
