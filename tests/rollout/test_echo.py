"""The value of a program that prints nothing, told by the program itself in the sandbox."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coevolve.engine.base import Pause
from coevolve.rollout.echo import LONGEST_VALUE, echoed, with_echo
from coevolve.sandbox.base import Limits, Status
from coevolve.sandbox.pool import SandboxPool
from coevolve.types import ToolCall
from coevolve.worlds.miniature.learner import MiniatureContract

from .scripted import tool_environment


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    with SandboxPool(limits=Limits(cpu_s=4.0, wall_s=20.0, memory_mb=128, output_bytes=16384)) as pool:
        yield pool


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("answer = 229 + 355", "584"),
        ("229 + 355", "584"),
        ("x = 5; x * 2  # twice", "10"),
        ("a, b = divmod(17, 5)", "(3, 2)"),
        ("total = 0\nfor n in range(5):\n    total += n", "10"),
        ("total = 3\ndef f():\n    y = 4\n    return y", "3"),
        ("x: int = 7", "7"),
        ("x = 7\nif x < 3:\n    z = 1", ""),
        ("(1 +\n 2)", "3"),
        ("'π'\\\n 'r'", "'πr'"),
        ("größe = 2\r\ngröße ** 3\r\n", "8"),
        ("'a' * 9999", ("'" + "a" * 9999)[:LONGEST_VALUE]),
        ("print(3)\n4", "3"),
        ("x = 3\nprint(x)", "3"),
        ("import sys\nsys.stdout.write('9')", "9"),
        ("None", ""),
        ("x = None", ""),
        ("import math", ""),
        ("x = 10 ** 9999", ""),
        ("class A:\n    def __repr__(self): raise ValueError\nA()", ""),
    ],
)
def test_a_silent_programs_value_is_told_and_what_was_printed_stays(pool: SandboxPool, code: str, told: str) -> None:
    result = echoed(pool.run(with_echo(code)))
    assert result.status is Status.OK
    assert result.stderr == ""
    assert result.stdout.removesuffix("\n") == told


@pytest.mark.parametrize("code", ["1 / 0", "x = 1\nreturn x", "x = (", "x = 1\nraise SystemExit(3)", "x = '\0'", "ä ö"])
def test_a_program_that_fails_fails_as_without_it(pool: SandboxPool, code: str) -> None:
    plain, told = pool.run(code), echoed(pool.run(with_echo(code)))
    assert (told.status, told.stdout) == (plain.status, plain.stdout)
    # Nothing but the source line in a traceback can differ.
    assert told.stderr.splitlines()[-1:] == plain.stderr.splitlines()[-1:]


def test_what_a_program_says_on_stderr_stays(pool: SandboxPool) -> None:
    result = echoed(pool.run(with_echo("import sys\nsys.stderr.write('careful')\n3 + 4")))
    assert (result.stdout, result.stderr) == ("7\n", "careful")


def test_the_cells_of_a_session_find_no_name_of_ours(pool: SandboxPool) -> None:
    for code in ("x = 3\nx + 1", "sorted(name for name in globals() if name.startswith('_value'))"):
        result = echoed(pool.run(with_echo(code), "echo"))
    pool.end_session("echo")
    assert result.stdout == "[]\n"


def test_a_program_that_is_nearly_too_long_to_run_is_left_as_it_is() -> None:
    code = f"x = '{'a' * 64_500}'"
    assert with_echo(code) == code


def test_the_policy_is_shown_the_value_and_the_record_has_its_own_program(pool: SandboxPool) -> None:
    code = "answer = 229 + 355"
    environment = tool_environment(MiniatureContract(), 2, at_fence=True, echo=True)
    action = environment.step(f"```python\n{code}\n```", Pause.STOP)
    shown = environment.observe(pool.run(action.code))  # type: ignore[union-attr]
    assert shown == "\n```output\n584\n```\n"
    assert list(environment.calls) == [ToolCall(code, "584", "ok")]
