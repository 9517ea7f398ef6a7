"""Waiting for something to become true, and a snippet that takes a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

SLEEP = {"code": "import time; print(1, flush=True); time.sleep(1.2); print(2)"}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def descendants(pid: int) -> list[int]:
    """Processes below this one, of all its threads."""
    children = [int(p) for f in Path(f"/proc/{pid}/task").glob("*/children") for p in f.read_text().split()]
    return children + [p for child in children for p in descendants(child)]


def gone(processes: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in processes)
