"""A session's process as seen from outside: it runs one cell after the other, and is stopped in between."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import time
from enum import Enum, auto
from struct import pack

from coevolve.sandbox.base import Limits, ToolResult
from coevolve.sandbox.child import Child
from coevolve.sandbox.snippet import BEGUN, END

# The kernel grants each user so much memory for pipes (64 MiB) and makes new ones tiny beyond, too small for a
# snippet: hundreds of sessions must not use it up.
_PIPE_BYTES = 16384
_LONGEST_MESSAGE = 64  # more than a valid one has, so that an oversized one is detected


class Told(Enum):
    """The kinds of messages from a session's child."""

    BEGUN = auto()
    ENDED = auto()
    GONE = auto()  # its end is closed, as in every process that ends
    NONSENSE = auto()


class SessionChild(Child):
    """Our side of a child that can be sent another snippet, a *cell*, once it has reported the end of the last one.

    Its messages have a fixed size and are written by a process that runs untrusted code. A malformed one ends the
    process; a valid one sent too early makes the next cell start while the last one still runs, in the same process and
    under the next one's limits.

    Between cells the process is stopped: it uses no CPU and writes nothing, whatever threads it has.

    A cell that prints too much goes on, so that the session is not lost by it; only a flood ends it.
    """

    kind = b"C"
    reads_on = 64

    def __init__(self) -> None:
        super().__init__()
        for pipe in self.pipes:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._cell = 0
        self._begun = False
        self._failed = False

    def _open_channel(self) -> tuple[int, int]:
        # Sockets, because they keep messages apart, and because a pipe can be opened again, from either side.
        theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return theirs.detach(), ours.detach()

    @property
    def channel(self) -> int:
        """Becomes readable when the child sends a message or closes its end."""
        return self._code

    def send(self, code: bytes) -> None:
        """Send the next cell and resume the process."""
        self._cell += 1
        self._send(code + b".")
        if self._cell > 1:
            self._signal(signal.SIGCONT)

    @property
    def started(self) -> bool:
        """The first cell has begun. The message cannot be taken back, but may not have been read yet."""
        for _ in range(2):  # a read may tell of the child's end before what it left behind
            self._begun = self._begun or self.told() is Told.BEGUN
        return self._begun

    def told(self) -> Told:
        """The next message."""
        try:
            message = os.read(self._code, _LONGEST_MESSAGE)
        except OSError:
            message = b""
        if not message:
            return Told.GONE
        if message == BEGUN and not self._begun:
            self._begun = True
            return Told.BEGUN
        self._failed = message == pack(END, self._cell, 1)
        return Told.ENDED if self._failed or message == pack(END, self._cell, 0) else Told.NONSENSE

    def rest(self) -> None:
        """Stop the process."""
        self._signal(signal.SIGSTOP)

    def cell_result(self, limits: Limits) -> ToolResult:
        """The result of the cell that has ended. Its output must have been drained; then the next cell may start."""
        cpu_s = self.cpu_seconds()
        result = self._result(int(self._failed), cpu_s, time.monotonic(), limits)
        self.cpu_before_s = max(self.cpu_before_s, cpu_s)
        self._out.data.clear()
        self._err.data.clear()
        self.dropped = 0
        return result
