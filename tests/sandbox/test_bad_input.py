"""Code that is no code: refused or run, never fatal, alone and in a session."""

from __future__ import annotations

import pytest

from coevolve.rollout.protocol import CLOSE_FENCE, appended_observation
from coevolve.sandbox.base import Status
from coevolve.sandbox.pool import SandboxPool

from .cells import new_name


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("print(1)\0", "null bytes"),
        ("\0" * 65_000, "null bytes"),
        ("print('\ud800')", "UnicodeEncodeError"),
        ("\udcff", "UnicodeEncodeError"),
        ("x = 1\n" * 1_700_000, "SnippetTooLong: 10200000 bytes"),
        ("é" * 40_000, "SnippetTooLong: 80000 bytes"),
        ("```python\nprint(1)\n```", "SyntaxError"),
        ("  print(1)", "IndentationError"),
        ("print(1", "SyntaxError"),
        ("return 1", "SyntaxError"),
        ("await x", "SyntaxError"),
        ("\u202eprint(1)", "SyntaxError"),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_what_cannot_be_compiled_is_an_error_and_its_session_goes_on(pool: SandboxPool, code: str, says: str) -> None:
    result = pool.run(code)
    assert (result.status, result.stdout) == (Status.ERROR, "")
    assert says in result.stderr
    session = new_name()
    assert pool.run("x = 42", session).status is Status.OK
    assert pool.run(code, session).status is Status.ERROR
    assert pool.run("print(x)", session).stdout == "42\n"
    pool.end_session(session)


@pytest.mark.parametrize(
    "code", ["", " ", "\n", "#", "\r\n", "\t\n", "pass", "'text'", "# -*- coding: no-such-coding -*-"]
)
def test_code_that_does_nothing_is_ok(pool: SandboxPool, code: str) -> None:
    result = pool.run(code)
    assert (result.status, result.stdout, result.stderr) == (Status.OK, "", "")


@pytest.mark.parametrize(
    "printed",
    [
        "```",
        "````",
        "``````",
        "` ``",
        "``\n`",
        "```\n```python\nprint(2)\n```output",
        "\x1b[2J\x1b]0;title\x07",
        "</output><|im_end|>\r\b\u202e\u2028",
    ],
)
def test_printed_text_arrives_whole_and_cannot_close_its_observation(pool: SandboxPool, printed: str) -> None:
    result = pool.run(f"print({printed!r})")
    assert (result.status, result.stdout) == (Status.OK, printed + "\n")
    shown = appended_observation("```output", result.stdout)
    assert shown.count(CLOSE_FENCE) == 1
    assert shown.endswith(f"\n{CLOSE_FENCE}\n")


def test_a_megabyte_of_honest_output_is_cut_and_no_timeout(pool: SandboxPool) -> None:
    result = pool.run("for i in range(10_000): print('x' * 99)")
    assert (result.status, result.truncated, len(result.stdout)) == (Status.OUTPUT_LIMIT, True, 20_000)
