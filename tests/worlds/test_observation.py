"""What a model that can read is shown of programs, run in the real sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coevolve.rollout.codec import Codec
from coevolve.rollout.environments import EpisodeTools, ToolSpec
from coevolve.sandbox.base import Limits, Status
from coevolve.sandbox.pool import SandboxPool
from coevolve.types import SOLVER
from coevolve.worlds.open.learner import OpenWorld
from coevolve.worlds.open.observation import NOTHING_PRINTED, observation

from . import tokenizers_of_families as families


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    with SandboxPool(limits=Limits(cpu_s=4.0, wall_s=10.0, memory_mb=128, output_bytes=16384)) as pool:
        yield pool


def shown(pool: SandboxPool, code: str, session: str | None = None) -> str:
    result = pool.run(code, session)
    return observation(result.status, result.stdout, result.stderr)


_GROUP = """  | ExceptionGroup: two tasks failed (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: bad value 7
    +---------------- 2 ----------------
    | TypeError: not a number
    +------------------------------------"""
_NESTED = """  | ExceptionGroup: outer (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ExceptionGroup: inner (1 sub-exception)
    +-+---------------- 1 ----------------
      | KeyError: 'k'
      +------------------------------------
    +---------------- 2 ----------------
    | ValueError: first line
    |   second line
    | a note
    +------------------------------------"""
_CAUSE = "\n\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\n\nDuring handling of the above exception, another exception occurred:\n\n"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("print(6 * 7)", "42"),
        ("print('a'); print(); print('b\\n')", "a\n\nb"),
        ("x = 1", NOTHING_PRINTED),
        ("print(1); print(2); 1 / 0", "1\n2\nZeroDivisionError: division by zero"),
        ("def f(n): return f(n + 1)\nf(0)", "RecursionError: maximum recursion depth exceeded"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise StopIteration(7)", "StopIteration: 7"),
        ("assert 1 == 2, 'they differ'", "AssertionError: they differ"),
        ("assert 1 == 2", "AssertionError"),
        ("input('n? ')", "n? \nEOFError: EOF when reading a line"),
        ("class NoSolution(Exception): pass\nraise NoSolution('none')", "NoSolution: none"),
        ("open('x.csv')", "FileNotFoundError: [Errno 2] No such file or directory: 'x.csv'"),
        ("raise ValueError('bad value 7\\n  in row 3')", "ValueError: bad value 7\n  in row 3"),
        ("raise ValueError('a\\n\\n  b\\nc')", "ValueError: a\n\n  b\nc"),
        ("e = ValueError('bad'); e.add_note('try 8'); e.add_note('or\\n9'); raise e", "ValueError: bad\ntry 8\nor\n9"),
        ("raise ExceptionGroup('two tasks failed', [ValueError('bad value 7'), TypeError('not a number')])", _GROUP),
        (
            "def g():\n    try: raise KeyError('k')\n    except KeyError as e: return ExceptionGroup('inner', [e])\n"
            "e = ValueError('first line\\n  second line'); e.add_note('a note')\n"
            "raise ExceptionGroup('outer', [g(), e])",
            _NESTED,
        ),
        (
            "import asyncio\nasync def part(): raise ValueError('bad value 7')\nasync def main():\n"
            "    async with asyncio.TaskGroup() as group: group.create_task(part())\nasyncio.run(main())",
            "  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)\n"
            "  +-+---------------- 1 ----------------\n"
            "    | ValueError: bad value 7\n    +------------------------------------",
        ),
        ("try: {}['k']\nexcept KeyError as e: raise ValueError('v') from e", f"KeyError: 'k'{_CAUSE}ValueError: v"),
        ("try: {}['k']\nexcept KeyError: raise ValueError('v')", f"KeyError: 'k'{_CONTEXT}ValueError: v"),
        ("try: {}['k']\nexcept KeyError: raise ValueError('v') from None", "ValueError: v"),
        ("x = (\nprint(1)", "  File \"<snippet>\", line 1\n    x = (\n        ^\nSyntaxError: '(' was never closed"),
        (
            "print('so far')\nexec('y = = 2')",
            'so far\n  File "<string>", line 1\n    y = = 2\n        ^\nSyntaxError: invalid syntax',
        ),
        (
            "if True:\nprint(1)",
            '  File "<snippet>", line 2\n    print(1)\n    ^^^^^\n'
            "IndentationError: expected an indented block after 'if' statement on line 1",
        ),
        ("import sys; sys.exit()", NOTHING_PRINTED),
        ("print('found'); exit()", "found"),
        ("import sys; sys.exit(3)", "the program ended: error"),
        ("import sys; print('x'); sys.exit('gone')", "x\ngone\nthe program ended: error"),
        ("import os; print('x', flush=True); os._exit(1)", "x\nthe program ended: error"),
        ("import os; os.abort()", "the program ended: killed"),
        ("bytearray(1 << 40)", "MemoryError\nthe program ended: memory"),
        # stderr
        ("import sys; print('wrong input', file=sys.stderr)", "wrong input"),
        ("import sys; print('7'); print('a remark', file=sys.stderr)", "7\na remark"),
        ("import sys\nfor i in range(3): sys.stderr.write(f'\\rstep {i}')", "step 2"),
        ("import logging; logging.basicConfig(level=20); logging.info('begin'); print(7)", "7\nINFO:root:begin"),
        (
            "import logging; logging.warning('careful'); 1 / 0",
            "WARNING:root:careful\nZeroDivisionError: division by zero",
        ),
        (
            "import logging\ntry: 1 / 0\nexcept Exception: logging.exception('it failed')\nprint('on')",
            "on\nERROR:root:it failed\nZeroDivisionError: division by zero",
        ),
        (
            "import threading\n"
            "t = threading.Thread(target=lambda: print(1 / 0), name='T'); t.start(); t.join(); print('on')",
            "on\nException in thread T:\nZeroDivisionError: division by zero",
        ),
        (
            "import traceback\ntry: [][1]\nexcept IndexError: traceback.print_exc()",
            "IndexError: list index out of range",
        ),
        # warnings
        ("import warnings; warnings.warn('careful'); print(7)", "7"),
        ("import warnings; warnings.warn('careful'); 1 / 0", "ZeroDivisionError: division by zero"),
        (
            "import warnings; warnings.warn('careful')",
            "<snippet>:1: UserWarning: careful\n  import warnings; warnings.warn('careful')",
        ),
        ("import warnings; warnings.warn('\\nfirst\\nsecond\\n', DeprecationWarning)\nprint(7)", "7"),
        ("import warnings; warnings.warn('a')\nimport sys; print('b', file=sys.stderr)\nprint(7)", "7\nb"),
        ("print(7, '\\d')", "7 \\d"),
        ("async def f(): return 1\nf(); print(7)", "7"),
        ("import warnings; warnings.simplefilter('error'); warnings.warn('careful')", "UserWarning: careful"),
    ],
)
def test_a_model_reads_what_a_person_would_want_to_read(pool: SandboxPool, code: str, expected: str) -> None:
    assert shown(pool, code) == expected


@pytest.mark.parametrize(
    "said", ["import warnings; warnings.warn('careful')", "import logging; logging.warning('w')", ""]
)
@pytest.mark.parametrize(
    ("act", "status"),
    [
        ("while True: pass", Status.CPU_LIMIT),
        ("import time; time.sleep(60)", Status.TIMEOUT),
        ("import os; os.abort()", Status.KILLED),
        ("print('x' * 99_999)", Status.OUTPUT_LIMIT),
    ],
)
def test_the_status_is_said_whatever_else_was(said: str, act: str, status: Status) -> None:
    with SandboxPool(limits=Limits(cpu_s=0.3, wall_s=1.0)) as hasty:
        text = shown(hasty, f"{said}\n{act}")
    assert text.endswith(f"the program ended: {status}")
    assert "careful" not in text


def test_a_test_run_is_shown_with_its_failures(pool: SandboxPool) -> None:
    code = (
        "import unittest\nclass T(unittest.TestCase):\n    def test_sum(self): self.assertEqual(sum(range(4)), @)\n"
        "unittest.main()"
    )
    passed, failed = shown(pool, code.replace("@", "6")), shown(pool, code.replace("@", "7"))
    assert passed.splitlines()[-1] == "OK"
    assert "FAIL: test_sum" in failed
    assert "AssertionError: 6 != 7" in failed
    assert failed.splitlines()[-1] == "FAILED (failures=1)"


def test_a_lost_session_says_so_and_a_long_print_does_not_lose_it(pool: SandboxPool) -> None:
    assert shown(pool, "x = list(range(9000)); print(x)", "a").endswith("the program ended: output_limit")
    assert shown(pool, "print(len(x)); raise SystemExit", "a") == "9000"
    assert shown(pool, "import os; os._exit(0)", "a") == NOTHING_PRINTED
    lost = shown(pool, "print(x)", "a")
    assert lost.startswith("SessionLost: this was not run. The session's variables are gone: ")
    assert observation("session_lost", "", "") == "the program was not run: session_lost"
    pool.end_session("a")


@pytest.mark.parametrize("tokens", [96, 128, 512])
@pytest.mark.parametrize("printed", ["", "for i in range(1200): print(i)\n"])
@pytest.mark.parametrize(
    ("act", "begins", "ends"),
    [
        ("raise ValueError('one', 'word ' * 1500, 'end')", "ValueError: ('one'", "'end')"),
        ("assert False, 'they differ: ' + 'word ' * 1500 + '.'", "AssertionError: they", "."),
        ("1 / 0", "ZeroDivisionError: division by zero", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit('word ' * 1500)", "word word", "error"),
        ("raise ExceptionGroup('g', [ValueError('v' * 9) for _ in range(50)])", "ExceptionGroup: g", "-----"),
        ("print('x' * 99_999)", "", "output_limit"),
    ],
)
def test_beginning_and_end_of_what_went_wrong_are_seen_within_the_tokens_shown(
    pool: SandboxPool, tmp_path: Path, tokens: int, printed: str, act: str, begins: str, ends: str
) -> None:
    folder = families.qwen(tmp_path, chat=False)
    codec = Codec(folder)
    tools = EpisodeTools(
        OpenWorld(str(folder), "agent0").contract,
        shown=lambda text: codec.within(text, tokens),
        both_shown=lambda printed, messages: codec.both_within(printed, messages, tokens),
        quoted=str,
    )
    environment = ToolSpec(SOLVER, 1).open(tools)[0]
    environment.observe(pool.run(printed + act))
    text = environment.calls[0].observation
    assert len(codec.encode_printed(text)) <= tokens
    assert text.startswith("0\n1\n") or not printed
    assert text.endswith(ends)
    assert begins in text or tokens < 512
