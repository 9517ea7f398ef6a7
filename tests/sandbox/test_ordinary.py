"""Ordinary things that models write: each works, or the model is told in words what the matter is.

The table in docs/sandbox.md is made of the same rows, and the last test compares them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from coevolve.sandbox.base import Limits
from coevolve.sandbox.pool import SandboxPool
from coevolve.worlds.open.observation import observation

PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"
HEADER = "| what | a model writes | and reads |"


@dataclass(frozen=True)
class Row:
    """``code``, and the observation of it in the open world, with numpy and sympy."""

    what: str
    code: str
    reads: str

    def line(self) -> str:
        """The row of the table."""
        return f"| {self.what} | {_cell(self.code)} | {_cell(self.reads)} |"


def _cell(text: str) -> str:
    lines = (line.replace("|", "\\|") for line in text.split("\n") if line)
    return "<br>".join(f"`{line}`" for line in lines)


NO_FILES = "Operation not permitted (files cannot be written or changed here)"
NO_PROCESS = "Operation not permitted (no other process can be started here)"
NO_NETWORK = "Temporary failure in name resolution (there is no network here)"
ROWS = [
    Row("fractions", "from fractions import Fraction as F\nprint(F(1, 3) + F(1, 6), F('0.125'))", "1/2 1/8"),
    Row(
        "decimals",
        "from decimal import Decimal, getcontext\ngetcontext().prec = 30\nprint(Decimal(2).sqrt())",
        "1.41421356237309504880168872421",
    ),
    Row("large integers", "print(2**89 - 1, pow(3, 10**9, 10**6))", "618970019642690137449562111 1"),
    Row(
        "very large integers",
        "print(7**9999)",
        "ValueError: Exceeds the limit (4300 digits) for integer string conversion; "
        "use sys.set_int_max_str_digits() to increase the limit",
    ),
    Row(
        "exact algebra",
        "from sympy import *\nx = symbols('x')\nprint(solve(x**2 - 2*x - 1), integrate(sin(x)**2, (x, 0, pi)))",
        "[1 - sqrt(2), 1 + sqrt(2)] pi/2",
    ),
    Row(
        "exact printing",
        "from sympy import *\nprint(sqrt(8), Rational(6, 8), latex(pi/sqrt(2)))\npprint(sqrt(Rational(1, 3)))",
        "2*sqrt(2) 3/4 \\frac{\\sqrt{2} \\pi}{2}\n√3\n──\n3 ",
    ),
    Row(
        "arrays",
        "import numpy as np\na = np.array([[2, 1], [1, 3]])\nprint(np.linalg.solve(a, [3, 5]), a @ a)",
        "[0.8 1.4] [[ 5  5]\n [ 5 10]]",
    ),
    Row("warnings", "import numpy as np\nprint(np.array([1.0]) / 0)", "[inf]"),
    Row(
        "dates",
        "from datetime import date, timedelta\nd = date(2024, 2, 28) + timedelta(days=2)\nprint(d, d.strftime('%A'))",
        "2024-03-01 Friday",
    ),
    Row(
        "recursion",
        "from functools import cache\n@cache\n"
        "def f(n): return n if n < 2 else f(n - 1) + f(n - 2)\nprint(f(300) % 10**9)",
        "990979600",
    ),
    Row(
        "endless recursion",
        "def f(n): return f(n - 1) * n\nprint(f(5))",
        "RecursionError: maximum recursion depth exceeded",
    ),
    Row(
        "data classes",
        "from dataclasses import dataclass\n@dataclass(order=True)\n"
        "class P:\n    x: int\n    y: int = 0\nprint(max(P(1), P(1, 2)))",
        "P(x=1, y=2)",
    ),
    Row(
        "searching",
        "from itertools import permutations as p\nprint(sum(a < b > c for a, b, c in p(range(9), 3)))",
        "168",
    ),
    Row(
        "chance", "import random\nrandom.seed(0)\nprint(random.randint(1, 6), random.random())", "4 0.7579544029403025"
    ),
    Row(
        "asyncio",
        "import asyncio\nasync def f(n):\n    await asyncio.sleep(0.01)\n    return n * n\n"
        "async def main(): return await asyncio.gather(f(3), f(4))\nprint(asyncio.run(main()))",
        "[9, 16]",
    ),
    Row(
        "threads",
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as e: print(list(e.map(abs, [-1, -2])))",
        "[1, 2]",
    ),
    Row("pools of threads", "from multiprocessing.dummy import Pool\nprint(Pool(2).map(abs, [-1, -2]))", "[1, 2]"),
    Row(
        "pools of processes",
        "from multiprocessing import Pool\nwith Pool(2) as pool: print(pool.map(abs, [-1, -2]))",
        f"PermissionError: [Errno 1] {NO_PROCESS}",
    ),
    Row(
        "other programs", "import subprocess\nsubprocess.run(['ls'])", f"PermissionError: [Errno 1] {NO_PROCESS}: 'ls'"
    ),
    Row(
        "shell commands",
        "import os\nif os.system('pip install pulp'): print('no')",
        f"no\nos.system: {NO_PROCESS}: 'pip install pulp'",
    ),
    Row("writing files", "open('out.csv', 'w')", f"PermissionError: [Errno 1] {NO_FILES}: 'out.csv'"),
    Row("reading files", "open('data.csv')", "FileNotFoundError: [Errno 2] No such file or directory: 'data.csv'"),
    Row(
        "files in memory",
        "import io, csv\nprint(list(csv.reader(io.StringIO('a,b\\n1,2'))))",
        "[['a', 'b'], ['1', '2']]",
    ),
    Row(
        "silencing",
        "import os, contextlib as c\nwith open(os.devnull, 'w') as f, c.redirect_stdout(f): print('noise')\nprint(7)",
        "7",
    ),
    Row("data frames, without pandas", "import pandas", "ModuleNotFoundError: No module named 'pandas'"),
    Row("plots, without matplotlib", "import matplotlib", "ModuleNotFoundError: No module named 'matplotlib'"),
    Row(
        "the network",
        "from urllib.request import urlopen\nurlopen('https://oeis.org')",
        f"urllib.error.URLError: <urlopen error [Errno -3] {NO_NETWORK}: 'oeis.org'>",
    ),
    Row("input", "n = int(input())", "EOFError: EOF when reading a line"),
    Row("leaving", "print('found')\nexit()", "found"),
    Row(
        "the source of a function",
        "import inspect\ndef f(): return 7\nprint(inspect.getsource(f))",
        "def f(): return 7",
    ),
    Row("a forgotten print", "x = 6 * 7\nx", "(nothing was printed)"),
    Row("an assertion", "assert 2 + 2 == 5, 'they differ'", "AssertionError: they differ"),
    Row(
        "a slip",
        "for i in range(3)\n    print(i)",
        "  File \"<snippet>\", line 1\n    for i in range(3)\n                     ^\nSyntaxError: expected ':'",
    ),
    Row(
        "an error after another",
        "try: {}['k']\nexcept KeyError as e: raise ValueError('no k') from e",
        "KeyError: 'k'\n\nThe above exception was the direct cause of the following exception:\n\nValueError: no k",
    ),
    Row(
        "errors of a group",
        "raise ExceptionGroup('two failed', [ValueError('a'), KeyError('b')])",
        "  | ExceptionGroup: two failed (2 sub-exceptions)\n"
        "  +-+---------------- 1 ----------------\n    | ValueError: a\n"
        "    +---------------- 2 ----------------\n    | KeyError: 'b'\n    +------------------------------------",
    ),
    Row("an endless loop", "print('begin')\nwhile True: pass", "begin\nthe program ended: cpu_limit"),
    Row("waiting", "import time\ntime.sleep(3600)", "the program ended: timeout"),
    Row("too much memory", "x = [0] * 10**10", "MemoryError\nthe program ended: memory"),
]


@pytest.fixture(scope="module")
def science() -> Iterator[SandboxPool]:
    for package in ("numpy", "sympy"):
        pytest.importorskip(package)
    limits = Limits(cpu_s=2.0, wall_s=6.0, memory_mb=256, output_bytes=16384)
    with SandboxPool(limits=limits, preload=("numpy", "sympy")) as pool:
        yield pool


@pytest.mark.parametrize("row", ROWS, ids=[row.what for row in ROWS])
def test_a_row_of_the_table_is_what_a_model_reads(science: SandboxPool, row: Row) -> None:
    result = science.run(row.code)
    assert observation(result.status, result.stdout, result.stderr) == row.reads


def test_data_frames_work_where_pandas_is_preloaded() -> None:
    pytest.importorskip("pandas")
    code = (
        "import pandas as pd\nd = pd.DataFrame({'k': list('aba'), 'n': [1, 2, 4]})\n"
        "print(d.groupby('k').n.sum().to_dict(), d.n.mean().round(3))\nd.to_csv('out.csv')"
    )
    with SandboxPool(limits=Limits(cpu_s=6.0, wall_s=20.0), preload=("pandas",)) as pool:
        result = pool.run(code)
    assert result.stdout == "{'a': 5, 'b': 2} 2.333\n"
    assert result.stderr.splitlines()[-1] == f"PermissionError: [Errno 1] {NO_FILES}: 'out.csv'"


def test_the_page_has_this_table() -> None:
    table = PAGE.read_text(encoding="utf-8").partition(f"{HEADER}\n|---|---|---|\n")[2].partition("\n\n")[0]
    assert table.split("\n") == [row.line() for row in ROWS]
