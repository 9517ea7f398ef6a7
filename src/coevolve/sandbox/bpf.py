"""The seccomp filters, assembled by hand.

Two filters stack. The *base* filter is an allow-list that the zygote puts on itself once, and that every child inherits
at no cost; it still allows what the zygote needs to fork children. The *child* filter removes exactly that. Building a
long filter per child would cost more than most snippets do, because the kernel checks, compiles and caches each one;
the child filter is about twenty instructions.

Everything not allowed fails with EPERM, which Python shows as a readable PermissionError. A call through
another architecture's table ends the process.

Runs inside the sandbox interpreter: standard library only.
"""

from __future__ import annotations

from _struct import pack

from .syscalls import AUDIT_ARCH, SETUP_ONLY, numbers

Instruction = tuple[int, int, int, int]

_LOAD, _AND, _JEQ, _JGE, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _EAGAIN, _ENOSYS = 1, 11, 38
_X32_BIT = 0x40000000

ALLOW: Instruction = (_RETURN, 0, 0, _ALLOW)
DENY: Instruction = (_RETURN, 0, 0, _ERRNO | _EPERM)
NOT_THERE: Instruction = (_RETURN, 0, 0, _ERRNO | _ENOSYS)

# O_WRONLY | O_RDWR | O_CREAT | O_TRUNC, O_TMPFILE without the O_DIRECTORY it contains
_OPEN_FOR_WRITING = 0o3 | 0o100 | 0o1000 | 0o20000000
# F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_DUPFD_CLOEXEC F_GETPIPE_SZ; not F_SETOWN (signals), F_SETPIPE_SZ
# (memory)
_FCNTL = (0, 1, 2, 3, 4, 1030, 1032)
# TCGETS (isatty) FIONREAD FIONBIO FIONCLEX FIOCLEX
_IOCTL = (0x5401, 0x541B, 0x5421, 0x5450, 0x5451)
# Pairs of streams, as event loops need; a datagram socket, though paired, could send to any other by path
_AF_UNIX, _SOCKET_KIND, _STREAM = 1, 0xF, 1
_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_GET_NAME = 1, 15, 16
# VM FS FILES SIGHAND THREAD: a thread as libraries make it. One with descriptors of its own would multiply
# the limit on them.
_CLONE_THREAD_WITH_ALL = 0x00010F00
_CLOSE_RANGE_UNSHARE = 2  # descriptors of its own, again
# NORMAL RANDOM SEQUENTIAL WILLNEED DONTNEED FREE DONTFORK DOFORK HUGEPAGE NOHUGEPAGE DONTDUMP DODUMP WIPEONFORK
# KEEPONFORK POPULATE_READ POPULATE_WRITE GUARD_INSTALL GUARD_REMOVE; not MERGEABLE (another's pages are compared with
# one's own), not COLD, PAGEOUT (others notice)
_MADVISE = (0, 1, 2, 3, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19, 22, 23, 102, 103)
# Negative numbers are the clocks of other processes, and of files
_CLOCKS = ("clock_gettime", "clock_getres", "clock_nanosleep")
# QUERY, and those among the threads of one process
_MEMBARRIER = (0, 8, 16, 32, 64, 128, 256)
# WAIT WAKE REQUEUE CMP_REQUEUE WAKE_OP WAIT_BITSET WAKE_BITSET, and two bits of each
_FUTEX = (0, 1, 3, 4, 5, 9, 10)
_FUTEX_WAIT, _FUTEX_WAIT_BITSET, _FUTEX_WAKE, _FUTEX_WAKE_BITSET = 0, 9, 1, 10
_FUTEX_PRIVATE, _FUTEX_REALTIME = 128, 256
# Out-of-band bytes on Unix sockets: nobody needs them, and their code in the kernel was a way out (CVE-2025-38236)
_MSG_OOB = 1
_NOT_FOR_CHILDREN = ("seccomp", "pidfd_open", "sendmsg")
# Of the process itself only: whether there is another of some number, and what it does, is nobody's business
_ABOUT_ITSELF = ("getpgid", "getsid", "sched_getparam", "sched_getscheduler", "sched_getaffinity")
_CLONE_NEW_NAMESPACE = 0x7E020080  # NEWNS NEWTIME NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET
_CLONE_THREAD, _CLONE_PARENT, _CLONE_PTRACE, _CLONE_UNTRACED = 0x10000, 0x8000, 0x2000, 0x800000


def _low(argument: int) -> Instruction:
    """Load the low 32 bits of an argument (both machines are little-endian)."""
    return (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument)


def _high(argument: int) -> Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument + 4)


def _require_bits(argument: int, mask: int, value: int) -> list[Instruction]:
    """Deny unless ``argument & mask == value``."""
    return [_low(argument), (_AND, 0, 0, mask), (_JEQ, 1, 0, value), DENY]


def _require_one_of(argument: int, values: tuple[int, ...]) -> list[Instruction]:
    """Deny unless the low half of the argument is one of the values (the kernel reads these as 32-bit)."""
    last = len(values)
    return [_low(argument), *((_JEQ, last - i, 0, value) for i, value in enumerate(values)), DENY]


def _require_null(argument: int) -> list[Instruction]:
    """Deny unless the whole 64-bit argument is zero."""
    return [_low(argument), (_JEQ, 1, 0, 0), DENY, _high(argument), (_JEQ, 1, 0, 0), DENY]


def _require_positive(argument: int) -> list[Instruction]:
    """Deny when the low half of the argument is a negative number."""
    return [_low(argument), (_JGE, 0, 1, 0x80000000), DENY]


def _futex() -> list[Instruction]:
    """Waiting and waking among the threads of one process.

    Without the private flag the kernel finds those who wait by what is mapped there. Every snippet has pages of the
    same files, so that one could wake another; a thread that ends does so too, at an address of its own choice. So
    nobody may wait in this way, and waking finds nobody. Some libraries do both (libc where it waits for the end of a
    thread, libstdc++ for a future): they are told that the value has changed, look again, and go on without sleeping.
    """
    answers: list[Instruction] = [DENY, (_RETURN, 0, 0, _ERRNO | _EAGAIN), (_RETURN, 0, 0, _ERRNO), ALLOW]
    tests = {operation | _FUTEX_PRIVATE: 3 for operation in _FUTEX}
    tests |= {_FUTEX_WAIT: 1, _FUTEX_WAIT_BITSET: 1, _FUTEX_WAKE: 2, _FUTEX_WAKE_BITSET: 2}
    last = len(tests) - 1
    jumps = [(_JEQ, last - at + answer, 0, number) for at, (number, answer) in enumerate(tests.items())]
    return [_low(1), (_AND, 0, 0, 0xFFFFFFFF ^ _FUTEX_REALTIME), *jumps, *answers]


def _when(number: int, body: list[Instruction]) -> list[Instruction]:
    """Run the body, which ends in a return, for one system call. The number is in the accumulator and stays
    there.
    """
    return [(_JEQ, 0, len(body), number), *body]


def _assemble(program: list[Instruction]) -> bytes:
    return b"".join(pack("=HBBI", *instruction) for instruction in program)


def _conditional(calls: dict[str, int]) -> list[tuple[str, list[Instruction]]]:
    """The calls of the base filter that are allowed for some arguments only."""
    new_process = _CLONE_NEW_NAMESPACE | _CLONE_PARENT | _CLONE_PTRACE | _CLONE_UNTRACED
    rules = [
        ("futex", _futex()),
        ("openat", [*_require_bits(2, _OPEN_FOR_WRITING, 0), ALLOW]),
        ("fcntl", [*_require_one_of(1, _FCNTL), ALLOW]),
        ("ioctl", [*_require_one_of(1, _IOCTL), ALLOW]),
        ("socketpair", [*_require_one_of(0, (_AF_UNIX,)), *_require_bits(1, _SOCKET_KIND, _STREAM), ALLOW]),
        ("sendto", [*_require_bits(3, _MSG_OOB, 0), ALLOW]),
        ("recvfrom", [*_require_bits(3, _MSG_OOB, 0), ALLOW]),
        ("recvmsg", [*_require_bits(2, _MSG_OOB, 0), ALLOW]),
        ("close_range", [*_require_bits(2, _CLOSE_RANGE_UNSHARE, 0), ALLOW]),
        ("prctl", [*_require_one_of(0, (_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_GET_NAME)), ALLOW]),
        ("prlimit64", [*_require_one_of(0, (0,)), ALLOW]),
        ("clone", [*_require_bits(0, new_process, 0), ALLOW]),
        ("madvise", [*_require_one_of(2, _MADVISE), ALLOW]),
        ("membarrier", [*_require_one_of(0, _MEMBARRIER), ALLOW]),
        *((name, [*_require_positive(0), ALLOW]) for name in _CLOCKS),
        ("clone3", [NOT_THERE]),  # its flags are out of reach; libc then uses clone
    ]
    if "open" in calls:
        rules.append(("open", [*_require_bits(1, _OPEN_FOR_WRITING, 0), ALLOW]))
    return rules


def base_filter(machine: str) -> bytes:
    """The allow-list for the zygote and, by inheritance, every snippet, as an array of ``struct
    sock_filter``.
    """
    calls = numbers(machine)
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_JEQ, 1, 0, AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if machine == "x86_64":
        program += [(_JGE, 0, 1, _X32_BIT), (_RETURN, 0, 0, _KILL_PROCESS)]
    conditional = _conditional(calls)
    for name, body in conditional:
        program += _when(calls[name], body)
    for name in calls.keys() - {name for name, _ in conditional} - SETUP_ONLY:
        program += _when(calls[name], [ALLOW])
    return _assemble([*program, DENY])


def child_filter(machine: str) -> tuple[bytes, int]:
    """What a snippet's process gives up on top of the base filter, and the byte offset of its own pid.

    Threads are allowed, processes are not; it may signal itself only (``abort`` needs that), and ask about itself
    only. It may not pass descriptors (``sendmsg``): those under way are counted per user, and the zygote has to pass
    some too.
    """
    calls = numbers(machine)
    thread = _require_bits(0, _CLONE_THREAD_WITH_ALL, _CLONE_THREAD_WITH_ALL)
    program: list[Instruction] = [
        (_LOAD, 0, 0, _NUMBER_AT),
        *_when(calls["clone"], [*thread, ALLOW]),
        *_when(calls["prctl"], [*_require_one_of(0, (_PR_SET_NAME, _PR_GET_NAME)), ALLOW]),
        *_when(calls["prlimit64"], [*_require_null(2), ALLOW]),
        *_when(calls["getpriority"], [*_require_one_of(1, (0,)), ALLOW]),
        *(instruction for name in _NOT_FOR_CHILDREN for instruction in _when(calls[name], [DENY])),
    ]
    asks = [(_JEQ, len(_ABOUT_ITSELF) - at, 0, calls[name]) for at, name in enumerate(_ABOUT_ITSELF)]
    program += [(_JEQ, len(asks) + 3, 0, calls["tgkill"]), *asks, ALLOW]
    program += [_low(0), (_JEQ, 2, 0, 0), _low(0), (_JEQ, 0, 1, 0), ALLOW]
    pid_instruction = len(program) - 2
    # libc takes "not there" for an answer when a thread asks for its cores
    program += [(_LOAD, 0, 0, _NUMBER_AT), *_when(calls["sched_getaffinity"], [NOT_THERE]), DENY]
    return _assemble(program), pid_instruction * 8 + 4
