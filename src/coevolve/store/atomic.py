"""Writing that is whole or absent: a kill, a power cut or a full disk leaves the old state or the new one."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from coevolve import permissions
from coevolve.errors import RunError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CHUNK = 1 << 20


@contextmanager
def writing(path: Path, fix: str, elsewhere: str = "") -> Iterator[None]:
    """Turn every failure to write ``path`` into a RunError with the given fix.

    Where this user may not write, the fix is to be who may, or what ``elsewhere`` says.

    safetensors and torch report a full disk as exceptions of their own: the text of an error and the error that it
    followed count too.
    """
    try:
        yield
    except OSError as error:
        if permissions.is_denied(error):
            raise _denied(path, error, elsewhere) from error
        what = "the disk is full" if error.errno in _FULL else "a file of the run cannot be written"
        raise RunError(f"{what}: {error.strerror or error}", where=str(path), fix=fix) from error
    except Exception as error:
        reason = _full_disk(error)
        if reason is None:
            raise
        raise RunError(f"the disk is full: {reason}", where=str(path), fix=fix) from error


def _denied(path: Path, error: OSError, elsewhere: str) -> RunError:
    """Who may write ``path``; or who may read what was to be written there."""
    place = Path(str(error.filename)) if error.filename else path
    ours = place.absolute().is_relative_to(path.absolute().parent)
    refusal = permissions.writing(place) if ours else permissions.reading(place, error, place)
    fix = f"{refusal.fix}   or {elsewhere}" if elsewhere else refusal.fix
    return RunError(f"{place.name} {refusal.what}", where=str(place), fix=fix)


def _full_disk(error: BaseException | None) -> str | None:
    """The system's words for a full disk, where an error or one that it followed speaks of it."""
    while error is not None:
        for code in _FULL:
            if (isinstance(error, OSError) and error.errno == code) or os.strerror(code) in str(error):
                return os.strerror(code)
        error = error.__cause__ or error.__context__
    return None


def require_writable(path: Path) -> None:
    """See that a file or folder could be made or changed; nothing is.

    Raises:
        OSError: the nearest folder that exists may not be written to.
    """
    place = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(place))
    if not os.access(place, os.W_OK | (os.X_OK if place.is_dir() else 0), effective_ids=True):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(place))


def write_all(descriptor: int, data: Buffer) -> None:
    """Write every byte; one call of ``os.write`` may take only a part of them.

    Raises:
        OSError: the system refused, for example for want of space.
    """
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(descriptor, view) :]


class Sink(io.RawIOBase):
    """A file that is being written and takes every byte it is given, or raises OSError."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: Buffer) -> int:
        write_all(self._descriptor, data)
        return memoryview(data).nbytes

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


@contextmanager
def replacing(path: Path) -> Iterator[Sink]:
    """Give ``path`` what the block writes, in one step: a temporary sibling, flushed to the disk, then renamed.

    Raises:
        OSError: the system refused; ``path`` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    with Sink(temporary) as sink:
        try:
            yield sink
            os.fsync(sink.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)  # on a full disk the half of a file is what fills it
            raise
    temporary.replace(path)
    flush(path.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Give ``path`` this content in one step.

    Raises:
        OSError: the system refused; ``path`` is as it was.
    """
    with replacing(path) as sink:
        sink.write(data)


def replace_folder(path: Path, write: Callable[[Path], None]) -> None:
    """Give ``path`` the files that ``write`` puts into an empty folder, in place of an older folder.

    Raises:
        OSError: the system refused; ``path`` is as it was, or absent if the refusal came between two renames.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = (path.with_name(f".{path.name}.{end}") for end in ("partial", "old"))
    for leftover in (temporary, old):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir()
    try:
        write(temporary)
        permissions.follow_umask(temporary)
        for child in sorted(temporary.rglob("*")):
            flush(child)
        flush(temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if path.exists():
        path.rename(old)
    temporary.rename(path)
    flush(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def shorten(path: Path, length: int) -> None:
    """Cut a file off after so many bytes.

    Raises:
        OSError: the system refused.
    """
    os.truncate(path, length)
    flush(path)


def flush(path: Path) -> None:
    """Have the system put a file's content, or a folder's names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest(path: Path, begin: int = 0, end: int | None = None) -> str:
    """SHA-256 of a file, or of its bytes from ``begin`` to ``end``, as hexadecimal digits; no file is an empty one."""
    total = hashlib.sha256()
    with path.open("rb") as source:
        source.seek(begin)
        left = end - begin if end is not None else None
        while chunk := source.read(_CHUNK if left is None else min(_CHUNK, left)):
            total.update(chunk)
            left = None if left is None else left - len(chunk)
    return total.hexdigest()
