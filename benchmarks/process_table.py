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


def descendants() -> list[Process]:
    """The processes below this one, parents first."""
    every = processes()
    found, parents = [], {os.getpid()}
    while parents:
        generation = [process for process in every if process.parent in parents]
        found += generation
        parents = {process.pid for process in generation}
    return found


def snippets() -> list[int]:
    """The processes for single snippets and sessions, in a program that has a sandbox and starts nothing else."""
    return [process.pid for process in descendants() if process.parent != os.getpid() and inner_pid(process.pid) != 1]


def interpreters() -> list[int]:
    """The processes that make and watch these: a zygote, and where there are namespaces one that waits for it."""
    found = set(snippets())
    return [process.pid for process in descendants() if process.pid not in found]


def inner_pid(pid: int) -> int:
    """Its number in its own namespace; 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    (line,) = [line for line in status.splitlines() if line.startswith("NSpid:")]
    return int(line.split()[-1])


def of_sessions(leaders: Iterable[int]) -> list[Process]:
    """Processes in the kernel's sessions of these leaders, which orphans stay in when their parents have ended."""
    wanted = set(leaders)
    return [process for process in processes() if process.session in wanted]


def cpu_seconds() -> float:
    """CPU of this process, of the sandbox's interpreters, and of all below them that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ticks = 0
    for pid in interpreters():
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
