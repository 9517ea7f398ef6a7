"""Namespaces hide what the other walls only lock; without them everything works as before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coevolve.sandbox.base import Status
from coevolve.sandbox.child import pid_of
from coevolve.sandbox.pool import SandboxPool

from .processes import eventually, state

Elsewhere = Callable[..., str]

EPERM = 1
LOOK = """
import os
for path in {paths!r}:
    print(os.path.lexists(path))
"""


@pytest.fixture(scope="module")
def hidden() -> Iterator[SandboxPool]:
    """A pool in namespaces, on a machine that has them."""
    with SandboxPool() as pool:
        if not pool.layers["namespaces"].startswith("on"):
            pytest.skip(f"namespaces are {pool.layers['namespaces']}")
        yield pool


def test_what_may_not_be_read_does_not_exist(hidden: SandboxPool) -> None:
    paths = ["/proc", "/sys", "/tmp", "/etc/passwd", "/bin/sh", "/dev/null", __file__, sys.prefix, pytest.__file__]
    assert hidden.run(LOOK.format(paths=paths)).stdout == "False\n" * len(paths)
    assert hidden.run("import os; os.chdir('/tmp')").status is Status.ERROR
    assert hidden.run(LOOK.format(paths=[os.__file__, "/usr/share/zoneinfo"])).stdout.startswith("True\n")
    site = str(Path(os.__file__).parent / "site-packages")
    assert hidden.run(f"import os; print(os.path.exists({site!r} + '/pip'))").stdout == "False\n"


def test_no_other_process_has_a_number_there(hidden: SandboxPool) -> None:
    first = hidden.run("import os; print(os.getpid(), os.getppid())").stdout.split()
    assert first[1] == "1"
    assert int(first[0]) < 1000


def test_the_zygote_shares_no_namespace_with_us(hidden: SandboxPool) -> None:
    zygote = hidden._supervisor.zygote_pid
    try:
        theirs = {name: os.readlink(f"/proc/{zygote}/ns/{name}") for name in ("mnt", "net", "ipc", "uts", "pid")}
    except PermissionError:
        pytest.skip("only root may look at the namespaces of a confined process")
    for name, namespace in theirs.items():
        assert namespace != os.readlink(f"/proc/self/ns/{name}")


def test_its_root_cannot_be_written_even_by_us(hidden: SandboxPool) -> None:
    with pytest.raises(OSError, match=r"Read-only file system|Permission denied"):
        os.mkdir(Path(f"/proc/{hidden._supervisor.zygote_pid}", "root", "new"))


def test_clocks_and_kills_find_the_right_process(hidden: SandboxPool) -> None:
    future = hidden.submit("import time; print('up', flush=True); time.sleep(60)")
    assert eventually(lambda: len(hidden._supervisor._running) == 1)
    (run,) = hidden._supervisor._running
    assert eventually(lambda: run.child.started)
    assert state(run.child.pid) in ("S", "R")
    assert f"Uid:\t{65534 if os.geteuid() == 0 else os.geteuid()}" in Path(f"/proc/{run.child.pid}/status").read_text()
    os.kill(run.child.pid, signal.SIGKILL)
    assert future.result().status is Status.KILLED
    busy = hidden.run("while True: pass")
    assert busy.status is Status.CPU_LIMIT
    assert 1_900 < busy.cpu_ms < 3_500


def test_the_end_of_the_process_in_between_ends_all_others(hidden: SandboxPool) -> None:
    with SandboxPool() as pool:
        zygote = pool._supervisor.zygote_pid
        between = int(Path(f"/proc/{zygote}/stat").read_text().rpartition(")")[2].split()[1])
        assert between not in (0, 1, os.getpid())
        os.kill(between, signal.SIGKILL)
        assert eventually(lambda: state(zygote) in ("", "Z"))
        assert pool.run("print(6*7)").stdout == "42\n"
        assert pool._supervisor.zygote_pid != zygote


def test_close_leaves_neither_processes_nor_mounts(hidden: SandboxPool) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    with SandboxPool() as pool:
        zygote = pool._supervisor.zygote_pid
        assert Path("/proc/self/mountinfo").read_text() == mounts
    assert state(zygote) == ""
    assert Path(f"/proc/self/task/{os.getpid()}/children").read_text() == children


def test_they_can_be_switched_off() -> None:
    with SandboxPool(namespaces=False) as pool:
        assert pool.layers["namespaces"] == "off"
        assert pool.run(LOOK.format(paths=["/proc"])).stdout == "True\n"


def test_where_they_cannot_be_made_the_reason_is_told_and_everything_works(elsewhere: Elsewhere) -> None:
    script = "with SandboxPool() as pool: print(pool.layers['namespaces'], '|', pool.run('print(6*7)').stdout)"
    assert elsewhere(script, {}, namespaces=False) == (
        "not available: [Errno 1] clone: Operation not permitted | 42\n\n"
    )


@pytest.mark.parametrize("call", ["mount", "pivot_root", "umount2"])
def test_where_they_are_of_no_use_nothing_of_the_attempt_is_left(
    hidden: SandboxPool, elsewhere: Elsewhere, call: str
) -> None:
    """As an AppArmor profile does it: namespaces can be made, but nothing can be mounted in them."""
    script = """
with SandboxPool() as pool:
    print(pool.layers['namespaces'])
    print(pool.run('import os; print(os.getppid() > 1, os.path.exists("/proc"))').stdout)
"""
    reason, works = elsewhere(script, {call: EPERM}).split("\n", 1)
    assert reason.startswith(f"not available: [Errno 1] {call}")
    assert works == "True True\n\n"


def test_a_pidfd_tells_our_own_pid() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        watch = os.pidfd_open(child.pid)
        assert pid_of(watch) == child.pid
        child.kill()
        child.wait()
        assert pid_of(watch) == -1
        os.close(watch)
