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
_LONGEST_MESSAGE = 64  # more than a true one has, so that a longer one is seen to be none


class Told(Enum):
    """What a session's child has told."""

    BEGUN = auto()
    ENDED = auto()
    GONE = auto()  # its end is closed, as in every process that ends
    NONSENSE = auto()


class SessionChild(Child):
    """Our side of a child that may be sent a snippet again, a *cell*, once it has told the end of the last one.

    What it tells are messages of fixed size, written by a process that foreign code runs in. A false one is the
    end of the process; a true one that comes too early makes the next cell begin while the last one still runs,
    in the same process and under the next one's limits.

    Between cells the process is stopped: it uses no CPU and writes nothing, whatever threads it has.
    """

    kind = b"C"

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
        """Readable when the child has told something, or its end of it is closed."""
        return self._code

    def send(self, code: bytes) -> None:
        """Send the next cell, and let the process go on."""
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
        """What came of the cell that has ended. The output must have been drained; it is the next cell's turn."""
        cpu_s = self.cpu_seconds()
        result = self._result(int(self._failed), cpu_s, time.monotonic(), limits)
        self.cpu_before_s = max(self.cpu_before_s, cpu_s)
        self._out.data.clear()
        self._err.data.clear()
        return result
