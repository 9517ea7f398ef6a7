"""Phases tell, others iterate: outside the methods and the evaluation nothing knows a phase or an event by its name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import coevolve
from coevolve.engine import factory
from coevolve.evaluation import report as evaluation_report
from coevolve.evaluation.phase import run_reports
from coevolve.methods.phases import solver_report
from coevolve.methods.registry import load_config

SOURCE = Path(coevolve.__file__).parent
TELLERS = ("methods/", "evaluation/phase.py", "evaluation/report.py", "config/keys.py")  # keys: sections once named so
REPORTS = run_reports(load_config())
NAMES = {
    *(name for report in REPORTS for name in (report.name, report.step_event, *report.notices) if name),
    evaluation_report.EVALUATION,
    evaluation_report.CONTROL,
    solver_report.PROBE,
    solver_report.SKIPPED,
}


def modules(*, without: tuple[str, ...]) -> list[Path]:
    found = (path for path in sorted(SOURCE.rglob("*.py")))
    return [path for path in found if not path.relative_to(SOURCE).as_posix().startswith(without)]


def literals(node: ast.AST | None) -> Iterator[str]:
    """The texts that an expression compares with, also those of a tuple, a set or a list."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Tuple | ast.Set | ast.List):
        for element in node.elts:
            yield from literals(element)


def looked_up(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, text) of every text that something is compared with, looked up by or chosen by."""
    for node in ast.walk(tree):
        found: list[ast.AST | None] = []
        if isinstance(node, ast.Compare):
            found = [node.left, *node.comparators]
        elif isinstance(node, ast.Subscript):
            listed = isinstance(node.value, ast.Name) and node.value.id == "Literal"  # a type: nothing is looked up
            found = [] if listed else [node.slice]
        elif isinstance(node, ast.MatchValue):
            found = [node.value]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            ways = ("get", "pop", "setdefault", "startswith", "endswith", "removeprefix", "removesuffix")
            found = [*node.args] if node.func.attr in ways else []
        elif isinstance(node, ast.Dict):
            found = [key for key in node.keys if isinstance(key, ast.Constant)]
        for expression in found:
            for text in literals(expression):
                yield getattr(node, "lineno", 0) or getattr(expression, "lineno", 0), text


def test_the_names_are_those_of_the_methods() -> None:
    assert {"curriculum", "pool", "executor", "evaluate", "curriculum_step", "executor_step", "rollback"} <= NAMES


@pytest.mark.parametrize(
    "code",
    [
        'x = phase == "pool"',
        'x = phase in ("a", "pool")',
        'x = row["pool"]',
        'x = row.get("pool")',
        'x = {"pool": 1}[y]',
        'match x:\n    case "pool":\n        pass',
        'x = name.endswith("pool")',
    ],
)
def test_every_way_to_look_a_name_up_is_seen(code: str) -> None:
    assert "pool" in [text for _, text in looked_up(ast.parse(code))]


def test_no_phase_and_no_event_is_looked_up_by_name() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line} {text}"
        for path in modules(without=TELLERS)
        for line, text in looked_up(ast.parse(path.read_text(encoding="utf-8")))
        if text in NAMES
    ]
    assert found == []


def test_the_scripts_of_the_page_know_no_phase() -> None:
    quoted = re.compile(r"""["'`](\w+)["'`]|\.(\w+)\b""")
    found = [
        f"{path.name}: {name}"
        for path in sorted((SOURCE / "report/templates").glob("*.js"))
        for groups in quoted.findall(path.read_text(encoding="utf-8"))
        for name in groups
        if name in NAMES
    ]
    assert found == []


def test_agents_are_ids_and_not_members_of_an_enumeration() -> None:
    assert [str(path) for path in modules(without=()) if re.search(r"\bRole\.", path.read_text("utf-8"))] == []


def test_no_sampler_and_no_trainer_is_named_outside_the_engines() -> None:
    classes = {
        node.name
        for path in sorted((SOURCE / "engine").rglob("*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and re.search(r"\w(Sampler|Trainer)$", node.name)
    }
    assert classes
    assert factory.__name__ == "coevolve.engine.factory"
    named = [
        f"{path.relative_to(SOURCE)}: {node.id}"
        for path in modules(without=("engine/",))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id in classes
    ]
    assert named == []
