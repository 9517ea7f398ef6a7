"""Residues of expressions that are too large to be computed, against Python's integers and known identities."""

from __future__ import annotations

from math import comb, factorial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import isprime, totient

from coevolve.grading import residues as module
from coevolve.grading.expression import Expression
from coevolve.grading.parser import parse
from coevolve.grading.plain import plain
from coevolve.grading.residues import residues


def tree(text: str) -> Expression:
    return parse(plain(text))


@pytest.mark.parametrize("totients", module._TOTIENTS)
def test_each_number_is_the_totient_of_the_one_before_and_the_first_is_a_safe_prime(totients: tuple[int, ...]) -> None:
    assert isprime(totients[0])
    assert isprime(totients[0] // 2)
    assert [int(totient(number)) for number in totients[:-1]] == list(totients[1:])


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 50), st.integers(2, 9), st.integers(2, 6), st.integers(1, 5000))
def test_a_residue_is_that_of_the_integer(base: int, first: int, second: int, other: int) -> None:
    exponent = first**second
    text = f"{base}^{{{first}^{{{second}}}}} \\cdot {other} + 700! - \\binom{{900}}{{{second}}}"
    value = base**exponent * other + factorial(700) - comb(900, second)
    assert residues(tree(text)) == tuple(value % totients[0] for totients in module._TOTIENTS)


def test_a_power_tower_has_the_residue_of_the_integer_where_python_can_compute_it() -> None:
    assert residues(tree("3^{7^{7}}")) == tuple(pow(3, 7**7, totients[0]) for totients in module._TOTIENTS)
    high = 7 ** (5**6)  # its 13,000 digits are beyond the bounds of exact arithmetic
    assert residues(tree("3^{7^{5^{6}}}")) == tuple(pow(3, high, totients[0]) for totients in module._TOTIENTS)
    assert residues(tree("2^{6^{5^{6}}}")) == tuple(pow(2, 6 ** (5**6), totients[0]) for totients in module._TOTIENTS)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("(x+1)^{5000}", "(1+x)^{4999}(x+1)", True),
        ("(x+1)^{5000}", "(x+1)^{5001}", False),
        ("(x^2-1)^{900}", "(x-1)^{900}(x+1)^{900}", True),
        ("10^{10^{10}}", "(10^{10})^{10^9}", True),
        ("10^{10^{10}}", "(10^{10})^{10}", False),
        (r"\frac{2^{10^9}}{2}", "2^{10^9-1}", True),
        ("2^{10^9+k}", r"2^k \cdot 2^{10^9}", True),
        ("4^{10^9}", "2^{2 \\cdot 10^9}", True),
        ("1000!", r"1000 \cdot 999!", True),
        ("1000!", "1001!", False),
        (r"\binom{2000}{1000}", r"\frac{2000!}{1000! 1000!}", True),
        (r"\pi^{5000}", r"\pi^{2500} \pi^{2500}", True),
        (r"\pi^{5000}", "3^{5000}", False),
        ("e^{-1000x^2}", r"\frac{1}{e^{1000x^2}}", True),
        ("e^{-1000x^2}", "e^{-2000x^2}", False),
        (r"\frac{1}{3^{9000}}", "3^{-9000}", True),
    ],
)
def test_equal_giants_have_equal_residues(first: str, second: str, same: bool) -> None:
    assert (residues(tree(first)) == residues(tree(second))) == same


@pytest.mark.parametrize(
    "text",
    [r"\sqrt{x}", "e^{e}", "i", r"\sin x", "(10^7)!", r"2^{\pi}", "2^{3^{1/2}}", "0^0", "2^{5^{9^{9}}-3}"],
)
def test_what_has_no_residue_has_none(text: str) -> None:
    assert residues(tree(text)) is None


def test_variables_stand_for_different_numbers() -> None:
    assert len({residues(tree(name)) for name in ("x", "y", "z", r"\theta", "x_1", r"\pi")}) == 6
    assert residues(tree("x + y")) == residues(tree("y + x"))
