"""What is read from the text of a program: which ones compute in the same way, and which numbers they hold."""

from __future__ import annotations

from fractions import Fraction

import pytest

from coevolve.curriculum.programs import UNREADABLE, literals, parsed, shape

SUM_OF_SQUARES = "total = 0\nfor n in range(1, 8):\n    total += n * n\nprint(total)"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("print(36 * 24)", "print(7 * 9)"),
        ("print(36 * 24)", "pens = 36\nprice = 24\nprint(price * pens)"),
        ("print(36 * 24)", "x: int = 36 * 24\nprint(f'It is {x}')"),
        ("print(36 * 24)", "print('The product:', 36 * 24)"),
        ("print(36 * 24)", "answer = 36 * 24"),  # what a notebook would show
        ("print(36 * 24)", "36 * 24"),
        ("print(36 * 24)", "print(int(36 * 24))"),
        ("print(36 * 24)", "print('first')\nprint(36)\nprint(36 * 24)  # the last counts"),
        ("print(1 + 2 + 3)", "print(3 + (4 + 5))"),
        ("x = 2\nx += 5\nprint(x)", "print(5 + 2)"),
        ("import math\nprint(math.gcd(84, 36))", "from math import gcd as d\nprint(d(9, 6))"),
        ("a, b = 8, 3\nprint(a - b)", "print(8 - 3)"),
        ("print(sum([1, 2]))", "print(sum([4, 5, 6]))"),
        ("print(3 > 2)", "print(2 < 3)"),
        (SUM_OF_SQUARES, SUM_OF_SQUARES.replace("total", "s").replace("for n", "for m").replace("n * n", "m * m")),
        ("def f(x):\n    return x % 7\nprint(f(90))", "def rest(n):\n    return n % 5\nprint(rest(12))"),
        ("print((", "1 +"),  # what cannot be read is one class
    ],
)  # fmt: skip
def test_names_numbers_and_how_a_value_is_shown_do_not_change_a_shape(first: str, second: str) -> None:
    assert shape(first) == shape(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("print(36 * 24)", "print(36 + 24)"),
        ("print(36 / 24)", "print(36 // 24)"),
        ("print(9 - 4 - 1)", "print(9 - (4 - 1))"),
        ("print(36 * 24)", "total = 0\nfor _ in range(36):\n    total += 24\nprint(total)"),
        ("print(sum(range(1, 11)))", "print(10 * 11 // 2)"),
        ("import math\nprint(math.gcd(8, 6))", "import math\nprint(math.lcm(8, 6))"),
        ("print('7'.upper())", "print('7'.lower())"),
        ("print(3 < 2)", "print(3 <= 2)"),
        ("print(36 * 24)", "print(("),
        ("s = 0\nfor n in range(9):\n    s += n\nprint(s)", "s = 1\nfor n in range(9):\n    s *= n\nprint(s)"),
    ],
)
def test_another_way_to_compute_is_another_shape(first: str, second: str) -> None:
    assert shape(first) != shape(second)


def test_what_is_nested_too_deeply_or_too_long_cannot_be_read() -> None:
    for code in ("(" * 5000, "-" * 9000 + "1", "print(1)\n" * 5000, "x = '\0'", "9" * 5000):
        assert shape(code) == UNREADABLE
        assert literals(code) == frozenset()
        assert parsed(code) is None or code.startswith("-")


def test_a_value_that_doubles_itself_costs_nothing() -> None:
    assert len(shape("a = 1\n" + "a = a + a\n" * 500 + "print(a)")) == 16


def test_the_numbers_of_a_program_have_no_sign_and_the_value_that_was_written() -> None:
    code = "print(range(1, 11), -5, 0.1, 2e6, True, 3j, 1e999, Fraction('1/3'), '4821', 'room 7', '8/0')"
    assert literals(code) == {Fraction(x) for x in ("1", "11", "0", "10", "5", "0.1", "2000000", "3", "1/3", "4821")}
