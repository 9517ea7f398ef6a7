"""What a program computes, read from its text alone: the shape of the computation and the numbers in it.

Nothing is run: programs are parsed with ``ast`` and looked at.
"""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

UNREADABLE = "unreadable"  # the shape of all programs that do not parse
MOST_CHARACTERS = 20_000  # longer programs count as unreadable

_COMMUTE = (ast.Add, ast.Mult, ast.BitAnd, ast.BitOr, ast.BitXor)
_SYMMETRIC = frozenset({"max", "min", "gcd", "lcm"})  # functions whose arguments may come in any order
_CASTS = frozenset({"float", "int", "round", "str"})  # of one argument: how a result is shown, not how it is found
_FLIPPED: Mapping[type[ast.cmpop], type[ast.cmpop]] = {ast.Gt: ast.Lt, ast.GtE: ast.LtE}
_NUMERAL = re.compile(r"[0-9]{1,300}(?:\.[0-9]{1,300})?(?:/[0-9]{1,300})?")

_NUMBER, _TEXT, _NAME = "number", "text", "name"


def parsed(code: str) -> ast.Module | None:
    """The syntax tree of a program; None for one that Python cannot read, or that is too long."""
    if len(code) > MOST_CHARACTERS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in its strings
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: it is nested too deeply
        return None


def shape(code: str) -> str:
    """Sixteen hex digits that programs share which compute in the same way, whatever their names and numbers.

    A variable that is assigned outside of loops, branches and functions is replaced by what it stands for, so
    ``a = 3; b = 4; print(a * b)`` has the shape of ``print(4 * 3)``. Numbers and texts are masked, and so are the names
    of variables and of functions of the program's own; those of modules are left out (``math.gcd`` is ``gcd``). The
    order of summands, factors and other symmetric operands does not count, nor do imports, texts that are printed,
    casts, and all but the last of the values that are printed.

    Returns:
        UNREADABLE for a program that does not parse.
    """
    tree = parsed(code)
    if tree is None:
        return UNREADABLE
    try:
        return _Shape(tree).of_program()
    except RecursionError:
        return UNREADABLE


def literals(code: str) -> frozenset[Fraction]:
    """The numbers that stand in a program, without their signs; none where it does not parse.

    A text that holds one number alone counts (``Fraction("1/3")``). Of an argument of ``range`` the number before it
    counts as well: ``range(1, 11)`` goes to 10.
    """
    tree = parsed(code)
    return frozenset(_numbers(tree)) if tree is not None else frozenset()


def _numbers(tree: ast.AST) -> Iterator[Fraction]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            yield from _values(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
            yield from (
                Fraction(x.value - 1)
                for x in node.args
                if isinstance(x, ast.Constant) and type(x.value) is int and x.value > 0
            )


def _values(value: object) -> Iterator[Fraction]:
    if type(value) is int:
        yield Fraction(value)
    elif isinstance(value, float) and value == value and abs(value) != float("inf"):
        yield Fraction(repr(value))  # as it was written: 0.1 is one tenth
    elif isinstance(value, str) and _NUMERAL.fullmatch(value.strip()):
        top, _, bottom = value.strip().partition("/")
        if not bottom:
            yield Fraction(top)
        elif Fraction(bottom):
            yield from (Fraction(top) / Fraction(bottom), Fraction(top), Fraction(bottom))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


class _Shape:
    """Reads one program. Every expression becomes a digest of its parts, so that sizes stay small."""

    def __init__(self, tree: ast.Module) -> None:
        self._body = tree.body
        self._imported = dict(_imports(tree))
        self._bound = set(_bound(tree.body))
        self._prints = any(isinstance(x, ast.Name) and x.id == "print" for x in ast.walk(tree))
        self._means: dict[str, str] = {}  # variables with the digest of what they stand for

    def of_program(self) -> str:
        steps: list[str] = []  # loops, branches, functions and calls, in order
        shown = ""
        for statement in self._body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                continue
            if isinstance(statement, ast.Expr):
                printed = self._printed(statement.value)
                if printed is not None:
                    shown = printed or shown
                elif not isinstance(statement.value, ast.Constant):
                    shown = self._expression(statement.value)  # a notebook shows it, where it is the last
                    if isinstance(statement.value, ast.Call):
                        steps.append(shown)
            elif not (assigned := self._assigned(statement)):
                for name in _bound([statement]):
                    self._means.pop(name, None)
                steps.append(self._any(statement))
            elif not self._prints:
                shown = assigned
        return _digest("program", *steps, shown)

    def _printed(self, node: ast.expr) -> str | None:
        """The digest of what a call of print shows, empty where that is text alone; None for anything else."""
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"):
            return None
        parts = [self._expression(x) for x in node.args]
        parts = [part for part in parts if part != _TEXT]
        return parts[0] if len(parts) == 1 else _digest("several", *parts) if parts else ""

    def _assigned(self, statement: ast.stmt) -> str:
        """Take note of a plain assignment and return what was assigned; empty for another statement."""
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._means[name] = self._expression(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                self._means[name] = self._expression(value)
            case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                both = [self._means.get(name, _NAME), self._expression(value)]
                self._means[name] = self._combined(op, both)
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if len(names) == len(
                values
            ) and all(isinstance(x, ast.Name) for x in names):
                found = [self._expression(value) for value in values]
                self._means |= {x.id: one for x, one in zip(names, found, strict=True) if isinstance(x, ast.Name)}
                return found[-1]
            case _:
                return ""
        return self._means[name]

    def _combined(self, op: ast.operator, parts: list[str]) -> str:
        return _digest(type(op).__name__, *(sorted(parts) if isinstance(op, _COMMUTE) else parts))

    def _expression(self, node: ast.expr) -> str:
        match node:
            case ast.Constant(value=value):
                return _TEXT if isinstance(value, str | bytes) else repr(value) if _plain(value) else _NUMBER
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=ast.Constant()):
                return _NUMBER
            case ast.Name(id=name):
                return self._named(name)
            case ast.Attribute(value=ast.Name(id=module), attr=name) if module in self._imported:
                return name
            case ast.BinOp(op=op, left=left, right=right):
                terms = list(_terms(node, type(op))) if isinstance(op, _COMMUTE) else [left, right]
                return self._combined(op, [self._expression(x) for x in terms])
            case ast.BoolOp(op=op, values=values):
                return _digest(type(op).__name__, *sorted(self._expression(x) for x in values))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self._compared(op, self._expression(left), self._expression(right))
            case ast.Call():
                return self._call(node)
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                return _digest("collection", *sorted({self._expression(x) for x in parts}))  # of any length
            case ast.JoinedStr(values=parts):
                shown = [self._expression(x.value) for x in parts if isinstance(x, ast.FormattedValue)]
                return shown[0] if len(shown) == 1 else _digest("several", *shown) if shown else _TEXT
        return self._any(node)

    def _named(self, name: str) -> str:
        return self._means.get(name) or self._imported.get(name) or (_NAME if name in self._bound else name)

    @staticmethod
    def _compared(op: ast.cmpop, left: str, right: str) -> str:
        if (isinstance(op, ast.Eq | ast.NotEq) and right < left) or type(op) in _FLIPPED:
            left, right = right, left
        return _digest(_FLIPPED.get(type(op), type(op)).__name__, left, right)

    def _call(self, node: ast.Call) -> str:
        arguments = [self._expression(x) for x in node.args]
        name = self._expression(node.func)
        if name in _CASTS and len(arguments) == 1 and not node.keywords:
            return arguments[0]
        named = sorted(_digest(x.arg or "", self._expression(x.value)) for x in node.keywords)
        return _digest("call", name, *(sorted(arguments) if name in _SYMMETRIC else arguments), *named)

    def _any(self, node: ast.AST) -> str:
        """The digest of a node without a rule of its own."""
        parts = [type(node).__name__]
        for name, value in ast.iter_fields(node):
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, ast.expr):
                    parts.append(self._expression(one))
                elif isinstance(one, ast.AST):
                    parts.append(self._any(one))
                elif isinstance(one, str) and name == "attr":  # a method; other texts are names of the program's own
                    parts.append(one)
        return _digest(*parts)


def _plain(value: object) -> bool:
    return value is None or value is Ellipsis or isinstance(value, bool)


def _terms(node: ast.expr, op: type[ast.operator]) -> Iterator[ast.expr]:
    """The operands of a chain of one operation: a, b and c of ``a + (b + c)``."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, ast.BinOp) and isinstance(one.op, op):
            waiting += [one.left, one.right]
        else:
            yield one


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Names that are imported, with what they are called where they come from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((x.asname or x.name.partition(".")[0], x.name) for x in node.names)


def _bound(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Names that these statements give a meaning: variables, parameters, functions and classes."""
    for node in (x for statement in body for x in ast.walk(statement)):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
