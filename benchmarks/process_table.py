"""What /proc says about this process and those below it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    """One process. ``state`` is the kernel's letter: Z for one that ended and was not waited for."""

    pid: int
    state: str
    parent: int
    session: int


def processes() -> list[Process]:
    """All processes of this machine; those that end meanwhile may be missing."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text(encoding="utf-8", errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            state, parent, _, session = stat.rpartition(")")[2].split()[:4]
            found.append(Process(int(entry), state, int(parent), int(session)))
    return found


def children(pid: int) -> list[Process]:
    """The direct children of a process."""
    return [process for process in processes() if process.parent == pid]


def zygotes() -> list[int]:
    """The sandbox interpreters of this process, in a program that starts no other process meanwhile."""
    return [process.pid for process in children(os.getpid())]


def of_sessions(leaders: Iterable[int]) -> list[Process]:
    """Processes in the kernel's sessions of these leaders, which orphans stay in when their parents have ended."""
    wanted = set(leaders)
    return [process for process in processes() if process.session in wanted]


def cpu_seconds() -> float:
    """CPU of this process, its children and theirs; of those that live below the children nothing is known yet."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ticks = 0
    for pid in zygotes():
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        ticks += sum(map(int, stat.rpartition(")")[2].split()[11:15]))  # its own, and of what it has waited for
    return sum(usage.ru_utime + usage.ru_stime for usage in usages) + ticks / _TICKS_PER_S


def open_descriptors() -> int:
    """Of this process."""
    return len(os.listdir("/proc/self/fd"))


def resident_mb() -> float:
    """Memory of this process that is in RAM, in MiB."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE / 2**20


def private_mb(pid: int) -> float:
    """Memory that a process shares with no other, in MiB.

    Raises:
        PermissionError: only root may look into a confined process.
    """
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    kilobytes = [int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_")]
    return sum(kilobytes) / 1024
