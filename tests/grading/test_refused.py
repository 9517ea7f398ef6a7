"""Boxes that are no answer: what a failing program said, and the question's own expression; and all that must stay."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coevolve.config import GradingSection
from coevolve.grading.refused import Refusing, repeats_an_error, repeats_the_question
from coevolve.sandbox.base import Status
from coevolve.worlds.open.observation import NOTHING_PRINTED, observation

ERRORS = [
    "nothing",
    "(nothing was printed)",
    r"\text{(nothing was printed)}",
    "NameError: name 'length' is not defined",
    "NameError:name'length'is not defined",
    r"\text{NameError: name 'side\_a' is not defined}",
    "SyntaxError:'('was never closed",
    "SyntaxError: invalid syntax. Perhaps you forgot a comma?",
    "ZeroDivisionError",
    "sympy.core.sympify.SympifyError: SympifyError: '3 +'",
    "Traceback (most recent call last)",
    "Traceback (most recent call last): File",
    'File "<snippet>", line 1',
    "the program ended: timeout",
    "the program ended: cpu_limit",
    "Error: division by zero",
    "56 NameError: name 'x' is not defined",
]
NO_ERRORS = [
    "56",
    "2x + 1",
    "Hello, World",  # an answer to no question, but nothing in the text tells so
    "None",
    "no",
    "Standard Error: 0.5",
    "Type I error",
    "error of 5%",
    "x: y",
    "3:4",
    "nothing more than 5",
]
UNEVALUATED = [
    ("24 + 32", "What is 24 + 32?"),
    ("32+24", "What is 24 + 32?"),
    (r"\text{24+32}", "What is 24 + 32?"),
    ("$24 + 32$", "What is 24 + 32?"),
    ("x = 24 + 32", "What is 24 + 32?"),
    ("24 + 32 =", "What is 24 + 32?"),
    ("24 + 32 = ?", "What is 24 + 32?"),
    ("24 + 32 = 32 + 24", "What is 24 + 32?"),
    ("24 plus 32", "What is 24 + 32?"),
    ("What is 24 + 32?", "What is 24 + 32?"),
    ("24 + 32", "Compute 24 + 32, rounded to 2 decimals."),
    (r"36 \times 24", "What is the product of 36 and 24?"),
    ("the product of 36 and 24", "What is the product of 36 and 24?"),
    ("37*97", "What is the product of 37 and 97?"),
    (r"37 \cdot 97", "Multiply 37 by 97."),
    ("37 × 97", "What is 37 × 97?"),
    ("1,234 + 5.0", "What is 1234 + 5?"),
    ("120/4", "What is 120 divided by 4?"),
    (r"\frac{120}{4}", "What is $120 \\div 4$?"),
    (r"\frac12 + \frac13", r"What is \frac{1}{2} + \frac{1}{3}?"),
    ("(2 + 3) * 4", "What is (2 + 3) * 4?"),
    ("4*(2+3)", "What is 4 times the sum of 2 and 3?"),
    ("-5 + 3", "What is -5 + 3?"),
    ("2^{10}", "What is 2^10?"),
    ("5^2", "What is 5 squared?"),
    ("5!", "What is 5!?"),
    (r"\sqrt{144}", "What is the square root of 144?"),
    (r"20\% \times 50", "What is 20% of 50?"),
    ("26505 % 21", "What is the remainder when 26505 is divided by 21?"),
    (r"\gcd(24, 18)", "What is the greatest common divisor of 24 and 18?"),
    ("5 cm + 3 cm", "How long are 5 cm plus 3 cm?"),
]
ANSWERS = [
    ("56", "What is 24 + 32?"),
    ("24 + 32 = 56", "What is 24 + 32?"),  # the value is there
    ("56 = 24 + 32", "What is 24 + 32?"),
    ("24 + 32 = 57", "What is 24 + 32?"),  # wrong, which is for the judge to say
    ("24 + 33", "What is 24 + 32?"),  # another expression; its value is not the question's
    ("24 - 32", "What is 24 + 32?"),
    ("24", "What is 24 + 32?"),
    ("2x", "Simplify x + x."),
    ("x + x", "Simplify x + x."),  # with letters; for the judge to say
    ("(x-1)(x+1)", "Factor x^2 - 1."),
    ("x^2 - 1", "Expand (x-1)(x+1)."),
    ("3/4", "What is 3 divided by 4?"),  # a value, in lowest terms
    (r"\frac{3}{4}", "What is 3 divided by 4?"),
    (r"-\frac{3}{4}", "What is -3 divided by 4?"),
    ("3 1/4", "What is 3 plus 1/4?"),
    ("5/6", r"What is \frac{1}{2} + \frac{1}{3}?"),
    ("3:4", "What is the ratio of 3 to 4?"),
    ("6/8", "What is the ratio of 6 to 8?"),
    ("2^{10}", "Write 1024 as a power of two."),
    ("2^3 * 3", "Write 24 as a product of powers of primes."),
    ("3 * 4", "Write 12 as a product of 3 and 4."),
    ("3 + 4", "Which expression is 7: 3 + 4 or 3 * 4?"),
    ("2^10", "Which is larger, 2^10 or 10^3?"),
    ("10^3", "Which is larger, 2^10 or 10^3?"),
    (r"1.5 \times 10^3", "What is 1500 in scientific notation?"),
    (r"\sqrt{2}", "What is the square root of 2?"),
    (r"5\sqrt{2}", "What is the square root of 50?"),
    ("24 + 32", "Sam has 24 apples and buys 32 more. How many has he?"),  # the expression is the solver's own
    ("{1, 2}", "Solve x^2 - 3x + 2 = 0."),
    ("(-1, 3)", "For which x is (x + 1)(x - 3) < 0?"),
    ("[1, 5)", "What is the intersection of [0, 5) and [1, 7]?"),
    ("(3, -4)", "What is the point 3 to the right of and 4 below the origin?"),
    ("1 + 2i", "What is (3 + 4i) - (2 + 2i)?"),
    ("2-digit", "Is 24 a 2-digit number?"),
    ("-8", "What is 24 - 32?"),
    ("20%", "What percentage of 50 is 10?"),
    ("12/25", "What is today's date, 12/25?"),
    ("True", "True or false: 2 + 2 = 4?"),
    ("", "What is 24 + 32?"),
]


@pytest.mark.parametrize("answer", ERRORS)
def test_what_a_failing_program_says_is_no_answer(answer: str) -> None:
    assert repeats_an_error(answer, "What is 24 + 32?")


@pytest.mark.parametrize("answer", NO_ERRORS)
def test_other_words_are_answers(answer: str) -> None:
    assert not repeats_an_error(answer, "What is 24 + 32?", [f"{answer}\nValueError: {answer.split()[0]}"])


@pytest.mark.parametrize("status", [x for x in Status if x is not Status.OK])
def test_everything_that_a_failing_program_may_be_said_to_have_done_is_no_answer(status: Status) -> None:
    assert repeats_an_error(observation(status, "", ""))
    trace = "Traceback (most recent call last):\n  File \"<snippet>\", line 2, in <module>\nNameError: name 'a' is bad"
    assert repeats_an_error(observation(status, "", trace))


def test_what_is_shown_where_nothing_was_printed_is_no_answer() -> None:
    assert observation("ok", "", "") == NOTHING_PRINTED
    assert repeats_an_error(NOTHING_PRINTED)


def test_the_message_of_an_error_of_the_same_text_is_no_answer_without_its_name() -> None:
    message = "name 'length' is not defined"
    assert repeats_an_error(message, failures=[f"7\nNameError: {message}"])
    assert repeats_an_error("name'length'is not defined", failures=[f"NameError: {message}"])
    assert not repeats_an_error(message)
    assert not repeats_an_error("7", failures=[f"7\nNameError: {message}"]), "printed before it failed"
    assert not repeats_an_error("5", failures=["KeyError: 5"]), "may be the right answer"


def test_the_name_of_an_error_answers_a_question_about_errors() -> None:
    question = "Which exception does 1/0 raise in Python?"
    assert not repeats_an_error("ZeroDivisionError", question)
    assert repeats_an_error("ZeroDivisionError: division by zero", question)


@pytest.mark.parametrize(("answer", "question"), UNEVALUATED)
def test_the_questions_own_expression_is_no_answer(answer: str, question: str) -> None:
    assert repeats_the_question(answer, question)


@pytest.mark.parametrize(("answer", "question"), ANSWERS)
def test_values_and_other_expressions_are_answers(answer: str, question: str) -> None:
    assert not repeats_the_question(answer, question)


NUMBERS = st.integers(2, 999)
SPELLED = {
    "+": ["{} + {}", "{}+{}", "{} plus {}", r"\text{{{} + {}}}"],
    "-": ["{} - {}", "{}−{}", "{} minus {}"],
    "*": ["{} * {}", r"{} \times {}", r"{}\cdot{}", "{} × {}", "{} times {}"],
}
ASKED = {"+": "the sum of {} and {}", "-": "the difference of {} and {}", "*": "the product of {} and {}"}
VALUE = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}


@settings(max_examples=60, deadline=None)
@given(a=NUMBERS, b=NUMBERS, sign=st.sampled_from("+-*"), data=st.data())
def test_however_it_is_spelled_the_expression_is_refused_and_its_value_is_not(
    a: int, b: int, sign: str, data: st.DataObject
) -> None:
    asked = data.draw(st.sampled_from([*SPELLED[sign][:1], ASKED[sign]])).format(a, b)
    question = f"What is {asked}?"
    given_back = data.draw(st.sampled_from(SPELLED[sign])).format(a, b)
    value = VALUE[sign](a, b)
    assert repeats_the_question(given_back, question)
    assert not repeats_the_question(str(value), question)
    assert not repeats_the_question(f"{given_back} = {value}", question)


@settings(max_examples=40, deadline=None)
@given(a=NUMBERS, b=NUMBERS)
def test_a_quotient_is_a_value_exactly_where_it_is_in_lowest_terms(a: int, b: int) -> None:
    lowest = Fraction(a, b)
    is_value = (lowest.numerator, lowest.denominator) == (a, b)
    for spelled in (f"{a}/{b}", rf"\frac{{{a}}}{{{b}}}"):
        assert repeats_the_question(spelled, f"What is {a} divided by {b}?") is not is_value


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_read_and_a_box_without_numbers_or_signs_is_never_refused(answer: str, question: str) -> None:
    Refusing(errors=True, unevaluated=True).why(answer, question, [question])
    assert not repeats_the_question("".join(c for c in answer if c.isalpha() and c.isascii()), question)


def test_what_is_refused_follows_the_keys_and_errors_are_named_first() -> None:
    nothing, everything = (
        Refusing.of(GradingSection()),
        Refusing.of(GradingSection(refuse_errors=True, refuse_unevaluated=True)),
    )
    assert not nothing
    assert everything
    for answer in ("nothing", "24 + 32", "56"):
        assert nothing.why(answer, "What is 24 + 32?") is None
    assert everything.why("nothing", "What is 24 + 32?") == "error"
    assert everything.why("24 + 32", "What is 24 + 32?") == "unevaluated"
    assert everything.why("56", "What is 24 + 32?") is None
    assert Refusing(errors=True).why("24 + 32", "What is 24 + 32?") is None
    assert Refusing(unevaluated=True).why("nothing", "What is 24 + 32?") is None
