"""Killed processes, ends, restarts: nothing is lost, nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import CancelledError
from functools import partial

import pytest

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.base import Limits, Status
from coevolve.sandbox.pool import SandboxPool

from .processes import alive, children, eventually, open_descriptors, zygote

SLEEP = "import time; print('started', flush=True); time.sleep(60)"


def _is_replaced(pool: SandboxPool, old: int) -> bool:
    return pool._supervisor.zygote_pid != old


def test_a_killed_zygote_is_replaced_and_its_snippet_run_again() -> None:
    with SandboxPool(limits=Limits(wall_s=0.5)) as pool:
        old = zygote(pool)
        descendants = children(old)
        future = pool.submit("import time; time.sleep(0.2); print('done')")
        time.sleep(0.1)
        os.kill(old, signal.SIGKILL)
        assert future.result(20).stdout == "done\n"
        assert zygote(pool) != old
        assert pool.stats.infra_failures == 1
        assert eventually(lambda: not any(map(alive, descendants)))


def test_a_zygote_killed_while_idle_is_replaced() -> None:
    with SandboxPool() as pool:
        for _ in range(3):
            os.kill(zygote(pool), signal.SIGKILL)
            assert pool.run("print(6*7)").stdout == "42\n"


def test_a_snippet_whose_zygote_is_killed_twice_fails_as_the_sandbox_not_the_code() -> None:
    with SandboxPool(limits=Limits(wall_s=30)) as pool:
        future = pool.submit(SLEEP)
        for _ in range(2):
            old = zygote(pool)
            assert eventually(lambda: bool(pool._supervisor._running))
            os.kill(old, signal.SIGKILL)
            assert eventually(partial(_is_replaced, pool, old))
        with pytest.raises(SandboxInfraError, match="zygote was killed, 2 times"):
            future.result(20)
        assert pool.run("print(6*7)").stdout == "42\n"


def test_sleeping_children_that_are_killed_are_replaced() -> None:
    with SandboxPool() as pool:
        for _ in range(12):
            for child in children(zygote(pool)):
                os.kill(child, signal.SIGKILL)
            assert pool.run("print(6*7)").stdout == "42\n"


def test_a_running_child_killed_from_outside_is_killed() -> None:
    with SandboxPool() as pool:
        future = pool.submit(SLEEP)
        assert eventually(lambda: bool(pool._supervisor._running))
        time.sleep(0.05)
        (run,) = pool._supervisor._running
        os.kill(run.child.pid, signal.SIGKILL)
        result = future.result(5)
        assert (result.status, result.signal, result.stdout) == (Status.KILLED, 9, "started\n")


@pytest.mark.parametrize("namespaces", [True, False])
def test_no_process_outlives_a_killed_trainer(namespaces: bool) -> None:
    script = (
        "import time\n"
        "from coevolve.sandbox.pool import SandboxPool\n"
        f"pool = SandboxPool(workers=2, namespaces={namespaces})\n"
        f"futures = [pool.submit({SLEEP!r}) for _ in range(2)]\n"
        "time.sleep(0.2)\n"
        "print(pool._supervisor.zygote_pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as trainer:
        assert trainer.stdout is not None
        zygote = int(trainer.stdout.readline())
        between = [pid for pid in children(trainer.pid) if zygote in children(pid)]
        processes = [*between, zygote, *children(zygote)]
        assert len(processes) >= 4
        assert all(map(alive, processes))
        trainer.kill()
    assert eventually(lambda: not any(map(alive, processes)), seconds=1.0)


def test_close_ends_everything_at_once_and_fails_what_was_waiting() -> None:
    before = open_descriptors()
    pool = SandboxPool(workers=2, limits=Limits(wall_s=60))
    processes = [zygote(pool), *children(zygote(pool))]
    futures = [pool.submit(SLEEP) for _ in range(5)]
    time.sleep(0.1)
    start = time.monotonic()
    pool.close()
    assert time.monotonic() - start < 1.5
    assert not any(os.path.exists(f"/proc/{pid}") for pid in processes)
    for future in futures:
        with pytest.raises(SandboxInfraError, match="closed"):
            future.result(0)
    with pytest.raises(SandboxInfraError, match="closed"):
        pool.run("print(1)")
    pool.close()
    assert open_descriptors() == before


def test_a_pool_that_is_forgotten_ends_its_processes() -> None:
    pool = SandboxPool()
    first = zygote(pool)
    del pool
    assert eventually(lambda: not alive(first))


def test_a_waiting_snippet_can_be_cancelled() -> None:
    with SandboxPool() as pool:
        running = pool.submit("import time; time.sleep(0.2); print(1)")
        waiting = pool.submit("print(2)")
        assert waiting.cancel()
        with pytest.raises(CancelledError):
            waiting.result()
        assert running.result().stdout == "1\n"
        assert pool.run("print(3)").stdout == "3\n"


def test_cancelling_one_of_equal_snippets_leaves_the_others() -> None:
    code = "import time; time.sleep(0.1); print(1)"
    with SandboxPool(cache_size=10) as pool:
        blocker = pool.submit("import time; time.sleep(0.1)")
        first, second, third = (pool.submit(code) for _ in range(3))
        assert second.cancel()
        assert first.cancel()
        assert third.result(10).stdout == "1\n"
        assert blocker.result().status is Status.OK
        assert pool.stats.cache_hits == 0


def test_a_forked_process_may_not_use_its_parents_pool() -> None:
    with SandboxPool() as pool:
        pid = os.fork()
        if pid == 0:
            try:
                pool.run("print(1)")
            except SandboxInfraError:
                os._exit(42)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
        assert pool.run("print(6*7)").stdout == "42\n"


def test_nothing_piles_up_over_hundreds_of_snippets() -> None:
    snippets = ["print(1)", "1/0", "import os; os.abort()", "print('x' * 99999)", "import os; os.fork()"]
    with SandboxPool(workers=2) as pool:
        for code in snippets * 2:
            pool.run(code)
        assert eventually(lambda: pool._supervisor._spares.asleep == 3)
        before = open_descriptors()
        for future in [pool.submit(code) for code in snippets * 60]:
            future.result()
        assert eventually(lambda: pool._supervisor._spares.asleep == 3)
        assert len(children(zygote(pool))) == 3
        assert eventually(lambda: open_descriptors() == before)
        assert len(os.listdir(f"/proc/{zygote(pool)}/fd")) < 16
