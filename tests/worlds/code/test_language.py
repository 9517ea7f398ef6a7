"""What is let into the sandbox, in which spelling. Nothing here runs a program."""

from __future__ import annotations

import pytest

from coevolve.worlds.code.items import ABDUCTION, DEDUCTION, INDUCTION, Proposal, Triplet, read_inputs, read_written
from coevolve.worlds.code.language import canonical_input, canonical_literal, canonical_program

DOUBLE = "def f(a):\n    return a * 2"


def test_programs_that_differ_in_layout_and_comments_are_one() -> None:
    assert canonical_program("def f( a ) :  # twice\n  return (a)*2") == DOUBLE
    assert canonical_program(DOUBLE) == DOUBLE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def f(a) return a", "parsed"),
        ("def g(a):\n    return a", "does not define f"),
        ("def f(a):\n    return a\ndef f(a):\n    return a", "does not define f once"),
        ("x = 3\ndef f(a):\n    return x", "outside of functions"),
        ("import os\ndef f(a):\n    return a", "imports os"),
        ("import os.path\ndef f(a):\n    return a", "imports os.path"),
        ("def f(a):\n    from sys import exit\n    return a", "imports sys"),
        ("from . import secret\ndef f(a):\n    return a", "imports"),
        ("def f(a):\n    return open('/etc/passwd').read()", "uses open"),
        ("def f(a):\n    return eval('1')", "uses eval"),
        ("def f(a):\n    return a.__class__", "uses __class__"),
        ("def f(a):\n    return __import__('os')", "uses __import__"),
        ("def f(a):\n    print(a)\n    return a", "uses print"),
        ("from math import sqrt as __s\ndef f(a):\n    return a", ""),
        ("def f(a):\n    return a\x00", "parsed"),
        ("def f(a):\n    return " + "(" * 500 + "a" + ")" * 500, "parsed"),
        ("def f(a):\n    return a" + " + a" * 2000, "characters"),
    ],
)
def test_a_text_that_is_no_program_of_this_world_is_refused_with_the_reason(text: str, why: str) -> None:
    if not why:
        assert canonical_program(text)
        return
    with pytest.raises(ValueError, match=r"^it ") as caught:
        canonical_program(text)
    assert why in str(caught.value)


def test_a_module_that_only_computes_may_be_imported() -> None:
    assert canonical_program("import math\ndef f(a):\n    return math.gcd(a, 12)").startswith("import math")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" 14 ", "14"),
        ("[1,2 , 3]", "[1, 2, 3]"),
        ('"a"', "'a'"),
        ("True", "True"),
        ("12 + 2", None),  # an expression is no literal, though its value is
        ("f(4)", None),
        ("", None),
        ("9" * 5000, None),
        ("[" * 900, None),
    ],
)
def test_a_literal_is_read_and_an_expression_is_not_evaluated(text: str, value: str | None) -> None:
    assert canonical_literal(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("4", "4"), ("[3,1]", "[3, 1]"), ("[1], 'a'", "[1], 'a'"), ("(1, 2)", "(1, 2)"), ("", None), ("a", None)],
)
def test_an_input_is_the_arguments_of_a_call(text: str, value: str | None) -> None:
    assert canonical_input(text) == value


def test_what_a_proposer_writes_is_read_back_from_the_task() -> None:
    written = read_written(DEDUCTION, f"{DOUBLE}\nf( 4 )")
    assert written == Proposal(DEDUCTION, DOUBLE, ("4",))
    assert read_written(DEDUCTION, written.written) == written

    induced = read_inputs(DOUBLE, "multiply\n" + "\n".join(f"f({n})" for n in range(10)))
    assert induced == Proposal(INDUCTION, DOUBLE, tuple(map(str, range(10))), "multiply")
    assert read_written(INDUCTION, induced.written) == induced


@pytest.mark.parametrize(
    "text",
    [
        "multiply\n" + "\n".join(f"f({n})" for n in range(9)),  # one too few
        "multiply\n" + "\n".join(f"f({n % 9})" for n in range(10)),  # two are equal
        "multiply\n" + "\n".join(f"g({n})" for n in range(10)),
        "\n" + "\n".join(f"f({n})" for n in range(10)),  # no message
        "\n".join(f"f({n})" for n in range(10)),
    ],
)
def test_an_induction_task_has_a_message_and_ten_different_inputs(text: str) -> None:
    with pytest.raises(ValueError, match=r"it|a line"):
        read_inputs(DOUBLE, text)


def test_an_induction_task_hides_the_program_and_five_of_its_pairs() -> None:
    proposal = Proposal(INDUCTION, DOUBLE, tuple(map(str, range(10))), "multiply")
    question = Triplet(proposal, tuple(str(2 * n) for n in range(10))).question
    assert question == "multiply\nf(0) == 0\nf(1) == 2\nf(2) == 4\nf(3) == 6\nf(4) == 8"


def test_deduction_hides_the_output_and_abduction_the_input() -> None:
    assert Triplet(Proposal(DEDUCTION, DOUBLE, ("4",)), ("8",)).question == f"{DOUBLE}\nf(4) == ?"
    assert Triplet(Proposal(ABDUCTION, DOUBLE, ("4",)), ("8",)).question == f"{DOUBLE}\nf(?) == 8"
