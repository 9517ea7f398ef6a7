"""Snippets for the soak: good ones with one right end each, and hostile ones with the ends that a sandbox may give."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from coevolve.sandbox.base import Status, ToolResult


@dataclass(frozen=True, slots=True)
class Good:
    """Code that no other snippet of the soak equals, and all that it leaves."""

    code: str
    stdout: str
    error: str = ""  # the last line of stderr; empty when it ends well

    def is_right(self, result: ToolResult) -> bool:
        """Whether it was really this snippet that ran, to its own end."""
        last_line = result.stderr.rstrip("\n").rpartition("\n")[2]
        status = Status.ERROR if self.error else Status.OK
        return (result.status, result.stdout, last_line) == (status, self.stdout, self.error)


@dataclass(frozen=True, slots=True)
class Hostile:
    """Code that means harm, and how it may end; running out of time is always allowed."""

    code: str
    ends: tuple[Status, ...]

    def is_right(self, result: ToolResult) -> bool:
        return result.status in (*self.ends, Status.CPU_LIMIT, Status.TIMEOUT)


@dataclass(frozen=True, slots=True)
class Cells:
    """What one session is sent, in order."""

    parts: tuple[Good | Hostile, ...]


def cells(n: int) -> Cells:
    """The ``n``-th session: a value that each cell finds as the last one left it; some sessions end themselves."""
    parts: list[Good | Hostile] = [
        Good(f"value = {n}", ""),
        Good("value += 7\nprint(value)", f"{n + 7}\n"),
        Good("print(value)\n1 / 0", f"{n + 7}\n", "ZeroDivisionError: division by zero"),
        Good("print(value * 2)", f"{2 * n + 14}\n"),
    ]
    if n % 4 == 0:
        parts += [Hostile("import os; os._exit(1)", (_ERROR,)), Hostile("print(value)", (Status.SESSION_LOST,))]
    return Cells(tuple(parts))


def good(n: int) -> Good:
    """The ``n``-th good snippet. Its answer is computed here in another way than there."""
    makers: tuple[Callable[[int], Good], ...] = (_product, _loop, _library, _fractions, _long_output, _failure)
    return makers[n % len(makers)](n)


def _product(n: int) -> Good:
    return Good(f"print({n} * 7919 + 13)", f"{n * 7919 + 13}\n")


def _loop(n: int) -> Good:
    code = f"total = 0\nfor k in range({n}, {n} + 200):\n    total += k\nprint(total)"
    return Good(code, f"{200 * n + 199 * 100}\n")


def _library(n: int) -> Good:
    code = f"import json, math\nprint(json.dumps({{'n': {n}, 'gcd': math.gcd({n}, 360)}}))"
    return Good(code, f'{{"n": {n}, "gcd": {math.gcd(n, 360)}}}\n')


def _fractions(n: int) -> Good:
    return Good(f"from fractions import Fraction as F\nprint(F({n}, 7) + F(1, 3))", f"{Fraction(3 * n + 7, 21)}\n")


def _long_output(n: int) -> Good:
    return Good(f"for line in range(100): print({n}, line)", "".join(f"{n} {line}\n" for line in range(100)))


def _failure(n: int) -> Good:
    return Good(f"print('begun')\nraise ValueError({n})", "begun\n", f"ValueError: {n}")


_OK, _ERROR, _KILLED, _MEMORY, _FLOOD = Status.OK, Status.ERROR, Status.KILLED, Status.MEMORY, Status.OUTPUT_LIMIT
_HOSTILE = (
    Hostile("while True: pass", ()),
    Hostile("9 ** 9 ** 9", (_MEMORY,)),
    Hostile("import re; re.match('(a+)+$', 'a' * 40 + 'b')", ()),
    Hostile("import time; time.sleep(60)", ()),
    Hostile("while True:\n    try:\n        while True: pass\n    except BaseException: pass", ()),
    Hostile("import signal as s\nfor n in range(1, 32):\n    try: s.signal(n, s.SIG_IGN)\n"
            "    except (OSError, ValueError): pass\ns.pause()", ()),
    Hostile("import os, signal; signal.raise_signal(signal.SIGSTOP)", (_ERROR,)),
    Hostile("import os\nwhile True: os.fork()", (_ERROR,)),
    Hostile("import subprocess; subprocess.run(['sleep', '60'])", (_ERROR,)),
    Hostile("import multiprocessing as m; m.Pool(4)", (_ERROR,)),
    Hostile("import threading, time\n"
            "for _ in range(10000): threading.Thread(target=time.sleep, args=(60,)).start()", (_ERROR, _MEMORY)),
    Hostile("import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()", (_ERROR,)),
    Hostile("import atexit, time; atexit.register(time.sleep, 60)", ()),
    Hostile("blocks = []\nwhile True: blocks.append(bytearray(10 << 20))", (_MEMORY,)),
    Hostile("[0] * 10**12", (_MEMORY,)),
    Hostile("import mmap; mmap.mmap(-1, 1 << 40)", (_ERROR, _MEMORY)),
    Hostile("while True: print('x' * 999)", (_FLOOD,)),
    Hostile("import sys\nsys.stderr.write('x' * 10**8)", (_FLOOD, _MEMORY)),
    Hostile("import os\nwhile True: os.write(1, b'R' * 9999); os.write(2, b'R' * 9999)", (_FLOOD,)),
    Hostile("import os; os.kill(os.getppid(), 9)", (_ERROR,)),
    Hostile("import os; os.kill(-1, 9)", (_ERROR,)),
    Hostile("import os; os.killpg(0, 9)", (_ERROR,)),
    Hostile("import ctypes; ctypes.string_at(0)", (_KILLED,)),
    Hostile("import os; os.abort()", (_KILLED,)),
    Hostile("import os; print('42', flush=True); os._exit(3)", (_ERROR,)),
    Hostile("import os; os.closerange(0, 4096); print(42)", (_ERROR,)),
    Hostile("import sys; sys.setrecursionlimit(10**9)\ndef f(): f()\nf()", (_ERROR, _KILLED, _MEMORY)),
    Hostile("open('/etc/passwd').read()", (_ERROR,)),
    Hostile("open('/tmp/coevolve-soak', 'w')", (_ERROR,)),
    Hostile("import socket; socket.create_connection(('127.0.0.1', 22))", (_ERROR,)),
    Hostile("import os\nwhile True: os.pipe()", (_ERROR,)),
    Hostile("import builtins; builtins.print = builtins.open = None; print(1)", (_ERROR,)),
    Hostile("class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E", ()),
    Hostile("(" * 5000, (_ERROR, _MEMORY)),
)  # fmt: skip


def hostile(chance: random.Random, n: int) -> Hostile:
    """One of them at random, made unequal to all others by a comment."""
    chosen = chance.choice(_HOSTILE)
    return Hostile(f"{chosen.code}\n# {n}", chosen.ends)
