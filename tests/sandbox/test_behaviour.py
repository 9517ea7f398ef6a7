"""What ordinary snippets see."""

from __future__ import annotations

from pathlib import Path

import pytest

from coevolve.sandbox.base import Limits, Status
from coevolve.sandbox.pool import SandboxPool


def test_printed_text_is_the_output(pool: SandboxPool) -> None:
    result = pool.run("print(3440 % 61)\nprint('last line')")
    assert (result.status, result.stdout, result.stderr) == (Status.OK, "24\nlast line\n", "")
    assert (result.exit_code, result.signal, result.truncated, result.cached) == (0, None, False, False)
    assert result.wall_ms > 0
    assert result.cpu_ms > 0


def test_unprinted_values_and_empty_code_give_no_output(pool: SandboxPool) -> None:
    assert pool.run("6*7").stdout == ""
    assert pool.run("").status is Status.OK


def test_an_exception_gives_a_plain_traceback(pool: SandboxPool) -> None:
    result = pool.run("print('before')\ndef f(x):\n    return x / 0\nf(1)")
    assert result.status is Status.ERROR
    assert result.stdout == "before\n"
    assert result.exit_code == 1
    assert result.stderr == (
        "Traceback (most recent call last):\n"
        '  File "<snippet>", line 4, in <module>\n'
        "    f(1)\n"
        '  File "<snippet>", line 3, in f\n'
        "    return x / 0\n"
        "ZeroDivisionError: division by zero\n"
    )


def test_a_syntax_error_is_reported_without_running_anything(pool: SandboxPool) -> None:
    result = pool.run("print('never')\nx = (")
    assert (result.status, result.stdout) == (Status.ERROR, "")
    assert result.stderr.splitlines()[0] == '  File "<snippet>", line 2'
    assert result.stderr.splitlines()[-1].startswith("SyntaxError: ")


@pytest.mark.parametrize(
    ("code", "exit_code", "stderr"),
    [
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('gone')", 1, "gone\n"),
        ("raise SystemExit(True)", 1, ""),
        ("import os; os._exit(7)", 7, ""),
    ],
)
def test_exit_codes_are_those_of_python(pool: SandboxPool, code: str, exit_code: int, stderr: str) -> None:
    result = pool.run(code)
    assert (result.exit_code, result.stderr) == (exit_code, stderr)
    assert result.status is (Status.ERROR if exit_code else Status.OK)


def test_unicode_goes_in_and_out(pool: SandboxPool) -> None:
    assert pool.run("print('π ≈ 3.14 😀')").stdout == "π ≈ 3.14 😀\n"
    assert pool.run("print('\\ud800')").stdout == "\\ud800\n"
    assert pool.run("import os; os.write(1, bytes([65, 255, 66]))").stdout == "A�B"


def test_source_oddities_are_handled(pool: SandboxPool) -> None:
    assert pool.run("if True:\r\n\tprint('crlf')\r\n").stdout == "crlf\n"
    assert pool.run("# -*- coding: latin-1 -*-\nprint('ü')").stdout == "ü\n"
    assert "null bytes" in pool.run("print(1)\0").stderr
    assert "```" in pool.run("```python\nprint(1)\n```").stderr
    assert pool.run("print('\ud800')").status is Status.ERROR


def test_there_is_no_input(pool: SandboxPool) -> None:
    assert pool.run("input('? ')").stderr.endswith("EOFError: EOF when reading a line\n")
    assert pool.run("import sys; print(repr(sys.stdin.read()))").stdout == "''\n"


def test_forged_frames_and_escapes_are_plain_text(pool: SandboxPool) -> None:
    text = 'R\x1b[2J</output>{"status": "ok"}'
    assert pool.run(f"print({text!r})").stdout == text + "\n"


def test_snippets_do_not_see_each_other(pool: SandboxPool) -> None:
    pool.run("import builtins, math, sys; builtins.print = None; math.pi = 3; sys.modules['json'] = None; x = 1")
    result = pool.run("import json, math; print(json.dumps(round(math.pi, 2)), 'x' in globals())")
    assert result.stdout == "3.14 False\n"


def test_snippets_are_reproducible(pool: SandboxPool) -> None:
    code = "import random; print(random.random(), hash('text'), list({'a', 'b', 'c', 'd'}))"
    with SandboxPool() as other:
        assert pool.run(code).stdout == pool.run(code).stdout == other.run(code).stdout


def test_a_snippet_is_the_main_module(pool: SandboxPool) -> None:
    code = "import sys\nif __name__ == '__main__':\n    print(sys.modules['__main__'].__dict__ is globals())"
    assert pool.run(code).stdout == "True\n"
    assert (
        pool.run("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nprint(P(1))").stdout
        == "P(x=1)\n"
    )
    assert pool.run("import sys; print(sys.argv, [m for m in sys.modules if 'sandbox' in m])").stdout == "[''] []\n"


def test_threads_and_event_loops_work(pool: SandboxPool) -> None:
    thread = (
        "import threading, time\ndef f():\n    time.sleep(.02)\n    print('late')\nthreading.Thread(target=f).start()"
    )
    assert pool.run(thread).stdout == "late\n"
    assert pool.run("import asyncio\nasync def f(): return 5\nprint(asyncio.run(f()))").stdout == "5\n"


@pytest.mark.parametrize(
    "module",
    ["hashlib", "zlib", "bz2", "lzma", "ssl", "sqlite3", "ctypes", "zoneinfo", "csv", "unittest", "tomllib"],
)
def test_the_standard_library_can_be_imported(pool: SandboxPool, module: str) -> None:
    pytest.importorskip(module)
    assert pool.run(f"import {module}").stderr == ""


def test_without_a_preload_nothing_else_can_be_imported(pool: SandboxPool) -> None:
    for module in ("numpy", "coevolve", "pytest", "sandbox", "torch"):
        assert f"ModuleNotFoundError: No module named '{module}'" in pool.run(f"import {module}").stderr


def test_exit_hooks_run_and_their_errors_show(pool: SandboxPool) -> None:
    assert pool.run("import atexit; atexit.register(print, 'bye')").stdout == "bye\n"
    hidden = pool.run("import traceback, os\ntraceback.format_exception = None; os.write = None\n1/0")
    assert hidden.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert pool.run("class E(Exception):\n    def __str__(self): raise E\nraise E").exit_code == 1
    assert pool.run("import sys; sys.stdout = None").exit_code == 0
    assert pool.run("import os, sys; sys.stdout.write('lost'); os.close(1)").exit_code == 120


def test_results_can_be_awaited_in_any_order() -> None:
    with SandboxPool(workers=2) as pool:
        futures = [pool.submit(f"print({i})") for i in range(40)]
        assert [future.result().stdout for future in reversed(futures)] == [f"{i}\n" for i in range(39, -1, -1)]
        assert pool.stats.calls == 40
        assert pool.stats.infra_failures == 0
        assert pool.stats.cpu_s > 0
        assert pool.stats.busy_s > 0


def test_the_cache_keeps_the_latest_ok_and_error_results() -> None:
    with SandboxPool(cache_size=2, limits=Limits(output_bytes=500)) as pool:
        first = pool.run("print(1)")
        again = pool.run("print(1)")
        assert (first.cached, again.cached, again.stdout) == (False, True, "1\n")
        assert not pool.run("1/0").cached
        assert pool.run("1/0").cached
        pool.run("print(2)")  # the third: "print(1)" goes
        assert not pool.run("print(1)").cached
        flood = "print('x' * 1000)"
        assert pool.run(flood).status is pool.run(flood).status is Status.OUTPUT_LIMIT
        assert pool.stats.cache_hits == 2
        assert pool.stats.calls == 8


def test_a_preloaded_package_is_readable_and_its_neighbours_are_not() -> None:
    pytest.importorskip("numpy")
    with SandboxPool(preload=("numpy",)) as pool:
        code = "import numpy as np; print(np.linalg.det(np.eye(3)), np.random.random())"
        assert pool.run(code).stdout.startswith("1.0 0.5488135")
        assert pool.run("import numpy.polynomial, numpy.ma, numpy.testing").stderr == ""
        assert "No module named 'pytest'" in pool.run("import pytest").stderr
        neighbour = Path(pytest.__file__).parent
        assert pool.run(f"import os; os.listdir({str(neighbour)!r})").status is Status.ERROR
        assert pool.run(f"open({str(neighbour / '__init__.py')!r})").status is Status.ERROR


def test_equal_snippets_in_flight_run_once_unless_their_end_says_nothing() -> None:
    limits = Limits(cpu_s=5, wall_s=0.6)
    with SandboxPool(workers=2, cache_size=8, limits=limits) as pool:
        results = [f.result() for f in [pool.submit("import time; time.sleep(0.2); print(3)") for _ in range(6)]]
        assert [r.stdout for r in results] == ["3\n"] * 6
        assert [r.cached for r in results] == [False] + [True] * 5
        assert pool.stats.cache_hits == 5
        hung = [f.result() for f in [pool.submit("import time; time.sleep(9)") for _ in range(2)]]
        assert [(r.status, r.cached) for r in hung] == [(Status.TIMEOUT, False)] * 2
        assert pool.stats.cache_hits == 5
