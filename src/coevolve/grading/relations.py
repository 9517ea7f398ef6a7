"""Answers with a relation sign: assignments, equations, inequalities as intervals, memberships."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

from coevolve.grading import systems, values
from coevolve.grading.approximate import approximates
from coevolve.grading.expression import Expression, Sum, Variable, negated, variables
from coevolve.grading.floats import holds_float
from coevolve.grading.parser import parse
from coevolve.grading.plain import split, top_level
from coevolve.grading.reals import EMPTY, INFINITY, MINUS_INFINITY, common, interval, joined
from coevolve.grading.scalars import Form, of_tree, scalar, structure_of
from coevolve.grading.structures import AND_OR, COMMA, LIST, Read, elements, listed, parts_of, without
from coevolve.grading.tokens import Refused, TooLarge
from coevolve.grading.words import products

_RELATION = re.compile(r"\s*(<=|>=|!=|==|:=|=|<|>|\\le(?![a-z])|\\ge(?![a-z])|\\ne(?![a-z])|\\approx|\\equiv)\s*")
_SPELLED = {r"\le": "<=", r"\ge": ">=", r"\ne": "!=", r"\approx": "=", "==": "=", ":=": "=", r"\equiv": "=="}
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!=", "==": "=="}
_RELATION_OR_MEMBER = re.compile(rf"{_RELATION.pattern}|\s*\\in(?![a-z])\s*")
_MEMBER = re.compile(r"\s*\\in(?![a-z])\s*")
_LETTER = r"(?:[A-Za-z]|\\[A-Za-z]+)"
_VARIABLE = re.compile(rf"{_LETTER}(?: ?_ ?(?:\w|\{{[^{{}}]*\}}))?")
# x, x_1, f'(x), f^{-1}(x), Area, \angle ABC, |AB|, (x, y), dy/dx
_NAME = re.compile(
    rf"{_LETTER}(?: ?_ ?(?:\w|\{{[^{{}}]*\}}))?'*(?: ?\^ ?\{{? ?(?:\( ?[0-9n] ?\)|-1) ?\}}?)?(?: ?\([^()=]*\))?|"
    r"[A-Za-z][A-Za-z ]*[A-Za-z]|\\(?:angle|triangle|overline|bar|hat|overarc|widehat) ?\{? ?[A-Za-z]+ ?\}?|"
    rf"m ?\\angle ?[A-Z]+|\|[A-Z]+\||\({_LETTER}(?: ?_ ?\w)?(?: ?, ?{_LETTER}(?: ?_ ?\w)?)+\)|"
    r"\\frac ?\{ ?d ?[a-z]? ?\}\{ ?d ?[a-z] ?\}|(?:P|Pr|E|Var) ?(?:\([^()]*\)|\[[^][]*\])"
)
_SIZE = r"(?:[A-Z]{1,4}'?|[A-Za-z] ?_ ?(?:\w|\{ ?[^{}]*\}))"  # AB, V, V_1, S_{ABC}
_RATIO_OF_NAMES = re.compile(
    rf"\\frac ?\{{ ?{_SIZE} ?\}} ?\{{ ?{_SIZE} ?\}}|{_SIZE} ?/ ?{_SIZE}|(?:{_SIZE}|[a-z])(?: ?: ?(?:{_SIZE}|[a-z]))+"
)
_OR = re.compile(r" ?,? ?(?<![A-Za-z\\])or(?![A-Za-z]) ?")
_SEMICOLON = re.compile(r"\s?;\s?")
_UNKNOWNS = ("x", "y", "z", "t", r"\theta")
_NOT_EQUAL = re.compile(r"!=|\\ne(?![a-z])")
_LETTERS = re.compile(r"[A-Za-z]{2,3}")
_CALLED = re.compile(rf"{_LETTER}'*.*\([^()]*\)|.*[A-Za-z]{{2}}.*")


def relation(text: str, read: Read) -> Form | None:
    """The form of a text with relation signs, None when there are none."""
    member = split(text, _MEMBER)
    if len(member) == 2 and _NAME.fullmatch(member[0]) and len(split(text, COMMA)) == 1:
        forms = [read(part) for part in split(member[1], _OR)]
        intervals = len(forms) > 1 and all(form.kind in ("interval", "tuple") for form in forms)
        return joined(forms) if intervals else read(member[1])
    several = len(split(text, LIST)) > 1
    if next(top_level(text, _RELATION), None) is None or text.startswith("<"):
        return _about_names(text, read) if several and len(member) > 1 else None
    if several:
        return _alternatives(text, read) or _related(text, read)
    sides = parts_of(text, _RELATION)
    signs = [_SPELLED.get(match[1], match[1]) for match in top_level(text, _RELATION)]
    if set(signs) == {"="}:
        return _equality(sides, read)
    if len(sides) == 3 and "=" not in signs and _is_inside(sides):
        return _between(sides, signs)
    if len(sides) > 2 and (set(signs) <= {"<", "<="} or set(signs) <= {">", ">="}):
        return read(
            ", ".join(f"{left} {sign} {right}" for (left, right), sign in zip(pairwise(sides), signs, strict=True))
        )
    if len(sides) != 2:
        raise Refused("a chain of relations")
    return _inequality(sides[0], sides[1], signs[0], read)


def _equality(sides: list[str], read: Read) -> Form:
    if len(sides) > 2:
        forms = [read(side) for side in sides[0 if not _NAME.fullmatch(sides[0]) else 1 :]]
        if any(form.key != forms[0].key and not approximates(form, forms[0]) for form in forms[1:]):
            raise Refused("a chain of different values")
        return forms[0]
    left, right = sides
    if _named(right) and not _named(left):
        left, right = right, left
    if _RATIO_OF_NAMES.fullmatch(left) and (ratio := _ratio_of_names(left, right, read)):
        return ratio
    if systems.is_function(left) and (equation := _equation(left, right, "=")):
        value = read(right)
        constant = value.tree is not None and not variables(value.tree)
        return replace(equation, alias=value.key, named=True) if constant else equation
    if not _named(left) or (_LETTERS.fullmatch(left) and _LETTERS.search(right)):
        return _equation(left, right, "=") or _result(left, right, read)
    found = elements(right, read)
    value = found[0] if len(found) == 1 else listed(found)
    if value.tree is not None and variables(value.tree) and not _CALLED.fullmatch(left):
        equation = _equation(left, right, "=")
        if equation is not None and len(variables(value.tree) | {left}) > 1:
            if left in variables(value.tree):
                return equation
            solved = replace(equation, parts=(value,), frame=f"solved {left} =", printed=value.printed)
            return replace(solved, alias=value.key)
    return replace(value, named=True)


def _ratio_of_names(left: str, right: str, read: Read) -> Form | None:
    """The equation of a ratio of lengths, areas, ... with its value as alias; None if the value holds names."""
    value = read(right)
    if value.kind == "ratio":
        return value
    if value.tree is None or variables(value.tree):
        return None
    equation = _equation(_as_fraction(left), _as_fraction(right), "=")
    return replace(equation or value, alias=value.key if equation is not None else None, named=True)


def _as_fraction(text: str) -> str:
    top, _, bottom = text.partition(":")
    return rf"\frac{{{top}}}{{{bottom}}}" if bottom else text


def _named(text: str) -> bool:
    r"""Whether a text names a value: ``x``, ``Area``, ``AB``, but not the product ``xy`` nor ``\sin x``."""
    if systems.is_function(text):
        return False
    return bool(_NAME.fullmatch(text)) and not (text.islower() and len(text) > 1 and products(text))


def _result(left: str, right: str, read: Read) -> Form:
    r"""The right side of ``2 + 3 = 5``, and of ``\int_0^1 x dx = 1/2``, whose left side is ignored."""
    value = scalar(right)
    if value.tree is None or variables(value.tree):
        raise Refused("an equation of other things than expressions")
    try:
        before = of_tree(parse(left), left)
    except TooLarge:
        raise
    except Refused:
        return read(right)
    if approximates(value, before):
        return before
    if before.key != value.key:
        raise Refused("an equation of different values")
    return value


def _alternatives(text: str, read: Read) -> Form | None:
    """Systems of equations one of which holds, joined by ``or`` or semicolons; None for anything else."""
    for separator in (_OR, _SEMICOLON):
        texts = split(text, separator)
        if len(texts) > 1 and all(len(split(part, LIST)) > 1 and list(top_level(part, _RELATION)) for part in texts):
            return systems.alternatives(parts_of(text, separator), read)
    return None


def _about_names(text: str, read: Read) -> Form | None:
    """Relations about more than one name, None for others."""
    parts = []
    for part in _distributed(parts_of(text, LIST)):
        signs = [match[0].strip() for match in top_level(part, _RELATION_OR_MEMBER)]
        sides = split(part, _RELATION_OR_MEMBER)
        parts.append(systems.Part(part, tuple(sides), tuple(_SPELLED.get(sign, sign) for sign in signs)))
    joints = frozenset(match[0].strip(" ,;").lower() for match in top_level(text, AND_OR))
    return systems.about_several_names(parts, joints, read)


def _distributed(parts: list[str]) -> list[str]:
    """``x, y > 0`` as ``x > 0, y > 0``: names that stand before an inequality share it."""
    found: list[str] = []
    waiting: list[str] = []
    for part in parts:
        if _VARIABLE.fullmatch(part):
            waiting.append(part)
            continue
        sides = split(part, _RELATION_OR_MEMBER)
        shared = len(sides) == 2 and _VARIABLE.fullmatch(sides[0]) and not _is_equation(part)
        found += [name + part[len(sides[0]) :] for name in waiting] if shared else waiting
        found.append(part)
        waiting = []
    return found + waiting


def _is_equation(text: str) -> bool:
    return any(top_level(text, _RELATION)) and all(
        _SPELLED.get(match[1], match[1]) == "=" for match in top_level(text, _RELATION)
    )


def _related(text: str, read: Read) -> Form:
    r"""``x = 1 or x = 2`` is a list; ``x = 1, y = 2`` keeps its names; ``x < 1 or x > 2`` is a union."""
    parts = parts_of(text, LIST)
    pairs = [split(part, _RELATION) for part in parts]
    equal = [
        len(pair) == 2 and _is_equation(part) and (_NAME.fullmatch(pair[0]) or systems.is_opaque(pair[0]))
        for pair, part in zip(pairs, parts, strict=True)
    ]
    names = [systems.label(pair[0]) for pair in pairs if len(pair) == 2]
    either = any("or" in match[0].lower() for match in top_level(text, AND_OR))
    if all(equal) and len(set(names)) == len(parts) and not either:
        forms = [read(pair[1]) for pair in pairs]
        ordered = sorted(zip(names, forms, strict=True), key=lambda item: item[0])
        found = structure_of(
            "values", (form for _, form in ordered), ", ".join(name for name, _ in ordered) + " = (", ")"
        )
        shown = ", ".join(f"{name} = {form.shown}" for name, form in ordered)
        return replace(found, shown=shown, alias="(" + "; ".join(form.key for _, form in ordered) + ")")
    if equal[0] and all(len(pair) == 1 for pair in pairs[1:]):  # x = 1, 2
        return listed([form for part in (pairs[0][1], *parts[1:]) for form in elements(part, read)])
    if (about := _about_names(text, read)) is not None:
        return about
    if len(pairs[0]) == 2 and _NOT_EQUAL.search(parts[0]) and all(len(pair) == 1 for pair in pairs[1:]):  # x != 1, 2
        return without([pairs[0][1], *parts[1:]], read)
    forms = [form for part in parts for form in elements(part, read)]
    ranges = [form.kind in ("interval", "tuple") for form in forms]
    if any(ranges) and all(len(pair) > 1 for pair in pairs) and (either or all(ranges)):
        sets = [form if is_range else listed([form]) for form, is_range in zip(forms, ranges, strict=True)]
        return _conditions(sets, either=either)
    return listed(forms)


def _conditions(forms: list[Form], *, either: bool) -> Form:
    """Several conditions on one number: what meets them all, or any where ``or`` joins them or nothing meets all."""
    found = common(forms) if not either else EMPTY
    return found if found is not None and found.key != EMPTY.key else joined(forms)


def _inequality(left: str, right: str, sign: str, read: Read) -> Form:
    if _VARIABLE.fullmatch(right) and not _VARIABLE.fullmatch(left):
        left, right, sign = right, left, _FLIPPED[sign]
    if _VARIABLE.fullmatch(left):
        if sign == "!=":
            found = scalar(right) if "," not in right and "pm" not in right else None
            if found is None or (found.numbers is not None and len(found.numbers.keys) == 1):
                return without([right], read)
        elif sign != "==":
            end = scalar(right)
            if end.tree is not None and not variables(end.tree):
                return _half_line(end, sign)
    found = _equation(left, right, sign)
    if found is None:
        raise Refused("a relation of other things than expressions")
    return found


def _half_line(end: Form, sign: str) -> Form:
    if sign.startswith("<"):
        return interval("(", MINUS_INFINITY, end, "]" if sign == "<=" else ")")
    return interval("[" if sign == ">=" else "(", end, INFINITY, ")")


def _is_inside(sides: list[str]) -> bool:
    r"""Whether the middle of a chain is a name between two ends: ``0 < n < 5``, ``a < x < b``, not ``k < m < n``."""
    if not _VARIABLE.fullmatch(sides[1]):
        return False
    return sides[1] in _UNKNOWNS or not any(variables(parse(side)) for side in (sides[0], sides[2]))


def _between(sides: list[str], signs: list[str]) -> Form:
    if all(sign.startswith(">") for sign in signs):
        sides, signs = sides[::-1], [_FLIPPED[sign] for sign in signs[::-1]]
    if not all(sign.startswith("<") for sign in signs) or not isinstance(parse(sides[1]), Variable):
        raise Refused("a chain of inequalities in both directions")
    return interval(
        "[" if signs[0] == "<=" else "(", scalar(sides[0]), scalar(sides[2]), "]" if signs[1] == "<=" else ")"
    )


def _equation(left: str, right: str, sign: str) -> Form | None:
    """A relation, with a key shared by all that differ only by a constant factor; None where there are no values."""
    try:
        difference: Expression = Sum((parse(left), negated(parse(right))))
    except Refused:
        return None
    names = sorted(variables(difference))
    if not names:
        return None
    if sign in (">", ">="):
        sign, difference = _FLIPPED[sign], negated(difference)
    keys = values.scaled(difference, names, up_to_sign=sign in ("=", "!=", "=="))
    if keys is None:
        return None
    numbers, printed = values.Values(keys), holds_float(f"{left} {right}")
    side = Form("expression", "~".join(keys), left, numbers=numbers, printed=printed)
    found = structure_of("relation", (side,), f"{sign} 0 in {','.join(names)}: ", "")
    return replace(found, shown=f"{left} {sign} {right}")
