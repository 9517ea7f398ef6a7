"""Who attacks: the tests' own user, an ordinary user, or a root as containers make it."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from pathlib import Path

from coevolve.sandbox import bpf, confine
from coevolve.sandbox.syscalls import AUDIT_ARCH

from .numbers import NUMBERS

OWN, ORDINARY, CONTAINER = "own", "ordinary", "container"
LANES = (OWN, ORDINARY, CONTAINER) if os.geteuid() == 0 else (ORDINARY, CONTAINER)

NOBODY = 65534
_KEEPCAPS, _DUMPABLE, _CAP_DROP, _CAP_AMBIENT, _NO_NEW_PRIVS = 8, 4, 24, 47, 38
_DAC_READ_SEARCH = 2
# CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE
# SETFCAP: what container engines leave to root unless told otherwise
_CONTAINER_CAPABILITIES = sum(1 << number for number in (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31))
# What their default seccomp profiles withhold from it
_WITHHELD = [
    "acct",
    "add_key",
    "adjtimex",
    "bpf",
    "clock_settime",
    "delete_module",
    "fanotify_init",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "mbind",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "personality",
    "pivot_root",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "reboot",
    "request_key",
    "set_mempolicy",
    "setns",
    "settimeofday",
    "sethostname",
    "swapoff",
    "swapon",
    "syslog",
    "umount2",
    "unshare",
    "userfaultfd",
    "vhangup",
]
_CLONE_NEW = 0x7E020000
_EPERM, _ENOSYS = 0x50001, 0x50026

_libc = ctypes.CDLL(None, use_errno=True)


def enter(lane: str, packages: str) -> None:
    """Become the lane's user, for good, who can still read the packages."""
    if lane == ORDINARY and os.geteuid() == 0:
        _become_ordinary(packages)
    elif lane == CONTAINER:
        _become_contained()


def _prctl(option: int, *arguments: int) -> None:
    passed = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    if _libc.prctl(option, *passed):
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def _set_capabilities(permitted: int, inheritable: int = 0) -> None:
    confined = (permitted & 0xFFFFFFFF, permitted & 0xFFFFFFFF, inheritable, permitted >> 32, permitted >> 32, 0)
    header = struct.pack("=Ii", 0x20080522, 0)
    if _libc.syscall(ctypes.c_long(NUMBERS["capset"]), header, struct.pack("=6I", *confined)):
        raise OSError(ctypes.get_errno(), "capset")


def _become_ordinary(packages: str) -> None:
    """User 65534 without capabilities, but for reading an interpreter or a checkout that lies in root's home."""
    _prctl(_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    needed = [packages, os.path.dirname(os.__file__), *(path for path in sys.path if Path(path).is_absolute())]
    if any(_is_locked(path) for path in needed):
        mask = 1 << _DAC_READ_SEARCH
        _set_capabilities(mask, mask)
        _prctl(_CAP_AMBIENT, 2, _DAC_READ_SEARCH)
    else:
        _set_capabilities(0)
    _prctl(_DUMPABLE, 1)  # as any program that was started by that user


def _is_locked(path: str) -> bool:
    try:
        os.stat(path)
    except PermissionError:
        return True
    except OSError:
        return False
    return not os.access(path, os.R_OK, effective_ids=True)


def _become_contained() -> None:
    if os.geteuid() != 0:
        _prctl(_NO_NEW_PRIVS, 1)
    machine = platform.machine()
    confine.SystemCallFilter(machine, _container_filter(machine)).load()
    if os.geteuid() != 0:
        return
    for number in range(64):  # those that this kernel does not know are refused
        if not _CONTAINER_CAPABILITIES >> number & 1:
            _libc.prctl(_CAP_DROP, number, 0, 0, 0)
    _set_capabilities(_CONTAINER_CAPABILITIES)


def _container_filter(machine: str) -> bytes:
    """Everything is allowed but what is withheld: there the kernel, not our filter, would have to say no."""
    program: list[bpf.Instruction] = [
        (0x20, 0, 0, 4),
        (0x15, 1, 0, AUDIT_ARCH[machine]),
        (0x06, 0, 0, _EPERM),
        (0x20, 0, 0, 0),
        (0x15, 0, 1, NUMBERS["clone3"]),
        (0x06, 0, 0, _ENOSYS),
    ]
    for name in _WITHHELD:
        if name in NUMBERS:
            program += [(0x15, 0, 1, NUMBERS[name]), (0x06, 0, 0, _EPERM)]
    program += [
        (0x15, 0, 4, NUMBERS["clone"]),
        (0x20, 0, 0, 16),
        (0x54, 0, 0, _CLONE_NEW),
        (0x15, 1, 0, 0),
        (0x06, 0, 0, _EPERM),
        (0x06, 0, 0, 0x7FFF0000),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
