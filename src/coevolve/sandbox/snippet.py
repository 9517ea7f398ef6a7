"""What a child does with the one snippet it is given: run it as ``__main__``, report errors as text, exit.

Everything here happens within reach of the snippet, so nothing here is trusted: the supervisor decides the
status from the exit code, the signal and the clocks.

Runs inside the sandbox interpreter: standard library only.
"""

from __future__ import annotations

import atexit
import builtins
import linecache
import os
import sys
import traceback
from collections.abc import Callable

NAME = "<snippet>"
_HEADER, _END = 4, 1
_CHUNK = 65536


def read_code(descriptor: int) -> bytes | None:
    """The snippet sent by the supervisor, between four bytes of length and one of end; None when it has gone.

    The length is read by itself: a child that is killed while it waits for it may still take that out of the
    pipe, but nothing of what follows, and the supervisor sees that nothing was run.
    """
    header = data = os.read(descriptor, _HEADER)  # whole: it is written in one piece with what follows
    expected = _HEADER + int.from_bytes(header, "little") + _END
    while len(data) < expected:
        more = os.read(descriptor, expected - len(data))
        if not more:
            return None
        data += more
    return data[_HEADER:-_END]


def run(source: bytes) -> int:
    """Execute the snippet and its exit hooks; the exit code as ``python file.py`` would give it."""
    code = source.decode("utf-8", "surrogatepass")  # a lone surrogate is then compile()'s to refuse
    streams = (sys.stdout, sys.stderr)
    main = type(sys)("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    guard = _Guard(code)
    guard.call(lambda: exec(compile(code, NAME, "exec", dont_inherit=True), main.__dict__))
    if "threading" in sys.modules:
        guard.call(sys.modules["threading"]._shutdown)
    guard.call(atexit._run_exitfuncs)
    guard.flush((*streams, sys.stdout, sys.stderr))
    return guard.exit_code


class _Guard:
    """Calls foreign code and turns whatever it raises into text on stderr and an exit code.

    The functions it needs are bound before the snippet runs, which may replace those in the modules.
    """

    def __init__(self, code: str) -> None:
        self.exit_code = 0
        self._code = code
        self._write = os.write
        self._format = traceback.format_exception

    def call(self, function: Callable[[], object]) -> None:
        try:
            function()
        except SystemExit as leave:
            self._leave(leave.code)
        except BaseException as error:
            self.exit_code = 1
            self._say(self._traceback(error))

    def flush(self, streams: tuple[object, ...]) -> None:
        for stream in streams:
            try:
                stream.flush()  # type: ignore[attr-defined]
            except BaseException:  # closed or replaced by the snippet; 120 is what Python itself answers
                self.exit_code = self.exit_code or 120

    def _leave(self, code: object) -> None:
        if code is None or isinstance(code, int):
            self.exit_code = (code or 0) & 0xFF
            return
        self.exit_code = 1
        try:
            self._say(f"{code}\n")
        except BaseException:  # its __str__ is the snippet's own
            self._say("SystemExit\n")

    def _traceback(self, error: BaseException) -> str:
        """The usual traceback without our own frames, source lines included."""
        linecache.cache[NAME] = (len(self._code), None, self._code.splitlines(True), NAME)
        own_frames = 2
        frames = error.__traceback__
        for _ in range(own_frames):
            frames = frames and frames.tb_next
        try:
            return "".join(self._format(type(error), error, frames))
        except BaseException:  # the snippet broke what formatting needs, or memory is gone
            return type(error).__name__ + "\n"

    def _say(self, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[self._write(2, data[:_CHUNK]) :]
        except OSError:  # the snippet closed its stderr: nobody is left to tell
            return
