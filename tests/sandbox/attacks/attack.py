"""What an attack is: a number, a name, and an act that must end as it says."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coevolve.sandbox.base import Status

from .numbers import NUMBERS

if TYPE_CHECKING:
    from .lane import Lane

OUTPUT_BYTES = 20_000

# Tries every expression; one line each: the name of its error, or DONE and the expression.
_TRIES = """
import ctypes, errno, fcntl, os, resource, signal, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
numbers = @NUMBERS@
def raw(name, *arguments):
    if name not in numbers: raise PermissionError(errno.EPERM, 'does not exist on this machine')
    passed = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    passed += [ctypes.c_long(0)] * (6 - len(passed))
    result = libc.syscall(ctypes.c_long(numbers[name]), *passed)
    if result < 0: raise OSError(ctypes.get_errno(), name)
    return result
for text in @CALLS@:
    try: print('DONE', text, eval(text))
    except OSError as error: print(errno.errorcode.get(error.errno, error.errno), text)
    except BaseException as error: print(type(error).__name__, text, error)
"""


@dataclass(frozen=True)
class Attack:
    """``act`` attacks a lane's pool and raises AssertionError when the outcome is not the safe one.

    Args:
        number: 1-100 as in the list that the sandbox was designed against, from 101 on those found since.
        name: what is tried.
        act: tries it.
    """

    number: int
    name: str
    act: Callable[[Lane], None]

    @property
    def key(self) -> str:
        return f"{self.number:03d}-{self.name.replace(' ', '-')}"


def snippet(
    number: int,
    name: str,
    code: str,
    *ends: Status,
    out: str | None = None,
    says: str = "",
    signal: int | None = None,
    exit: int | None = None,
    cut: bool = False,
    pool: str = "plain",
) -> Attack:
    """One snippet, and how it may end.

    Args:
        number: as in :class:`Attack`.
        name: as in :class:`Attack`.
        code: the snippet; ``@NAMES@`` are filled in by the lane.
        ends: the statuses that are safe.
        out: its exact stdout.
        says: what stdout or stderr must contain.
        signal: what ended it.
        exit: its exit code.
        cut: its output was cut, at the cap.
        pool: "plain", "hasty" (0.4 s) or "science" (numpy and sympy).
    """

    def act(lane: Lane) -> None:
        result = lane.run(code, pool)
        assert result.status in ends, result
        assert out is None or result.stdout == lane.fill(out), result
        assert says in result.stdout + result.stderr, result
        assert signal is None or result.signal == signal, result
        assert exit is None or result.exit_code == exit, result
        assert result.truncated is cut or result.status is Status.OUTPUT_LIMIT, result
        assert not cut or len(result.stdout) + len(result.stderr) == OUTPUT_BYTES, result

    return Attack(number, name, act)


def refused(number: int, name: str, *calls: str, errors: Sequence[str] = ("EPERM", "EACCES")) -> Attack:
    """Expressions that must all fail with one of the errors; with ENOENT too where namespaces hide what is meant.

    ``raw(name, ...)`` is a system call.
    """

    def act(lane: Lane) -> None:
        may_be = {*errors, "ENOENT"} if lane.hides else set(errors)
        assert not (wrong := [line for line in attempt(lane, calls) if line.split()[0] not in may_be]), wrong

    return Attack(number, name, act)


def attempt(lane: Lane, calls: Sequence[str]) -> list[str]:
    """Try expressions in one snippet: a line for each, that starts with the error's name or DONE."""
    used = {name for call in calls for name in re.findall(r"raw\('(\w+)'", call)}
    numbers = {name: NUMBERS[name] for name in used if name in NUMBERS}
    code = _TRIES.replace("@NUMBERS@", repr(numbers)).replace("@CALLS@", repr(list(calls)))
    result = lane.run(code)
    assert result.status is Status.OK, result
    lines = result.stdout.splitlines()
    assert len(lines) == len(calls), result
    return lines
