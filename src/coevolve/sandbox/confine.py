"""The isolation layers around a snippet, as system calls: resource limits, Landlock, user drop, seccomp.

The zygote applies all of them once, before it forks the first child, so that children are born confined and only what
is per process (parent-death signal, CPU limit, child filter) is left to each of them.

Runs inside the sandbox interpreter: standard library only.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from _struct import pack, pack_into, unpack

from . import bpf, library
from .layers import ON
from .syscalls import numbers

NOBODY = 65534
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_NO_NEW_PRIVS = 1, 4, 8, 38
_SECCOMP_SET_MODE_FILTER = 1
_LANDLOCK_CREATE_RULESET_VERSION, _LANDLOCK_RULE_PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_O_PATH = 0o10000000
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1 << 1, 1 << 2

_libc = ctypes.CDLL(None, use_errno=True)
_prctl, _syscall = _libc.prctl, _libc.syscall
_prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
_syscall.restype = ctypes.c_long


def _check(result: int, call: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result


def _call(number: int, name: str, *arguments: int | bytes) -> int:
    converted = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    return _check(_syscall(ctypes.c_long(number), *converted), name)


def entry(proc: int, name: str, flags: int = os.O_RDONLY) -> int:
    """A descriptor of something in this process' folder of /proc, which is itself given as a descriptor: where the
    zygote runs it may have no path.
    """
    return os.open(f"self/{name}", flags | os.O_CLOEXEC, dir_fd=proc)


def end_with_parent() -> None:
    """Be killed when the parent (the thread that made this process) ends."""
    _check(_prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "PR_SET_PDEATHSIG")


def die_with_parent(parent: int) -> None:
    """The same; exits at once if the parent has already ended."""
    end_with_parent()
    if os.getppid() != parent:
        os._exit(1)


def limit_resources(proc: int, memory_bytes: int, open_files: int) -> str:
    """Limits that children inherit. ``memory_bytes`` counts on top of the address space in use now.

    Args:
        proc: descriptor of this process' folder in /proc.
        memory_bytes: address space beyond what is in use now.
        open_files: descriptors at once.
    """
    with open(entry(proc, "statm"), encoding="ascii") as statm:
        in_use = int(statm.read().split()[0]) * resource.getpagesize()
    limits = {
        resource.RLIMIT_AS: in_use + memory_bytes,
        resource.RLIMIT_NOFILE: open_files,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        # Signals that keep what was sent with them: counted per user, so that one snippet would notice another's
        resource.RLIMIT_SIGPENDING: 0,
    }
    for kind, value in limits.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    return ON


def prefer_for_oom_killer(proc: int) -> None:
    """When memory runs out, let the kernel take a snippet rather than the training run."""
    with open(entry(proc, "oom_score_adj", os.O_WRONLY), "w", encoding="ascii") as file:
        file.write("1000")


def no_new_privileges() -> str:
    """No set-uid program or file capability can ever raise this process again."""
    _check(_prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
    return ON


def landlock(machine: str, readable: list[tuple[str, str]]) -> str:
    """Only the given paths (see :func:`library.readable`) can be read; nothing can be written, run, or
    connected to by TCP.
    """
    calls = numbers(machine)
    create, add, enter = (calls[f"landlock_{name}"] for name in ("create_ruleset", "add_rule", "restrict_self"))
    abi = _call(create, "landlock_create_ruleset", 0, 0, _LANDLOCK_CREATE_RULESET_VERSION)
    files = (1 << 13) - 1 | (abi >= 2) << 13 | (abi >= 3) << 14 | (abi >= 5) << 15
    network = 0b11 if abi >= 4 else 0
    scopes = 0b11 if abi >= 6 else 0
    attributes = pack("=QQQ", files, network, scopes)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    ruleset = _call(create, "landlock_create_ruleset", attributes, len(attributes), 0)
    for path, what in readable:
        _allow_reading(add, ruleset, path, what)
    _call(enter, "landlock_restrict_self", ruleset, 0)
    os.close(ruleset)
    return f"{ON}, abi {abi}"


def _allow_reading(add_rule: int, ruleset: int, path: str, what: str) -> None:
    rights = _READ_DIR if what == library.NAMES else _READ_FILE | _READ_DIR if os.path.isdir(path) else _READ_FILE
    handle = os.open(path, _O_PATH | os.O_CLOEXEC)
    rule = pack("=Qi", rights, handle)
    _call(add_rule, "landlock_add_rule", ruleset, _LANDLOCK_RULE_PATH_BENEATH, rule, 0)
    os.close(handle)


def _permitted_capabilities(machine: str) -> int:
    sets = ctypes.create_string_buffer(24)
    header = pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _call(numbers(machine)["capget"], "capget", header, ctypes.addressof(sets))
    _, low, _, _, high, _ = unpack("=6I", sets.raw)
    return int(low | high << 32)


def _set_capabilities(machine: str, effective: int, permitted: int) -> None:
    low = 0xFFFFFFFF
    sets = pack("=6I", effective & low, permitted & low, 0, effective >> 32, permitted >> 32, 0)
    _call(numbers(machine)["capset"], "capset", pack("=Ii", _CAPABILITY_VERSION_3, 0), sets)


def drop_privileges(machine: str, must_read: list[str]) -> str:
    """Switch to the user nobody when started as root, and drop every capability.

    One exception: when the user could not even reach the interpreter's own library or the snippets' packages
    (they lie in root's home), the right to search and read regardless of file modes is kept, if there is one; in
    its place the right to ignore file modes altogether, which is all that root has in most containers.
    Landlock still confines this to reading, and to those folders.
    """
    if os.geteuid() == 0:
        _check(_prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0), "PR_SET_KEEPCAPS")
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    permitted = _permitted_capabilities(machine)
    kept = permitted & _CAP_DAC_READ_SEARCH or permitted & _CAP_DAC_OVERRIDE
    state = f"{ON}, user {os.geteuid()}"
    _set_capabilities(machine, 0, kept)
    try:
        _list(must_read)
        kept = 0
    except PermissionError:
        if not kept:
            raise
        state += ", reads the library in spite of its file modes"
    _set_capabilities(machine, kept, kept)
    _list(must_read)
    return state


def _list(folders: list[str]) -> None:
    for folder in folders:
        os.listdir(folder)


def not_dumpable() -> None:
    """No debugger, core file or /proc reader of the same user gets into this process."""
    _check(_prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "PR_SET_DUMPABLE")


class SystemCallFilter:
    """A seccomp filter ready to be loaded: the bytes are prepared once, loading is one system call."""

    def __init__(self, machine: str, program: bytes) -> None:
        self._number = numbers(machine)["seccomp"]
        self.program = ctypes.create_string_buffer(program, len(program))
        self._header = pack("=H6xQ", len(program) // 8, ctypes.addressof(self.program))

    def load(self) -> str:
        """Bind this process to the filter, for good."""
        _call(self._number, "seccomp", _SECCOMP_SET_MODE_FILTER, 0, self._header)
        return ON


class ChildFilter(SystemCallFilter):
    """The filter of one snippet's process: the same for all but for its own pid."""

    def __init__(self, machine: str) -> None:
        program, self._pid_at = bpf.child_filter(machine)
        super().__init__(machine, program)

    def load(self) -> str:
        pack_into("=I", self.program, self._pid_at, os.getpid())
        return super().load()


def base_filter(machine: str) -> SystemCallFilter:
    """The allow-list that the zygote puts on itself."""
    return SystemCallFilter(machine, bpf.base_filter(machine))
