"""Sessions: cells share their variables and nothing else, and a lost session says so."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from coevolve.sandbox.base import Limits, Status
from coevolve.sandbox.pool import SandboxPool

from .cells import is_lost, new_name, pid_of, run
from .processes import eventually, state


def test_cells_share_variables_imports_and_functions(pool: SandboxPool, name: str) -> None:
    cells = ["import math\nx = 6", "def f(n): return x * n", "print(math.floor(f(7)), __name__)"]
    assert run(pool, name, *cells)[-1].stdout == "42 __main__\n"


def test_sessions_share_nothing_with_each_other_or_with_snippets(pool: SandboxPool, name: str) -> None:
    pool.run("x = 1", name)
    other = new_name()
    assert "NameError" in pool.run("x", other).stderr
    assert "NameError" in pool.run("x").stderr
    pool.end_session(other)


def test_a_failed_cell_leaves_the_session_alive(pool: SandboxPool, name: str) -> None:
    failed, raised, refused, after = run(
        pool, name, "x = 1; print('a'); 1/0", "bytearray(1 << 40)", "x = = 2", "print(x)"
    )
    assert (failed.status, failed.stdout, failed.exit_code, failed.signal) == (Status.ERROR, "a\n", 1, None)
    assert raised.status is Status.MEMORY
    assert refused.stderr.splitlines()[-1].startswith("SyntaxError")
    assert (after.status, after.stdout, after.stderr, after.exit_code) == (Status.OK, "1\n", "", 0)


def test_a_traceback_shows_the_lines_of_every_cell_in_it(pool: SandboxPool, name: str) -> None:
    stderr = run(pool, name, "def f(n):\n    return 1 / n  # here", "print('no')\nf(0)  # and here")[-1].stderr
    assert "return 1 / n  # here" in stderr
    assert "f(0)  # and here" in stderr
    assert '"<cell 1>", line 2' in stderr
    assert '"<cell 2>", line 2' in stderr
    assert "cells" not in stderr, "our own frames show"


def test_an_empty_cell_is_a_cell(pool: SandboxPool, name: str) -> None:
    assert [r.status for r in run(pool, name, "", " ", "print(1)")] == [Status.OK] * 3


def test_stdin_is_empty_in_every_cell(pool: SandboxPool, name: str) -> None:
    for result in run(pool, name, "import sys; print(repr(sys.stdin.read()))", "input()")[:1]:
        assert result.stdout == "''\n"
    assert pool.run("input()", name).stderr.splitlines()[-1].startswith("EOFError")


def test_random_numbers_go_on_and_are_the_same_in_every_session(pool: SandboxPool) -> None:
    draws = []
    for name in (new_name(), new_name()):
        cells = run(pool, name, "import random; print(random.random())", "print(random.random())")
        draws.append([r.stdout for r in cells])
        pool.end_session(name)
    assert draws[0] == draws[1]
    assert draws[0][0] != draws[0][1]


def test_a_session_is_never_answered_from_the_cache() -> None:
    with SandboxPool(cache_size=10) as pool:
        outputs = [pool.run(cell, "a").stdout for cell in ("x = 0", *("x += 1; print(x)",) * 3)]
        assert outputs == ["", "1\n", "2\n", "3\n"]
        assert (pool.stats.calls, pool.stats.cache_hits) == (4, 0)


def test_cells_submitted_at_once_run_in_their_order(pool: SandboxPool, name: str) -> None:
    cells = ["x = []", *(f"import time; time.sleep(0.01); x.append({i})" for i in range(8)), "print(x)"]
    assert [pool.submit(cell, name) for cell in cells][-1].result().stdout == f"{list(range(8))}\n"


def test_many_sessions_take_turns_on_few_workers() -> None:
    with SandboxPool(workers=2) as pool:
        names = [str(i) for i in range(10)]
        for turn in range(3):
            cell = f"x = x + 1 if {turn} else int('%s'); print(x)"
            futures = [pool.submit(cell % name, name) for name in names]
            assert [f.result().stdout for f in futures] == [f"{i + turn}\n" for i in range(10)]
        begin = time.monotonic()
        for future in [pool.submit("import time; time.sleep(0.05)", name) for name in names]:
            assert future.result().status is Status.OK
        assert time.monotonic() - begin >= 10 * 0.05 / 2, "more than two ran at once"


# Limits, cell by cell.


@pytest.mark.parametrize(
    ("code", "status", "exit_code"),
    [
        ("while True: pass", Status.CPU_LIMIT, None),
        ("import time; time.sleep(60)", Status.TIMEOUT, None),
        ("while True: print('more' * 999)", Status.OUTPUT_LIMIT, None),
        ("import os; os.abort()", Status.KILLED, None),
        ("import ctypes; ctypes.string_at(0)", Status.KILLED, None),
        ("import signal; signal.raise_signal(signal.SIGSTOP)", Status.TIMEOUT, None),
        ("import os; os._exit(3)", Status.ERROR, 3),
        ("import os; os.closerange(3, 99)", Status.ERROR, 1),
    ],
)
def test_a_cell_that_ends_its_process_says_how_and_the_session_is_lost(
    pool: SandboxPool, name: str, code: str, status: Status, exit_code: int | None
) -> None:
    first, ended, after, again = run(pool, name, "x = 1", f"print('so far', flush=True)\n{code}", "print(x)", "1")
    assert first.status is Status.OK
    assert (ended.status, ended.exit_code, ended.signal is None) == (status, exit_code, exit_code is not None)
    assert ended.stdout.startswith("so far\n")
    assert is_lost(after, f"an earlier cell ended its process ({status})")
    assert is_lost(again, f"an earlier cell ended its process ({status})")


def test_a_cell_that_ends_its_process_well_is_ok_and_the_session_is_lost(pool: SandboxPool, name: str) -> None:
    ended, after = run(pool, name, "import os; os._exit(0)", "print(1)")
    assert (ended.status, ended.exit_code, ended.signal) == (Status.OK, 0, None)
    assert is_lost(after, "an earlier cell ended its process (ok)")


def test_cpu_is_limited_cell_by_cell(pool: SandboxPool, name: str) -> None:
    spin = "import time\nend = time.process_time() + 0.12\nwhile time.process_time() < end: pass"
    cells = run(pool, name, *(spin,) * 4)
    assert [cell.status for cell in cells] == [Status.OK] * 4, "together they use more than one of them may"
    assert all(110 < cell.cpu_ms < 290 for cell in cells)
    ended = pool.run("while True: pass", name)
    assert (ended.status, ended.signal) == (Status.CPU_LIMIT, 9)
    assert 290 < ended.cpu_ms < 900


def test_time_between_cells_does_not_count() -> None:
    with SandboxPool(limits=Limits(wall_s=0.4)) as pool:
        pool.run("x = 1", "a")
        time.sleep(0.6)
        result = pool.run("print(x)", "a")
        assert (result.status, result.stdout) == (Status.OK, "1\n")
        assert result.wall_ms < 400


def test_output_is_limited_cell_by_cell(pool: SandboxPool, name: str) -> None:
    cells = run(pool, name, *("import sys; sys.stdout.write('x' * 15_000)",) * 3)
    assert [(cell.status, len(cell.stdout)) for cell in cells] == [(Status.OK, 15_000)] * 3
    long = pool.run("print('x' * 20_000)", name)
    assert (long.status, long.truncated, len(long.stdout)) == (Status.OUTPUT_LIMIT, True, 20_000)


def test_memory_is_limited_over_all_cells(patient_pool: SandboxPool) -> None:
    name = new_name()
    codes = ("a = bytearray(80 << 20)", "b = bytearray(80 << 20)", "del a", "b = bytearray(80 << 20)")
    cells = run(patient_pool, name, *codes)
    assert [cell.status for cell in cells] == [Status.OK, Status.MEMORY, Status.OK, Status.OK]
    patient_pool.end_session(name)


def test_a_cell_too_long_is_refused_and_the_session_lives_on(pool: SandboxPool, name: str) -> None:
    pool.run("x = 1", name)
    assert pool.run("#" * 65_001, name).stderr.startswith("SnippetTooLong")
    assert pool.run("print(x)" + "#" * (65_000 - len("print(x)")), name).stdout == "1\n"


def test_threads_stand_still_between_cells(pool: SandboxPool, name: str) -> None:
    spin = "import threading\nn = 0\ndef spin():\n    global n\n    while True: n += 1; print('x' * 99)"
    quiet = spin.replace("; print('x' * 99)", "")
    pool.run(f"{quiet}\nthreading.Thread(target=spin, daemon=True).start()", name)
    pid = pid_of(pool, name)
    assert eventually(lambda: state(pid) == "T")
    used = (before := _ticks(pid), time.sleep(0.3), _ticks(pid) - before)[-1]
    assert used == 0
    assert pool.run("print(n > 0)", name).stdout == "True\n"


def test_output_of_threads_between_cells_blocks_nobody_and_is_capped(pool: SandboxPool, name: str) -> None:
    flood = "import os, threading\ndef flood():\n    while True: os.write(1, b'x' * 4096)"
    pool.run(f"{flood}\nthreading.Thread(target=flood, daemon=True).start()", name)
    assert pool.run("print(6*7)").stdout == "42\n"
    for _ in range(20):
        result = pool.run("import time; time.sleep(0.05)", name)
        assert len(result.stdout) <= 20_000
        assert result.truncated or result.status is not Status.OUTPUT_LIMIT


def test_a_session_finds_an_empty_environment_like_a_snippet(pool: SandboxPool, name: str) -> None:
    code = "import os, sys; print(dict(os.environ), sys.argv, os.getuid(), os.getcwd())"
    assert pool.run(code, name).stdout == pool.run(code).stdout
    walls = (
        "import os\nfor path in ('/etc/passwd', '/proc/self/environ'):\n"
        "    try: open(path)\n    except OSError: print('refused')\n"
        "try: os.fork()\nexcept OSError: print('refused')"
    )
    assert pool.run(walls, name).stdout == "refused\n" * 3


def _ticks(pid: int) -> int:
    """CPU time of a process, in the kernel's ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
