"""The standard streams that a snippet finds: made over pipes, and made good again after every cell of a session.

Runs inside the sandbox interpreter: standard library only.
"""

from __future__ import annotations

import ctypes
import io
import os
import sys
from typing import Any

NAMES = ("stdin", "stdout", "stderr")
_open = io.open  # before any snippet may replace it


def replace_by_pipes() -> None:
    """Put ends of pipes in place of this process' standard files, and new streams over them.

    What a stream can do is found out when it is made. Those that the interpreter made over ``/dev/null`` go on
    believing in a snippet, where they lead to pipes, that they can seek, and fail when they are set up anew.
    """
    for name in NAMES[1:]:
        getattr(sys, name).flush()
    read_end, write_end = os.pipe()
    os.dup2(read_end, 0)
    os.close(write_end)
    os.close(read_end)
    read_end, write_end = os.pipe()
    for descriptor in (1, 2):
        os.dup2(write_end, descriptor)
    os.close(write_end)
    os.close(read_end)
    for name in NAMES:
        _install(name, _made(name))


def _made(name: str) -> io.TextIOWrapper:
    """A stream as the interpreter makes it at its start; what is printed leaves the process line by line."""
    descriptor = NAMES.index(name)
    mode, buffering, errors = ("w", 1, "backslashreplace") if descriptor else ("r", -1, "surrogateescape")
    stream = _open(descriptor, mode, buffering, "utf-8", errors, "\n", closefd=False)
    assert isinstance(stream, io.TextIOWrapper)
    raw: Any = stream.buffer.raw
    raw.name = f"<{name}>"
    return stream


def _install(name: str, stream: object) -> None:
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


class Streams:
    """The standard streams of the running interpreter, as they are before any snippet's code."""

    def __init__(self) -> None:
        self._flush_c = ctypes.CDLL(None).fflush  # not earlier: this is also imported where C's library has none
        self._own = {name: getattr(sys, name) for name in NAMES}
        self._buffers = [self._own[name].buffer for name in NAMES[1:]]  # out of reach of a detached stream
        self._replaced: list[object] = []  # the end of one would close the buffer or descriptor it shares with ours

    def flush(self) -> BaseException | None:
        """Send off what is buffered, by C's library too; returns why something that was printed is lost."""
        failure = None
        for stream in (getattr(sys, "stdout", None), getattr(sys, "stderr", None)):
            try:
                if stream is not None and not getattr(stream, "closed", False):
                    getattr(stream, "flush", _nothing)()
            except BaseException as error:
                failure = failure or error
        for own in (*(self._own[name] for name in NAMES[1:]), *self._buffers):
            try:
                own.flush()
            except BaseException:  # closed or taken apart by the snippet, which may have put another in its place
                continue
        self._flush_c(None)
        return failure

    def restore(self) -> None:
        """Undo whatever a cell has done to them: replaced, closed or taken apart (but not to their descriptors)."""
        for name in NAMES:
            present = getattr(sys, name, None)
            if present is not self._own[name]:
                self._replaced.append(present)
            if not _works(self._own[name]):
                self._replaced.append(self._own[name])
                self._own[name] = _made(name)
                self._buffers.append(self._own[name].buffer)
            _install(name, self._own[name])


def _works(stream: io.TextIOWrapper) -> bool:
    try:
        return not stream.closed
    except ValueError:  # detached from its buffer
        return False


def _nothing() -> None:
    """Stands in for the flush of a stream that has none."""
