r"""What kind of thing an answer is, and a key that two answers share exactly when they are the same thing.

Equality of keys is an equivalence by construction. A key is made of the values of the leaves (``values.py``) and of the
structure around them: a list, set, tuple, interval, matrix, relation, or words.
"""

from __future__ import annotations

import re

from coevolve.grading import values
from coevolve.grading.expression import Number, Variable, negated, variables
from coevolve.grading.expression import Sum as Added
from coevolve.grading.parser import Refused, TooLarge, parse
from coevolve.grading.plain import MONEY, ROW, closing, split, unwrapped
from coevolve.grading.scalars import Form, scalar, scalar_key, valued

MOST_PARTS = 64

_LIST = re.compile(r",|;| and | or |, ?and |, ?or ")
_UNION = re.compile(r"\\cup(?![A-Za-z])| U ")
_RELATION = re.compile(r"\\(?:le|ge|ne)(?![A-Za-z])|[<>]=?|!=|==?")
_COMMA = re.compile(r",")
_COLON = re.compile(r":")
_WORDS = re.compile(r"[^\W\d_]+(?:[ '/&.-]+[^\W\d_]+)*")
_LETTERS = re.compile(
    r"(?!n/a$)(?:[a-z]{1,2}(?: ?[-/] ?[a-z]{1,2})+|[a-z]{1,3} ?/ ?[a-z]|[a-z] ?/ ?[a-z]{1,3})", re.IGNORECASE
)
# Two numbers with a colon are a ratio, unless something shows that a clock is meant.
_TIME = re.compile(
    r"[0-9]{1,2}(?::[0-9]{2}){0,2} ?[ap]\.?m\.?|[0-9]{1,2}:0[0-9]|[0-9]{1,2}(?::[0-9]{2}){2}", re.IGNORECASE
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}")
_NAME = re.compile(
    r"(?:\\angle |\\triangle )?(?:\\?[A-Za-z]+(?:_\{?[A-Za-z0-9]+\}?)?'*)(?: [A-Za-z]+)*"
    r"(?: ?\([A-Za-z](?:, ?[A-Za-z])*\))?"
)
_MEMBER = re.compile(r"[A-Za-z] ?\\in(?![A-Za-z]) ?(.*)")
_BUILDER = re.compile(r"[A-Za-z] ?(?:\||:|\\in ?\\mathbb ?\{?R\}? ?[|:]) ?(.*)")
_REALS = re.compile(r"\\mathbb ?\{? ?R ?\}?|all real numbers|\\Re")
_EMPTY = re.compile(r"\\emptyset|\\\{ ?\\\}|empty set")
_MATRIX = re.compile(
    r"\\begin ?\{([pbv]?)(?:small)?matrix\}(.*)\\end ?\{\1(?:small)?matrix\}|"
    r"\\begin ?\{(array)\} ?\{[^{}]*\}(.*)\\end ?\{array\}"
)
_CHOICE = re.compile(r"\(?([A-Za-z])[).]|\(([A-Za-z])\)")
_SIGNS = re.compile(r"\\(pm|mp)(?![A-Za-z])|\+/-|\+-")
_ONE_NUMBER = re.compile(rf"[-+ ]*{MONEY}?[-+ ]*[0-9]{{1,3}}(?:,[0-9]{{3}})+(?![0-9,])")
_GROUPS = re.compile(r",(?=[0-9]{3})")
_NAMED_TUPLE = re.compile(r"\( ?[A-Za-z](?: ?, ?[A-Za-z])+ ?\) ?= ?(\(.*)")
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}
_SPELLED = {r"\le": "<=", r"\ge": ">=", r"\ne": "!=", "==": "="}


def form(text: str) -> Form:
    """The form of a line of plain mathematics (``plain.py``).

    Raises:
        TooLarge: it goes beyond the parser's bounds.
    """
    text = unwrapped(text)
    if _EMPTY.fullmatch(text):
        return Form("list", "list[]")
    if _REALS.fullmatch(text):
        return Form("interval", _interval("(", "-infinity", "infinity", ")"))
    if _TIME.fullmatch(text) or _DATE.fullmatch(text):
        return _verbatim(text.replace(".", ""))
    choice = _CHOICE.fullmatch(text)
    if choice:
        return Form("words", "w:" + (choice[1] or choice[2]))
    if len(text) == 1 and text.isalpha() and not _is_mathematics(text):
        return Form("words", "w:" + text, also=scalar_key(text))
    if _WORDS.fullmatch(text) and not _is_mathematics(text):
        several = split(text, re.compile(" and | or "))
        return _listed(several) if len(several) > 1 else Form("words", "w:" + " ".join(text.casefold().split()))
    for reading in (_matrix, _relation, _union, _bracketed, _several, _ratio, scalar):
        try:
            found = reading(text)
        except TooLarge:
            raise
        except Refused:
            found = None
        if found is not None:
            return found
    return _verbatim(text)


def _verbatim(text: str) -> Form:
    return Form("text", "x:" + re.sub(r"(?<![\w]) | (?![\w])", "", text.casefold() if "\\" not in text else text))


def _is_mathematics(text: str) -> bool:
    """A letter that is a constant, infinity, or letters in a quotient or a difference (``mg/k``, ``p - q``)."""
    return text in ("e", "i", "pi", "infinity", "Infinity", "inf", "oo") or bool(_LETTERS.fullmatch(text))


# Structures.


def _parts(text: str, separators: re.Pattern[str] = _COMMA) -> list[str]:
    parts = split(text, separators)
    if len(parts) > MOST_PARTS:
        raise TooLarge(f"more than {MOST_PARTS} parts")
    return parts


def _listed(texts: list[str], *, distinct: bool = False) -> Form:
    forms = [form(text) for text in texts if text]
    keys = sorted(_whole_key(part) for part in forms)
    if distinct:
        keys = sorted(set(keys))
    return Form("list", "list[" + "; ".join(keys) + "]", open=any(part.open for part in forms))


def _whole_key(part: Form) -> str:
    return part.key + (f" {part.unit}" if part.unit else "")


def _several(text: str) -> Form | None:
    """A list without brackets, and both values of a plus-minus."""
    both = _both(text)
    if len(both) > 1:
        return _listed([part for one in both for part in _parts(one, _LIST)], distinct=True)
    if _ONE_NUMBER.match(text) and len(_parts(text, _LIST)) == len(_GROUPS.findall(text)) + 1:
        return None
    parts = _parts(text, _LIST)
    return _listed(parts) if len([part for part in parts if part]) > 1 else None


def _bracketed(text: str) -> Form | None:
    if text.startswith(r"\{") and text.endswith(r"\}") and text.find(r"\}") == len(text) - 2:
        return _set(text[2:-2].strip())
    if text.startswith("{") and closing(text, 0) == len(text) - 1:
        return _set(text[1:-1].strip())
    french = re.fullmatch(r"([\][])([^][(){}]*,[^][(){}]*)([\][])", text)
    if french and (french[1], french[3]) != ("[", "]"):
        opener, closer = ("(" if french[1] == "]" else "["), (")" if french[3] == "[" else "]")
        ends = _parts(french[2])
        return _ends(opener, ends, closer) if len(ends) == 2 else None
    if text[:1] not in ("(", "[") or closing(text, 0) != len(text) - 1 or text[-1] not in ")]":
        return None
    parts = _parts(text[1:-1], re.compile(r"[,;]"))
    if len(parts) == 1:
        return form(parts[0]) if text[0] == "(" and text[-1] == ")" else None
    if len(parts) == 2 and (text[0], text[-1]) != ("(", ")"):
        if parts[0].startswith("["):
            return _rows([_parts(part[1:-1]) for part in parts])
        return _ends(text[0], parts, text[-1])
    if text[0] == "[" and all(part.startswith("[") and part.endswith("]") for part in parts):
        return _rows([_parts(part[1:-1]) for part in parts])
    forms = [form(part) for part in parts]
    return Form("tuple", "(" + "; ".join(map(_whole_key, forms)) + ")", open=any(part.open for part in forms))


def _set(content: str) -> Form:
    builder = _BUILDER.fullmatch(content)
    if builder and _RELATION.search(builder[1]):
        return form(builder[1])
    parts = _parts(content, re.compile(r"[,;]"))
    return _listed([one for part in parts for one in _both(part)], distinct=True)


def _both(text: str) -> list[str]:
    """The two values of a text with a plus-minus; any other text alone."""
    if not _SIGNS.search(text):
        return [text]
    upper = _SIGNS.sub(lambda match: "-" if match[1] == "mp" else "+", text)
    return [upper, _SIGNS.sub(lambda match: "+" if match[1] == "mp" else "-", text)]


def _ends(opener: str, ends: list[str], closer: str) -> Form:
    low, high = form(ends[0]), form(ends[1])
    if "list" in (low.kind, high.kind):
        raise Refused("an interval between lists")
    return Form("interval", _interval(opener, low.key, high.key, closer), open=low.open or high.open)


def _interval(opener: str, low: str, high: str, closer: str) -> str:
    low, high = (key if key.startswith(("n:", "o:", "w:", "x:")) else f"n:{key}" for key in (low, high))
    opener = "(" if low == "n:-infinity" else opener
    closer = ")" if high == "n:infinity" else closer
    return f"{opener}{low}; {high}{closer}"


def _union(text: str) -> Form | None:
    member = _MEMBER.fullmatch(text)
    if member:
        return form(member[1])
    pieces = _parts(text, _UNION)
    if len(pieces) < 2:
        return None
    forms = [form(piece) for piece in pieces]
    if any(piece.kind not in ("interval", "tuple", "list") for piece in forms):
        raise Refused("a union of other things than sets")
    return Form("interval", " U ".join(sorted(piece.key for piece in forms)), open=any(piece.open for piece in forms))


def _matrix(text: str) -> Form | None:
    match = _MATRIX.fullmatch(text)
    if not match:
        return None
    content = match[4] if match[3] else match[2]
    rows = [[cell.strip() for cell in row.split("&")] for row in content.split(ROW) if row.strip()]
    found = _rows(rows)
    return Form("matrix", "|" + found.key, found.open) if match[1] == "v" else found


def _rows(rows: list[list[str]]) -> Form:
    if len({len(row) for row in rows}) != 1 or sum(map(len, rows)) > MOST_PARTS:
        raise Refused("rows of different lengths")
    cells = [[form(cell) for cell in row] for row in rows]
    key = "; ".join(", ".join(_whole_key(cell) for cell in row) for row in cells)
    return Form("matrix", f"m[{key}]", open=any(cell.open for row in cells for cell in row))


def _ratio(text: str) -> Form | None:
    parts = _parts(text, _COLON)
    if len(parts) < 2:
        return None
    numbers = [values.exact(parse(part)) for part in parts]
    if any(number is None or number <= 0 for number in numbers):
        raise Refused("a ratio of other things than numbers")
    known = [number for number in numbers if number is not None]
    if len(known) == 2:
        return valued(Number(known[0] / known[1]), None)
    return Form("tuple", "ratio " + ":".join(str(number / known[0]) for number in known))


# Relations.


def _relation(text: str) -> Form | None:
    named = _NAMED_TUPLE.fullmatch(text)
    if named:
        return form(named[1])
    if any(letter in text for letter in ",;") or " or " in text or " and " in text:
        return _related_list(text)
    sides = split(text, _RELATION)
    if len(sides) < 2:
        return None
    signs = [_SPELLED.get(sign, sign) for sign in _signs(text)]
    if len(sides) == 3 and set(signs) <= {"<", "<=", ">", ">="}:
        return _between(sides, signs)
    if len(sides) != 2:
        raise Refused("a chain of relations")
    left, right, sign = *sides, signs[0]
    if sign == "=" and _NAME.fullmatch(left) and right:
        value = form(right)
        return Form(
            value.kind, value.key, value.open, value.unit, value.decimal, value.tree, also=_equation(left, right, "=")
        )
    half = _half_line(left, right, sign)
    if half:
        return half
    key = _equation(left, right, sign)
    if key is None:
        raise Refused("a relation of other things than expressions")
    return Form("relation", key)


def _related_list(text: str) -> Form | None:
    """``x = 1 or x = 2`` is the list of both; ``x = 1, y = 2`` keeps its names; ``x < 1 or x > 2`` is a union."""
    if text[:1] in "([{\\" and not _RELATION.search(text):
        return None
    parts = _parts(text, _LIST)
    if len(parts) < 2 or not all(_RELATION.search(part) for part in parts if part):
        return None
    sides = [split(part, _RELATION) for part in parts if part]
    names = {pair[0] for pair in sides if len(pair) == 2 and _NAME.fullmatch(pair[0])}
    forms = [form(part) for part in parts if part]
    if all("=" in _signs(part) for part in parts if part) and len(names) == len(sides):
        named = sorted(f"{pair[0]}={_whole_key(one)}" for pair, one in zip(sides, forms, strict=True))
        return Form("relation", "{" + "; ".join(named) + "}", open=any(one.open for one in forms))
    if all(one.kind in ("interval", "tuple") for one in forms) and " and " not in text:
        return Form("interval", " U ".join(sorted(one.key for one in forms)), open=any(one.open for one in forms))
    return _listed([part for part in parts if part])


def _signs(text: str) -> list[str]:
    signs, depth, index = [], 0, 0
    while index < len(text):
        depth += (text[index] in "([{") - (text[index] in ")]}")
        match = _RELATION.match(text, index) if depth == 0 else None
        if match:
            signs.append(match[0])
            index = match.end()
        else:
            index += 1
    return signs


def _half_line(left: str, right: str, sign: str) -> Form | None:
    """A one-variable inequality such as ``x > 3`` as an interval; ``x != 3`` stays a relation."""
    one, other = parse(left), parse(right)
    if isinstance(other, Variable) and not variables(one):
        one, other, sign = other, one, _FLIPPED[sign]
    if not isinstance(one, Variable) or variables(other) or sign in ("=", "!="):
        return None
    end = valued(other, None)
    if sign.startswith("<"):
        return Form("interval", _interval("(", "-infinity", end.key, "]" if sign == "<=" else ")"), end.open)
    return Form("interval", _interval("[" if sign == ">=" else "(", end.key, "infinity", ")"), end.open)


def _between(sides: list[str], signs: list[str]) -> Form:
    if all(sign.startswith(">") for sign in signs):
        sides, signs = sides[::-1], [_FLIPPED[sign] for sign in signs[::-1]]
    low, middle, high = map(parse, sides)
    if not isinstance(middle, Variable) or any(sign.startswith(">") for sign in signs):
        raise Refused("a chain of inequalities about more than one variable")
    ends = valued(low, None), valued(high, None)
    opener, closer = "[" if signs[0] == "<=" else "(", "]" if signs[1] == "<=" else ")"
    return Form("interval", _interval(opener, ends[0].key, ends[1].key, closer), ends[0].open or ends[1].open)


def _equation(left: str, right: str, sign: str) -> str | None:
    """A key that relations share which differ by a constant factor only; None where there are no values."""
    try:
        difference = Added((parse(left), negated(parse(right))))
        names = variables(difference)
        points = values.at_points(difference, names)
    except (Refused, values.Undecided):
        return None
    if not names:
        return None
    if sign in (">", ">="):
        points, sign = tuple(-value for value in points), _FLIPPED[sign]
    first = points[0] if sign in ("=", "!=") else abs(points[0])
    if not first:
        return None
    return f"{sign} 0: {values.fingerprint(tuple(value / first for value in points))} in {','.join(sorted(names))}"
