"""Every limit ends the snippet, and is reported as what it is."""

from __future__ import annotations

import pytest

from coevolve.errors import ConfigError
from coevolve.sandbox.base import Limits, Status
from coevolve.sandbox.pool import SandboxPool

FOUR_THREADS = """print('so far')
import threading
for _ in range(4): threading.Thread(target=pow, args=(7, 10**8)).start()"""


@pytest.mark.parametrize(
    "code",
    [
        FOUR_THREADS,
        "print('so far')\nwhile True: pass",
        "print('so far')\nimport re; re.match('(a+)+$', 'a' * 40 + 'b')",
        "print('so far')\nimport signal as s\ns.signal(s.SIGXCPU, s.SIG_IGN)\nwhile True: pass",
        "print('so far')\nclass E(Exception):\n    def __str__(self):\n        while True: pass\nraise E",
    ],
)
def test_too_much_computing_is_cpu_limit_and_keeps_the_output(pool: SandboxPool, code: str) -> None:
    result = pool.run(code)
    assert (result.status, result.stdout) == (Status.CPU_LIMIT, "so far\n")
    assert (result.exit_code, result.signal) == (None, 9)
    assert 290 < result.cpu_ms < 900


@pytest.mark.parametrize(
    "code",
    [
        "print('so far')\nimport time; time.sleep(60)",
        "import time\nwhile True:\n    try: print('so far'); time.sleep(60)\n    except BaseException: pass",
        "print('so far')\nimport threading, time; threading.Thread(target=time.sleep, args=(60,)).start()",
        "print('so far')\nimport atexit, time; atexit.register(time.sleep, 60)",
        "print('so far')\nimport os, signal; signal.raise_signal(signal.SIGSTOP)",
    ],
)
def test_waiting_too_long_is_timeout_and_keeps_the_output(code: str) -> None:
    with SandboxPool(limits=Limits(wall_s=0.4)) as pool:
        result = pool.run(code)
        assert (result.status, result.stdout) == (Status.TIMEOUT, "so far\n")
        assert 400 <= result.wall_ms < 1500
        assert pool.run("print(6*7)").stdout == "42\n"


_COMPUTES = """
import time
end = time.process_time() + 0.25
while time.process_time() < end: pass
print('done')
"""


@pytest.mark.parametrize("session", [None, "one"])
def test_waiting_for_a_core_does_not_count(crowded: None, monkeypatch: pytest.MonkeyPatch, session: str | None) -> None:
    monkeypatch.setattr("coevolve.sandbox.base.PATIENCE", 1000)
    with SandboxPool(limits=Limits(cpu_s=1.0, wall_s=0.4)) as pool:
        for _ in range(2):
            result = pool.run(_COMPUTES, session)
            assert (result.status, result.stdout) == (Status.OK, "done\n")
            assert result.wall_ms > 400


def test_a_crowd_of_programs_does_not_keep_a_snippet_for_ever(crowded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coevolve.sandbox.base.PATIENCE", 1)
    with SandboxPool(limits=Limits(cpu_s=9.0, wall_s=0.4)) as pool:
        assert pool.run(_COMPUTES).status is Status.TIMEOUT


@pytest.mark.parametrize(
    "code",
    [
        "x = [0] * 10**12",
        "x = []\nwhile True: x.append(bytearray(50 << 20))",
        "import mmap; mmap.mmap(-1, 1 << 40)",
    ],
)
def test_too_much_memory_is_memory(patient_pool: SandboxPool, code: str) -> None:
    result = patient_pool.run(code)
    expected = Status.ERROR if "mmap" in code else Status.MEMORY  # mmap raises OSError
    assert result.status is expected
    assert result.exit_code == 1


def test_a_caught_memory_error_is_no_end(pool: SandboxPool) -> None:
    code = "try:\n    bytearray(1 << 40)\nexcept MemoryError:\n    print('caught')"
    assert pool.run(code).stdout == "caught\n"


@pytest.mark.parametrize(
    "code",
    [
        "while True: print('x' * 99)",
        "print('x' * (40 << 20))",
        "import sys\nwhile True: sys.stderr.write('x' * 99 + chr(10)); print('y' * 99)",
        "raise ValueError('x' * 1_000_000)",
    ],
)
def test_too_much_output_is_cut_and_ends_the_snippet(patient_pool: SandboxPool, code: str) -> None:
    result = patient_pool.run(code)
    assert (result.status, result.truncated) == (Status.OUTPUT_LIMIT, True)
    assert len(result.stdout) + len(result.stderr) == 20_000


def test_output_up_to_the_cap_is_whole(pool: SandboxPool) -> None:
    result = pool.run("import sys; sys.stdout.write('x' * 19_000); sys.stderr.write('y' * 1_000)")
    assert (result.status, result.truncated) == (Status.OK, False)
    assert (len(result.stdout), len(result.stderr)) == (19_000, 1_000)


def test_output_larger_than_a_pipe_is_not_a_timeout() -> None:
    with SandboxPool(limits=Limits(output_bytes=2_000_000)) as pool:
        result = pool.run("for i in range(1000): print('x' * 999)")
        assert (result.status, len(result.stdout)) == (Status.OK, 1_000_000)


def test_a_crash_is_reported_with_its_signal(pool: SandboxPool) -> None:
    aborted = pool.run("import os; os.abort()")
    assert (aborted.status, aborted.signal, aborted.exit_code) == (Status.KILLED, 6, None)
    crashed = pool.run("import ctypes; ctypes.string_at(0)")
    assert (crashed.status, crashed.signal) == (Status.KILLED, 11)


def test_endless_recursion_is_an_error(pool: SandboxPool) -> None:
    result = pool.run("def f(): f()\nf()")
    assert result.status is Status.ERROR
    assert result.stderr.splitlines()[-1].startswith("RecursionError")
    assert len(result.stderr) < 1000
    deeper = pool.run("import sys; sys.setrecursionlimit(10**9)\ndef f(): f()\nf()")
    assert deeper.status in (Status.MEMORY, Status.KILLED, Status.CPU_LIMIT, Status.TIMEOUT)


def test_descriptors_run_out_inside_only(pool: SandboxPool) -> None:
    assert "Too many open files" in pool.run("import os\nwhile True: os.dup(1)").stderr


def test_long_source_is_refused_and_the_longest_allowed_is_run(pool: SandboxPool) -> None:
    comment = "#" * (65_000 - len("print(1)"))
    assert pool.run("print(1)" + comment).stdout == "1\n"
    refused = pool.run("print(1)" + comment + "#")
    assert (refused.status, refused.stdout) == (Status.ERROR, "")
    assert refused.stderr == "SnippetTooLong: 65001 bytes of code, at most 65000 are run\n"


def test_limits_that_make_no_sense_are_refused() -> None:
    for limits in ({"cpu_s": 0.0}, {"output_bytes": -1}, {"code_bytes": 65_001}):
        with pytest.raises(ConfigError, match=next(iter(limits))):
            Limits(**limits)


def test_time_in_the_queue_does_not_count() -> None:
    with SandboxPool(limits=Limits(wall_s=0.6)) as pool:
        results = [pool.submit("import time; time.sleep(0.25); print(1)") for _ in range(5)]
        assert [result.result().status for result in results] == [Status.OK] * 5


def test_a_thousand_threads_do_not_outlive_the_snippet(pool: SandboxPool) -> None:
    thread = "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    code = f"import threading, time\nfor _ in range(1000): {thread}"
    assert pool.run(code).status is not Status.OK


def test_twenty_threads_at_once_fit_into_the_memory_of_their_stacks() -> None:
    code = """import threading
barrier = threading.Barrier(21)
threads = [threading.Thread(target=barrier.wait) for _ in range(20)]
for thread in threads: thread.start()
barrier.wait()
for thread in threads: thread.join()
print(len(threads))"""
    with SandboxPool(limits=Limits(memory_mb=256)) as pool:
        assert pool.run(code).stdout == "20\n"
