"""Answers that say more than a value: its approximation, the domain of a name in it, what it is the remainder of."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from coevolve.grading.approximate import stands_for
from coevolve.grading.expression import Expression, Number, Power, Product, Sum, variables
from coevolve.grading.parser import parse
from coevolve.grading.plain import split, top_level
from coevolve.grading.rationals import exact
from coevolve.grading.scalars import Form, of_tree, structure_of
from coevolve.grading.structures import LIST, Read, elements, parts_of
from coevolve.grading.tokens import Refused, TooLarge

_ABOUT = r"(?:\\approx(?![a-z])|\\sim(?![a-z])|(?<![A-Za-z\\])(?:approximately|approx\.?|about|roughly))"
_IN_BRACKETS = re.compile(rf" ?\( ?(?:or |which is |i\.e\.,? )?{_ABOUT} ?([^()]*)\)")
_IN_WORDS = re.compile(rf" ?,? ?(?:(?<![A-Za-z\\])(?:or |which is |i\.e\.,? ))?{_ABOUT} ?(?=[-+0-9.\\])")
_ALMOST = re.compile(r" ?\\approx(?![a-z]) ?")
_EQUAL = re.compile(r" ?(?<![<>!:=])=(?!=) ?")
_NAMED = re.compile(r"(?:[A-Za-z]|\\[a-z]+)(?: ?_ ?\w)?|[A-Za-z][A-Za-z ]+")

_NAME = r"(?:[A-Za-z]|\\[a-z]+)"
_SET = r"\\mathbb ?\{? ?[A-Z] ?\}?(?: ?[\^_] ?(?:\{[^{}]*\}|[-+*0-9]))?(?: ?[\^_] ?(?:\{[^{}]*\}|[-+*0-9]))?|[ZNQ]"
_EVERY = r"(?:(?:for|where|with)(?: (?:any|all|some|every|each))? ?|\\forall(?![a-z]) ?)"
_DOMAIN = re.compile(
    rf"(?P<value>.+?) ?(?:[,;]|\(|(?<=[ ,;]))? ?(?P<every>{_EVERY})?"
    rf"(?:(?P<name>{_NAME}) ?\\in ?(?P<set>{_SET})|(?P<whole>{_NAME}) (?:is|be) (?:an |any )?integer|"
    rf"integers? (?P<other>{_NAME}))\)?"
)

_MODULO = re.compile(r"(.+?),? ?\\mod (.+)")
_REMAINDER = re.compile(r"(.+?) ?\\mod ?(.+?) ?(?:=|\\equiv(?![a-z])) ?([^=]+)")
_CONGRUENT = re.compile(r"(.+?) ?(?:\\equiv(?![a-z])|=) ?(.+?),? ?\\mod (.+)")
_UNKNOWN = re.compile(rf"{_NAME}(?: ?_ ?\w)?|[A-Za-z] ?\([^()]*\)")


def approximated(text: str, read: Read) -> Form | None:
    r"""A value with its approximation behind it: ``2\sqrt3 \approx 3.46`` is the exact value; None without one.

    Raises:
        Refused: the second is no approximation of the first."""
    settled = _IN_WORDS.sub(r" \\approx ", _IN_BRACKETS.sub(r" \\approx \1", text)) if _may_hold(text) else text
    if r"\approx" not in settled:
        return None
    kept, end = "", 0
    for joint in [*top_level(settled, LIST), None]:
        part = settled[end : joint.start()] if joint else settled[end:]
        kept += _exact_part(part.strip(), read) + (joint[0] if joint else "")
        end = joint.end() if joint else end
    return read(kept) if kept != settled else None


def _may_hold(text: str) -> bool:
    return r"\approx" in text or r"\sim" in text or any(word in text for word in ("approx", "about", "roughly"))


def _exact_part(part: str, read: Read) -> str:
    """One part of a list without its approximations; one that only names a decimal stays as it is."""
    before, *behind = split(part, _ALMOST)
    if not behind or not all(behind) or _NAMED.fullmatch(before) or not before:
        return part
    value = read(split(before, _EQUAL)[-1])
    forms = [read(text) for text in behind]
    units = {form.unit for form in (value, *forms) if form.unit}
    if len(units) > 1 or not all(stands_for(form, value) or _same_number(form, value) for form in forms):
        raise Refused("an approximation of another value")
    return f"{before} {units.pop()}" if units and not value.unit else before


def _same_number(form: Form, value: Form) -> bool:
    return (form.bare or form.key) == (value.bare or value.key)


def domain(text: str, read: Read) -> Form | None:
    r"""``2\pi k, k \in \mathbb{Z}``: a family, whose name may be any; without the domain it is what its alias says."""
    match = _DOMAIN.fullmatch(text)
    if not match or (r"\in" not in text and "integer" not in text):
        return None
    name = match["name"] or match["whole"] or match["other"]
    value = match["value"].strip(" ,;").removesuffix("(").rstrip()
    if not match["every"] and text[len(match["value"]) :].lstrip()[:1] not in (",", ";", "("):
        return None
    occurs = re.compile(rf"(?<![A-Za-z\\]){re.escape(name)}(?![A-Za-z])")
    if not value or not occurs.search(value):
        return None
    sides = split(value, _EQUAL)
    value = sides[1] if len(sides) == 2 and _NAMED.fullmatch(sides[0]) else value
    found = read(value)
    if found.kind in ("words", "text"):
        raise Refused("a domain of no expression")
    bound = read(occurs.sub("n", value)) if not re.search(r"(?<![A-Za-z\\])n(?![A-Za-z])", value) else found
    numbers = re.sub(r"[\s{}]|\\mathbb", "", match["set"] or "Z")
    family = structure_of("family", (bound,), f"for n in {numbers}: ", "")
    return replace(family, alias=found.key, shown=f"{found.shown} for {name} in {numbers}")


def residue(text: str, read: Read) -> Form | None:
    r"""``x \equiv 3 \mod 7``, or several such remainders, and ``17 \mod 7 = 3``, which is a number.

    Raises:
        Refused: other things than whole numbers, or a number on the left that leaves another remainder."""
    if r"\mod" not in text:
        return None
    stated = _REMAINDER.fullmatch(text)
    if stated and (modulus := _modulus(stated[2])):
        rest = _whole(read(stated[3]))
        if not _leaves(stated[1], rest, modulus):
            raise Refused("an equation of different remainders")
        computed = _tree(stated[1]) is None or not variables(_tree(stated[1]) or Number(rest))
        return read(stated[3]) if computed and 0 <= rest < modulus else _class_of([rest], modulus)
    congruent = _CONGRUENT.fullmatch(text)
    left, right, of = congruent.groups() if congruent else (None, *_halves(text))
    modulus = _modulus(of)
    if modulus is None:
        raise Refused("a modulus that is no whole number")
    rests = [_whole(form) for part in parts_of(right, LIST) for form in elements(part, read)]
    if left is not None and not _UNKNOWN.fullmatch(left):
        tree = _tree(left)
        if tree is not None and variables(tree):
            raise Refused("remainders of an expression")
        if len(rests) > 1 or not _leaves(left, rests[0], modulus):
            raise Refused("an equation of different remainders")
    return _class_of(rests, modulus)


def _halves(text: str) -> tuple[str, str]:
    match = _MODULO.fullmatch(text)
    if match is None:
        raise Refused("a modulus without a number")
    return match[1], match[2]


def _class_of(rests: list[Fraction], modulus: Fraction) -> Form:
    found = sorted({value % modulus for value in rests})
    shown = ", ".join(map(str, found))
    alias = of_tree(Number(found[0]), shown).key if len(found) == 1 else None
    return Form("residue", f"{shown} modulo {modulus}", f"{shown} modulo {modulus}", alias=alias)


def _modulus(text: str) -> Fraction | None:
    tree = _tree(text)
    value = exact(tree) if tree is not None else None
    return value if value is not None and value.denominator == 1 and value >= 1 else None


def _whole(form: Form) -> Fraction:
    value = exact(form.tree) if form.tree is not None else None
    if value is None or value.denominator != 1:
        raise Refused("remainders of other things than whole numbers")
    return value


def _tree(text: str) -> Expression | None:
    try:
        return parse(text)
    except TooLarge:
        raise
    except Refused:
        return None


def _leaves(text: str, rest: Fraction, modulus: Fraction) -> bool:
    """Whether a number leaves the same remainder as another; so does what we cannot compute."""
    tree = _tree(text)
    found = _remainder(tree, int(modulus)) if tree is not None else None
    return found is None or found == rest % modulus


def _remainder(tree: Expression, modulus: int) -> int | None:
    known = exact(tree)
    if known is not None:
        return int(known % modulus) if known.denominator == 1 else None
    match tree:
        case Power(base, exponent):
            below, above = _remainder(base, modulus), exact(exponent)
            whole = above is not None and above.denominator == 1 and above >= 0
            return pow(below, int(above or 0), modulus) if below is not None and whole else None
        case Sum(parts) | Product(parts):
            found = [_remainder(part, modulus) for part in parts]
            known_parts = [part for part in found if part is not None]
            if len(known_parts) < len(found):
                return None
            total = 0 if isinstance(tree, Sum) else 1
            for part in known_parts:
                total = (total + part if isinstance(tree, Sum) else total * part) % modulus
            return total
        case _:
            return None
