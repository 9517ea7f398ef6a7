"""math-verify in worker processes: what they say, how they are stopped, and that none is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coevolve.grading import symbolic
from coevolve.grading.symbolic import Outcome, SymbolicPool

LONG = 30.0  # seconds, for comparisons that are to come to an end on a busy machine
ENDLESS = ("(10^{7})!", "2")
SAME = ("(x+1)^{2}", "x^{2}+2x+1")


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _child(pid: int) -> int:
    """The process that a worker made for a comparison, once it has."""
    children: list[str] = []
    while not children:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        time.sleep(0.01)
    return int(children[0])


def eventually_gone(pids: list[int], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not all(map(gone, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return all(map(gone, pids))


@pytest.fixture(scope="module")
def patient() -> Iterator[SymbolicPool]:
    with SymbolicPool(timeout_s=LONG) as pool:
        yield pool


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Where a test writes the program of a worker."""
    return tmp_path / "worker.py"


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (*SAME, Outcome.SAME),
        ("x+1", "x+2", Outcome.DIFFERENT),
        (r"\sqrt{8}", r"2\sqrt{2}", Outcome.SAME),
        (r"\sin^{2}(x)+\cos^{2}(x)", "1", Outcome.SAME),
        ("10^{-7}", r"2\cdot 10^{-7}", Outcome.DIFFERENT),
        (r"\frac{", "1", Outcome.DIFFERENT),
        ("", "", Outcome.DIFFERENT),
    ],
)
def test_a_pair_is_decided_whichever_side_comes_first(
    patient: SymbolicPool, first: str, second: str, outcome: Outcome
) -> None:
    assert patient.compare(first, second) is outcome
    assert patient.compare(second, first) is outcome


def test_nothing_starts_before_the_first_comparison() -> None:
    with SymbolicPool() as pool:
        assert pool.processes == ()


def test_a_comparison_without_end_is_killed_and_the_next_one_is_answered() -> None:
    with SymbolicPool(timeout_s=3.0) as pool:
        assert pool.compare("x", "y") is Outcome.DIFFERENT
        (worker,) = pool.processes
        with ThreadPoolExecutor(1) as threads:
            late = threads.submit(pool.compare, *ENDLESS)
            child = _child(worker)
            assert late.result() is Outcome.TIMEOUT
        assert gone(child)
        assert pool.processes == (worker,), "no imports are needed for the next comparison"
        assert pool.compare("x", "x") is Outcome.SAME
    assert gone(worker)


def test_a_worker_that_does_not_keep_the_time_itself_is_killed_and_replaced(program: Path) -> None:
    program.write_text("import time\nprint('{\"ready\": true}', flush=True)\ntime.sleep(600)\n")
    with SymbolicPool(timeout_s=0.1, program=program) as pool:
        assert pool.compare("x", "x") is Outcome.TIMEOUT
        (second,) = pool.processes
        assert pool.compare("x", "x") is Outcome.TIMEOUT
        assert gone(second)


def test_a_comparison_that_takes_more_memory_than_allowed_is_lost_and_the_next_one_is_answered(program: Path) -> None:
    program.write_text(
        "import runpy\n"
        f"worker = runpy.run_path({str(symbolic.__file__).replace('symbolic.py', 'symbolic_worker.py')!r})\n"
        "worker['main'].__globals__['_math_verify'] = lambda: lambda a, b: len(bytearray(int(a) << 20)) > 0\n"
        "worker['main'].__globals__['SAMPLE'] = ('1', '1')\n"
        "worker['main']()\n"
    )
    with SymbolicPool(timeout_s=LONG, program=program) as pool:
        assert pool.compare("100", "1") is Outcome.SAME
        assert pool.compare("2048", "1") is Outcome.LOST
        assert pool.compare("100", "1") is Outcome.SAME


def test_a_prepared_worker_is_the_one_that_is_asked() -> None:
    with SymbolicPool(timeout_s=LONG, workers=2) as pool:
        pool.prepare()
        pool.prepare()
        (prepared,) = pool.processes
        assert pool.compare("x", "x") is Outcome.SAME
        assert pool.processes == (prepared,)
    pool.prepare()
    assert pool.processes == ()


def test_a_worker_that_was_killed_is_replaced(patient: SymbolicPool) -> None:
    patient.compare("x", "y")
    os.kill(patient.processes[0], signal.SIGKILL)
    assert patient.compare("x", "x") is Outcome.LOST
    assert patient.compare("x", "x") is Outcome.SAME


@pytest.mark.parametrize(
    "answer",
    [
        "print('no json', flush=True)",
        "print('{\"same\": 1}', flush=True)",
        "print('[]', flush=True)",
        "print('x' * 100_000, flush=True)",
        "sys.stdout.buffer.write(b'\\xff\\n'); sys.stdout.flush()",
        "sys.exit(3)",
        'print(\'{"fault": "MemoryError"}\', flush=True)',
    ],
)
def test_garbage_from_a_worker_is_a_lost_comparison(program: Path, answer: str) -> None:
    program.write_text(f"import sys\nprint('{{\"ready\": true}}', flush=True)\nfor line in sys.stdin:\n    {answer}\n")
    with SymbolicPool(timeout_s=LONG, program=program) as pool:
        assert [pool.compare("x", "x") for _ in range(2)] == [Outcome.LOST] * 2


def test_a_worker_that_cannot_start_is_a_lost_comparison(program: Path) -> None:
    program.write_text("raise SystemExit(1)")
    with SymbolicPool(program=program) as pool:
        assert [pool.compare("x", "x") for _ in range(2)] == [Outcome.LOST] * 2


def test_the_address_space_of_a_worker_is_bounded(patient: SymbolicPool) -> None:
    patient.compare("x", "y")
    limits = Path(f"/proc/{patient.processes[0]}/limits").read_text().splitlines()
    found = {line[:26].strip(): line[26:].split()[0] for line in limits[1:]}
    assert int(found["Max address space"]) <= 2 << 30
    assert found["Max file size"] == found["Max core file size"] == "0"


def test_many_threads_share_few_workers(patient: SymbolicPool) -> None:
    pairs = [(f"(x+{n})^{{2}}", f"x^{{2}}+{2 * n}x+{n * n + n % 2}") for n in range(1, 13)]
    with SymbolicPool(timeout_s=LONG, workers=2) as pool, ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda pair: pool.compare(*pair), pairs))
        assert len(pool.processes) <= 2
    assert found == [Outcome.DIFFERENT if n % 2 else Outcome.SAME for n in range(1, 13)]


def test_a_coroutine_compares_in_threads(patient: SymbolicPool) -> None:
    async def main() -> list[Outcome]:
        return await asyncio.gather(*(asyncio.to_thread(patient.compare, "x+x", f"{n}x") for n in range(1, 4)))

    assert asyncio.run(main()) == [Outcome.DIFFERENT, Outcome.SAME, Outcome.DIFFERENT]


def test_closing_ends_a_comparison_and_later_ones_are_lost() -> None:
    pool = SymbolicPool(timeout_s=LONG)
    assert pool.compare("x", "x") is Outcome.SAME
    pids = list(pool.processes)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(pool.compare, *ENDLESS)
        time.sleep(0.3)
        pool.close()
        assert waiting.result() is Outcome.LOST
    assert pool.processes == ()
    assert all(map(gone, pids))
    assert pool.compare("x", "x") is Outcome.LOST
    pool.close()


def test_workers_end_with_a_parent_that_is_killed() -> None:
    script = (
        "import threading, time\n"
        "from coevolve.grading.symbolic import SymbolicPool\n"
        "pool = SymbolicPool(timeout_s=1.0, workers=2)\n"
        "pool.compare('x', 'x')\n"
        f"threading.Thread(target=pool.compare, args={ENDLESS!r}).start()\n"
        "time.sleep(0.3)\n"
        "print(*pool.processes, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent, parent.stdout:
        pids = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    assert pids
    assert eventually_gone(pids)


@pytest.mark.parametrize("name", ["alpha", "b7q", "zz-top"])
@pytest.mark.parametrize(
    "payload",
    [
        "__import__('os').system('touch {0}')",
        r"\text{{__import__('os').system('touch {0}')}}",
        "eval(compile('open(\"{0}\",\"w\")','','exec'))",
        r"\operatorname{{open}}('{0}','w')",
        "open('{0}','w').write('x')",
        "x); open('{0}','w'); (x",
        r"\mathrm{{exec}}(\"open('{0}','w')\")",
    ],
)
def test_no_payload_makes_a_file_even_when_it_reaches_a_worker(
    patient: SymbolicPool, tmp_path: Path, payload: str, name: str
) -> None:
    target = tmp_path / name
    text = payload.format(target)
    patient.compare(text, "1")
    patient.compare(text, text)
    assert list(tmp_path.iterdir()) == []
