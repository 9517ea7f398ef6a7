"""Few parts of the package are handed the whole configuration: the others say which sections or values they need."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import coevolve

ROOT = Path(coevolve.__file__).parent
MOST = 17  # files: 15 and one for each further method, its page


def names_in(annotation: ast.expr) -> set[str]:
    """Names in an annotation, also in one that is written as a string."""
    nodes = list(ast.walk(annotation))
    quoted = (x.value for x in nodes if isinstance(x, ast.Constant) and isinstance(x.value, str))
    return {x.id for x in nodes if isinstance(x, ast.Name)} | {name for x in quoted for name in re.findall(r"\w+", x)}


def config_classes(trees: dict[Path, ast.Module]) -> set[str]:
    """``Config`` and all that derive from it."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {"Config"}
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return found


def takes(tree: ast.Module, classes: set[str]) -> bool:
    """Whether a function of a module has a parameter of one of the classes, under whatever name it was imported."""
    names = classes | {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname and alias.name in classes
    }
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    given = (x for f in functions for x in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs))
    return any(names_in(x.annotation) & names for x in given if x.annotation is not None)


def test_the_whole_configuration_is_a_parameter_in_few_files() -> None:
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(ROOT.rglob("*.py"))}
    classes = config_classes(trees)
    assert {"Config", "CoevolutionConfig", "RZeroConfig"} <= classes
    reached = [str(file.relative_to(ROOT)) for file, tree in trees.items() if takes(tree, classes)]
    assert len(reached) <= MOST, reached
