"""Unions and intersections of intervals and points, against membership at whole and half numbers."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from coevolve.grading.pairs import parsed

ENDS = range(5)
PLACES = [Fraction(twice, 2) for twice in range(-2, 2 * len(ENDS) + 2)]
Piece = tuple[str, int | None, int | None, str]  # brackets and ends, None at infinity


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    low, high = sorted((draw(st.sampled_from(ENDS)), draw(st.sampled_from(ENDS))))
    opener, closer = draw(st.sampled_from("[(")), draw(st.sampled_from("])"))
    if low == high:
        return "[", low, high, "]"
    left, right = draw(st.sampled_from([(low, high), (low, high), (low, None), (None, high), (None, None)]))
    return "(" if left is None else opener, left, right, ")" if right is None else closer


def _text(piece: Piece) -> str:
    opener, low, high, closer = piece
    if low == high and low is not None:
        return rf"\{{{low}\}}"
    ends = (r"-\infty" if low is None else str(low), r"\infty" if high is None else str(high))
    return f"{opener}{ends[0]},{ends[1]}{closer}"


def _condition(piece: Piece) -> str:
    opener, low, high, closer = piece
    if low is None and high is None:
        return r"x \in \mathbb{R}"
    if low is None or high is None:
        return (
            rf"x {'<' if closer == ')' else chr(92) + 'le'} {high}"
            if low is None
            else rf"x {'>' if opener == '(' else chr(92) + 'ge'} {low}"
        )
    first, second = ("<" if opener == "(" else r"\le"), ("<" if closer == ")" else r"\le")
    return f"x = {low}" if low == high else f"{low} {first} x {second} {high}"


def _holds(piece: Piece, place: Fraction) -> bool:
    opener, low, high, closer = piece
    above = low is None or place > low or (place == low and opener == "[")
    return above and (high is None or place < high or (place == high and closer == "]"))


def _key(text: str) -> str | None:
    return parsed(text).class_key


SOME = st.lists(pieces(), min_size=1, max_size=4)


@settings(max_examples=300, deadline=None)
@given(SOME, SOME)
def test_two_unions_are_the_same_when_they_hold_the_same_numbers(one: list[Piece], other: list[Piece]) -> None:
    first, second = (r" \cup ".join(map(_text, union)) for union in (one, other))
    members = [[any(_holds(piece, place) for piece in union) for place in PLACES] for union in (one, other)]
    assert (_key(first) == _key(second)) == (members[0] == members[1])
    assert _key(first) == _key(r" \cup ".join(map(_text, reversed(one))))


@settings(max_examples=200, deadline=None)
@given(st.lists(pieces(), min_size=2, max_size=3), SOME)
def test_an_intersection_holds_what_all_hold(parts: list[Piece], union: list[Piece]) -> None:
    both = [all(_holds(piece, place) for piece in parts) for place in PLACES]
    members = [any(_holds(piece, place) for piece in union) for place in PLACES]
    found = _key(r" \cap ".join(map(_text, parts)))
    assert (found == _key(r" \cup ".join(map(_text, union)))) == (both == members)


@settings(max_examples=200, deadline=None)
@given(st.lists(pieces().filter(lambda piece: piece[1:3] != (None, None)), min_size=2, max_size=3))
def test_conditions_joined_by_or_are_the_union(parts: list[Piece]) -> None:
    conditions = r" \text{ or } ".join(map(_condition, parts))
    if any(piece[1] != piece[2] for piece in parts):
        assert _key(conditions) == _key(r" \cup ".join(map(_text, parts)))
