"""Decimals as programs print them: against the float of the platform, alone, in structures and in votes."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coevolve.curriculum.voting import agrees, vote
from coevolve.grading.canonical import canonical
from coevolve.grading.equivalence import OWN_RULES
from coevolve.grading.floats import ULPS, float_key, holds_float, ulp
from coevolve.grading.verdict import Stage

FLOATS = st.floats(allow_nan=False, allow_infinity=False, min_value=1e-60, max_value=1e60)
EXACT: dict[str, Callable[[], float]] = {
    r"\sqrt{7}": lambda: math.sqrt(7),
    r"\frac{5}{9}": lambda: 5 / 9,
    r"\ln 6": lambda: math.log(6),
    r"\pi^2": lambda: math.pi**2,
    r"\frac{e}{4}": lambda: math.e / 4,
    "43": lambda: 43.0,
    "0.9": lambda: 0.9,
    r"\cos\frac{\pi}{5}": lambda: math.cos(math.pi / 5),
    r"12!\cdot\sqrt{3}": lambda: math.factorial(12) * math.sqrt(3),
    r"-\frac{1}{700000}": lambda: -1 / 700000,
}


def _moved(value: float, steps: int) -> float:
    for _ in range(abs(steps)):
        value = math.nextafter(value, math.copysign(math.inf, steps))
    return value


def _same(first: str, second: str) -> bool:
    forward, back = OWN_RULES.same(first, second), OWN_RULES.same(second, first)
    assert forward.same == back.same
    return forward.same


@settings(deadline=None)
@given(FLOATS, st.booleans())
def test_a_float_has_the_key_that_python_prints(value: float, negative: bool) -> None:
    printed = repr(-value if negative else value)
    assert ulp(Fraction(value)) == Fraction(math.ulp(value))
    if holds_float(printed):
        assert canonical(printed) == printed == float_key(Fraction(printed))


@pytest.mark.parametrize("text", ["0.3", "1e-05", "2.0", "123456789012345.0", "1e+20", "1.500000000000000000", "7/3"])
def test_short_decimals_and_whole_numbers_are_exact(text: str) -> None:
    assert not holds_float(text)


def test_more_than_seventeen_digits_are_a_float_only_if_they_show_one() -> None:
    assert holds_float(str(Decimal.from_float(0.7)))
    assert holds_float(f"{0.1 + 0.2:.20f}")
    assert not holds_float("2.6457513110645905905016157536393")
    assert not holds_float("0.70000000000000000000000001")


@pytest.mark.parametrize("exact", EXACT)
@pytest.mark.parametrize("steps", [-2, -1, 0, 1, 2])
def test_a_float_is_the_value_that_it_was_computed_for(exact: str, steps: int) -> None:
    printed = repr(_moved(EXACT[exact](), steps))
    if holds_float(printed) or steps == 0:
        assert _same(exact, printed)
        assert _same(f"x = {printed}", exact)
        assert _same(f"({printed}, 2)", f"({exact}, 2)")
        assert _same(rf"\{{1000, {printed}\}}", rf"\{{{exact}, 1000\}}")
        assert _same(rf"[{printed}, \infty)", rf"x \ge {exact}")


@pytest.mark.parametrize("exact", EXACT)
@pytest.mark.parametrize("steps", [-40, -11, 11, 40])
def test_a_float_further_off_is_another_number(exact: str, steps: int) -> None:
    printed = f"{_moved(EXACT[exact](), steps):.17g}"
    assert not _same(exact, printed)
    assert not _same(f"({exact}, 2)", f"({printed}, 2)")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("0.44999999999999996", "0.45000000000000001", True),
        ("1.7320508075688772", "1.7320508075688774", True),
        ("1.7320508075688772", "1.7320508075688792", False),
        ("1.7320508", "1.7320508075688772", False),  # two decimals are never rounded against each other
        ("1.7320508", r"\sqrt3", True),
        ("0.45", "0.4500003", False),
        ("18.999999999999996", "19", True),
        ("18.9999999999", "19", False),
        ("41.666666666666664%", r"\frac{5}{12}", True),
        ("8.000000000000002e+22", r"8 \times 10^{22}", True),
        ("8.2e+22", r"8 \times 10^{22}", False),
        ("6.123233995736766e-17", "0", True),  # what is left of cos(pi/2)
        ("2e-17", "0", False),
        ("1.2345678901234567e-12", "0", False),
        ("(6.123233995736766e-17, -1.0)", "(0, -1)", True),
        ("(0.8660254037844387+0.49999999999999994j)", r"\frac{\sqrt3}{2}+\frac{i}{2}", True),
        ("(6.123233995736766e-17+1j)", "i", True),
        ("(2+5j)", "2+5i", True),
        ("1.7320508075688772 cm", r"\sqrt3\text{ cm}", True),
        ("1.7320508075688772 cm", r"\sqrt3\text{ m}", False),
        ("np.float64(1.7320508075688772)", r"\sqrt3", True),
        ("Fraction(5, 12)", r"\frac{5}{12}", True),
        ("Fraction(5, 12)", r"\frac{12}{5}", False),
        ("0.7000000000000001x+2", r"\frac{7x}{10}+2", True),
        ("0.7000000000000101x+2", r"\frac{7x}{10}+2", False),
        ("y = 0.7000000000000001x", "y = 0.7x", True),
        ("y = 0.7000000000000001x", "z = 0.7x", False),
        (r"\{0.7000000000000001, 0.9\}", r"\{0.7\}", False),
        ("(0.7000000000000001, 0.9)", "(0.9, 0.7)", False),
        ("0.7000000000000001, 0.9", "0.9, 0.7", True),
        (r"\begin{pmatrix}0.7000000000000001 & 1\end{pmatrix}", r"\begin{pmatrix}0.7 & 1\end{pmatrix}", True),
    ],
)
def test_floats_in_every_place(first: str, second: str, same: bool) -> None:
    assert _same(first, second) is same


def test_a_vote_of_floats_has_the_exact_form_as_its_answer() -> None:
    result = vote([r"\sqrt{7}", "2.6457513110645907", "2.6457513110645903", "2.6458", "3"])
    assert (result.answer, result.p_hat) == (r"\sqrt{7}", 0.8)
    assert agrees("2.645751311064591", result)
    alone = vote(["0.7000000000000001", "0.7000000000000001", "0.7000000000000002", "0.8"])
    assert (alone.answer, alone.p_hat) == ("0.7000000000000001", 0.75)
    assert agrees(r"\frac{7}{10}", alone)


def test_of_two_exact_values_within_reach_a_float_joins_the_nearest() -> None:
    left_over = "4.440892098500626e-16"  # 2^-51, or what is left of a difference
    assert vote([left_over, "0", "0"]).p_hat == 1.0
    assert vote([left_over, "0", "0", "2^{-51}", "2^{-51}"]).counts == (("2^{-51}", 3), ("0", 2))
    large = "6.000000000000001e+20"
    assert vote([large, "600000000000000100001", "600000000000000100000"]).counts[0] == ("600000000000000100000", 2)
    assert vote([large, "600000000000000100001", "600000000000000099999"]).counts[0][1] == 1, "as near to both"


STEPS = st.integers(-9, 9)
VALUES = st.sampled_from([*EXACT])
ANSWERS = st.one_of(
    VALUES,
    st.tuples(VALUES, STEPS).map(lambda chosen: repr(_moved(EXACT[chosen[0]](), chosen[1]))),
    st.tuples(VALUES, STEPS).map(lambda chosen: f"({_moved(EXACT[chosen[0]](), chosen[1])!r}, 1)"),
    VALUES.map(lambda exact: f"({exact}, 1)"),
    VALUES.map(lambda exact: rf"{exact}\text{{ cm}}"),
    st.tuples(VALUES, STEPS).map(lambda chosen: rf"{_moved(EXACT[chosen[0]](), chosen[1])!r}\text{{ cm}}"),
    st.sampled_from(["0", "1.2246467991473532e-16", "6.123233995736766e-17", "2^{-53}", "1.1102230246251565e-16"]),
)


@settings(max_examples=150, deadline=None)
@given(st.data(), st.lists(ANSWERS, min_size=2, max_size=9))
def test_classes_of_floats_do_not_depend_on_the_order_of_the_votes(data: st.DataObject, answers: list[str]) -> None:
    shuffled = data.draw(st.permutations(answers))
    assert vote(answers) == vote(shuffled)


@settings(max_examples=150, deadline=None)
@given(st.lists(ANSWERS, min_size=2, max_size=9))
def test_no_float_merges_two_exact_values_and_none_is_joined_from_afar(answers: list[str]) -> None:
    found = OWN_RULES.classes(answers)
    for members in found.members:
        texts = [answers[index] for index in members]
        exact = [text for text in texts if not holds_float(text)]
        for first, second in combinations(exact, 2):
            assert _same(first, second)
        for text in texts:
            others = exact or [other for other in texts if other != text]
            assert not holds_float(text) or not others or any(_same(text, other) for other in others)
    for first, second in combinations(range(len(answers)), 2):
        verdict = OWN_RULES.same(answers[first], answers[second])
        if verdict.same and verdict.stage is not Stage.ROUNDED and verdict.stage is not Stage.UNIT:
            assert any(first in members and second in members for members in found.members)


@settings(deadline=None)
@given(st.sampled_from([*EXACT]), st.integers(-ULPS, ULPS), st.integers(-ULPS, ULPS))
def test_floats_of_one_value_and_the_value_are_one_class_in_any_order(exact: str, one: int, other: int) -> None:
    answers = [exact, *(repr(_moved(EXACT[exact](), steps // 2)) for steps in (one, other))]
    floats = [text for text in answers[1:] if holds_float(text)]
    assert len(OWN_RULES.classes([exact, *floats]).members) == 1
    assert len(OWN_RULES.classes([*floats, exact]).members) == 1
