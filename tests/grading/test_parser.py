"""The parser reads what people write, refuses the rest, and stays within its bounds."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coevolve.grading.expression import latex, variables
from coevolve.grading.parser import parse
from coevolve.grading.plain import plain
from coevolve.grading.rationals import exact
from coevolve.grading.tokens import Refused, TooLarge


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\frac12", Fraction(1, 2)),
        (r"-\dfrac{-3}{4}", Fraction(3, 4)),
        (r"{1 \over 2}", Fraction(1, 2)),
        (r"2\frac{1}{3}", Fraction(7, 3)),
        ("-2 1/3", Fraction(-7, 3)),
        (r"2 \cdot \frac13", Fraction(2, 3)),
        (r"0.1\overline{6}", Fraction(1, 6)),
        (r"\binom{5}{2}", Fraction(10)),
        (r"5!", Fraction(120)),
        (r"\lfloor -2.5 \rfloor", Fraction(-3)),
        (r"\left|-\frac{3}{2}\right|", Fraction(3, 2)),
        (r"2^{3^2}", Fraction(512)),
        (r"-3^2", Fraction(-9)),
        (r"\sqrt[3]{-8}", Fraction(-2)),
        (r"1\,000", Fraction(1000)),
        ("10⁻³", Fraction(1, 1000)),
        ("2½", Fraction(5, 2)),
        (r"1.6 x 10^{-19}", Fraction(16, 10**20)),
        (r"33\frac13\%", Fraction(1, 3)),
    ],
)
def test_a_constant_is_read_with_its_exact_value(text: str, value: Fraction) -> None:
    assert exact(parse(plain(text))) == value


@pytest.mark.parametrize(
    ("text", "names"),
    [("2x(x+1)", "x"), (r"v_0 t", "t v_{0}"), (r"GMm/r^2", "G M m r"), (r"4α", r"\alpha"), (r"e^{i\pi}", "")],
)
def test_variables_have_their_names(text: str, names: str) -> None:
    assert sorted(variables(parse(plain(text)))) == sorted(names.split())


@pytest.mark.parametrize(
    "text", ["listen", "2 3", "(1", "1)", r"\frac{1}", r"\unknown{2}", "x_", "", "1..2", "__import__('os')"]
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        parse(text)


@pytest.mark.parametrize(
    "text", ["(" * 40 + "1" + ")" * 40, "-" * 40 + "1", "1" * 301, "1+" * 400 + "1", r"\sqrt" * 40 + "1"]
)
def test_what_goes_beyond_the_bounds_is_too_large(text: str) -> None:
    with pytest.raises(TooLarge):
        parse(text)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([*"0123456789xyeni+-*/^_(){}[]|!%' ", r"\frac", r"\sqrt", r"\pi", r"\sin "]), max_size=60)
)
def test_any_text_is_read_or_refused_in_bounded_time(pieces: list[str]) -> None:
    started = time.thread_time()
    try:
        again = parse(plain(latex(parse("".join(pieces)))))
        assert isinstance(again, object)
    except Refused:
        pass
    assert time.thread_time() - started < 2.0
