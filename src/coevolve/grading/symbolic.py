r"""math-verify in worker processes that can be killed: the last stage of grading.

sympy may run for hours, or for ever inside one C call that no alarm reaches, and use any amount of memory. So it runs
in separate processes with a limited address space; one that does not answer in time is killed, and its pair counts as
unequal. Only LaTeX rendered from our own syntax tree is sent to them, never model text.

math-verify is optional: ``pip install 'coevolve[math]'``.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from queue import LifoQueue
from time import monotonic
from types import TracebackType

from coevolve.errors import ConfigError

MEMORY_BYTES = 2 << 30  # address space of one worker
START_S = 120.0  # for the imports of a worker, on a machine that is busy
GRACE_S = 0.7  # for a worker to kill its child and say so, before it is killed itself
_PROGRAM = Path(__file__).with_name("symbolic_worker.py")
_MOST_REPLY = 4096  # bytes; a reply is far shorter


class Outcome(StrEnum):
    """The outcome of one comparison; all but SAME count as unequal."""

    SAME = "same"
    DIFFERENT = "different"
    TIMEOUT = "timeout"  # not finished in time, and killed
    LOST = "lost"  # the worker died, ran out of memory, or sent an invalid reply


def installed_version() -> str | None:
    """The version of math-verify, None when it is not installed. Imports nothing."""
    try:
        return importlib.metadata.version("math-verify")
    except importlib.metadata.PackageNotFoundError:
        return None


def symbolic_version(setting: str) -> str | None:
    """The version of math-verify that a run uses, None when it uses none.

    Args:
        setting: ``grading.symbolic``: "auto" (if math-verify is installed), "on" or "off".

    Raises:
        ConfigError: the setting is "on", but math-verify is not installed.
    """
    version = installed_version()
    if setting == "on" and version is None:
        raise ConfigError(
            "math-verify is not installed",
            where="grading.symbolic: on",
            fix="pip install 'coevolve[math]', or --set grading.symbolic=auto to do without it",
        )
    return None if setting == "off" else version


class SymbolicPool:
    """Compares LaTeX in worker processes, which start with the first comparison.

    Several threads may compare at once; at most ``workers`` comparisons run, the others wait their turn, which does
    not count towards their time.

    Args:
        timeout_s: wall seconds of one comparison, both directions together; the start of a worker is not in it.
        workers: maximum number of processes.
        program: the file that a worker runs.
    """

    def __init__(self, *, timeout_s: float = 2.0, workers: int = 1, program: Path = _PROGRAM) -> None:
        self._timeout_s = timeout_s
        self._idle: LifoQueue[_Worker] = (
            LifoQueue()
        )  # most recently used first, so that the others may never have to start
        self._workers = [_Worker(program) for _ in range(workers)]
        for worker in self._workers:
            self._idle.put(worker)

    @property
    def processes(self) -> tuple[int, ...]:
        """The ids of the processes that run now."""
        return tuple(worker.process.pid for worker in self._workers if worker.process is not None)

    def compare(self, first: str, second: str) -> Outcome:
        """Whether two LaTeX expressions are the same to math-verify in either direction. Raises nothing."""
        worker = self._idle.get()
        try:
            return worker.compare(first, second, self._timeout_s)
        finally:
            self._idle.put(worker)

    def prepare(self) -> None:
        """Start the first worker, if none runs, without waiting, so that its imports are done when it is needed."""
        if not self.processes:
            self._workers[-1].start()

    def close(self) -> None:
        """End all processes; running and later comparisons are LOST."""
        for worker in self._workers:
            worker.close()

    def __enter__(self) -> SymbolicPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Worker:
    """One process at a time, used by one thread at a time; ``close`` may come from any other."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._lock = threading.Lock()  # of process and closed
        self._in_use = threading.Lock()  # while a thread reads and writes the pipes
        self._closed = False
        self._ready = False
        self.process: subprocess.Popen[bytes] | None = None

    def compare(self, first: str, second: str, timeout_s: float) -> Outcome:
        with self._in_use:
            return self._compare(first, second, timeout_s)

    def _compare(self, first: str, second: str, timeout_s: float) -> Outcome:
        process = self.start()
        if process is None:
            return Outcome.LOST
        if not self._ready:
            reply = _read(process, START_S)
            if not isinstance(reply, dict) or reply.get("ready") is not True:
                self._end(process, replace=False)
                return Outcome.LOST
            self._ready = True
        request = {"first": first, "second": second, "cpu_s": timeout_s}
        reply = _exchange(process, request, timeout_s + GRACE_S)
        if isinstance(reply, dict) and isinstance(reply.get("same"), bool):
            return Outcome.SAME if reply["same"] else Outcome.DIFFERENT
        if isinstance(reply, dict) and reply.get("timeout") is True:
            return Outcome.TIMEOUT
        if isinstance(reply, dict) and isinstance(reply.get("fault"), str):
            return Outcome.LOST
        self._end(process, replace=True)
        return Outcome.TIMEOUT if reply is Outcome.TIMEOUT else Outcome.LOST

    def close(self) -> None:
        with self._lock:
            self._closed = True
            process, self.process = self.process, None
        if process is not None:
            _kill(process)  # wakes a thread that waits for a reply
            with self._in_use:  # its pipes must not be closed while that thread uses them
                _clear_away(process)

    def start(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self.process is None and not self._closed:
                self._ready = False
                with suppress(OSError):  # no process can be started now: this comparison is lost, the next tries again
                    self.process = _start(self._program)
            return self.process

    def _end(self, process: subprocess.Popen[bytes], *, replace: bool) -> None:
        """Kill a process; its successor does its imports in the background."""
        with self._lock:
            if self.process is process:
                self.process = None
        _clear_away(process)
        if replace:
            self.start()


def _start(program: Path) -> subprocess.Popen[bytes]:
    # -P: the folder of the program is no place to import from; its parser.py is not the standard library's.
    command = [sys.executable, "-P", str(program), str(MEMORY_BYTES)]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        process_group=0,
    )


def _exchange(process: subprocess.Popen[bytes], request: Mapping[str, object], timeout_s: float) -> object:
    """The decoded reply, TIMEOUT or LOST. A request is far shorter than a pipe holds, so writing never waits."""
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(request).encode() + b"\n")
    except (OSError, ValueError):  # ended, or closed by another thread
        return Outcome.LOST
    return _read(process, timeout_s)


def _read(process: subprocess.Popen[bytes], timeout_s: float) -> object:
    """One decoded line; TIMEOUT when it does not come in time, LOST when the process ended or sent no JSON."""
    assert process.stdout is not None
    deadline, data = monotonic() + timeout_s, b""
    try:
        waiting = select.poll()  # not select(): a large program has descriptors above 1023
        waiting.register(process.stdout, select.POLLIN)
        while not data.endswith(b"\n"):
            left = deadline - monotonic()
            if left <= 0 or not waiting.poll(1000 * left):
                return Outcome.TIMEOUT
            part = os.read(process.stdout.fileno(), _MOST_REPLY)
            data += part
            if not part or len(data) > _MOST_REPLY:
                return Outcome.LOST
        return json.loads(data)
    except (OSError, ValueError):
        return Outcome.LOST


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker and its child, unless it has been waited for: then its number may be another's."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _clear_away(process: subprocess.Popen[bytes]) -> None:
    _kill(process)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
