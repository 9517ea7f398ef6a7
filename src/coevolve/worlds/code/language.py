"""Programs, inputs and outputs as texts: what is let into the sandbox, and one spelling of each.

Nothing here runs a program. Texts of a model are parsed, never evaluated; a literal is read by ``ast.literal_eval``.
"""

from __future__ import annotations

import ast
import warnings

LONGEST_PROGRAM = 4000  # characters
LONGEST_LITERAL = 1000
# Modules that compute and nothing else. All others are banned: they reach files, clocks, chance or other processes.
MODULES = frozenset(
    {"bisect", "collections", "copy", "decimal", "fractions", "functools", "heapq", "itertools", "math", "operator"}
    | {"re", "statistics", "string", "typing"}
)
# Names that reach the interpreter, the outside or the output. The sandbox holds all of them; a program that needs one
# is no task for another reason: what it gives depends on more than its input.
NAMES = frozenset(
    {"breakpoint", "compile", "delattr", "eval", "exec", "exit", "getattr", "globals", "hash", "help", "id", "input"}
    | {"locals", "memoryview", "object", "open", "print", "quit", "setattr", "vars"}
)
ENTRY = "f"  # the function that a program defines
_UNPARSED = (SyntaxError, ValueError, RecursionError, MemoryError)


def canonical_program(text: str) -> str:
    """A program in one spelling: that of ``ast.unparse``, without comments.

    Raises:
        ValueError: it is no program of this world; says why.
    """
    tree = _parsed(text)
    why = _refusal(tree)
    if why:
        raise ValueError(why)
    try:
        return ast.unparse(tree)
    except _UNPARSED as error:
        raise ValueError("it cannot be parsed") from error


def canonical_literal(text: str) -> str | None:
    """A Python literal as ``repr`` spells its value; None where the text is none, or longer than LONGEST_LITERAL."""
    if len(text) > LONGEST_LITERAL:
        return None
    try:
        with warnings.catch_warnings(action="ignore"):
            return repr(ast.literal_eval(text.strip()))
    except (*_UNPARSED, TypeError):
        return None


def canonical_input(text: str) -> str | None:
    """The arguments of a call as ``repr`` spells their values: ``4`` or ``[1, 2], 'a'``; None where there are none, or
    one is no literal."""
    whole = canonical_literal(f"({text.strip()},)") if text.strip() else None
    if whole is None:
        return None
    return whole[1:-2] if whole.endswith(",)") else whole[1:-1]


def _parsed(text: str) -> ast.Module:
    if len(text) > LONGEST_PROGRAM:
        raise ValueError(f"it has more than {LONGEST_PROGRAM} characters")
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(text)
    except _UNPARSED as error:
        raise ValueError("it cannot be parsed") from error


def _refusal(tree: ast.Module) -> str:
    """Why a parsed text is no program of this world; empty where it is one."""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    others = [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.Import | ast.ImportFrom)]
    if [node.name for node in functions].count(ENTRY) != 1:
        return f"it does not define {ENTRY} once"
    if others:
        return "it has statements outside of functions"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [x.name for x in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            banned = [name for name in names if name.partition(".")[0] not in MODULES]
            if banned or (isinstance(node, ast.ImportFrom) and node.level):
                return f"it imports {banned[0] if banned else 'a relative module'}"
        name = _named(node)
        if name in NAMES or name.startswith("__"):
            return f"it uses {name}"
    return ""


def _named(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
            return name
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
            return name
    return ""
