"""1-29: time, memory, processes' fair share and output."""

from __future__ import annotations

from coevolve.sandbox.base import ToolResult

from .attack import (
    ANY_END,
    CPU_LIMIT,
    ERROR,
    KILLED,
    MEMORY,
    OK,
    OUTPUT_LIMIT,
    TIMEOUT,
    TOO_LONG,
    TOO_MUCH,
    Attack,
    refused,
    snippet,
)
from .lane import Lane

_CAP = 20_000
_SO_FAR = "print('so far', flush=True)\n"
_DEAF = """
import signal, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True:
    try: time.sleep(60)
    except BaseException: pass
"""
_PIPES = """
import os
total = 0
try:
    while True:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        try:
            while True: total += os.write(writing, bytes(65536))
        except BlockingIOError: pass
except OSError as error: print(error.errno, total <= 64 * 65536)
"""
_BZ2_BOMB = "import bz2; print(len(bz2.decompress(bz2.compress(bytes(1 << 20)) * 2000)))"


def _cut(result: ToolResult) -> None:
    assert result.truncated
    assert len(result.stdout) + len(result.stderr) == _CAP


def _both(result: ToolResult) -> None:
    _cut(result)
    assert result.stdout
    assert result.stderr


def _dripped(result: ToolResult) -> None:
    assert set(result.stdout) == {"."}


def _one_large_write(lane: Lane) -> None:
    """300 MB in one call: the supervisor must read no more than the cap, so its own memory stays flat."""
    before = _resident()
    result = lane.run("import os; block = bytes(1 << 20)\nwhile True: os.writev(1, [block] * 300)")
    assert result.status is OUTPUT_LIMIT, result
    _cut(result)
    assert _resident() - before < 32 << 20


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096


ATTACKS: list[Attack] = [
    snippet(1, "endless loop", _SO_FAR + "while True: pass", *TOO_LONG, out="so far\n", signal=9),
    snippet(2, "sleep", _SO_FAR + "import time; time.sleep(60)", TIMEOUT, out="so far\n", signal=9, pool="hasty"),
    snippet(3, "deaf to signals", _SO_FAR + _DEAF, TIMEOUT, out="so far\n", signal=9, pool="hasty"),
    snippet(4, "regex", "import re; re.match('(a+)+$', 'a' * 60 + 'b')", *TOO_LONG, signal=9),
    snippet(5, "tower of powers", "9**9**9", *TOO_LONG, MEMORY),
    snippet(6, "long number as text", "print(str(10**10**8))", *TOO_LONG, MEMORY),
    snippet(6, "digits beyond the limit", "print(10**5000)", ERROR, says="ValueError"),
    snippet(7, "blocks for ever", "x = []\nwhile True: x.append(bytearray(50 << 20))", MEMORY, exit_code=1),
    snippet(7, "small objects for ever", "x = []\nwhile True: x.append([x])", MEMORY, *TOO_LONG, KILLED),
    snippet(8, "huge list", "[0] * 10**12", MEMORY, says="MemoryError", exit_code=1),
    snippet(9, "huge array", "import numpy; numpy.ones(10**12)", MEMORY, exit_code=1, pool="science"),
    snippet(10, "huge mapping", "import mmap; mmap.mmap(-1, 1 << 40)", ERROR, says="Cannot allocate memory"),
    snippet(
        11,
        "stacks of threads",
        "import threading, time; threading.stack_size(60 << 20)\n"
        "for _ in range(99): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        ERROR,
        says="can't start new thread",
    ),
    snippet(12, "full pipes", _PIPES, OK, out="24 True\n"),
    refused(12, "longer pipes", "fcntl.fcntl(1, 1031, 1 << 20)", "fcntl.fcntl(os.pipe()[1], 1031, 1 << 20)"),
    refused(13, "memory in files", "os.memfd_create('x')", "raw('memfd_create', b'x')", "raw('memfd_secret')"),
    refused(
        14,
        "shared memory",
        "open('/dev/shm/@TOKEN@', 'w')",
        "os.open('/dev/shm/@TOKEN@', os.O_RDWR | os.O_CREAT)",
        "raw('openat', -100, b'/dev/shm/@TOKEN@', os.O_RDWR | os.O_CREAT, 511)",
        "__import__('multiprocessing.shared_memory').shared_memory.SharedMemory('@TOKEN@', True, 1 << 20)",
    ),
    snippet(15, "recursion", "def f(): f()\nf()", ERROR, says="RecursionError"),
    snippet(15, "recursion without end", "import sys; sys.setrecursionlimit(10**9)\ndef f(): f()\nf()", *TOO_MUCH),
    snippet(15, "recursion in C", "import sys; sys.setrecursionlimit(10**9)\nx = []\n"
            "for _ in range(10**6): x = [x]\nprint(repr(x)[:9])", *ANY_END),  # fmt: skip
    snippet(16, "nested brackets", "(" * 30_000 + ")" * 30_000, OUTPUT_LIMIT, check=_cut),
    snippet(16, "nested signs", "-" * 60_000 + "1", *TOO_MUCH),
    snippet(16, "nested blocks", "exec('if 1:\\n' * 1 + ''.join(' ' * i + 'if 1:\\n' for i in range(1, 200)))", ERROR),
    snippet(16, "large constants", "exec('x = ' + '(' * 80 + '1,' + ')*99,' * 80)", *ANY_END),
    snippet(17, "10 MB of source", "x = 1\n" * 1_700_000, ERROR, says="SnippetTooLong", out="", exit_code=1),
    snippet(17, "long literal", "print(sum([" + "1," * 30_000 + "]))", OK, *TOO_LONG),
    snippet(17, "literal of a million", "x = eval('[' + '1,' * 10**6 + ']'); print(len(x))", OK, *TOO_MUCH),
    snippet(25, "endless output", "while True: print('x' * 99)", OUTPUT_LIMIT, check=_cut),
    Attack(26, "one large write", _one_large_write),
    snippet(27, "flood of errors", "import sys\nwhile True: sys.stderr.write('x' * 99)", OUTPUT_LIMIT, check=_cut),
    snippet(27, "both streams", "import os\nwhile True: os.write(1, b'x'); os.write(2, b'y')", OUTPUT_LIMIT, check=_both),
    snippet(28, "drip", "import os, time\nwhile True: os.write(1, b'.'); time.sleep(0.05)", TIMEOUT, check=_dripped,
            pool="hasty"),  # fmt: skip
    snippet(29, "honest 150 kB", "for i in range(1500): print('x' * 99)", OUTPUT_LIMIT, check=_cut),
    snippet(29, "honest 1 MB", "print('x' * 10**6)", OUTPUT_LIMIT, check=_cut),
    snippet(29, "as much as allowed", "print('x' * 19_999)", OK, out="x" * 19_999 + "\n"),
    snippet(54, "bomb of zeros", _BZ2_BOMB, MEMORY, *TOO_LONG),
    snippet(90, "much randomness", "import os\nwhile True: os.getrandom(1 << 20)", *TOO_LONG),
    snippet(91, "CPU limit ignored", "import signal, sys\nsignal.signal(signal.SIGXCPU, lambda *a: None)\n"
            "signal.setitimer(signal.ITIMER_VIRTUAL, 0.01, 0.01)\nsignal.signal(signal.SIGVTALRM, lambda *a: None)\n"
            "while True: pass", *TOO_LONG, signal=9),  # fmt: skip
    snippet(91, "traceback later", "import faulthandler, sys\n"
            "faulthandler.dump_traceback_later(0.01, repeat=True, file=2)\nwhile True: pass", *TOO_LONG, OUTPUT_LIMIT),
    snippet(91, "hard limit of the kernel", "import resource; print(resource.getrlimit(resource.RLIMIT_CPU))", OK,
            out="(2, 2)\n"),  # fmt: skip
    snippet(92, "stopped", "print('so far', flush=True)\nimport signal; signal.raise_signal(signal.SIGSTOP)", TIMEOUT,
            out="so far\n", signal=9, pool="hasty"),  # fmt: skip
    snippet(92, "threads of 4 on all cores", "import threading\n"
            "for _ in range(4): threading.Thread(target=pow, args=(7, 10**8)).start()", CPU_LIMIT, TIMEOUT, signal=9),
]  # fmt: skip
