r"""Answers written to run code, to hang or to break the grader: each gets a verdict, soon, and nothing else happens."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from coevolve.grading.equivalence import Judge

CPU_S = 3.0  # of this process
WALL_S = 20.0  # generous: other work may share the machine, and a worker may have to start

FORBIDDEN = [
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "compile"),
    ("sympy", "sympify"),
    ("sympy.core.sympify", "sympify"),
    ("sympy.parsing.sympy_parser", "parse_expr"),
    ("sympy.parsing.sympy_parser", "eval_expr"),
]

PAYLOADS = [
    "__import__('os').system('touch {path}')",
    "__import__('os').system('touch pwned')",
    "open('{path}','w')",
    'open("{path}", "w").write("x")',
    "open('pwned2','w').close()",
    "().__class__.__base__.__subclasses__()[80].__init__.__globals__['sys'].modules['os'].system('touch {path}')",
    "[].__class__.__mro__[1].__subclasses__()",
    "(lambda: __import__('pathlib').Path('{path}').touch())()",
    'f\'{{__import__("os").system("touch {path}")}}\'',
    "exec(\"import os; os.mkdir('{path}')\")",
    'eval(\'open("{path}", "w")\')',
    "1 if open('{path}','w') else 2",
    "(1, __import__('os').mkdir('{path}'))",
    "\\{{1, __import__('os').mkdir('{path}')}}",
    "[open('{path}','w') for _ in [1]]",
    "x=open('{path}','w')",
    "2*__import__('os').getpid()",
    "\\frac{{__import__('os').mkdir('{path}')}}{{2}}",
    "\\sqrt{{open('{path}','w')}}",
    "\\input{{{path}}}",
    "\\immediate\\write18{{touch {path}}}",
    "\\openout1={path} \\write1{{x}} \\closeout1",
    "\\def\\x{{\\x\\x}}\\x",
    "\\text{{__import__('os').mkdir('{path}')}}",
    "\\begin{{pmatrix}} open('{path}','w') & 1 \\end{{pmatrix}}",
    "\\log_{{open('{path}','w')}}{{2}}",
    "$(touch {path})",
    "`touch {path}`",
    "; touch {path} #",
    "5 cm; __import__('os').mkdir('{path}')",
    "Symbol('x').func.__globals__",
    "sympy.core.sys.modules['os'].mkdir('{path}')",
    'S(\'open("{path}","w")\')',
]
NAMES = ["pwned", "pwned-1.txt", "no_underscore_cut", "x", "7"]  # some graders cut at `_`, which would hide a hole


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    judge = Judge(timeout_s=1.0)
    judge.same("x^2 - 1", "(x - 1)(x + 1)")
    yield judge
    judge.close()


def _bounded(judge: Judge, first: str, second: str) -> bool:
    """The verdict, which must come in time and without an exception, and be the same in both directions."""
    cpu, wall = time.thread_time(), time.monotonic()
    verdict = judge.same(first, second).same
    back = judge.same(second, first).same
    assert time.thread_time() - cpu < 2 * CPU_S
    assert time.monotonic() - wall < 2 * WALL_S
    assert verdict == back
    return verdict


def _watch(patch: pytest.MonkeyPatch) -> list[str]:
    """Every way to run a text raises in this process from now on; the list shows the calls, also swallowed ones."""
    calls: list[str] = []

    def trap(name: str) -> Callable[..., NoReturn]:
        def fail(*given: object, **named: object) -> NoReturn:
            calls.append(f"{name}{given}{named}")
            raise AssertionError(calls[-1])

        return fail

    targets = [
        (importlib.import_module(module), name)
        for module, name in FORBIDDEN
        if module == "builtins" or importlib.util.find_spec("sympy")
    ]
    for target, name in targets:
        patch.setattr(target, name, trap(name))
    return calls


def test_no_payload_runs_on_either_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # also for a worker that starts here: relative names would land in this folder
    with_own_worker = Judge()
    with_own_worker.same("x^2 - 1", "(x - 1)(x + 1)")  # imports what is imported on first use
    with monkeypatch.context() as patch:
        watched_calls = _watch(patch)
        for name in NAMES:
            for payload in PAYLOADS:
                text = payload.format(path=tmp_path / name)
                for other in ("1", "x+1", text + " "):
                    _bounded(with_own_worker, text, other)
    with_own_worker.close()
    assert watched_calls == []
    assert list(tmp_path.iterdir()) == []


def _fractions(depth: int) -> str:
    return r"\frac{1}{1+" * depth + "1" + "}" * depth


def _parentheses(depth: int) -> str:
    return "(" * depth + "x" + ")" * depth


MILLION = 10**6
HANG = {
    "power tower": "2^{2^{2^{2^{2^{2^2}}}}}",
    "power tower without braces": "9^9^9^9^9^9",
    "power tower of a name": "x^{x^{x^{x^{x^{x^{x^x}}}}}}",
    "power tower of Python": "9**9**9**9**9",
    "root of a huge power": r"\sqrt{2^{10^{10}}}",
    "tiny power": "2^{-10^{12}}",
    "negative huge power": "(-3)^{999999999999}",
    "fraction of huge powers": r"\frac{3^{10^9}}{7^{10^9}}",
    "e to the huge": "e^{e^{e^{e^{e}}}}",
    "huge exponent of ten": "1e999999999",
    "huge negative exponent of ten": "1e-999999999",
    "ten to the huge": r"1.5 \times 10^{999999999}",
    "factorial of ten million": "(10^7)!",
    "factorial of factorials": "((((9!)!)!)!)!",
    "a thousand factorials": "3" + "!" * 1000,
    "huge binomial": r"\binom{10^9}{5 \cdot 10^8}",
    "binomial of binomials": r"\binom{\binom{1000}{500}}{\binom{100}{50}}",
    "factorial of a half": r"(\frac{1}{2})!",
    "high power of a sum": "(x+1)^{5000}",
    "power of three names": "(x+y+z)^{200}",
    "product of powers": "(x+1)^{300}(y+1)^{300}(z+1)^{300}",
    "nested squares": "(" * 30 + "x+1" + ")^2" * 30,
    "many terms": "+".join(f"x^{{{n}}}" for n in range(2000)),
    "many names": "+".join(f"x_{{{n}}}" for n in range(2000)),
    "sine of the huge": r"\sin(10^{300})",
    "tangent at its pole": r"\tan\frac{\pi}{2}",
    "division by zero": r"\frac{1}{0}",
    "zero to the zero": "0^0",
    "logarithm of zero": r"\ln 0",
    "modulo": r"7^{10^9} \bmod 13",
    "sum to a million": r"\sum_{k=1}^{10^9} \frac{1}{k}",
    "product to a million": r"\prod_{k=1}^{1000000} k",
    "integral": r"\int_0^1 e^{-x^2} \sin(\cos(x^x)) dx",
    "limit": r"\lim_{n \to \infty} (1+\frac{1}{n})^n",
    "repeating decimal": r"0.\overline{" + "123456789" * 200 + "}",
    "long list": ",".join(map(str, range(100_000))),
    "long set": r"\{" + ",".join(map(str, range(5_000))) + r"\}",
    "plus or minus, thirty times": r" \pm ".join("1" * 30),
    "union of many": r" \cup ".join(f"({n},{n + 1})" for n in range(0, 3000, 2)),
    "large matrix": r"\begin{pmatrix}" + r"\\".join("&".join("1" * 200) for _ in range(200)) + r"\end{pmatrix}",
    "nested braces": "{" * 10_000 + "x" + "}" * 10_000,
    "open braces": "{" * 10_000,
    "closing braces": "}" * 10_000,
    "nested fractions": _fractions(10_000),
    "nested fractions, a few": _fractions(40),
    "nested parentheses": _parentheses(10_000),
    "nested parentheses, a few": _parentheses(90),
    "open parentheses": "(" * 10_000,
    "nested roots": r"\sqrt{" * 10_000 + "x" + "}" * 10_000,
    "nested boxes": r"\boxed{" * 10_000 + "x" + "}" * 10_000,
    "nested texts": r"\text{" * 10_000 + "x" + "}" * 10_000,
    "nested brackets": "[" * 10_000 + "1" + "]" * 10_000,
    "bars": "|" * 10_000,
    "minus signs": "-" * 10_000 + "x",
    "minus signs, a few": "-" * 250 + "x",
    "carets": "x" + "^" * 10_000,
    "subscripts": "x" + "_1" * 10_000,
    "primes": "x" + "'" * 10_000,
    "backslashes": chr(92) * 10_000,
    "dollars": "$" * 10_000,
    "commas": "," * 10_000,
    "a long word behind a number": "5 " + "a" * 60 + "!!x",
    "long words behind a number": "5 " + "ab cd " * 100 + "]x",
    "periods": "." * 10_000,
    "equals": "=" * 10_000,
    "less than": "1" + "<x" * 5_000,
    "percents": "5" + "%" * 10_000,
    "thousands groups": "1" + ",000" * 100_000,
    "a megabyte of letters": "x" * MILLION,
    "a megabyte of spaces": "1" + " " * MILLION + "2",
    "a megabyte of words": "word " * (MILLION // 5),
    "a megabyte of fractions": r"\frac12" * (MILLION // 7),
    "a megabyte of texts": r"\text{a}" * (MILLION // 8),
    "a million digits": "7" * MILLION,
    "a million decimals": "0." + "7" * MILLION,
    "a million digits to a power": "7" * MILLION + "^2",
}
BROKEN = {
    "NUL": "1\x002",
    "only NUL": "\x00\x00",
    "NUL in LaTeX": "\\frac{1\x00}{2}",
    "lone high surrogate": "\ud8001",
    "lone low surrogate": "x=\udfff",
    "lone surrogate in a fraction": "\\frac{\udc80}{2}",
    "right-to-left override": "\u202e12\u202c3",
    "right-to-left marks": "x\u200f+\u200f\u200fy",
    "zero-width joiners": "x\u200d^\u200d2\u200d+ 7y",
    "combining bomb": "x" + "\u0301" * 5_000,
    "combining bomb of digits": "".join(f"{n % 10}" + "\u0336" * 30 for n in range(300)),
    "normalisation bomb": "\ufdfa" * 20_000,
    "full-width payload": "\uff3f\uff3fimport\uff3f\uff3f(\uff07os\uff07)",
    "digits of other scripts": "\u0661\u0662/\u0967\u0968",
    "superscripts only": "\u2070\u00b2\u2079" * 3_000,
    "control characters": "".join(map(chr, range(1, 32))) + "z",
    "half a command": "\\",
    "half a fraction": "\\frac",
    "half a fraction with one part": "\\frac{1}",
    "half a matrix": "\\begin{pmatrix} 1 & 2",
    "end without beginning": "\\end{pmatrix}",
    "unknown command": "\\foo{1}{2}",
    "mismatched brackets": "([)]",
    "only operators": "+-*/^",
    "only a subscript": "_",
    "interval of three": "[1,2,3)",
    "emoji": "\U0001f600^2",
    "private use": "\ue000\uf8ff",
    "last code point": "\U0010ffff",
    "percent of nothing": "%",
    "root of nothing": "\\sqrt{}",
    "power of nothing": "x^{}",
    "base of nothing": "101_{}",
    "matrix of nothing": "\\begin{pmatrix}\\end{pmatrix}",
}
MISSING_AFTER_CLEANING = {
    "only NUL",
    "open braces",
    "closing braces",
    "dollars",
    "periods",
    "half a command",
    "backslashes",
}


@pytest.mark.parametrize("name", HANG)
def test_what_would_take_for_ever_gets_a_verdict_soon(judge: Judge, name: str) -> None:
    text = HANG[name]
    assert not _bounded(judge, text, "-271828")
    assert not _bounded(judge, text, "-271828 + q")
    same = _bounded(judge, text, text + " ")
    assert same or name in MISSING_AFTER_CLEANING
    _bounded(judge, text, "1+" + text)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_proper_text_gets_a_verdict(judge: Judge, name: str) -> None:
    text = BROKEN[name]
    assert not _bounded(judge, text, "-271828")
    assert not _bounded(judge, text, r"\frac{q}{w}")
    assert _bounded(judge, text, text) or name in MISSING_AFTER_CLEANING
    _bounded(judge, text, text + "1")


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(HANG, 2))[::40])
def test_two_hostile_answers_against_each_other(judge: Judge, first: str, second: str) -> None:
    _bounded(judge, HANG[first], HANG[second])


def test_numbers_of_a_million_digits_are_the_same_only_when_every_digit_is(judge: Judge) -> None:
    number = "3" + "1" * (MILLION - 1)
    assert _bounded(judge, number, number)
    assert not _bounded(judge, number, number[:-1] + "2")
    assert not _bounded(judge, number, "-" + number)
    assert not _bounded(judge, number, number + "1")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("(10^7)!", "(10^7)!+1"),
        ("2^{10^9}", "2^{10^9}+1"),
        ("2^{10^9}", "2^{10^9+1}"),
        (r"\binom{10^9}{5 \cdot 10^8}", r"\binom{10^9}{5 \cdot 10^8+1}"),
        ("(x+1)^{5000}", "(x+1)^{5001}"),
        ("(x+1)^{5000}", "x^{5000}+1"),
        ("(x+y+z)^{200}", "(x+y-z)^{200}"),
        ("2^{2^{2^{2^2}}}", "2^{2^{2^{2^2}}}+1"),
        ("9**9**9**9", "9**9**9**8"),
        ("1e999999999", "1e999999998"),
        ("1e-999999999", "0"),
    ],
)
def test_different_giants_are_not_the_same(judge: Judge, first: str, second: str) -> None:
    assert not _bounded(judge, first, second)


def test_invisible_characters_change_nothing(judge: Judge) -> None:
    for mark in ("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u200e", "\u200f", "\u00ad"):
        assert _bounded(judge, f"{mark}12{mark}", "12"), hex(ord(mark))


def test_the_table_of_hostile_answers_starts_no_process_that_stays(tmp_path: Path) -> None:
    with_own_worker = Judge()
    for text in ("(x+1)^{5000}", r"\frac{x^{2}-1}{\sqrt{x}}"):
        with_own_worker.same(text, "x+1")
    with_own_worker.close()
    assert not with_own_worker.worker_processes
