"""Where expressions are compared: at points of all scales and between the numbers in both; votes over what bends."""

from __future__ import annotations

from fractions import Fraction
from string import ascii_lowercase

import pytest

from coevolve.grading.bends import differ
from coevolve.grading.equivalence import OWN_RULES
from coevolve.grading.parser import parse
from coevolve.grading.points import POINTS, WHOLE, coordinate, positive_only, whole_coordinate
from coevolve.grading.values import UNDEFINED, bent, evaluate, stepped


@pytest.mark.parametrize("name", ascii_lowercase)
def test_a_letter_lies_at_all_scales_and_on_both_sides_of_zero_unless_it_is_a_size(name: str) -> None:
    found = [coordinate(name, index) for index in range(POINTS)]
    sizes = [abs(value) for value in found]
    assert min(sizes) < Fraction(1, 4)
    assert max(sizes) > 250
    assert any(1.5 < size < 9 for size in sizes)
    assert any(25 < size < 260 for size in sizes)
    far = found[3:]
    assert all(value > 0 for value in far) if positive_only(name) else min(far) < -10 < 10 < max(far)
    whole = [value for value in found if value.denominator == 1]
    assert {value % 2 for value in whole} == {0, 1}


def test_a_name_takes_every_small_whole_number_once() -> None:
    for name in ("n", "k", "x", r"\theta"):
        assert sorted(whole_coordinate(name, index) for index in range(WHOLE)) == list(range(1, WHOLE + 1))


@pytest.mark.parametrize(
    ("first", "second", "different"),
    [
        ("|x-3|+|x-4|", "|2x-7|", True),  # only between 3 and 4
        ("|x-700|+|x-701|", "|2x-1401|", True),
        ("|x-3|+|x-4|", "|3-x|+|4-x|", False),
        ("|x-5000|", "5000-x", True),
        (r"\lfloor x+1/2 \rfloor", r"\lceil x-1/2 \rceil", True),  # only at halves
        (r"\lfloor 2x \rfloor", r"\lfloor x \rfloor+\lfloor x+1/2 \rfloor", False),
        (r"\sqrt{x^2}", "|x|", False),
        ("(x+1)^2", "x^2+2x+1", False),
    ],
)
def test_two_expressions_differ_between_the_numbers_in_them(first: str, second: str, different: bool) -> None:
    one, other = parse(first), parse(second)
    assert differ(one, other) == differ(other, one) == different


def test_counts_have_no_floor_between_whole_numbers_and_other_letters_do() -> None:
    counted, real = evaluate(parse(r"\lfloor n/3 \rfloor"), ["n"]), evaluate(parse(r"\lfloor x/3 \rfloor"), ["x"])
    assert UNDEFINED in counted.keys[:POINTS]
    assert UNDEFINED not in real.keys
    assert len(counted.keys) == len(real.keys) == POINTS + WHOLE


def test_bends_and_steps_are_told_by_what_holds_a_name() -> None:
    assert all(bent(parse(text)) for text in ("|x|", r"\sqrt{x}", r"\ln x", r"\lfloor x \rfloor", "(-1)^n"))
    assert not any(bent(parse(text)) for text in ("|3|x", r"\sqrt{2}x", r"x \ln 2", "x^3", r"\sin x"))
    assert stepped(parse("(-1)^n"))
    assert not stepped(parse("|x|"))


def test_a_vote_keeps_what_bends_apart() -> None:
    found = OWN_RULES.classes(["|x-3|", "3-x", "|3-x|", "-x+3", r"\sqrt{(x-3)^2}", "x-3"])
    assert sorted(found.members) == [(0, 2, 4), (1, 3), (5,)]
    found = OWN_RULES.classes(["|x-3|+|x-4|", "|2x-7|", "|7-2x|", "|4-x|+|3-x|"])
    assert sorted(found.members) == [(0, 3), (1, 2)]
