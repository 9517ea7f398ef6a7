"""Sets of real numbers: intervals, single points, their unions and intersections, in one form however written.

Ends are compared by their values; a set whose ends have none (names, infinity in the middle) keeps the parts it was
written with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from coevolve.grading import values
from coevolve.grading.scalars import Form, structure_of

MOST_PIECES = 64

MINUS_INFINITY = Form("number", "-infinity", "-infinity")
INFINITY = Form("number", "infinity", "infinity")
EMPTY = Form("list", "{}", "the empty set", frame="list {}", free=True)
_UNION = "union "


def interval(opener: str, low: Form, high: Form, closer: str) -> Form:
    """An interval; an open one has the key of the pair of its ends."""
    opener = "(" if low.key == "-infinity" else opener
    closer = ")" if high.key == "infinity" else closer
    kind = "interval" if (opener, closer) != ("(", ")") or "infinity" in low.key + high.key else "tuple"
    return structure_of(kind, [low, high], opener, closer)


def joined(forms: Sequence[Form]) -> Form:
    """A union of intervals and sets of points; those that overlap or touch become one."""
    found = [_pieces(form) for form in forms]
    known = [piece for pieces in found if pieces is not None for piece in pieces]
    if all(pieces is not None for pieces in found) and len(known) <= MOST_PIECES:
        return _of_pieces(_merged(known))
    return _union_of(forms)


def common(forms: Sequence[Form]) -> Form | None:
    """The numbers that are in all sets; the empty set where there are none, None where the ends have no values."""
    found = [_pieces(form) for form in forms]
    left = found[0]
    for pieces in found[1:]:
        if left is None or pieces is None or len(left) * len(pieces) > MOST_PIECES:
            return None
        left = [both for one in left for other in pieces if (both := _overlap(one, other))]
    return _of_pieces(_merged(left)) if left is not None else None


def all_but(points: Iterable[Form]) -> Form | None:
    """The real numbers without some points; None if one is no real number."""
    ends: dict[Fraction, Form] = {}
    for point in points:
        value = _value(point)
        if value is None:
            return None
        ends[value] = point
    forms = [MINUS_INFINITY, *(ends[value] for value in sorted(ends)), INFINITY]
    return joined([interval("(", low, high, ")") for low, high in pairwise(forms)])


@dataclass(frozen=True, slots=True)
class _End:
    """One end of a piece: where it is, None at infinity, and whether it belongs to the piece."""

    value: Fraction | None
    inside: bool
    form: Form


@dataclass(frozen=True, slots=True)
class _Piece:
    """All numbers between two ends; both are the same point where it is a single one."""

    low: _End
    high: _End


def _pieces(form: Form) -> list[_Piece] | None:
    """The pieces of a set; None for anything else, and where an end has no value."""
    if form.key in (EMPTY.key, "(-infinity; infinity)"):
        whole = _Piece(_End(None, False, MINUS_INFINITY), _End(None, False, INFINITY))
        return [] if form.key == EMPTY.key else [whole]
    if form.kind == "list" and form.free:
        points = [_Piece(_End(value, True, part), _End(value, True, part)) for part, value in _valued(form.parts)]
        return points if len(points) == len(form.parts) else None
    if form.kind == "interval" and form.free:
        found = [_pieces(part) for part in form.parts]
        known = [piece for pieces in found if pieces is not None for piece in pieces]
        return known if all(pieces is not None for pieces in found) else None
    if form.kind not in ("interval", "tuple") or len(form.parts) != 2:
        return None
    low, high = form.parts
    first, second = _value(low), _value(high)
    if (first is None and low.key != "-infinity") or (second is None and high.key != "infinity"):
        return None
    piece = _Piece(_End(first, form.frame[-2] == "[", low), _End(second, form.frame[-1] == "]", high))
    return [piece] if _is_proper(piece) else None


def _valued(parts: Iterable[Form]) -> list[tuple[Form, Fraction]]:
    return [(part, value) for part in parts if (value := _value(part)) is not None]


def _value(form: Form) -> Fraction | None:
    return values.real_value(form.tree) if form.tree is not None and form.unit is None else None


def _is_proper(piece: _Piece) -> bool:
    low, high = piece.low, piece.high
    if low.value is None or high.value is None:
        return True
    return low.value < high.value or (low.value == high.value and low.inside and high.inside)


def _overlap(one: _Piece, other: _Piece) -> _Piece | None:
    low = max(one.low, other.low, key=lambda end: (end.value is not None, end.value or 0, not end.inside))
    finite = [end for end in (one.high, other.high) if end.value is not None]
    high = min(finite, key=lambda end: (end.value or 0, end.inside), default=one.high)
    piece = _Piece(low, high)
    return piece if _is_proper(piece) else None


def _merged(pieces: Iterable[_Piece]) -> list[_Piece]:
    """Pieces in order, those that overlap or touch as one."""
    found: list[_Piece] = []
    for piece in sorted(pieces, key=lambda p: (p.low.value is not None, p.low.value or 0, not p.low.inside)):
        last = found[-1] if found else None
        if last is None or not _touch(last.high, piece.low):
            found.append(piece)
        elif last.high.value is not None and (
            piece.high.value is None or (piece.high.value, piece.high.inside) > (last.high.value, last.high.inside)
        ):
            found[-1] = _Piece(last.low, piece.high)
    return found


def _touch(high: _End, low: _End) -> bool:
    """Whether nothing is left out between the end of one piece and the beginning of one that begins no earlier."""
    if high.value is None or low.value is None:
        return True
    return low.value < high.value or (low.value == high.value and (low.inside or high.inside))


def _of_pieces(pieces: Sequence[_Piece]) -> Form:
    if not pieces:
        return EMPTY
    points = [piece.low.form for piece in pieces if piece.low.value is not None and piece.low.value == piece.high.value]
    if len(points) == len(pieces):
        return structure_of("list", sorted(points, key=lambda form: form.key), "{", "}", free=True)
    return _union_of([_form(piece) for piece in pieces])


def _form(piece: _Piece) -> Form:
    low, high = piece.low, piece.high
    if low.value is not None and low.value == high.value:
        return structure_of("list", [low.form], "{", "}", free=True)
    return interval("[" if low.inside else "(", low.form, high.form, "]" if high.inside else ")")


def _union_of(forms: Sequence[Form]) -> Form:
    forms = sorted({form.key: form for form in forms}.values(), key=lambda form: form.key)
    if len(forms) == 1:
        return forms[0]
    found = structure_of("interval", forms, _UNION, "", free=True)
    return replace(found, shown=" U ".join(form.shown for form in forms))
