"""The value of a program that prints nothing, as a notebook shows it: of its last expression, or of the last name that
it assigned (``tool.echo``).

A few lines are put behind the program that write the value to stderr between marks; it is run once, wherever programs
run. What it printed, how it ended and the lines that its messages speak of stay the same.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from coevolve.sandbox.base import LONGEST_CODE, Status, ToolResult

LONGEST_VALUE = 500  # characters
_MARK = "\x02value\x03"  # on stderr, before the value and behind it
_ROOM = 1000  # bytes of a program that the lines behind it take at most, and more
_TEMPORARY = "_value_of_the_last_line"
# repr() of a value can fail: then there is nothing to show.
_WRITE = """
try:
    if {value} is not None:
        __import__("sys").stderr.write({mark!r} + repr({value})[:{longest}] + {mark!r})
except Exception:
    pass
"""
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")  # as Python cuts its source
_OWN_SCOPE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def with_echo(code: str) -> str:
    """The program with the lines that tell its value; as it is where it has none or is no Python."""
    try:
        size, body = len(code.encode()), ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code  # how it fails is for the sandbox to say
    if not body or size > LONGEST_CODE - _ROOM:
        return code
    last = body[-1]
    if isinstance(last, ast.Expr):
        return code if _prints(last.value) else _with_last_value(code, last)
    value = next(_assigned(body), None)
    return code if value is None else code + _written(value)


def echoed(result: ToolResult) -> ToolResult:
    """The result without the marks: where nothing was printed, the value stands for what was."""
    before, found, rest = result.stderr.rpartition(_MARK)
    before, begun, value = before.rpartition(_MARK)
    if not (found and begun):
        return result
    silent = result.status is Status.OK and not result.stdout.strip()
    return replace(result, stdout=f"{value}\n" if silent else result.stdout, stderr=before + rest)


def _written(value: str) -> str:
    return _WRITE.format(value=value, mark=_MARK, longest=LONGEST_VALUE)


def _prints(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "print"


def _with_last_value(code: str, last: ast.Expr) -> str:
    """The program with its last expression assigned to a name of ours, which is gone afterwards."""
    assert last.end_lineno is not None
    assert last.end_col_offset is not None
    lines = [line.encode() for line in _LINE.findall(code)]  # columns count bytes
    begin = sum(map(len, lines[: last.lineno - 1])) + last.col_offset
    end = sum(map(len, lines[: last.end_lineno - 1])) + last.end_col_offset
    whole = code.encode()
    named = whole[:begin] + f"{_TEMPORARY} = (".encode() + whole[begin:end] + b"\n)" + whole[end:]
    return f"{named.decode()}{_written(_TEMPORARY)}del {_TEMPORARY}\n"


def _assigned(body: Sequence[ast.stmt]) -> Iterator[str]:
    """What a program assigns in its own scope, the last one first: a name, or several in a tuple."""
    for statement in reversed(body):
        if isinstance(statement, _OWN_SCOPE):
            continue
        for inner in ("finalbody", "orelse", "body"):
            yield from _assigned(getattr(statement, inner, []))
        if isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign):
            target = statement.targets[-1] if isinstance(statement, ast.Assign) else statement.target
            parts = target.elts if isinstance(target, ast.Tuple) else [target]
            if statement.value is not None and all(isinstance(part, ast.Name) for part in parts):
                yield ast.unparse(target)
