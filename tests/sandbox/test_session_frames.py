"""What a hostile cell tells the supervisor in the runner's name harms its own session at most."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from struct import pack

import pytest

from coevolve.sandbox.base import Status
from coevolve.sandbox.pool import SandboxPool
from coevolve.sandbox.snippet import BEGUN, END

from .cells import is_lost, new_name, pid_of, run
from .processes import eventually, state

EVERYWHERE = """import os
def tell(*messages):
    for descriptor in range(3, 64):
        for message in messages:
            try: os.write(descriptor, message)
            except OSError: break
"""
BY_LIBC = """import ctypes
def tell(*messages):
    for descriptor in range(3, 64):
        for message in messages:
            ctypes.CDLL(None).write(descriptor, message, len(message))
"""


@pytest.fixture
def bystander(pool: SandboxPool) -> Iterator[None]:
    """Another session, which notices nothing."""
    name = new_name()
    pool.run("x = 42", name)
    yield
    assert pool.run("print(x)", name).stdout == "42\n"
    pool.end_session(name)


@pytest.mark.parametrize("means", [EVERYWHERE, BY_LIBC])
@pytest.mark.parametrize(
    "message",
    [
        pack("=q", -1),
        pack("=Q", 4 << 30),
        pack("=i", -1) + b"x" * 60_000,
        pack(END, 2, 0)[:4],
        pack(END, 2, 0) * 2,
        pack(END, 1, 0),
        pack(END, 3, 0),
        pack(END, 2, 7),
        BEGUN,
        b"x",
    ],
)
@pytest.mark.usefixtures("bystander")
def test_a_message_that_is_no_end_of_the_cell_ends_the_session(
    pool: SandboxPool, name: str, means: str, message: bytes
) -> None:
    cell = f"{means}tell({message!r})\nimport time; time.sleep(60)"
    first, ended, after = run(pool, name, "x = 1", cell, "print(x)")
    assert first.status is Status.OK
    assert (ended.status, ended.signal) == (Status.KILLED, 9)
    assert is_lost(after, "an earlier cell ended its process (killed)")


@pytest.mark.usefixtures("bystander")
def test_an_end_told_too_early_stops_the_cell_there(pool: SandboxPool, name: str) -> None:
    cell = f"{EVERYWHERE}print('before', flush=True)\ntell({pack(END, 1, 0)!r})\nwhile True: pass"
    ended = pool.run(cell, name)
    assert (ended.status, ended.exit_code) == (Status.OK, 0)
    assert ended.cpu_ms < 300
    assert eventually(lambda: state(pid_of(pool, name)) == "T"), "it is stopped though it wants to go on"
    following = pool.run("print('after')", name)
    assert following.status is Status.CPU_LIMIT, "the first cell goes on under the limits of the next one"
    assert is_lost(pool.run("1", name), "an earlier cell ended its process (cpu_limit)")


@pytest.mark.usefixtures("bystander")
def test_ends_told_in_advance_forge_the_results_of_their_own_session_only(pool: SandboxPool, name: str) -> None:
    forged = [pack(END, number, 1) for number in range(1, 6)]
    results = run(pool, name, f"{EVERYWHERE}tell(*{forged!r})", *("print(1)",) * 9)
    assert {r.status for r in results} <= {Status.OK, Status.ERROR, Status.KILLED, Status.SESSION_LOST}
    assert results[-1].status is Status.SESSION_LOST, "the true end of some cell came where none was due"


@pytest.mark.usefixtures("bystander")
def test_a_flood_of_messages_takes_no_memory(pool: SandboxPool, name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(20):
        other = new_name()
        messages = [pack(END, 1, 0), *(b"x" * 60_000,) * 50]
        run(pool, other, f"{EVERYWHERE}os.set_blocking(4, False)\ntell(*{messages!r})", "1", "2")
        pool.end_session(other)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000, "KiB"


@pytest.mark.parametrize(
    ("cell", "status"),
    [
        ("import socket; socket.socket(fileno=4).shutdown(2)", Status.ERROR),
        ("import socket; socket.socket(fileno=4).shutdown(1)", Status.ERROR),
        ("import os; os.close(4)", Status.ERROR),
        ("import os\nfor i in range(3, 64):\n    try: os.dup2(1, i)\n    except OSError: pass", Status.ERROR),
    ],
)
@pytest.mark.usefixtures("bystander")
def test_a_cell_that_closes_the_channel_ends_with_its_session(
    pool: SandboxPool, name: str, cell: str, status: Status
) -> None:
    ended, after = run(pool, name, cell, "1")
    assert ended.status is status
    assert is_lost(after, "an earlier cell ended its process")


@pytest.mark.usefixtures("bystander")
def test_a_thread_that_steals_a_cell_makes_it_time_out(pool: SandboxPool, name: str) -> None:
    thief = "import os, threading\nthreading.Thread(target=lambda: os.read(4, 99_999), daemon=True).start()"
    for _ in range(100):  # the first one to wake up gets it
        result = pool.run(thief, name)
        if result.status is not Status.OK:
            break
    assert result.status is Status.TIMEOUT
    assert is_lost(pool.run("1", name), "an earlier cell ended its process (timeout)")


@pytest.mark.usefixtures("bystander")
def test_the_channel_takes_no_descriptors_and_cannot_be_opened_again(pool: SandboxPool, name: str) -> None:
    cell = """import os, socket
try: socket.send_fds(socket.socket(fileno=os.dup(4)), [b'x'], [1])
except OSError as error: print(error.errno)
for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
    try: os.open('/proc/self/fd/4', flags)
    except OSError as error: print(error.errno in (1, 2, 6, 13))"""
    assert pool.run(cell, name).stdout == "1\nTrue\nTrue\nTrue\n"
