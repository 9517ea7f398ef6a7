"""What is asked about numbers: a question or an order around a phrase, steps one after the other, and equations."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from coevolve.worlds.open.exact.expressions import VARIABLES, Linear, Unreadable, linear, tokens_of
from coevolve.worlds.open.exact.phrases import difference, exact_quotient, phrase

_ASKS = re.compile(
    r"(?:(?:can|could) you )?(?:what(?:'s| is| are| was| will be| would be| does| number "
    r"is)|calculate|compute|evaluate|find|"
    r"determine|work out|figure out|solve|simplify|how much is|give|get|state|tell me|perform|do)(?: out)?"
    r"(?: the (?:following )?(?:expression|calculation|operation))?:? "
)
_AFTERWARDS = (
    r"(?:[,.]? ?(?:and )?(?:what is (?:the "
    r")?(?:result|answer|sum|product|quotient|difference|remainder|total|left|value)|"
    r"what (?:result |number |value )?(?:do|will|would) you (?:get|have|end up with)|what do we get|"
    r"how much (?:is left|remains)|what remains|what is the final (?:result|answer|number)|"
    r"(?:find|give|state|tell me) the (?:result|answer)))?[.?]?"
)
_STEP = re.compile(
    r"(?:[,.;]? ?(?:and then|then|and|next|finally|after that),? |[,.;] "
    r")(?=(?:add|subtract|multiply|divide|square|double|triple|halve)\b)"
)
_IT = r"(?:the )?(?:result|sum|product|difference|quotient|answer|total|it|that|this)"


def arithmetic(text: str) -> Fraction:
    """The answer to a question about numbers.

    Raises:
        Unreadable: it is another question, or an ambiguous one.
    """
    for rule in (_asked, _done, _compared, _function, _equation):
        found = rule(text)
        if found is not None:
            return found
    raise Unreadable("no question about numbers")


def _attempt(text: str) -> Fraction | None:
    try:
        return phrase(text)
    except Unreadable:
        return None


def _asked(text: str) -> Fraction | None:
    """ "What is ...?", "Calculate ...", "... = ?", or the bare phrase."""
    bare = re.sub(r"(?: ?=)? ?\?$|\.$| ?=$", "", text).strip()
    bare = re.sub(r"(?: equal(?: to)?| equals what| equals)$", "", bare)
    begun = _ASKS.match(bare)
    if begun is None and re.search(r"[a-z]{2}", bare) and "=" not in text and not text.endswith("?"):
        return None
    return _attempt(bare[begun.end() :] if begun else bare)


def _done(text: str) -> Fraction | None:
    """Orders: "Add 3 and 4, then multiply the result by 5. What do you get?"."""
    inner = re.fullmatch(
        r"(?:if you|when you|suppose you|if we|you|what (?:do|will|would) you get (?:when|if) you|"
        r"what is the result (?:when|if) you|what do we get (?:when|if) we)? ?(.*?)" + _AFTERWARDS,
        text,
    )
    steps = _STEP.split(inner[1]) if inner else []
    if not steps:
        return None
    found = _first_order(steps[0])
    for step in steps[1:]:
        found = None if found is None else _next_order(step, found)
    return found


_FIRST: tuple[tuple[str, str, Callable[[Fraction, Fraction], Fraction]], ...] = (  # verb, what parts a and b, rule
    ("add", "and|to|with", lambda a, b: a + b),
    ("subtract", "from", lambda a, b: b - a),
    ("multiply", "by|and|with", lambda a, b: a * b),
    ("divide", "by", lambda a, b: a / b),
)
_FIRST_OF_ONE: tuple[tuple[str, Callable[..., Fraction]], ...] = (
    (r"square (.+)", lambda a: a * a),
    (r"double (.+)", lambda a: 2 * a),
    (r"triple (.+)", lambda a: 3 * a),
    (r"halve (.+)", lambda a: a / 2),
    (r"increase (.+) by (.+) ?(?:%|percent)", lambda a, b: a * (1 + b / 100)),
    (r"decrease (.+) by (.+) ?(?:%|percent)", lambda a, b: a * (1 - b / 100)),
)
_NEXT: tuple[tuple[str, Callable[..., Fraction]], ...] = (
    (rf"add (.+?)(?: to {_IT})?", lambda it, a: it + a),
    (rf"subtract (.+?)(?: from {_IT})?", lambda it, a: it - a),
    (rf"multiply (?:{_IT} )?by (.+)", lambda it, a: it * a),
    (rf"divide (?:{_IT} )?by (.+)", lambda it, a: it / a),
    (rf"(?:square|double|triple|halve) {_IT}", lambda it: it),
)


def _first_order(order: str) -> Fraction | None:
    """What the first order comes to, wherever its two parts may meet: "multiply the sum of 3 and 4 by 5"."""
    verb, _, rest = order.partition(" ")
    found = set()
    if verb == "add" and (total := _attempt(f"sum of {rest}")) is not None:
        found.add(total)
    if verb in ("multiply", "divide") and re.search(r" [+-] [^)]*$", rest):
        return None  # "multiply 28 by 10 + 28" may mean either
    for name, between, of_two in _FIRST:
        for meet in re.finditer(rf" (?:{between}) ", rest) if name == verb else ():
            a, b = _attempt(rest[: meet.start()]), _attempt(rest[meet.end() :])
            if a is not None and b is not None and not (verb == "divide" and not b):
                found.add(of_two(a, b))
    for words, rule in _FIRST_OF_ONE:
        match = re.fullmatch(words, order)
        numbers = [_attempt(group) for group in match.groups()] if match else [None]
        if None not in numbers:
            found.add(rule(*numbers))
    return found.pop() if len(found) == 1 else None


def _next_order(order: str, it: Fraction) -> Fraction | None:
    for word, factor in (("square", it), ("double", 2), ("triple", 3), ("halve", Fraction(1, 2))):
        if re.fullmatch(rf"{word} {_IT}", order):
            return it * factor
    for words, rule in _NEXT[:-1]:
        match = re.fullmatch(words, order)
        number = _attempt(match[1]) if match else None
        if number is not None and not (words.startswith("divide") and not number):
            return rule(it, number)
    return None


_COMPARISONS: tuple[tuple[str, Callable[[Fraction, Fraction], Fraction]], ...] = (
    (r"how many times (?:does|can|will|do) (.+) (?:go|fit|divide)(?: evenly)? into (.+)", lambda a, b:
     exact_quotient(b, a)),
    (r"how many times is (.+) contained in (.+)", lambda a, b: exact_quotient(b, a)),
    (r"how many times (?:as (?:large|big|great|much|many)) (?:is|as) (.+) (?:as|is) (.+)", lambda a, b:
     exact_quotient(a, b)),
    (r"(?:by )?how much (?:is )?(.+) (?:larger|greater|bigger|more) than (.+)", difference),
    (r"(?:by )?how much (?:larger|greater|bigger|more) is (.+) than (.+)", difference),
    (r"by how much does (.+) exceed (.+)", difference),
    (r"(?:by )?how much (?:smaller|less) is (.+) than (.+)", lambda a, b: difference(b, a)),
    (r"by how much is (.+) (?:smaller|less) than (.+)", lambda a, b: difference(b, a)),
    (r"what (?:number )?(?:must|should|needs to|has to) be added to (.+) to (?:get|make|give|obtain|reach) (.+)",
     lambda a, b: b - a),
    (r"what (?:number )?(?:must|should|needs to|has to) be subtracted from (.+) to (?:get|make|give|obtain|reach) "
     r"(.+)", lambda a, b: a - b),
    (r"what number (?:plus|added to|increased by) (.+) (?:is|equals|gives|makes)(?: equal to)? (.+)", lambda a, b:
     b - a),
    (r"what number (?:minus|decreased by) (.+) (?:is|equals|gives|makes)(?: equal to)? (.+)", lambda a, b: a + b),
    (r"what number (?:times|multiplied by) (.+) (?:is|equals|gives|makes)(?: equal to)? (.+)", lambda a, b: b / a),
    (r"what number divided by (.+) (?:is|equals|gives|makes)(?: equal to)? (.+)", lambda a, b: b * a),
)  # fmt: skip


def _compared(text: str) -> Fraction | None:
    for words, rule in _COMPARISONS:
        match = re.fullmatch(words, text.rstrip("?. "))
        if match:
            a, b = _attempt(match[1]), _attempt(match[2])
            if a is None or b is None:
                return None
            try:
                return rule(a, b)
            except ZeroDivisionError:
                return None
    return None


# --- equations of the first degree ---

_SYMBOLS = r"(?:[-0-9+*/^() ]|\.(?=[0-9])|(?<![a-z])[b-hj-z](?![a-z]))+"
_EQUATION = rf"{_SYMBOLS}={_SYMBOLS}"
_EQUATIONS = rf"({_EQUATION}(?:(?:,| and|, and) {_EQUATION})*)"
_TARGET = rf"((?:the )?(?:value of )?{_SYMBOLS})"
_ASKED = r"(?:what is|find|calculate|compute|determine|evaluate|solve for|what must be|what does|what will be)"
_FORMS = (
    rf"(?:if|given(?: that)?|suppose(?: that)?|when|let|where) {_EQUATIONS}[,.;]? ?(?:then,? )?{_ASKED} "
    rf"{_TARGET}(?: equal)?",
    rf"(?:solve|solve the (?:linear )?equation|consider the equation)?:? ?{_EQUATIONS}[,.;]? {_ASKED} {_TARGET}",
    rf"{_ASKED} {_TARGET},? (?:if|in|when|such that|where|for which|given(?: that)?|so that|from)(?: the)?(?: linear)?"
    rf"(?: equations?)?:? {_EQUATIONS}(?: is true| holds)?",
    rf"solve(?: the)?(?: linear)?(?: equation)?(?: for ([b-hj-z]))?(?: in)?(?: the equation)?:? {_EQUATIONS}",
    rf"solve(?: the)?(?: linear)?(?: equation)?:? {_EQUATIONS} for ([b-hj-z])",
    rf"for (?:what|which) value of ([b-hj-z]) (?:is|does) {_EQUATIONS}(?: true| hold)?",
)


def _equation(text: str) -> Fraction | None:
    for number, form in enumerate(_FORMS):
        match = re.fullmatch(form + r"[?.]?", text)
        if match is None:
            continue
        first, second = match.groups()
        given, asked = (first, second) if number in (0, 1, 4) else (second, first)
        return _solved(re.split(r"(?:,? and |, )", given), asked)
    return None


def _solved(equations: Sequence[str], asked: str | None) -> Fraction | None:
    """The value of what is asked for, where the equations determine it; None asks for the only unknown."""
    sides = [[linear(tokens_of(side)) for side in equation.split("=")] for equation in equations]
    if any(len(pair) != 2 for pair in sides):
        return None
    zeros = [pair[0].plus(pair[1], -1) for pair in sides]
    unknowns = sorted({name for zero in zeros for name in zero.of})
    if asked is None and len(unknowns) != 1:
        return None
    target = tokens_of(re.sub(r"^(?:the )?(?:value of )?", "", asked.strip())) if asked else unknowns
    if not {token for token in target if token in VARIABLES} <= set(unknowns) or not set(target) & VARIABLES:
        return None
    values = _values(zeros, unknowns)
    if set(unknowns) <= values.keys():
        return linear(target, values).number()
    return None


def _values(zeros: Sequence[Linear], unknowns: Sequence[str]) -> Mapping[str, Fraction]:
    """The unknowns that the equations determine, by elimination.

    Raises:
        Unreadable: the equations contradict each other.
    """
    rows = list(zeros)
    done: list[tuple[str, Linear]] = []
    for name in unknowns:
        pivot = next((row for row in rows if row.of.get(name)), None)
        if pivot is None:
            continue
        pivot_row = pivot.scaled(1 / pivot.of[name])
        rows = [row.plus(pivot_row.scaled(row.of.get(name, Fraction())), -1) for row in rows if row is not pivot]
        done = [(other, row.plus(pivot_row.scaled(row.of.get(name, Fraction())), -1)) for other, row in done]
        done.append((name, pivot_row))
    if any(not row.of and row.constant for row in rows):
        raise Unreadable("equations that contradict each other")
    return {name: -row.constant for name, row in done if set(row.of) == {name}}


def _function(text: str) -> Fraction | None:
    """ "If f(x) = 3x + 2, what is f(4)?"."""
    match = re.fullmatch(
        rf"(?:if|given(?: that)?|let|suppose) ([fgh])\(([b-hj-z])\) ?= ?({_SYMBOLS})[,.;]? ?(?:then )?"
        r"(?:what is|find|calculate|compute|evaluate) (?:the value of )?\1\((-?[0-9.]+)\)[?.]?",
        text,
    )
    if match is None:
        return None
    at = linear(tokens_of(match[4])).number()
    return linear(tokens_of(match[3]), {match[2]: at}).number()
