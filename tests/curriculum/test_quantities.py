"""The numbers in the text of a question, and which of them a program uses."""

from __future__ import annotations

from fractions import Fraction

import pytest

from coevolve.curriculum.quantities import quantities, share_used


@pytest.mark.parametrize(
    ("question", "numbers"),
    [
        ("What is the product of 36 and 24?", "36 24"),
        ("How many times does 21 repeat?", "21"),
        ("A shelf holds 1,250 books and costs $80.50.", "1250 80.5"),
        ("Add 2.5, then 7.", "2.5 7"),
        ("Seven pens cost three dollars each.", "7 3"),
        ("There are two hundred and five seats, and thirty are taken.", "205 30"),
        ("Twenty-one and 5 apples", "21 5"),
        ("What is the 12th term?", "12"),
        ("Which one is it, x2 or A4?", ""),
        ("How many sides has a hexagon?", ""),
        ("Solve 2x + 9 = 15.", "2 9 15"),
    ],
)
def test_numbers_are_read_in_digits_and_in_words(question: str, numbers: str) -> None:
    expected = {frozenset({frozenset({Fraction(x)})}) for x in numbers.split()}
    assert quantities(question) == expected


@pytest.mark.parametrize(
    ("question", "used", "share"),
    [
        ("36 times 24", "24 36", 1.0),
        ("36 times 24", "36 5", 0.5),
        ("36 times 36", "36", 1.0),
        ("A coat of 80 dollars is 25% off.", "80 0.75", 1.0),
        ("A coat of 80 dollars is 25 percent off.", "80 25 100", 1.0),
        ("Take 3/4 of 60.", "60 0.75", 1.0),
        ("Take 3/4 of 60.", "60 3 4", 1.0),
        ("Take 3/4 of 60.", "60 3", 0.5),
        ("A city of 2 million grows by half.", "2000000 0.5", 1.0),
        ("A city of two million grows by half.", "2 2", 1.0),
        ("Three dozen eggs", "3 12", 1.0),
        ("Three dozen eggs", "36", 1.0),
        ("5 cats", "", 0.0),
        ("some cats", "5", None),
    ],
)
def test_a_number_is_used_in_any_of_its_forms(question: str, used: str, share: float | None) -> None:
    assert share_used(question, {Fraction(x) for x in used.split()}) == share
