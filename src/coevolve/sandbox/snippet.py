"""What a child does with the code it is given: run it as ``__main__``, report errors as text, exit; or run the cells of
a session.

Everything here happens within reach of the snippet, so nothing here is trusted: the supervisor decides the
status from the exit code, the signal and the clocks.

Runs inside the sandbox interpreter: standard library only.
"""

from __future__ import annotations

import _socket
import atexit
import builtins
import gc
import linecache
import os
import sys
import traceback
from _struct import pack
from collections.abc import Callable
from signal import ITIMER_PROF, ITIMER_REAL, ITIMER_VIRTUAL, setitimer
from types import GeneratorType

from . import refusals, streams

NAME = "<snippet>"
_HEADER, _END = 4, 1
_CHUNK = 65536
_FLUSH_FAILED = 120  # the exit code with which Python itself says so
_OWN_FILE = (lambda: None).__code__.co_filename


def serve(empty: int, standard: streams.Streams) -> int:
    """Wait for the one snippet, which arrives on stdin, run it with an empty stdin, and return the exit code."""
    code = _read_code(0)
    replace_stdin(empty)
    if code is None:
        return 1
    main = Main(standard)
    main.execute(code, NAME)
    return main.leave()


def replace_stdin(empty: int) -> None:
    """Replace the stdin that code arrived on by an empty one."""
    os.dup2(empty, 0)
    os.close(empty)


def _read_code(descriptor: int) -> bytes | None:
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


class Main:
    """The module ``__main__``, in which untrusted code runs; its exceptions become text and an exit code.

    The functions it needs are bound before any such code runs, which may replace those in the modules.
    """

    def __init__(self, standard: streams.Streams) -> None:
        self.exit_code = 0
        self._module = type(sys)("__main__")
        self._module.__dict__["__builtins__"] = builtins
        sys.modules["__main__"] = self._module
        self._sources: dict[str, list[str]] = {}  # lines by file name, for tracebacks and ``inspect``
        self._timers: tuple[int, ...] = ()
        self._streams = standard
        self._write = os.write
        self._explain = traceback.TracebackException
        gc.enable()
        sys.addaudithook(refusals.refuse)

    def execute(self, source: bytes, name: str) -> None:
        """Run code under this file name, which tracebacks show."""
        code = source.decode("utf-8", "surrogatepass")  # a lone surrogate is then compile()'s to refuse
        self._sources[name] = [f"{line}\n" for line in code.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
        self._show_sources()
        self._module.__dict__["__file__"] = name
        self.exit_code = 0
        self._call(lambda: self._run(code, name))

    def _run(self, code: str, name: str) -> None:
        try:
            exec(compile(code, name, "exec", dont_inherit=True), self._module.__dict__)
        finally:
            for timer in self._timers:
                setitimer(timer, 0)

    def leave(self) -> int:
        """Do what an interpreter does at exit; returns the exit code."""
        if "threading" in sys.modules:
            self._call(sys.modules["threading"]._shutdown)
        self._call(atexit._run_exitfuncs)
        self._call(self._finalize)
        self._flush()
        return self.exit_code

    def _finalize(self) -> None:
        """Let go of what says or sends something at its end: suspended generators, files that were not closed."""
        names = self._module.__dict__
        for name in [name for name, value in names.items() if _has_an_end(type(value))]:
            del names[name]

    def stop_timers(self) -> None:
        """From now on a timer that a piece of code leaves behind ends with it."""
        self._timers = (ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF)

    def end_cell(self) -> bool:
        """Bring a cell's output on its way; returns whether it has failed."""
        self._flush()
        self._streams.restore()
        return self.exit_code != 0

    def _flush(self) -> None:
        failure = self._streams.flush()
        if failure is not None:
            self._say(f"Exception ignored in the output:\n{self._one_line(failure)}")
            self.exit_code = self.exit_code or _FLUSH_FAILED

    def _call(self, function: Callable[[], object]) -> None:
        try:
            function()
        except SystemExit as leave:
            self._exit(leave.code)
        except BaseException as error:
            self.exit_code = 1
            self._say(self._traceback(error))

    def _exit(self, code: object) -> None:
        if code is None or isinstance(code, int):
            self.exit_code = (code or 0) & 0xFF
            return
        self.exit_code = 1
        try:
            text = f"{code}\n"
        except BaseException:  # its __str__ is the snippet's own
            text = "SystemExit\n"
        self._say(text)

    def _show_sources(self) -> None:
        for name, lines in self._sources.items():
            linecache.cache[name] = (sum(map(len, lines)), None, lines, name)

    def _traceback(self, error: BaseException) -> str:
        """The usual traceback without our own frames, source lines included."""
        frames = error.__traceback__
        while frames and frames.tb_frame.f_code.co_filename == _OWN_FILE:
            frames = frames.tb_next
        try:
            self._show_sources()
            told = self._explain(type(error), error, frames, compact=True)
            refusals.hide(told)
            return "".join(told.format())
        except BaseException:  # the snippet broke what formatting needs, or memory is gone
            return type(error).__name__ + "\n"

    def _one_line(self, error: BaseException) -> str:
        try:
            return f"{type(error).__name__}: {error}\n"
        except BaseException:
            return type(error).__name__ + "\n"

    def _say(self, text: str) -> None:
        self._streams.flush()  # what the code wrote to stderr came first
        data = text.encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[self._write(2, data[:_CHUNK]) :]
        except OSError:  # the snippet closed its stderr: nobody is left to tell
            return


def _has_an_end(kind: type) -> bool:
    return kind is GeneratorType or hasattr(kind, "__del__")


# What is told, of a fixed size, so that nobody has to believe a length: the number of the cell, counted from 1,
# and whether it failed.
END = "=II"
BEGUN = pack(END, 0, 0)
_LONGEST_CELL = 70_000
_INTERRUPTIONS = 8  # of the wait for a cell, by handlers of signals that earlier cells left behind


def serve_session(empty: int, standard: streams.Streams) -> int:
    """Run cells until one of them ends the process or no more arrive; returns the exit code.

    The supervisor's socket comes as stdin, which then becomes empty.
    """
    channel = _socket.socket(fileno=os.dup(0))
    replace_stdin(empty)
    try:
        return _serve(channel, Main(standard))
    finally:
        channel.detach()  # it stays open to the end of the process


def _serve(channel: _socket.socket, main: Main) -> int:
    number = 0
    main.stop_timers()
    while code := _receive(channel):
        if not number:
            channel.send(BEGUN)
        number += 1
        main.execute(code[:-1], f"<cell {number}>")
        channel.send(pack(END, number, main.end_cell()))
    return 0


def _receive(channel: _socket.socket) -> bytes:
    """The next cell, followed by one byte; empty when the supervisor is gone.

    It is peeked at before it is taken: a child that is killed while waiting has not started it."""
    for _ in range(_INTERRUPTIONS):
        try:
            channel.recv(1, _socket.MSG_PEEK)
            break
        except BaseException:
            continue
    return channel.recv(_LONGEST_CELL)
