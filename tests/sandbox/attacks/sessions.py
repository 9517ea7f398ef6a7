"""Attacks from within a session, whose process lives from cell to cell and tells the supervisor when each one ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from coevolve.sandbox.base import Limits, Status, ToolResult
from coevolve.sandbox.pool import SandboxPool

from .attack import OUTPUT_BYTES, Attack
from .lane import Lane

_AFTER = (Status.OK, Status.ERROR, Status.TIMEOUT, Status.KILLED, Status.SESSION_LOST)
_LIMITS = Limits(cpu_s=0.3, wall_s=0.6, memory_mb=128, output_bytes=OUTPUT_BYTES)
_CHANNEL = """
import os, socket, stat, struct
def is_socket(number):
    try: return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError: return False
channel = next(filter(is_socket, range(3, 64)))
"""
# What a cell writes into the channel, or does with it. The true message of cell 1's end is struct.pack('=II', 1, 0).
_FORGERIES = {
    "nothing": "os.write(channel, b'')",
    "half a frame": "os.write(channel, b'\\1\\0\\0')",
    "a number of -1": "os.write(channel, b'\\xff' * 8)",
    "a length of 4 GB": "os.write(channel, struct.pack('=II', 2**32 - 1, 2**32 - 1))",
    "a second beginning": "os.write(channel, struct.pack('=II', 0, 0))",
    "a large frame": "os.write(channel, bytes(100_000))",
    "its own end": "os.write(channel, struct.pack('=II', 1, 0))",
    "its own failure": "os.write(channel, struct.pack('=II', 1, 1))",
    "the ends to come": "[os.write(channel, struct.pack('=II', n, 0)) for n in range(1, 50)]",
    "more than is read": "os.set_blocking(channel, False) or [os.write(channel, bytes(8)) for _ in range(10**5)]",
    "closing it": "os.close(channel)",
    "shutting it": "socket.socket(fileno=channel).shutdown(2)",
    "stealing the next cell": "os.set_blocking(channel, False) or os.read(channel, 99)",
    "a listener for cells": "import threading; "
    "threading.Thread(target=os.read, args=(channel, 10**6), daemon=True).start()",
    "descriptors": "socket.socket(fileno=channel).sendmsg([b'x'], [(1, 1, struct.pack('=i', 1))])",
    "an urgent byte": "socket.socket(fileno=channel).send(b'x', socket.MSG_OOB)",
    "a handle of the process behind it": "import signal; handle = os.dup(channel); "
    "handle = socket.socket(fileno=handle).getsockopt(1, 77, 4); "
    "signal.pidfd_send_signal(int.from_bytes(handle, 'little'), 9)",
    "a change of user": "socket.socket(fileno=os.dup(channel)).setsockopt(1, 16, 1)",
}


@contextmanager
def _pool(lane: Lane, limits: Limits = _LIMITS) -> Iterator[SandboxPool]:
    """One with a session beside the attacker's, which must notice nothing."""
    with lane.opened(limits=limits, workers=2) as pool:
        assert pool.run("kept = 40", session="good").status is Status.OK
        yield pool
        assert pool.run("print(kept + 2)", session="good").stdout == "42\n"
        assert pool.run("print(6*7)").stdout == "42\n"


def _forgeries(lane: Lane) -> None:
    """Whatever a cell writes to the supervisor: at worst its own session's next cells are false, or lost."""
    with _pool(lane) as pool:
        for name, forgery in _FORGERIES.items():
            first = lane.hear(pool.run(_CHANNEL + forgery, session=name))
            assert isinstance(first, ToolResult), name
            second = lane.hear(pool.run("print('second')", session=name))
            assert second.status in _AFTER, (name, second)
            assert second.stdout in ("", "second\n"), (name, second)
            pool.end_session(name)
        assert pool.stats.infra_failures == 0


def _forged_end_and_go_on(lane: Lane) -> None:
    """A cell that says it has ended is taken at its word: it is stopped, and can only speak in its session's name."""
    code = _CHANNEL + "os.write(channel, struct.pack('=II', 1, 0))\nwhile True: os.write(1, b'x')"
    with _pool(lane) as pool:
        first = lane.hear(pool.run(code, session="bad"))
        assert first.status in (Status.OK, Status.OUTPUT_LIMIT, Status.KILLED), first
        second = lane.hear(pool.run("print('second')", session="bad"))
        assert second.status in (Status.OUTPUT_LIMIT, Status.CPU_LIMIT, Status.TIMEOUT, Status.SESSION_LOST), second
        assert pool.run("1", session="bad").status is Status.SESSION_LOST


def _stopped_between_cells(lane: Lane) -> None:
    """Threads that a cell leaves behind do nothing until the next one, and then count as its own."""
    code = """
import signal, threading, time
ticks = []
def tick():
    while True: ticks.append(0); time.sleep(0.001)
threading.Thread(target=tick, daemon=True).start()
signal.signal(signal.SIGCONT, lambda *a: None)
time.sleep(0.02)
"""
    with _pool(lane) as pool:
        assert pool.run(code, session="bad").status is Status.OK
        before = int(pool.run("print(len(ticks))", session="bad").stdout)
        assert pool.run("import time; time.sleep(0.3)").status is Status.OK
        assert int(pool.run("print(len(ticks))", session="bad").stdout) - before < 150
        burn = (
            "def burn():\n    while True: pass\nfor _ in range(3): threading.Thread(target=burn, daemon=True).start()"
        )
        lane.hear(pool.run(burn, session="bad"))
        last = lane.hear(pool.run("time.sleep(60)", session="bad"))
        assert last.status in (Status.CPU_LIMIT, Status.TIMEOUT, Status.SESSION_LOST), last


def _limits_hold_in_every_cell(lane: Lane) -> None:
    """Output, time and memory are counted for each cell, and what ends one ends the session."""
    endings = {
        "while True: print('x' * 999)": (Status.OUTPUT_LIMIT,),
        "while True: pass": (Status.CPU_LIMIT, Status.TIMEOUT),
        "import time; time.sleep(60)": (Status.TIMEOUT,),
        "import os; os.abort()": (Status.KILLED,),
        "import os; os._exit(0)": (Status.OK,),
        "import signal; signal.raise_signal(signal.SIGSTOP)": (Status.TIMEOUT,),
    }
    with _pool(lane) as pool:
        for turn, (code, ends) in enumerate(endings.items()):
            assert lane.hear(pool.run("print('x' * 9000)", session=f"{turn}")).status is Status.OK
            assert lane.hear(pool.run("print('x' * 15000)", session=f"{turn}")).status is Status.OK
            assert lane.hear(pool.run(code, session=f"{turn}")).status in ends
            assert pool.run("print(1)", session=f"{turn}").status is Status.SESSION_LOST
    with _pool(lane, replace(_LIMITS, cpu_s=5.0, wall_s=15.0)) as pool:  # new pages take long on a crowded machine
        assert pool.run("x = bytearray(60 << 20)", session="m").status is Status.OK
        assert pool.run("y = bytearray(90 << 20)", session="m").status is Status.MEMORY
        assert pool.run("print(len(x) >> 20)", session="m").stdout == "60\n"


def _other_sessions(lane: Lane) -> None:
    """Another session's variables, process and descriptors are out of reach, stopped or running."""
    search = """
import gc, os
found = [x for x in gc.get_objects() if isinstance(x, dict) and 'kept' in x and x['kept'] == 40]
print(len(found), end=' ')
for pid in [*range(1, 60), *range(os.getpid() - 60, os.getpid() + 60)]:
    for act in (lambda: pid != os.getpid() and os.kill(pid, 18), lambda: os.open(f'/proc/{pid}/mem', 0),
                lambda: pid != os.getpid() and os.open(f'/proc/{pid}/fd/3', 0)):
        try:
            if act(): print(pid, end=' ')
        except OSError: pass
"""
    with _pool(lane) as pool:
        assert lane.hear(pool.run(search, session="bad")).stdout == "0 "


def _draws_go_on(lane: Lane) -> None:
    """A session's second draw is not its first again; two sessions draw alike, as two snippets do."""
    code = "import random; print(random.random())"
    with _pool(lane) as pool:
        first, second = pool.run(code, session="a").stdout, pool.run(code, session="a").stdout
        assert first != second
        assert [pool.run(code, session="b").stdout, pool.run(code, session="b").stdout] == [first, second]
        assert pool.run(code).stdout == first


ATTACKS = [
    Attack(64, "another session", _other_sessions),
    Attack(82, "forged messages of a session", _forgeries),
    Attack(82, "a forged end", _forged_end_and_go_on),
    Attack(82, "threads between cells", _stopped_between_cells),
    Attack(82, "limits in every cell", _limits_hold_in_every_cell),
    Attack(98, "draws in a session", _draws_go_on),
]
