"""What tests ask the machine about processes and descriptors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from coevolve.sandbox.pool import SandboxPool


def children(pid: int | None) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state(pid: int | None) -> str:
    """The one-letter state of a process, "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid: int) -> bool:
    return state(pid) not in ("", "Z")


def zombies(pid: int | None) -> list[int]:
    return [child for child in children(pid) if state(child) == "Z"]


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def zygote(pool: SandboxPool) -> int:
    """The pid of a pool's zygote, which may just be starting."""
    assert eventually(lambda: pool._supervisor.zygote_pid is not None)
    pid = pool._supervisor.zygote_pid
    assert pid is not None
    return pid


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
