"""What a session's child does: run the cells it is sent, one after the other, in one ``__main__``.

It tells the supervisor when the first one begins and when each one ends, and is stopped from there to the next
one. A cell can reach all of this: what it makes of it is its own session's misfortune, because nothing that is
told is trusted.

Runs inside the sandbox interpreter: standard library only.
"""

from __future__ import annotations

import _socket
import gc
import os
from _struct import pack

from . import snippet

# What is told, of a fixed size, so that nobody has to believe a length: the number of the cell, counted from 1,
# and whether it failed.
END = "=II"
BEGUN = pack(END, 0, 0)
_LONGEST_CELL = 70_000


def serve(empty: int) -> int:
    """Run cells until one of them ends the process, or none comes any more; the exit code.

    The supervisor's socket comes as stdin, which then becomes empty.
    """
    channel = _socket.socket(fileno=os.dup(0))
    snippet.replace_stdin(empty)
    gc.enable()
    try:
        return _serve(channel)
    finally:
        channel.detach()  # it stays open to the end of the process


def _serve(channel: _socket.socket) -> int:
    main, number = snippet.Main(), 0
    while code := _receive(channel):
        if not number:
            channel.send(BEGUN)
        number += 1
        main.execute(code[:-1], f"<cell {number}>")
        if main.left:
            return main.leave()
        main.flush()
        channel.send(pack(END, number, main.exit_code != 0))
    return 0


def _receive(channel: _socket.socket) -> bytes:
    """The next cell, with one byte behind it; empty when the supervisor has gone.

    It is only looked at before it is taken: a child that is killed while it waits has not begun to run it.
    """
    channel.recv(1, _socket.MSG_PEEK)
    return channel.recv(_LONGEST_CELL)
