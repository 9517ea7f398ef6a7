"""Snippets with several threads: their tools work, and what counts against the wall limit is not the crowd's doing."""

from __future__ import annotations

import threading
import time

import pytest

from coevolve.sandbox.base import Limits, Status
from coevolve.sandbox.pool import SandboxPool
from coevolve.sandbox.semaphores import RECURSIVE_MUTEX, SEMAPHORE, SemLock

# A program of threads is given so much CPU in all. Alone on a core it needs as long; in the crowd several times that.
CPU_S, WALL_S = 0.25, 0.7
_WORK = f"""
import threading, time
def work(share):
    end = time.thread_time() + {CPU_S} * share
    while time.thread_time() < end: pass
    return share
"""
_PROGRAMS = {
    "one thread": "t = threading.Thread(target=work, args=(1,)); t.start(); t.join()",
    "four threads": "ts = [threading.Thread(target=work, args=(0.25,)) for _ in range(4)]\n"
    "for t in ts: t.start()\nfor t in ts: t.join()",
    "an executor": "from concurrent.futures import ThreadPoolExecutor\n"
    "with ThreadPoolExecutor(3) as pool: print(sum(pool.map(work, [0.125] * 8)) == 1)",
    "a pool of threads": "from multiprocessing.pool import ThreadPool\n"
    "with ThreadPool(3) as pool: print(sum(pool.map(work, [0.125] * 8)) == 1)",
    "short threads, one after the other": "for _ in range(40):\n"
    "    t = threading.Thread(target=work, args=(0.025,)); t.start(); t.join()",
    "threads that start threads": "def halves(share):\n"
    "    if share < 0.2: return work(share)\n"
    "    t = threading.Thread(target=halves, args=(share / 2,)); t.start(); halves(share / 2); t.join()\n"
    "halves(1)",
    "a producer and a consumer": "import queue\nqueue = queue.Queue(2)\n"
    "def make():\n    for _ in range(10): work(0.05); queue.put(1)\n"
    "threading.Thread(target=make).start()\nfor _ in range(10): queue.get(); work(0.05)",
    "rounds with a barrier": "barrier = threading.Barrier(4)\n"
    "def rounds():\n    for _ in range(5): work(0.05); barrier.wait()\n"
    "ts = [threading.Thread(target=rounds) for _ in range(4)]\nfor t in ts: t.start()\nfor t in ts: t.join()",
    "threads of an event loop": "import asyncio\n"
    "async def main(): await asyncio.gather(*(asyncio.to_thread(work, 0.2) for _ in range(5)))\nasyncio.run(main())",
    "threads without the interpreter's lock": "import hashlib\n"
    "def digest():\n    while time.process_time() < end: hashlib.sha256(bytes(1 << 16))\n"
    f"end = time.process_time() + {CPU_S}\n"
    "ts = [threading.Thread(target=digest) for _ in range(3)]\nfor t in ts: t.start()\nfor t in ts: t.join()",
    "a timer, and work beside it": "timer = threading.Timer(0.01, work, (0.5,))\n"
    "timer.start(); work(0.5); timer.join()",
}


@pytest.fixture(scope="module")
def limits() -> Limits:
    return Limits(cpu_s=9.0, wall_s=WALL_S)


@pytest.mark.parametrize("name", _PROGRAMS)
def test_threads_that_wait_for_a_core_use_up_no_time(
    crowded: None, monkeypatch: pytest.MonkeyPatch, limits: Limits, name: str
) -> None:
    monkeypatch.setattr("coevolve.sandbox.base.PATIENCE", 1000)
    with SandboxPool(limits=limits) as pool:
        result = pool.run(_WORK + _PROGRAMS[name] + "\nprint('done')")
    assert (result.status, result.stdout.split()[-1]) == (Status.OK, "done"), result
    assert result.wall_ms > WALL_S * 1e3


_IDLE = {
    "asleep": "ts = [threading.Thread(target=time.sleep, args=(600,)) for _ in range(8)]",
    "waiting for each other": "held = threading.Lock(); held.acquire()\n"
    "ts = [threading.Thread(target=held.acquire) for _ in range(8)]",
}


@pytest.mark.parametrize("name", _IDLE)
def test_threads_that_do_nothing_time_out_in_a_crowd_too(
    crowded: None, monkeypatch: pytest.MonkeyPatch, limits: Limits, name: str
) -> None:
    monkeypatch.setattr("coevolve.sandbox.base.PATIENCE", 1000)
    with SandboxPool(limits=limits) as pool:
        result = pool.run(f"{_WORK}{_IDLE[name]}\nfor t in ts: t.start()\nfor t in ts: t.join()")
    assert result.status is Status.TIMEOUT, result


def test_threads_do_not_keep_a_snippet_for_ever(crowded: None, monkeypatch: pytest.MonkeyPatch, limits: Limits) -> None:
    monkeypatch.setattr("coevolve.sandbox.base.PATIENCE", 1)
    with SandboxPool(limits=limits) as pool:
        assert pool.run(_WORK + _PROGRAMS["four threads"]).status is Status.TIMEOUT


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("from multiprocessing.pool import ThreadPool\nwith ThreadPool(2) as p: print(p.map(abs, [-3, -4]))", "[3, 4]"),
        ("from multiprocessing.dummy import Pool\nprint(sum(Pool(3).imap_unordered(abs, range(-5, 1))))", "15"),
        ("from multiprocessing import Queue\nq = Queue(); q.put('x'); print(q.get())", "x"),
        ("import multiprocessing as m\nq = m.JoinableQueue(); q.put(8); print(q.get()); q.task_done(); q.join()", "8"),
        ("import multiprocessing as m\nwith m.Lock(), m.RLock() as r: print(r)", "True"),
        ("import multiprocessing as m\nprint(m.get_context('spawn').Semaphore(4).get_value())", "4"),
        ("import multiprocessing as m\ne = m.Event(); e.set(); print(e.wait())", "True"),
    ],
)  # fmt: skip
def test_what_multiprocessing_has_for_threads_works(pool: SandboxPool, code: str, said: str) -> None:
    result = pool.run(code)
    assert (result.status, result.stdout, result.stderr) == (Status.OK, said + "\n", "")


def test_a_semaphore_counts_and_wakes_who_waits() -> None:
    semaphore = SemLock(SEMAPHORE, 1, 2, "", True)
    assert semaphore.acquire(False)
    assert not semaphore.acquire(False)
    assert not semaphore.acquire(True, 0.001)
    assert (semaphore._get_value(), semaphore._is_zero(), semaphore._count()) == (0, True, 1)
    taken = threading.Event()
    thread = threading.Thread(target=lambda: semaphore.acquire() and taken.set())
    thread.start()
    time.sleep(0.01)
    assert not taken.is_set()
    semaphore.release()
    thread.join()
    assert taken.is_set()
    semaphore.release()
    semaphore.release()
    with pytest.raises(ValueError, match="released too many times"):
        semaphore.release()


def test_a_recursive_lock_is_its_owners() -> None:
    lock = SemLock(RECURSIVE_MUTEX, 1, 1, "", False)
    with lock, lock:
        assert (lock._count(), lock._is_mine()) == (2, True)
        others: list[bool] = []
        thread = threading.Thread(target=lambda: others.extend([lock._is_mine(), lock.acquire(False)]))
        thread.start()
        thread.join()
        assert others == [False, False]
    assert (lock._count(), lock._get_value()) == (0, 1)
    with pytest.raises(AssertionError, match="not owned"):
        lock.release()
    for kind, value in ((2, 1), (SEMAPHORE, -1), (SEMAPHORE, 1 << 31)):
        with pytest.raises(ValueError, match=r"kind|value"):
            SemLock(kind, value, 1, "", True)
