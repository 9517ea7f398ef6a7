"""A confined process as seen from outside: its descriptors, its clock, its end, and what the end means."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import termios
import time
from dataclasses import dataclass, field
from itertools import islice

from coevolve.sandbox.base import Limits, Status, ToolResult

_CHUNK = 65536
_MOST_THREADS = 256  # that are looked at: a snippet with thousands of them must not keep the supervisor busy


@dataclass(frozen=True, slots=True)
class Birth:
    """A child is there. ``watch`` is its pidfd, for a kill that can never hit another process."""

    identifier: int
    watch: int


@dataclass(frozen=True, slots=True)
class Death:
    """A child has ended and was reaped. ``status`` is as of ``os.wait``."""

    identifier: int
    status: int
    cpu_s: float


def _is_runnable(thread: str) -> bool:
    """Whether a thread runs or waits for a core, by its folder in /proc."""
    try:
        stat = os.open(f"{thread}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # it has ended
        return False
    try:
        return os.read(stat, 512).rpartition(b") ")[2].startswith(b"R")  # a name can have parentheses too
    except OSError:
        return False
    finally:
        os.close(stat)


def pid_of(watch: int) -> int:
    """The pid behind a pidfd, in this process' pid namespace (its own may count otherwise); -1 when it has
    been reaped.
    """
    with open(f"/proc/self/fdinfo/{watch}", encoding="ascii") as info:
        return next(int(line.split()[1]) for line in info if line.startswith("Pid:"))


@dataclass(slots=True)
class _Capture:
    """One output pipe and what was read from it."""

    pipe: int
    data: bytearray = field(default_factory=bytearray)


class Child:
    """Our side of one child. Asleep until it is sent a snippet, and never sent a second one.

    The other ends are in ``remote`` (the child's descriptors 0, 1 and 2) until they are handed over.
    """

    kind = b"S"  # as the zygote calls it
    reads_on = 0  # so many times the cap are read and dropped beyond it before output ends the process

    def __init__(self) -> None:
        code, self._code = self._open_channel()
        out, out_write = os.pipe()
        err, err_write = os.pipe()
        self.remote = (code, out_write, err_write)
        self._out, self._err = _Capture(out), _Capture(err)
        for descriptor in (self._code, out, err):
            os.set_blocking(descriptor, False)
        self._pid = 0
        self.watch = -1
        self.sent_at = 0.0
        self._sent = False  # all of the snippet is in its pipe, or was
        self.cpu_before_s = 0.0  # CPU that is not this snippet's doing
        self.verdict: Status | None = None
        self.dropped = 0  # bytes of output beyond the cap

    def _open_channel(self) -> tuple[int, int]:
        """The child's end and ours of what code is sent through."""
        return os.pipe()

    def hand_over(self) -> None:
        """Close the child's ends, which it has by now."""
        for descriptor in self.remote:
            os.close(descriptor)

    def born(self, birth: Birth) -> None:
        self.watch = birth.watch

    def send(self, code: bytes) -> None:
        """Wake it with a snippet. A child that cannot take it is killed and counts as not started."""
        self._send(len(code).to_bytes(4, "little") + code + b".")

    def _send(self, message: bytes) -> None:
        self.sent_at = time.monotonic()
        try:
            sent = os.write(self._code, message)
        except OSError:  # it was killed asleep
            sent = 0
        self._sent = sent == len(message)
        if not self._sent:
            self.kill(None)

    @property
    def pipes(self) -> tuple[int, int]:
        """Stdout's and stderr's reading ends."""
        return (self._out.pipe, self._err.pipe)

    @property
    def started(self) -> bool:
        """Whether the child has taken the snippet out of the pipe: whatever happened since was the snippet's doing.

        It cannot take this back: that pipe is closed to it before it runs. (Its output it could read back, by
        opening ``/proc/self/fd/1``, so that no mark in there would tell.)
        """
        if not self._sent:
            return False
        unread = fcntl.ioctl(self._code, termios.FIONREAD, b"\0" * 4)
        return int.from_bytes(unread, sys.byteorder) == 0

    def drain(self, cap: int) -> bool:
        """Read what the pipes hold; a byte beyond the cap (of both together) kills, or is dropped where the kind
        of child reads on. False when both have ended.
        """
        out, err = self._drain(self._out, cap), self._drain(self._err, cap)
        return out or err

    def _drain(self, capture: _Capture, cap: int) -> bool:
        while self.dropped <= self.reads_on * cap:
            try:
                data = os.read(capture.pipe, _CHUNK)
            except BlockingIOError:
                return True
            if not data:
                return False
            room = max(0, cap - len(self._out.data) - len(self._err.data))
            capture.data += data[:room]
            self.dropped += max(0, len(data) - room)
        self.kill(Status.OUTPUT_LIMIT)
        return False

    def kill(self, verdict: Status | None) -> None:
        """End it; the first verdict stands."""
        self.verdict = self.verdict or verdict
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.watch >= 0:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself, its report is on its way
                signal.pidfd_send_signal(self.watch, number)

    @property
    def pid(self) -> int:
        """The pid as seen from this process; not positive once it has ended."""
        if self._pid <= 0:
            self._pid = pid_of(self.watch)
        return self._pid

    def cpu_seconds(self) -> float:
        """Its CPU clock now; 0 when it has just ended."""
        if self.pid <= 0:
            return 0.0
        process_clock = (~self.pid << 3) | 2  # as clock_getcpuclockid() makes it
        try:
            return time.clock_gettime(process_clock)
        except OSError:
            return 0.0

    def is_runnable(self) -> bool:
        """Whether one of its threads runs or waits for a core; False if the kernel does not tell, or it has ended."""
        try:
            with os.scandir(f"/proc/{self.pid}/task") as threads:
                return any(_is_runnable(thread.path) for thread in islice(threads, _MOST_THREADS))
        except OSError:
            return False

    def hang_up(self) -> None:
        """No snippet will come: an idle child ends by itself, even if it is too young to be killed."""
        os.close(self._code)
        self._code = -1

    def release(self) -> None:
        """Close what is open of it."""
        for descriptor in (self._code, *self.pipes, self.watch):
            if descriptor >= 0:
                os.close(descriptor)

    def reap_if_ours(self) -> None:
        """A dead zygote's children are reparented to init; if that is the trainer (in a container), reap them here."""
        if self.watch >= 0:
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, self.watch, os.WEXITED)

    def result(self, death: Death, ended_at: float, limits: Limits) -> ToolResult:
        """The snippet's result. Its output must have been drained.

        Args:
            death: the report of its end.
            ended_at: seconds of the monotonic clock.
            limits: of the snippet.
        """
        return self._result(os.waitstatus_to_exitcode(death.status), death.cpu_s, ended_at, limits)

    def _result(self, code: int, cpu_s: float, ended_at: float, limits: Limits) -> ToolResult:
        """``code`` is an exit code, or minus a signal; ``cpu_s`` is of the process' whole life."""
        err = self._err.data.decode("utf-8", "replace")
        cpu_s = max(0.0, cpu_s - self.cpu_before_s)
        verdict = self.verdict or (Status.OUTPUT_LIMIT if self.dropped and code >= 0 else None)
        return ToolResult(
            status=_status(verdict, code, err, cpu_s >= limits.cpu_s),
            stdout=self._out.data.decode("utf-8", "replace"),
            stderr=err,
            truncated=self.dropped > 0,
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            wall_ms=(ended_at - self.sent_at) * 1e3,
            cpu_ms=cpu_s * 1e3,
        )


def _status(verdict: Status | None, code: int, err: str, cpu_used_up: bool) -> Status:
    """``code`` is an exit code, or minus a signal.

    A verdict counts only if the kill came before the end by itself; output beyond the cap is a fact by then.
    """
    killed = code == -signal.SIGKILL
    if verdict is Status.OUTPUT_LIMIT or (verdict and killed):
        return verdict
    if killed and cpu_used_up:  # the kernel's own limit was quicker than ours
        return Status.CPU_LIMIT
    return status_of_exit(code, err)


def status_of_exit(code: int, err: str) -> Status:
    """How a process ended that we did not kill: ``code`` is its exit code, or minus a signal."""
    if code < 0:
        return Status.KILLED
    if code == 0:
        return Status.OK
    last_line = err.rstrip("\n").rpartition("\n")[2]
    return Status.MEMORY if last_line.partition(":")[0].endswith("MemoryError") else Status.ERROR
