"""What stands in for parts of Python that need more than a snippet has, where less will do.

Installed once, before any snippet runs. Runs inside the sandbox interpreter: standard library only.
"""

from __future__ import annotations

import _sitebuiltins
import _thread
import builtins
import io
import mmap
import os
import resource
import threading
import time
from collections.abc import Callable
from typing import IO, Any

from .refusals import of_the_sandbox

# A snippet with so many threads may have used up its own share; one with fewer has not, unless its memory is full.
_MANY_THREADS = 32
_USUAL_STACK = 8 << 20
_PAUSE_S = 0.01
_open = io.open
_start_new_thread = _thread.start_new_thread


def install() -> None:
    """Put all of them in place, and the names that ``site`` would give to programs."""
    added: dict[str, object] = {name: _sitebuiltins.Quitter(name, "Ctrl-D (i.e. EOF)") for name in ("exit", "quit")}
    builtins.__dict__.update(added, help=_sitebuiltins._Helper(), open=open_file)
    io.__dict__["open"] = open_file
    for module, name in ((_thread, "start_new_thread"), (_thread, "start_new"), (threading, "_start_new_thread")):
        module.__dict__[name] = start_thread


class _Nothing(io.RawIOBase):
    """What ``/dev/null`` is, without the device: nothing comes out, and all that goes in is gone."""

    name = os.devnull

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return 0

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0

    def truncate(self, size: int | None = None) -> int:
        return 0


@of_the_sandbox
def open_file(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Callable[[str, int], int] | None = None,
) -> IO[Any]:
    """``open``, where no file can be written: silencing a library by ``open(os.devnull, "w")`` works all the same."""
    writes = isinstance(mode, str) and not {"w", "a", "+"}.isdisjoint(mode)
    if writes and isinstance(file, (str, bytes, os.PathLike)) and os.fsdecode(file) == os.devnull:
        if "b" in mode:
            return io.BufferedRandom(_Nothing()) if buffering else _Nothing()  # type: ignore[return-value]
        return io.TextIOWrapper(io.BufferedRandom(_Nothing()), encoding, errors, newline)
    return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)


open_file.__name__ = open_file.__qualname__ = "open"


@of_the_sandbox
def start_thread(function: Callable[..., object], arguments: tuple[Any, ...], keywords: Any = None, /) -> int:
    """``_thread.start_new_thread``; waits where other snippets have taken all the threads that their user may have.

    Raises:
        RuntimeError: this snippet has taken its own share of them, or of memory.
    """
    while True:
        try:
            return _start_new_thread(function, arguments, keywords or {})
        except RuntimeError:
            if _thread._count() >= _MANY_THREADS or not _has_room_for_a_stack():
                raise
        time.sleep(_PAUSE_S)


def _has_room_for_a_stack() -> bool:
    limit = resource.getrlimit(resource.RLIMIT_STACK)[0]
    size = _thread.stack_size() or (_USUAL_STACK if limit == resource.RLIM_INFINITY else limit)
    try:
        mmap.mmap(-1, size + mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError:
        return False
    return True
