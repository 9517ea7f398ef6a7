"""The standard streams of snippets and cells are those of a script whose output goes to a pipe."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from coevolve.sandbox.base import Status
from coevolve.sandbox.pool import SandboxPool

from .cells import new_name, run

_ORDINARY = [
    "import sys; sys.stdout.reconfigure(encoding='utf-8'); print('π')",
    "import sys; sys.stderr.reconfigure(errors='strict'); sys.stdin.reconfigure(encoding='latin-1'); print('x')",
    "import sys; sys.stdout.reconfigure(line_buffering=False); print('x'); print('y')",
    "import io, sys; sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8'); print('π')",
    "import io, sys; sys.stdout = io.TextIOWrapper(sys.stdout.detach(), 'utf-8', write_through=True); print('π')",
    "import io, sys; print(io.TextIOWrapper(sys.stdin.buffer, encoding='utf-8').read())",
    "import codecs, sys; sys.stdout = codecs.getwriter('utf-8')(sys.stdout.buffer); print('π')",
    "import os, sys; sys.stdout = os.fdopen(sys.stdout.fileno(), 'w', 1); print('x')",
    "import sys; print(sys.stdout.seekable(), sys.stdin.seekable(), sys.stdout.name, sys.stdout.mode, sys.stdin.mode)",
    "import sys; sys.stdout.tell()",
    "import sys; sys.stdout.buffer.write(b'bytes\\n'); print('text')",
    "import sys; print('x', file=sys.__stdout__); sys.__stdout__.write('y')",
    "import sys; sys.stdout.buffer.write(b'no line end')",
    "import sys; sys.stdout.detach().write(b'left in a buffer')",
    "import sys; sys.stdout.reconfigure(encoding='ascii'); print('π')",
    "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as kept: print('x')\nprint(kept.getvalue())",
    "import io, sys; sys.stdout = io.StringIO(); print('swallowed')",
    "import sys; print('x'); sys.stdout = None; print('y')",
    "import sys; print('x'); sys.stdout.close()",
    "import sys; print('x'); sys.stdout.close(); print('y')",
    "import sys; sys.stderr.write('partly, then '); 1 / 0",
    "import ctypes; ctypes.CDLL(None).puts(b'by C'); print('by Python')",
    "import sys\nclass Tee:\n    def write(self, text): sys.__stdout__.write(text.upper())\n    def flush(self): pass\n"
    "sys.stdout = Tee(); print('x')",
    "import faulthandler; faulthandler.enable(); print('x')",
    "print('found'); exit()",
    "print('found'); quit(3)",
    "print('found'); raise SystemExit('why')",
    "import sys; exit(); print('never')",
    "help(len)",
    "def g():\n    try: yield 1\n    finally: print('closed')\nit = g(); next(it); print('end')",
    "class A:\n    def __del__(self): print('gone')\na = A(); print('end')",
    "class A:\n    def __del__(self): raise ValueError('at its end')\na = A(); print('end')",
    "out = open(1, 'w', closefd=False); out.write('not flushed')",
    "import atexit; atexit.register(print, 'last'); print('first')",
    "import atexit; atexit.register(lambda: 1 / 0); print('first')",
    "import inspect\ndef f(x):\n    return x + 1  # here\nprint(inspect.getsource(f))",
    "import inspect\nclass C:\n    '''Doc.'''\n    x = 1\nprint(inspect.getsource(C), len(__file__) > 5)",
]


def _as_script(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The same code as a file, run by this interpreter, with an empty pipe as its input."""
    (folder / "script.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "-I", "-X", "utf8", "-X", "no_debug_ranges", "script.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, input="")


@pytest.mark.parametrize("code", _ORDINARY)
def test_what_is_done_with_streams_does_what_it_does_in_a_script(
    patient_pool: SandboxPool, tmp_path: Path, code: str
) -> None:
    result, script = patient_pool.run(code), _as_script(code, tmp_path)
    assert (result.stdout, result.exit_code) == (script.stdout, script.returncode)
    assert result.stderr.splitlines()[-1:] == script.stderr.splitlines()[-1:]


def test_text_that_no_encoding_has_can_be_printed(pool: SandboxPool) -> None:
    assert pool.run("print('a\\udcff')").stdout == "a\\udcff\n"
    strict = pool.run("import sys; sys.stdout.reconfigure(errors='strict'); print('a\\udcff')")
    assert strict.stderr.splitlines()[-1].startswith("UnicodeEncodeError: ")


def test_errors_come_after_what_was_written_before_them(pool: SandboxPool) -> None:
    result = pool.run("import sys; sys.stderr.write('step 1 '); raise ValueError('in step 2')")
    assert result.stderr.startswith("step 1 Traceback")


_SPOILS = [
    "import io, sys; old = sys.stdout; sys.stdout = io.StringIO(); 1 / 0; sys.stdout = old",
    "import io, sys; sys.stdout = sys.stderr = io.StringIO()",
    "import sys; sys.stdout.close()",
    "import sys; sys.stdout.close(); sys.stderr.close(); sys.stdin.close()",
    "import sys; sys.stdout.detach()",
    "import io, sys; sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')",
    "import os, sys; sys.stdout = os.fdopen(1, 'w')",
    "import sys; sys.stdout = None",
    "import sys; del sys.stdout, sys.stderr",
    "import sys\nclass Broken:\n    def write(self, text): raise ValueError\nsys.stdout = sys.stderr = Broken()",
    "exit()",
    "import sys; sys.exit()",
    "import sys; sys.exit(3)",
    "raise SystemExit('a reason')",
    "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(1, 2)\nunittest.main()",
    "import argparse\nparser = argparse.ArgumentParser(); parser.add_argument('n'); parser.parse_args()",
    "raise KeyboardInterrupt",
    "raise GeneratorExit",
    "print('x' * 30_000)",
    "import sys; print('x' * 300_000, file=sys.stderr)",
    "for i in range(20_000): print(i)",
    "import signal; signal.alarm(1)",
    "import signal; signal.signal(signal.SIGALRM, lambda *a: 1 / 0); signal.setitimer(signal.ITIMER_REAL, 0.001)",
    "import signal; signal.signal(signal.SIGPROF, lambda *a: 1 / 0); signal.setitimer(signal.ITIMER_PROF, 0.05)",
    "import sys; sys.setrecursionlimit(60)",
    "import threading; t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
]


@pytest.mark.parametrize("code", _SPOILS)
def test_what_a_cell_does_to_its_streams_and_timers_ends_with_it(patient_pool: SandboxPool, code: str) -> None:
    cells = ("kept = 42", code, "print(kept)", "1 / 0", "import sys; sys.stdin.read()")
    kept, spoilt, after, failed, read = run(patient_pool, name := new_name(), *cells)
    patient_pool.end_session(name)
    assert kept.status is Status.OK
    assert spoilt.status in (Status.OK, Status.ERROR, Status.OUTPUT_LIMIT)
    assert (after.status, after.stdout, after.stderr) == (Status.OK, "42\n", "")
    assert (failed.status, failed.stderr.splitlines()[-1]) == (Status.ERROR, "ZeroDivisionError: division by zero")
    assert read.status is Status.OK


def test_an_alarm_left_over_does_not_go_off_between_cells(pool: SandboxPool, name: str) -> None:
    assert pool.run("import signal; signal.alarm(1); x = 1", name).status is Status.OK
    time.sleep(1.2)
    assert pool.run("print(x)", name).stdout == "1\n"


def test_a_cell_that_exits_is_an_error_unless_its_code_is_zero(pool: SandboxPool, name: str) -> None:
    cells = ("import sys; sys.exit()", "sys.exit(3)", "sys.exit('gone')", "exit(True)", "print('still here')")
    results = run(pool, name, *cells)
    assert [(r.status, r.exit_code) for r in results] == [(Status.OK, 0), *[(Status.ERROR, 1)] * 3, (Status.OK, 0)]
    assert results[2].stderr == "gone\n"
    assert results[-1].stdout == "still here\n"


def test_a_long_print_is_cut_and_the_session_goes_on(pool: SandboxPool, name: str) -> None:
    long, after = run(pool, name, "big = list(range(6000)); print(big)", "print(len(big))")
    assert (long.status, long.truncated, len(long.stdout)) == (Status.OUTPUT_LIMIT, True, 20_000)
    assert (after.status, after.truncated, after.stdout) == (Status.OK, False, "6000\n")


def test_errors_between_print_and_flush_keep_their_order_in_cells(pool: SandboxPool, name: str) -> None:
    cells = run(pool, name, "import ctypes; ctypes.CDLL(None).puts(b'by C')", "print('later')")
    assert [cell.stdout for cell in cells] == ["by C\n", "later\n"]
