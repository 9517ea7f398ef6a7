"""No regular expression of the grader can be made to run for long, and no text makes reading an answer slow."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import coevolve.grading
from coevolve.grading.pairs import MOST_LETTERS, decide, parsed

CPU_S = 3.0  # of this thread; what backtracks exponentially needs minutes for texts of this length
PUMPS = [
    *"aAeE01 .,;:-+/(){}[]|=<'\"&\\%$^_*",
    "a ",
    " a",
    "1 ",
    " 1",
    "a,",
    "1,",
    "a-",
    "ab",
    "1a",
    "a1",
    ", ",
    "1,000",
    ",",
]
PUMPS += [
    "\\,",
    "\\frac",
    "\\pi ",
    "{1}",
    "(1)",
    "(a)",
    "a_1",
    "^2",
    "_{a",
    "\\{",
    "\\begin{cases}",
    "\\money ",
    "\ue000",
    "and ",
]
PUMPS += [
    " or ",
    "cm ",
    "square ",
    "per ",
    "m/",
    "x=1,",
    "x<1 ",
    "all reals except ",
    "approximately ",
    "no ",
    "a/b ",
    "\\mod ",
    "₂",
    "١",
]
STARTS = ["", "5 ", "\\{", "a="]
ENDS = ["", "\x00", "}!"]


Use = tuple[re.Pattern[str], str]


def _uses() -> dict[str, Use]:
    """Every regular expression of the package with the method it is used by: those that have a name, and the others."""
    found: dict[str, Use] = {}
    for module_info in pkgutil.iter_modules(coevolve.grading.__path__):
        if module_info.name == "symbolic_worker":  # a program of its own, without regular expressions
            continue
        module = importlib.import_module(f"coevolve.grading.{module_info.name}")
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        patterns = {name: value for name, value in vars(module).items() if isinstance(value, re.Pattern)}
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
        used: dict[str, set[str]] = {name: set() for name in patterns}
        for call in calls:
            assert isinstance(call.func, ast.Attribute)
            owner = call.func.value.id if isinstance(call.func.value, ast.Name) else ""
            if owner in used:
                used[owner].add(call.func.attr)
            literal = call.args[0] if call.args else None
            if owner == "re" and call.func.attr != "compile" and isinstance(literal, ast.Constant):
                found[f"{module_info.name}:{call.lineno}"] = re.compile(str(literal.value)), call.func.attr
        for name, methods in used.items():  # one handed to another function is used at every position there
            found |= {f"{module_info.name}.{name}.{m}": (patterns[name], m) for m in sorted(methods or {"search"})}
    return found


USES = _uses()


def _texts() -> Iterator[str]:
    """Short ones, where what is exponential shows, and long ones, for what is cubic."""
    for pump in PUMPS:
        yield from (start + pump * (28 // len(pump)) + end for start in STARTS for end in ENDS)
        yield from (pump * (MOST_LETTERS // len(pump)) + end for end in ENDS[:2])


TEXTS = list(_texts())


def test_the_patterns_are_found() -> None:
    assert len(USES) > 80
    assert {"plain._GROUPED.sub", "units._COUNTED.fullmatch", "relations._NAME.fullmatch"} <= set(USES)


@pytest.mark.parametrize("name", USES)
def test_no_pattern_backtracks_for_long(name: str) -> None:
    pattern, method = USES[name]
    run = getattr(pattern, method)
    more = ("",) if method in ("sub", "subn") else ()
    for text in TEXTS:
        started = time.thread_time()
        found = run(*more, text)
        if method == "finditer":
            list(found)
        assert time.thread_time() - started < CPU_S, text[:60]


PIECES = st.lists(st.sampled_from([*PUMPS, *STARTS]), min_size=1, max_size=4).map("".join)


@settings(max_examples=600, deadline=None)
@given(PIECES, PIECES, PIECES)
def test_no_repeated_text_is_slow_to_read(start: str, pump: str, end: str) -> None:
    for length in (60, MOST_LETTERS - len(start) - len(end)) if pump else ():
        text = start + pump * (length // len(pump)) + end
        started = time.thread_time()
        one = parsed(text)
        decide(one, parsed("2x+1"))
        assert time.thread_time() - started < CPU_S, text[:80]
