"""One pool for all tests that do not need their own: a pool takes a hundred times as long as a snippet."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest

from coevolve.sandbox.base import Limits
from coevolve.sandbox.pool import SandboxPool

from .cells import new_name
from .processes import eventually, zombies

# Numbers on x86-64 and aarch64 of calls that the sandbox's own table does not have
_MORE_CALLS = {"mount": (165, 40), "umount2": (166, 39)}
_NEW_NAMESPACES = 0x7E020000
_ANOTHER_MACHINE = """
import platform, struct
from coevolve.errors import SandboxUnavailable
from coevolve.sandbox import confine
from coevolve.sandbox import syscalls
from coevolve.sandbox.pool import SandboxPool
machine = platform.machine()
calls = syscalls.numbers(machine) | @MORE@
program = [(0x20, 0, 0, 0)]
for name, error in @REFUSED@.items():
    program += [(0x15, 0, 1, calls[name]), (0x06, 0, 0, 0x50000 | error)]
program += [(0x15, 0, 3, calls["clone"]), (0x20, 0, 0, 16), (0x45, 0, 1, @FLAGS@), (0x06, 0, 0, 0x50001)]
program += [(0x06, 0, 0, 0x7FFF0000)]
confine.no_new_privileges()
confine.SystemCallFilter(machine, b"".join(struct.pack("=HBBI", *line) for line in program)).load()
"""


@pytest.fixture(scope="session")
def elsewhere() -> Callable[..., str]:
    """``elsewhere(script, {call: error number}, namespaces=True)``: what a script prints on a machine whose kernel
    answers these system calls with these errors, and refuses new namespaces if told so, as in default containers.
    ``SandboxPool`` and ``SandboxUnavailable`` are imported.
    """
    column = ("x86_64", "aarch64").index(platform.machine())
    more = {name: pair[column] for name, pair in _MORE_CALLS.items()}

    def run(script: str, refused: Mapping[str, int], *, namespaces: bool = True) -> str:
        words = {"MORE": more, "REFUSED": dict(refused), "FLAGS": 0 if namespaces else _NEW_NAMESPACES}
        prologue = _ANOTHER_MACHINE
        for word, value in words.items():
            prologue = prologue.replace(f"@{word}@", repr(value))
        command = [sys.executable, "-W", "ignore", "-c", prologue + script]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def pool() -> Iterator[SandboxPool]:
    with SandboxPool(limits=Limits(cpu_s=0.3, wall_s=2.0, memory_mb=128, output_bytes=20_000)) as pool:
        yield pool


@pytest.fixture(scope="session")
def patient_pool() -> Iterator[SandboxPool]:
    """The same with more time: new pages cost several times their usual CPU time on a crowded machine."""
    with SandboxPool(limits=Limits(cpu_s=10.0, wall_s=30.0, memory_mb=128, output_bytes=20_000)) as pool:
        yield pool


@pytest.fixture(autouse=True)
def _pool_survives(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test the pool still answers, and no process is left unburied."""
    yield
    if "pool" in request.fixturenames:
        pool: SandboxPool = request.getfixturevalue("pool")
        assert pool.run("print(6*7)").stdout == "42\n"
        assert eventually(lambda: zombies(pool._supervisor.zygote_pid) == [])


@pytest.fixture
def name(pool: SandboxPool) -> Iterator[str]:
    """A session of the shared pool, ended after the test."""
    name = new_name()
    yield name
    pool.end_session(name)


@pytest.fixture
def crowded() -> Iterator[None]:
    """This process and all that it starts have one core, which five other programs use up.

    Each in a session of its own, which the kernel may share the core out by.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        with ExitStack() as stack:
            for _ in range(5):
                busy = [sys.executable, "-c", "while True: pass"]
                program = stack.enter_context(subprocess.Popen(busy, start_new_session=True))
                stack.callback(program.kill)
            yield
    finally:
        os.sched_setaffinity(0, before)
