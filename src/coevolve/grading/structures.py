"""Answers of several parts: lists, sets, tuples, intervals and their unions, matrices, ratios."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import prod

from coevolve.grading import values
from coevolve.grading.expression import Expression, Number, Variable, quotient, times
from coevolve.grading.parser import parse
from coevolve.grading.plain import ROW, closing, split, top_level
from coevolve.grading.reals import all_but, common, interval, joined
from coevolve.grading.scalars import Form, joined_thousands, of_tree, structure_of
from coevolve.grading.tokens import Refused, TooLarge

Read = Callable[[str], Form]

MOST_PARTS = 64
MOST_CHOICES = 16  # of signs of one point

_SPACE = r"\s{0,2}"  # there are no longer runs of spaces, and without a bound two in a row take quadratic time
COMMA = re.compile(rf"{_SPACE}[,;{ROW}]{_SPACE}")
AND_OR = re.compile(
    rf"{_SPACE}[,;]?{_SPACE}(?:(?<![A-Za-z\\])(?:and|or|AND|OR)(?![A-Za-z])|\\land(?![a-z])|\\lor(?![a-z])){_SPACE}"
)
LIST = re.compile(rf"{AND_OR.pattern}|{COMMA.pattern}")
_UNION = re.compile(r"\s*(?:\\cup(?![a-z])|(?<=[\])}])\s*U\s*(?=[\[({\\\]]))\s*")
_INTERSECTION = re.compile(r"\s*\\cap(?![a-z])\s*")
_WITHOUT = re.compile(r"\\setminus|(?<=\})\s*-\s*(?=\\\{)|\\backslash")
_BOTH_POINTS = re.compile(r"\\pm ?\(((?:(?!\\[pm][mp]).)*,(?:(?!\\[pm][mp]).)*)\)")
_MIXED_UNITS = re.compile(r"[0-9]+ ?[A-Za-z]+(?:,? [0-9]+ ?[A-Za-z]+)+")
_BETWEEN_UNITS = re.compile(r"(?<=[A-Za-z]),? (?=[0-9])")
_SIGNS = re.compile(r"\\(pm|mp)(?![A-Za-z])")
_MATRIX = re.compile(
    r"(.*?)\\begin ?\{((?:[pbBvV]|small)?matrix|array)\}(?: ?\{[lcr| ]*\})?((?:(?!\\begin|\\end).)*)\\end ?\{\2\}",
    re.DOTALL,
)
_BRACKETED_ARRAY = re.compile(r"[\[(] ?\\begin")

_LABEL = re.compile(r"(?:[Pp]art )?\( ?([A-Ha-h]|i{1,3}|iv|[1-9]) ?\) ?:? ?")
_LABELS = ("abcdefgh", "ABCDEFGH", ("i", "ii", "iii", "iv"), "123456789")
_PART_END = re.compile(r"(?:[ ,;.]|(?<=[ ,;])and(?=[ ]*$))+$")

_CASES = re.compile(r"\\begin ?\{d?cases\}(.*)\\end ?\{d?cases\}", re.DOTALL)
_IF = re.compile(r"^(?:if|for|when|where)(?![a-z]) ?")
_ELSE = re.compile(r"(?:otherwise|else|elsewhere)?")
_POINT = re.compile(r"[A-Z] ?(\(.*,.*\))")
_EXCEPT = re.compile(
    r"(?i)(?:\\mathbb ?\{? ?R ?\}?|(?:all )?(?:real numbers|reals)(?: [a-z])?),? "
    r"(?:except(?: for)?|other than|but|not equal to|with)(?: [a-z])? ?(?:=|\\ne)? ?(.+)"
)
_POINTS = re.compile(r"\\\{[^{}|:]*\\\}")
_SYSTEM = re.compile(
    r"(?:\\\{ ?)?\\begin ?\{(d?cases|array|aligned|align|split|gathered)(\*?)\}(?: ?\{[lcr| ]*\})?"
    r"((?:(?!\\begin).)*)\\end ?\{\1\2\}",
    re.DOTALL,
)
_RATIO = re.compile(r"\s*:\s*|\s+to\s+")


def parts_of(text: str, separators: re.Pattern[str]) -> list[str]:
    """The parts of a text; empty ones are rejected."""
    parts = split(text, separators)
    if len(parts) > MOST_PARTS:
        raise TooLarge(f"more than {MOST_PARTS} parts")
    if not all(parts):
        raise Refused("an empty part")
    return parts


def lettered(text: str, read: Read) -> Form | None:
    """The parts of an answer, ``(a) 5 (b) 6``, which are no product; a single one needs a number behind its letter."""
    found = list(top_level(text, _LABEL))
    if not found or found[0].start() != 0:
        return None
    labels = [match[1] for match in found]
    ends = [*(match.start() for match in found[1:]), len(text)]
    parts = [_PART_END.sub("", text[match.end() : end]) for match, end in zip(found, ends, strict=True)]
    ordered = any(labels == list(order[: len(labels)]) for order in _LABELS)
    if not (ordered or len(labels) == 1) or not all(map(_is_part, parts, (match[0] for match in found))):
        return None
    if len(parts) == 1 and not (found[0][0][-1] in " :" and re.match(r"-?[0-9]|\\(?:frac|sqrt|money)", parts[0])):
        return None
    forms = [read(part) for part in parts]
    opener = "parts [" if len(parts) > 1 else f"part {labels[0]} ["
    bare = "(" + "; ".join(form.key for form in forms) + ")" if len(parts) > 1 else forms[0].key
    return replace(structure_of("parts", forms, opener, "]"), alias=bare)


def _is_part(part: str, label: str) -> bool:
    apart = label[-1] in " :"
    return bool(part) and not (part[0] in "+*/^=!_)(" or (part[0].isalpha() and not apart) or part in ("and", "or"))


def several(text: str, read: Read) -> Form | None:
    """A list without brackets, and both values of a plus-minus; order does not matter, repeats count."""
    mixed = _MIXED_UNITS.fullmatch(text)
    if mixed:
        text = _BETWEEN_UNITS.sub(", ", text)
    text = joined_thousands(text)
    parts = parts_of(text, LIST)
    if len(parts) < 2 and not _SIGNS.search(text):
        return None
    forms = [form for part in parts for form in elements(part, read)]
    if mixed and not all(form.unit for form in forms):
        raise Refused("numbers with words")
    found, joints = listed(forms), [match[0].strip(" ,;") for match in top_level(text, AND_OR)]
    if r"\land" in joints or r"\lor" in joints:
        raise Refused("a sentence of logic")
    if "or" in joints and all(form.kind == "words" or isinstance(form.tree, Variable) for form in forms):
        return structure_of("list", found.parts, "one of {", "}", free=True)
    return found


def elements(text: str, read: Read) -> list[Form]:
    """The one form that a text has, or those of its plus-minus signs."""
    if not _SIGNS.search(text):
        return [read(text)]
    forms = list({form.key: form for form in map(read, _choices(text))}.values())
    if any(form.kind == "text" for form in forms):
        raise Refused("a sign of no expression")
    return forms


def _choices(text: str) -> list[str]:
    r"""The texts that a text with plus-minus signs stands for.

    The signs of one expression go together, those of different coordinates of a point do not, unless there is a
    minus-plus among them."""
    both = _BOTH_POINTS.fullmatch(text)
    if both:
        opposite = ", ".join(f"-({part})" for part in parts_of(both[1], COMMA))
        return [f"({both[1]})", f"({opposite})"]
    if not _SIGNS.search(text):
        return [text]
    if text[0] == "(" and closing(text, 0) == len(text) - 1 and r"\mp" not in text:
        coordinates = [_choices(part) for part in parts_of(text[1:-1], COMMA)]
        if prod(map(len, coordinates)) > MOST_CHOICES:
            raise TooLarge("too many signs")
        return [f"({', '.join(chosen)})" for chosen in product(*coordinates)]
    upper = _SIGNS.sub(lambda match: "-" if match[1] == "mp" else "+", text)
    return [upper, _SIGNS.sub(lambda match: "+" if match[1] == "mp" else "-", text)]


def listed(forms: list[Form], *, distinct: bool = False) -> Form:
    """A list; a set if distinct."""
    forms = sorted(forms, key=lambda form: form.key)
    if distinct:
        forms = [
            form for before, form in zip([None, *forms], forms, strict=False) if not before or before.key != form.key
        ]
    return structure_of("list", forms, "{", "}", free=True)


def bracketed(text: str, read: Read) -> Form | None:
    """A set, tuple, interval or list of rows in brackets of its own."""
    for opener, closer in (("\\{", "\\}"), ("{", "}")):
        if text.startswith(opener) and closing(text, len(opener) - 1) == len(text) - 1 and text.endswith(closer):
            return _set(text[len(opener) : -len(closer)].strip(), read)
    french = re.fullmatch(r"([\][])([^][(){}]*[,;][^][(){}]*)([\][])", text)
    if french and (french[1], french[3]) != ("[", "]"):
        text = ("(" if french[1] == "]" else "[") + french[2] + (")" if french[3] == "[" else "]")
    angled = re.fullmatch(r"(?:\\langle|<)(.*,.*)(?:\\rangle|>)", text)
    if angled:
        text = f"({angled[1]})"
    named = _POINT.fullmatch(text)
    if named and closing(named[1], 0) == len(named[1]) - 1:
        text = named[1]
    if text[:1] == "(" and _SIGNS.search(text) and closing(text, 0) == len(text) - 1 and "," in text:
        return listed(elements(text, read))
    if text[:1] not in ("(", "[") or closing(text, 0) != len(text) - 1 or text[-1] not in ")]":
        return None
    parts = parts_of(text[1:-1], COMMA)
    if len(parts) == 1:
        one = read(parts[0]) if (text[0], text[-1]) == ("(", ")") else None
        return one if one is None or one.kind not in ("words", "text") else None
    if text[0] == "[" and all(part.startswith("[") and part.endswith("]") for part in parts):
        return _rows([parts_of(part[1:-1], COMMA) for part in parts], read, None)
    forms = [read(part) for part in parts]
    if len(parts) == 2:
        return interval(text[0], forms[0], forms[1], text[-1])
    return structure_of("tuple", forms, "(", ")")


def _set(content: str, read: Read) -> Form:
    builder = re.fullmatch(r"[a-z](?: ?\\in ?(?:\\mathbb ?\{? ?R ?\}?|R))? ?[|:] ?(.*)", content)
    if builder:
        return read(builder[1])
    condition = split(content, re.compile(r" ?[|:] ?"))
    if len(condition) == 2 and all(condition):
        shown = rf"\{{{condition[0]} : {condition[1]}\}}"
        return Form("set", "set " + re.sub(r"\s", "", shown), shown)
    return listed([form for part in parts_of(content, COMMA) for form in elements(part, read)], distinct=True)


def union(text: str, read: Read) -> Form | None:
    """A union, or the real numbers without some points."""
    pieces = split(text, _UNION)
    if len(pieces) > 1 and all(_POINTS.fullmatch(piece) for piece in pieces):
        return read(r"\{" + ", ".join(piece[2:-2] for piece in pieces) + r"\}")
    if len(pieces) > 1:
        forms = [read(piece) for piece in parts_of(text, _UNION)]
        if any(form.kind not in ("interval", "tuple", "list") for form in forms):
            raise Refused("a union of other things than sets")
        return joined(forms)
    pieces = split(text, _INTERSECTION)
    if len(pieces) > 1:
        found = common([read(piece) for piece in parts_of(text, _INTERSECTION)])
        if found is None:
            raise Refused("an intersection of other things than sets of numbers")
        return found
    points = _EXCEPT.fullmatch(text)
    if points:
        return without(parts_of(points[1], LIST), read)
    whole, *rest = split(text, _WITHOUT)
    if len(rest) == 1 and rest[0].startswith(r"\{"):
        return common([read(whole), without(parts_of(rest[0][2:-2], COMMA), read)])
    return None


def without(points: list[str], read: Read) -> Form:
    """The real numbers without these points."""
    found = all_but(form for point in points for form in elements(point, read))
    if found is None:
        raise Refused("a point that is no real number")
    return found


def matrix(text: str, read: Read) -> Form | None:
    """A matrix, possibly times a number; a determinant is something else."""
    bracket = _BRACKETED_ARRAY.search(text)
    if bracket and text[-1] in ")]" and closing(text, bracket.start()) == len(text) - 1:
        text = text[: bracket.start()] + text[bracket.end() - len("\\begin") : -1].strip()
    match = _MATRIX.fullmatch(text)
    if not match or "=" in match[1]:
        return None
    rows = [[cell.strip() for cell in row.split("&")] for row in match[3].split(ROW) if row.strip()]
    found = _rows(rows, read, match[1].strip(" *") or None)
    return structure_of("matrix", found.parts, "determinant [", "]") if match[2][0] in "vV" else found


def system(text: str, read: Read) -> Form | None:
    """Equations below each other, read as if they were side by side."""
    match = _SYSTEM.fullmatch(text)
    if not match:
        return None
    rows = [row.strip(" ,;.") for row in match[3].split(ROW) if row.strip()]
    lines = [re.sub(r" ?& ?(?=[=<>]|\\[lg]e)|(?<=[=<>]) ?& ?", "", row) for row in rows]
    if any("&" in line or not re.search(r"[=<>]|\\[lgn]e", line) for line in lines):
        return None
    return read(", ".join(lines))


def cases(text: str, read: Read) -> Form | None:
    """A function by cases: values with their conditions, in any order."""
    match = _CASES.fullmatch(text)
    if not match:
        return None
    rows = [row.strip().partition("&")[::2] for row in match[1].split(ROW) if row.strip()]
    if not rows or len(rows) > MOST_PARTS:
        raise Refused("no cases, or too many")
    lines = []
    for value, condition in rows:
        value, condition = value.strip(" ,;"), _IF.sub("", condition.strip(" ,;.&"))
        where = read(condition) if not _ELSE.fullmatch(condition) else Form("words", "else", "otherwise")
        lines.append(structure_of("case", (read(value), where), "if ", ""))
    lines.sort(key=lambda line: line.key)
    return structure_of("cases", lines, "cases [", "]", free=True)


def _rows(rows: list[list[str]], read: Read, factor: str | None) -> Form:
    if not rows or len({len(row) for row in rows}) != 1 or sum(map(len, rows)) > MOST_PARTS:
        raise Refused("rows of different lengths")
    cells = [[read(cell) for cell in row] for row in rows]
    if factor is not None:
        number = Number(Fraction(-1)) if factor == "-" else parse(factor.removesuffix(r"\cdot"))
        cells = [[_scaled(cell, number) for cell in row] for row in cells]
    return structure_of("matrix", [structure_of("row", row, "[", "]") for row in cells], "matrix [", "]")


def _scaled(cell: Form, factor: Expression) -> Form:
    if cell.tree is None:
        raise Refused("a cell that is no expression")
    return of_tree(times(factor, cell.tree), cell.shown)


def ratio(text: str) -> Form | None:
    """``3:4`` is the number 3/4; more than two terms are compared up to a factor."""
    parts = split(text, _RATIO)
    if len(parts) < 2:
        return None
    trees = [parse(part) for part in parts_of(text, _RATIO)]
    if any((value := values.real_value(tree)) is None or value <= 0 for tree in trees):
        raise Refused("a ratio of other things than positive numbers")
    if len(trees) == 2:
        return of_tree(quotient(*trees), text)
    terms = [of_tree(quotient(tree, trees[0]), text) for tree in trees]
    return replace(structure_of("ratio", terms, "ratio ", ""), shown=text)
