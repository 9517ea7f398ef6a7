"""One pool for all tests that do not need their own: a pool takes a hundred times as long as a snippet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coevolve.sandbox.base import Limits
from coevolve.sandbox.pool import SandboxPool


@pytest.fixture(scope="session")
def pool() -> Iterator[SandboxPool]:
    with SandboxPool(limits=Limits(cpu_s=0.3, wall_s=1.0, memory_mb=128, output_bytes=20_000)) as pool:
        yield pool


@pytest.fixture(autouse=True)
def _pool_survives(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test the pool still answers, and no process is left unburied."""
    yield
    if "pool" in request.fixturenames:
        pool: SandboxPool = request.getfixturevalue("pool")
        assert pool.run("print(6*7)").stdout == "42\n"
        assert zombies(pool._supervisor.zygote_pid) == []


def children(pid: int | None) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state(pid: int) -> str:
    """The one-letter state of a process, "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def zombies(pid: int | None) -> list[int]:
    return [child for child in children(pid) if state(child) == "Z"]
