"""Two snippets that want to talk: what one does, the other cannot notice.

Each pair runs at the same time, in one pool and in two, as snippets and as cells of two sessions. The listener prints
what it has noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import product

from coevolve.sandbox.base import Limits, Status
from coevolve.sandbox.pool import SandboxPool

from .attack import OUTPUT_BYTES, Attack, attempt
from .lane import Lane
from .numbers import NUMBERS

_LIMITS = Limits(cpu_s=9.0, wall_s=60.0, memory_mb=128, output_bytes=OUTPUT_BYTES)
_PAIR = f"""
import ctypes, os, signal, struct, threading, time
import _ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
numbers = {NUMBERS!r}
def raw(name, *arguments):
    passed = [ctypes.c_long(a) if isinstance(a, int) else a for a in (*arguments, *[0] * (6 - len(arguments)))]
    return libc.syscall(ctypes.c_long(numbers[name]), *passed)
def page(flags):  # the first page of a file that all have, with words that are zero
    return libc.mmap(None, 4096, 1, flags, os.open(_ctypes.__file__, os.O_RDONLY), 0)
shared, private = page(1), page(2)
zero = next(at for at in range(0, 64, 4) if ctypes.c_int.from_address(shared + at).value == 0)
fifth = ctypes.create_string_buffer(struct.pack('=qq', 0, 50_000_000), 16)
"""
# Waits on words of the page in every way there is, for half a second; prints in which of them it was woken
_WAITS = """
heard = set()
def wait(name, operation, place):
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        word = ctypes.c_int.from_address(place).value
        if raw('futex', place, operation, word, fifth, 0, -1) == 0: heard.add(name)
        elif ctypes.get_errno() != 110: time.sleep(0.01)
def wait_new():
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        element = ctypes.create_string_buffer(struct.pack('=QQII', 0, shared + zero, 2, 0), 24)
        if raw('futex_waitv', element, 1, 0, 0, 0) >= 0: heard.add('many')
        if raw('futex_wait', shared + zero, 0, -1, 2, 0, 0) == 0: heard.add('new')
        time.sleep(0.01)
threads = [threading.Thread(target=wait_new)]
for kind, base in (('shared', shared), ('private', private)):
    for operation in (0, 9, 128, 137, 6, 134, 11):
        threads.append(threading.Thread(target=wait, args=(f'{kind} {operation}', operation, base + zero)))
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sorted(heard))
"""
# Wakes whoever waits there: by calls, and by the ends of threads, of which the kernel tells at an address they choose
_WAKES = """
def end_at_the_page(): raw('set_tid_address', shared + zero)
def end_with_a_list():
    head = (ctypes.c_long * 3)(); head[0] = ctypes.addressof(head); head[1] = 0; head[2] = shared + zero
    kept.append(head); raw('set_robust_list', head, 24)
kept, until = [], time.monotonic() + 0.6
while time.monotonic() < until:
    for place in (shared + zero, private + zero):
        for operation in (1, 10, 129, 138, 7, 135): raw('futex', place, operation, 99, 0, 0, -1)
        for operation in (3, 4, 5, 131, 132, 133): raw('futex', place, operation, 99, 99, place + 4, 0)
        raw('futex_wake', place, -1, 99, 2, 0, 0)
    for end in (end_at_the_page, end_with_a_list):
        thread = threading.Thread(target=end); thread.start(); thread.join()
    time.sleep(0.005)
"""
# Prints whether it may keep a signal, again and again; the speaker keeps as many as it may
_KEEPS = """
signal.pthread_sigmask(signal.SIG_BLOCK, [40])
seen = set()
until = time.monotonic() + 0.3
while time.monotonic() < until: seen.add(raw('tgkill', os.getpid(), os.getpid(), 40)); time.sleep(0.01)
print(seen)
"""
_HOARDS = """
signal.pthread_sigmask(signal.SIG_BLOCK, range(34, 64))
while raw('tgkill', os.getpid(), os.getpid(), 50) == 0: pass
time.sleep(0.4)
"""
# Asks after processes and threads of numbers around its own, and after their clocks
_ASKS = """
import resource
seen, asked = set(), 0
until = time.monotonic() + 0.4
while time.monotonic() < until:
    for number in {*range(1, 60), *range(max(1, os.getpid() - 40), os.getpid() + 80)} - {os.getpid()}:
        for name, ask in (('clock', lambda: time.clock_gettime((~number << 3) | 2)),
                          ('group', lambda: os.getpgid(number)),
                          ('cores', lambda: os.sched_getaffinity(number)), ('sid', lambda: os.getsid(number)),
                          ('nice', lambda: os.getpriority(os.PRIO_PROCESS, number)),
                          ('class', lambda: os.sched_getscheduler(number)),
                          ('thread', lambda: time.clock_gettime((~number << 3) | 6))):
            asked += 1
            try: ask(); seen.add(name)
            except OSError as error: pass
    time.sleep(0.05)
print(sorted(seen), asked > 0)
"""
_LIVES = "threads = [threading.Thread(target=time.sleep, args=(0.5,)) for _ in range(20)]\nfor t in threads: t.start()"
_PAIRS = {
    "wake-ups at pages of one file": (_WAITS, _WAKES, "[]\n"),
    "signals in store": (_KEEPS, _HOARDS, "{-1}\n"),
    "threads and clocks of others": (_ASKS, _LIVES, "[] True\n"),
}


@contextmanager
def _pools(lane: Lane, namespaces: bool) -> Iterator[list[SandboxPool]]:
    with ExitStack() as stack:
        how = {"limits": _LIMITS, "workers": 2, "namespaces": namespaces}
        yield [stack.enter_context(lane.opened(**how)) for _ in range(2)]


def _cannot_talk(listen: str, speak: str, heard: str) -> Callable[[Lane], None]:
    def act(lane: Lane) -> None:
        for namespaces in (True, False):
            with _pools(lane, namespaces) as pools:
                for other, sessions in product(pools, ((None, None), ("a", "b"))):
                    speaker = other.submit(_PAIR + speak, sessions[1])
                    listener = pools[0].run(_PAIR + listen, sessions[0])
                    assert (listener.stdout, listener.status) == (heard, Status.OK), listener
                    lane.hear(speaker.result())
                    for name in filter(None, sessions):
                        for pool in pools:
                            pool.end_session(name)

    return act


def _joined_threads(lane: Lane) -> None:
    """Libraries that wait for the end of a thread of C's, in the way that is closed, go on; so do those that ask for a
    thread's stack, which libc answers after it has asked for the thread's cores.
    """
    code = """
import ctypes
libc = ctypes.CDLL(None)
thread, sleep = ctypes.c_ulong(), ctypes.cast(libc.usleep, ctypes.c_void_p)
for microseconds in (1, 20_000):
    print(libc.pthread_create(ctypes.byref(thread), None, sleep, ctypes.c_void_p(microseconds)))
    print(libc.pthread_join(thread, None))
import threading
libc.pthread_self.restype = ctypes.c_ulong
libc.pthread_getattr_np.argtypes = [ctypes.c_ulong, ctypes.c_void_p]
def ask(): print(libc.pthread_getattr_np(libc.pthread_self(), ctypes.create_string_buffer(256)))
asker = threading.Thread(target=ask); asker.start(); asker.join()
"""
    result = lane.run(code)
    assert result.stdout == "0\n" * 5, result


def _times_of_reading(lane: Lane) -> None:
    """Where namespaces are, reading a file leaves no trace at it."""
    times = "import os; print([(n, os.stat(n).st_atime_ns) for n in sorted(os.listdir('.')) if os.path.isfile(n)])"
    folder = "import os; os.chdir(os.path.dirname(os.__file__) + '/wsgiref')\n"
    before = lane.run(folder + times)
    assert before.stdout.startswith("[("), before
    lane.run(folder + "for name in os.listdir('.'):\n    if os.path.isfile(name): open(name, 'rb').read()")
    assert not lane.hides or lane.run(folder + times).stdout == before.stdout


_LOCKS = (
    "fcntl.flock(os.open(os.__file__, os.O_RDONLY), fcntl.LOCK_SH)",
    "fcntl.flock(os.open(os.__file__, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)",
    "fcntl.lockf(os.open(os.__file__, os.O_RDONLY), fcntl.LOCK_SH)",
    *(f"fcntl.fcntl(os.open(os.__file__, os.O_RDONLY), {command}, bytes(32))" for command in (5, 6, 7, 36, 37, 38)),
    "fcntl.fcntl(os.open(os.__file__, os.O_RDONLY), fcntl.F_SETLEASE, 0)",
    "fcntl.fcntl(os.open(os.__file__, os.O_RDONLY), fcntl.F_GETLEASE)",
    "fcntl.fcntl(os.open(os.path.dirname(os.__file__), os.O_RDONLY), fcntl.F_NOTIFY, 1)",
    "raw('mincore', 0, 4096, ctypes.create_string_buffer(1))",
    "os.preadv(os.open(os.__file__, os.O_RDONLY), [bytearray(1)], 0, os.RWF_NOWAIT)",
    "os.posix_fadvise(os.open(os.__file__, os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED) or raw('fadvise64', 0, 0, 0, 4)",
    "raw('readahead', 0, 0, 4096)",
    *(f"raw('madvise', 0, 4096, {advice})" for advice in (9, 12, 20, 21, 25, 100, 101)),
    *(f"raw('membarrier', {command}, 0, 0)" for command in (1, 2, 4)),
    "os.statvfs('/')",
    "os.fstatvfs(1)",
)


def _marks_on_files(lane: Lane) -> None:
    """Locks, leases, watches and what is in the page cache of files that all may read."""
    may_be = {"EPERM", "EACCES"}
    assert not (wrong := [line for line in attempt(lane, _LOCKS) if line.split()[0] not in may_be]), wrong


ATTACKS = [
    *(Attack(148, name, _cannot_talk(*pair)) for name, pair in _PAIRS.items()),
    Attack(148, "threads of C that are joined", _joined_threads),
    Attack(149, "marks on files of all", _marks_on_files),
    Attack(149, "times of reading", _times_of_reading),
]
