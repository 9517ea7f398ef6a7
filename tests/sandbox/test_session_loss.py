"""The end of sessions: asked for, by idleness, by killed processes; nothing of them stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import CancelledError
from contextlib import closing

import pytest

from coevolve.errors import ConfigError, SandboxInfraError
from coevolve.methods.registry import load_config
from coevolve.sandbox.base import Limits, Status
from coevolve.sandbox.factory import open_tool
from coevolve.sandbox.pool import SandboxPool

from .cells import is_lost, pid_of
from .processes import alive, children, eventually, open_descriptors, zygote

SLEEP = "import time; print('started', flush=True); time.sleep(60)"


def pids(pool: SandboxPool) -> list[int]:
    """The processes of all sessions."""
    return [session.child.pid for session in list(pool._sessions._processes.values()) if session.child]


def test_an_ended_session_is_forgotten_and_its_process_ends(pool: SandboxPool, name: str) -> None:
    pool.run("x = 1", name)
    pid = pid_of(pool, name)
    pool.end_session(name)
    assert eventually(lambda: not alive(pid))
    assert "NameError" in pool.run("x", name).stderr, "the name means a new session now"
    pool.end_session("never heard of")


def test_ending_a_session_kills_its_cell_and_loses_those_that_wait() -> None:
    with SandboxPool(limits=Limits(wall_s=60)) as pool:
        running, waiting = pool.submit(SLEEP, "a"), pool.submit("1", "a")
        assert eventually(lambda: bool(pids(pool)))
        time.sleep(0.1)
        pool.end_session("a")
        assert (running.result(10).status, running.result().signal) == (Status.KILLED, 9)
        assert is_lost(waiting.result(10), "it was ended")
        assert pool.run("print(6*7)", "a").stdout == "42\n"


def test_an_idle_session_is_lost_after_its_time_and_a_running_one_is_not() -> None:
    with SandboxPool(workers=2, session_idle_s=0.3) as pool:
        pool.run("x = 1", "idle")
        (pid,) = pids(pool)
        assert pool.run("import time; time.sleep(0.6)", "busy").status is Status.OK
        assert eventually(lambda: not alive(pid)), "it ends by itself"
        assert is_lost(pool.run("print(x)", "idle"), "it was not used for 0.3 seconds")


def test_the_idle_time_of_sessions_is_a_key() -> None:
    box = load_config(overrides=["sandbox.session_idle_s=0.3", "sandbox.workers=1"]).sandbox
    with closing(open_tool(box, cache=0, sessions=1)) as tool:
        tool.run("x = 1", "idle")
        time.sleep(1.0)
        assert is_lost(tool.run("print(x)", "idle"), "it was not used for 0.3 seconds")
    with pytest.raises(ConfigError, match="session_idle_s"):
        load_config(overrides=["sandbox.session_idle_s=0"])


def test_too_many_sessions_are_refused_and_none_is_given_up() -> None:
    with SandboxPool(max_sessions=2) as pool:
        pool.run("x = 1", "a")
        pool.run("import os; os._exit(1)", "lost, and not counted")
        pool.run("x = 2", "b")
        with pytest.raises(SandboxInfraError, match="2 sessions live") as refusal:
            pool.run("x = 3", "c")
        assert "end_session()" in str(refusal.value)
        assert [pool.run("print(x)", name).stdout for name in "ab"] == ["1\n", "2\n"]
        pool.end_session("a")
        assert pool.run("x = 3; print(x)", "c").stdout == "3\n"


def test_descriptors_for_all_sessions_are_made_sure_of_at_the_start() -> None:
    script = """if True:
        import resource
        from coevolve.errors import ConfigError
        from coevolve.sandbox.pool import SandboxPool
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 1000))
        try: SandboxPool(max_sessions=300)
        except ConfigError as error: print(error)
        with SandboxPool(max_sessions=30) as pool:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            print(100 < soft < hard == 1000)
            results = [pool.run('print(1)', str(i)).stdout for i in range(30)]
            print(len(results) == results.count('1' + chr(10)))
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    first, *rest = done.stdout.splitlines()
    assert first.startswith("300 sessions need "), done.stderr
    assert rest[-2:] == ["True", "True"]
    assert "ulimit -Hn" in done.stdout


def test_a_killed_zygote_fails_the_running_cell_and_loses_all_sessions() -> None:
    with SandboxPool(workers=2, limits=Limits(wall_s=60)) as pool:
        pool.run("x = 1", "idle")
        running, waiting = pool.submit(SLEEP, "busy"), pool.submit("1", "busy")
        assert eventually(lambda: len(pids(pool)) == 2)
        time.sleep(0.1)
        processes = pids(pool)
        os.kill(zygote(pool), signal.SIGKILL)
        with pytest.raises(SandboxInfraError, match="must not run twice"):
            running.result(20)
        assert is_lost(waiting.result(20), "the sandbox had to be started again")
        assert is_lost(pool.run("x", "idle"), "the sandbox had to be started again")
        assert pool.run("print(6*7)", "new").stdout == "42\n"
        assert not any(map(alive, processes))


def test_a_session_killed_between_its_cells_is_lost() -> None:
    with SandboxPool() as pool:
        pool.run("x = 1", "a")
        (pid,) = pids(pool)
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not pids(pool))
        assert is_lost(pool.run("print(x)", "a"), "its process was killed between two cells")


def test_killed_spares_are_replaced_and_no_cell_is_lost_by_it() -> None:
    with SandboxPool() as pool:
        pool.run("1", "a")
        for name in map(str, range(12)):
            for child in set(children(zygote(pool))) - set(pids(pool)):
                os.kill(child, signal.SIGKILL)
            cells = [pool.submit(cell, name) for cell in ("x = 6", "x *= 7", "print(x)")]
            assert [cell.result(20).stdout for cell in cells] == ["", "", "42\n"]


def test_a_waiting_cell_can_be_cancelled_and_a_running_one_cannot() -> None:
    with SandboxPool(limits=Limits(wall_s=0.5)) as pool:
        running = pool.submit("x = 1; import time; time.sleep(0.2)", "a")
        first, second, third = (pool.submit(f"x += {n}; print(x)", "a") for n in (10, 20, 40))
        assert eventually(running.running)
        assert second.cancel()
        assert not running.cancel()
        assert (first.result().stdout, third.result().stdout) == ("11\n", "51\n")
        with pytest.raises(CancelledError):
            second.result()
        assert pool.run("print(x)", "a").stdout == "51\n"


def test_close_ends_sessions_that_run_wait_and_rest() -> None:
    before = open_descriptors()
    pool = SandboxPool(limits=Limits(wall_s=60))
    pool.run("1", "resting")
    futures = [pool.submit(SLEEP, "busy"), pool.submit("1", "busy"), pool.submit("1", "never begun")]
    assert eventually(lambda: len(pids(pool)) == 2)
    processes = [zygote(pool), *children(zygote(pool))]
    pool.close()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in processes)
    for future in futures:
        with pytest.raises(SandboxInfraError, match="closed"):
            future.result(0)
    with pytest.raises(SandboxInfraError, match="closed"):
        pool.run("1", "resting")
    pool.end_session("resting")
    assert open_descriptors() == before


def test_no_session_outlives_a_killed_trainer() -> None:
    script = (
        "import time\n"
        "from coevolve.sandbox.pool import SandboxPool\n"
        "pool = SandboxPool(workers=2)\n"
        "pool.run('1', 'resting')\n"
        f"future = pool.submit({SLEEP!r}, 'busy')\n"
        "time.sleep(0.2)\n"
        "print(pool._supervisor.zygote_pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as trainer:
        assert trainer.stdout is not None
        first = int(trainer.stdout.readline())
        processes = [first, *children(first)]
        trainer.kill()
    assert len(processes) >= 8
    assert eventually(lambda: not any(map(alive, processes)))


def test_nothing_piles_up_over_hundreds_of_sessions() -> None:
    cells = ["x = 1", "import os; os._exit(0)", "import os; os.write(4, b'x')", "print('x' * 99999)", "1/0"]
    with SandboxPool(workers=2) as pool:

        def use(number: int) -> None:
            names = [str(i) for i in range(number)]
            for cell in ("x = 1", "print(x)"):
                for future in [pool.submit(cells[i % 5] if "=" in cell else cell, n) for i, n in enumerate(names)]:
                    future.result()
            for name in names:
                pool.end_session(name)
            spares = (pool._supervisor._spares, pool._sessions.spares)
            assert eventually(lambda: not pids(pool) and all(s.asleep == 3 for s in spares))

        use(10)
        before = open_descriptors()
        for _ in range(6):
            use(50)
        assert eventually(lambda: open_descriptors() == before)
        assert len(children(zygote(pool))) == 6
        assert len(os.listdir(f"/proc/{zygote(pool)}/fd")) < 16
        assert not pool._sessions._names
