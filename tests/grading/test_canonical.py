"""Answers that must be the same, answers that must not, and what holds for every text."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coevolve.grading.canonical import MAX_LENGTH, canonical
from coevolve.grading.extract import last_boxed

SAME = [
    ("42", " 42 "),
    ("42", "42."),
    ("42", "042"),
    ("42", "+42"),
    ("42", "42.0"),
    ("42", "$42$"),
    ("42", r"\$42"),
    ("42", r"\(42\)"),
    ("42", "{42}"),
    ("42", "x = 42"),
    ("42", "n=42."),
    ("42", "４２"),
    ("0", "-0"),
    ("0", "0.00"),
    ("-3", "−3"),
    ("1234", "1,234"),
    ("1234567.5", "1,234,567.5"),
    ("1234", "1{,}234"),
    ("1000", r"1\,000"),
    ("0.5", "1/2"),
    ("0.5", ".5"),
    ("0.5", r"\frac{1}{2}"),
    ("0.5", r"\dfrac{2}{4}"),
    ("0.5", r"\frac12"),
    ("0.5", "½"),
    ("0.5", "50%"),
    ("0.5", r"50\%"),
    ("-0.5", r"-\frac{1}{2}"),
    ("-0.5", r"\frac{-1}{2}"),
    ("7/3", "2 1/3"),
    ("7/3", r"2\frac{1}{3}"),
    ("5/2", "2½"),
    ("1500", "1.5e3"),
    ("Monday", r"\text{monday}"),
    ("Monday", r"\textbf{Monday}."),
    ("New York", "new  york"),
    ("B", "(B)"),
    ("b", "(b)"),
    ("x^2", "x²"),
    ("x^{2}", "x^2"),
    ("x^{12}", "x¹²"),
    (r"\left(1, 2\right)", "(1,2)"),
    ("2 + 3x", "2+3x"),
]

DIFFERENT = [
    ("1", "2"),
    ("12", "1 2"),
    ("32349", "32, 349"),
    ("12,34", "1234"),
    ("50%", "50"),
    ("listen", "silent"),
    ("x=1", "y=2"),
    ("10²", "102"),
    ("2X", "2x"),
    ("1/0", "2/0"),
    (r"\frac{1}{2}3", "1/23"),
    (r"2^{1}/2", r"2^\frac{1}{2}"),
    ("0.3333", "1/3"),
    ("1000000000000000000000000", "1000000000000000000000001"),
    ("xy = 3", "3"),
    ("(1, 2)", "(2, 1)"),
    ("", ""),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_forms_of_one_answer_share_a_key(first: str, second: str) -> None:
    assert canonical(first) == canonical(second) is not None


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_different_answers_have_different_keys(first: str, second: str) -> None:
    assert canonical(first) is None or canonical(first) != canonical(second)


@pytest.mark.parametrize("text", ["", "  ", "\n\t", "$$", "{}", r"\text{}", r"\,", "."])
def test_markup_without_content_is_no_answer(text: str) -> None:
    assert canonical(text) is None


def test_the_word_none_is_a_word() -> None:
    assert canonical("None") == "none"


@settings(deadline=None)
@given(st.integers(-(10**40), 10**40), st.integers(1, 10**20))
def test_a_fraction_has_the_key_of_its_exact_value(top: int, bottom: int) -> None:
    value = Fraction(top, bottom)
    expected = str(value)
    assert canonical(f"{top}/{bottom}") == expected
    assert canonical(rf"\frac{{{top}}}{{{bottom}}}") == expected


@settings(deadline=None)
@given(st.integers(-(10**12), 10**12), st.integers(0, 12))
def test_a_decimal_has_the_key_of_its_exact_value(digits: int, places: int) -> None:
    assert canonical(f"{digits}e-{places}") == str(Fraction(digits, 10**places))


@settings(deadline=None)
@given(st.integers(10**3, 10**30))
def test_thousands_separators_change_nothing(value: int) -> None:
    assert canonical(f"{value:,}") == str(value)


LATEX = [
    "\\frac",
    "\\dfrac",
    "\\text",
    "\\left",
    "\\quad",
    "\\,",
    "\\(",
    "\\[",
    "\\",
    "{",
    "}",
    "^",
    "_",
    "$",
    "~",
]
PIECES = st.sampled_from([*LATEX, "12,345", "23", *"012 ,.-+/=%!()xaeB½²⁻٣ﷺ"])
NASTY = st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=14).map("".join))


@settings(max_examples=1500, deadline=None)
@given(NASTY)
def test_the_key_of_a_key_is_itself(text: str) -> None:
    key = canonical(text)
    assert key is None or canonical(key) == key


@pytest.mark.parametrize(
    "text",
    [
        "9" * 5000,
        "-" + "9" * 5000,
        "1/" + "3" * 200,
        "0." + "1" * 250,
        "1e999999999",
        "1e999",
        "{" * 5000,
        "\\frac{" * 2000 + "1",
        "\\frac" * 60,
        "\\text{" * 49 + "}" * 6,
        "ﷺ" * MAX_LENGTH,
        "-" * 299 + "a",
        "a b" * 100,
    ],
)
def test_hostile_text_is_bounded(text: str) -> None:
    started = time.thread_time()
    key = canonical(text)
    assert key is not None
    assert canonical(key) == key
    assert time.thread_time() - started < 2.0


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{42}.", "42"),
        (r"\boxed{1} no, \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{ a }", "a"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{a} and \boxed{b", None),
        (r"\boxed{a} and \boxed{}", None),
        (r"\boxed{  }", None),
        (r"\boxed{a\}", None),
        (r"\boxed 5", "5"),
        ("no box", None),
        ("", None),
    ],
)
def test_the_last_box_is_the_answer(text: str, answer: str | None) -> None:
    assert last_boxed(text) == answer


def test_a_box_of_deep_braces_is_read_in_linear_time() -> None:
    started = time.thread_time()
    assert last_boxed("\\boxed{" + "{" * 200_000) is None
    assert last_boxed("\\boxed{" * 50_000) is None
    assert time.thread_time() - started < 2.0
