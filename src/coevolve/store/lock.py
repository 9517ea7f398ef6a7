"""One writer per run folder."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from coevolve.errors import RunError

_held: set[int] = set()
_TRIES, _PAUSE_S = 10, 0.02
_KERNEL_LOCKS = Path("/proc/locks")


def _forget_in_child() -> None:
    """Close the descriptors in a forked child: an orphaned worker must not keep the folder locked."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)


class FolderLock:
    """An exclusive lock on ``folder/.lock`` that ends with the process at the latest."""

    def __init__(self, folder: Path, *, of: str = "this run", go_on: str = "") -> None:
        """Take the lock.

        Args:
            folder: what is locked.
            of: what it holds, for messages.
            go_on: the command that goes on with it; default: ``coevolve resume``.

        Raises:
            RunError: another process holds it.
            OSError: the lock file cannot be made.
        """
        self._descriptor: int | None = None
        while self._descriptor is None:  # again where a start that came to nothing has just removed the file
            self._descriptor = _locked(folder / ".lock", of, go_on or f"coevolve resume {folder}")
        _held.add(self._descriptor)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._descriptor is not None and self._descriptor in _held:
            _held.remove(self._descriptor)
            os.close(self._descriptor)
        self._descriptor = None


def _locked(path: Path, of: str, go_on: str) -> int | None:
    """The descriptor of the locked file; None where the path names another file by now, or none.

    Raises:
        RunError: another process holds the lock.
        OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    if not _taken(descriptor):
        owner = os.read(descriptor, 32).decode(errors="replace").strip()
        os.close(descriptor)
        raise RunError(
            f"another process is writing to {of}{owner and f' (process {owner})'}",
            where=str(path),
            fix=f"wait until it has ended or stop it with Ctrl-C, then: {go_on}",
        )
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    os.close(descriptor)
    return None


def _taken(descriptor: int) -> bool:
    """Take the lock of an open file; tried for a moment, because ``is_held`` may be looking at it."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(_PAUSE_S)
    return False


def is_held(folder: Path) -> bool:
    """Whether a process holds the lock of a folder.

    One of this machine stands in the kernel's list. One of another container or machine, or where the kernel keeps no
    list, is known by the lock alone: it is shared for an instant, for which a process that begins just then waits.
    """
    if holder_if_known(folder) is not None:
        return True
    try:
        descriptor = os.open(folder / ".lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # there is none, or it is as closed as the run itself
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False  # a file system without locks
    finally:
        os.close(descriptor)


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
        if (
            fields[1] == "FLOCK"
            and fields[3] == "WRITE"
            and inode == str(file.st_ino)
            and (place == device or fields[4] == owner)
        ):
            return int(fields[4])
    return None


def holder_if_known(folder: Path) -> int | None:
    """The process that holds the lock; None also where the kernel does not tell."""
    try:
        return holder(folder)
    except OSError:
        return None
