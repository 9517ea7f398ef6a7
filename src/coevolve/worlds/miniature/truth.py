"""The oracle of the miniature world. Only the meter and the corpus may import it; a test enforces this.

Expressions come from the operation table, never from a model, and are still evaluated by a small evaluator with an
allow-list of syntax instead of ``eval``."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache

from coevolve.worlds.miniature.grammar import MAX_DIGITS, parse

_BINARY: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Mod: operator.mod,
    ast.FloorDiv: operator.floordiv,
    ast.BitXor: operator.xor,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
}
_LARGEST = 10**12  # no intermediate value grows beyond this


class Unanswerable(Exception):
    """The expression has no value in this world."""


def answer(question: str) -> str | None:
    """The true answer of a question, or None when it is malformed or has no answer."""
    steps = parse(question)
    if steps is None:
        return None
    values: dict[str, int] = {}
    for step in steps:
        x = values[step.x] if isinstance(step.x, str) else step.x
        n = values[step.n] if isinstance(step.n, str) else step.n
        value = evaluate(step.operation.expression, {"x": x} if n is None else {"x": x, "n": n})
        if value is None or value < 0:
            return None
        values[step.name] = value
    return str(values[steps[-1].name])


def evaluate(expression: str, operands: Mapping[str, int]) -> int | None:
    """The integer value of an expression of the table; None when it raises or leaves MAX_DIGITS digits.

    ``expression`` may contain the slots ``{x}`` and ``{n}``; names that are not slots count as undefined.
    """
    try:
        value = _value(_tree(expression), operands)
    except (Unanswerable, SyntaxError, ArithmeticError, ValueError, TypeError, RecursionError, MemoryError):
        return None
    return value if isinstance(value, int) and abs(value) < 10**MAX_DIGITS else None


@lru_cache(maxsize=4096)
def _tree(expression: str) -> ast.expr:
    """The syntax tree, with slots as names: a negative operand then binds as it does in brackets."""
    return ast.parse(expression.replace("{x}", "x").replace("{n}", "n"), mode="eval").body


def _value(node: ast.expr, operands: Mapping[str, int]) -> int | str:
    match node:
        case ast.Constant(value=int() as number):
            return number
        case ast.Name(id=name) if name in operands:
            return operands[name]
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_integer(inner, operands)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _bounded(_BINARY[type(op)](_integer(left, operands), _integer(right, operands)))
        case ast.Subscript(value=inner, slice=ast.Slice(lower=low, upper=None, step=step)):
            return _text(inner, operands)[
                None if low is None else _integer(low, operands) :: None if step is None else _integer(step, operands)
            ]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return _call(name, args, operands)
        case _:
            raise Unanswerable(ast.dump(node))


def _call(name: str, args: list[ast.expr], operands: Mapping[str, int]) -> int | str:
    match name, args:
        case "sum", [ast.Call(func=ast.Name(id="map"), args=[ast.Name(id="int"), inner])]:
            return sum(int(digit) for digit in _text(inner, operands))
        case "len", [inner]:
            return len(_text(inner, operands))
        case "int", [inner]:
            return int(_value(inner, operands))
        case "abs", [inner]:
            return abs(_integer(inner, operands))
        case "str", [inner]:
            return str(_integer(inner, operands))
        case "oct", [inner]:
            return oct(_integer(inner, operands))
    raise Unanswerable(name)


def _integer(node: ast.expr, operands: Mapping[str, int]) -> int:
    value = _value(node, operands)
    if not isinstance(value, int):
        raise Unanswerable(ast.dump(node))
    return value


def _text(node: ast.expr, operands: Mapping[str, int]) -> str:
    value = _value(node, operands)
    if not isinstance(value, str):
        raise Unanswerable(ast.dump(node))
    return value


def _bounded(value: int) -> int:
    if abs(value) > _LARGEST:
        raise Unanswerable("value too large")
    return value
