"""The value of a phrase such as "the sum of 3 and the product of 4 and 5", in every way in which it can be read.

A phrase that can be read in two ways with two values, such as "3 plus 4 times 5", has none: a wrong truth is worse than
no truth.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise

from coevolve.worlds.open.exact.expressions import LARGEST, VARIABLES, Unreadable, power, root, tokens_of, value

_MOST_TOKENS, _MOST_READINGS = 48, 4
_WHOLE_OF = {("value", "of"), ("result", "of"), ("answer", "to"), ("result", "when"), ("result", "if")}
_LISTED = re.compile(
    r"\b(?:following |given )?(?:(?:data )?set|list|data|numbers?|integers|values)(?: of "
    r"(?:numbers|integers|values))?:?"
    r"(?=\s*[-\[{(0-9])|[\[\]{}]|\bboth\b|(?<=[0-9)]) together\b"
)
Numbers = Sequence[Fraction]


def phrase(text: str) -> Fraction:
    """The one value of a phrase.

    Raises:
        Unreadable: there is no reading, or there are several.
    """
    # These never decide what is meant.
    plain = _LISTED.sub(" ", re.sub(r"\bthe\b", " ", text))
    tokens = tokens_of(re.sub(r",? and ", " and ", plain))
    if not 0 < len(tokens) <= _MOST_TOKENS:
        raise Unreadable("no phrase")
    found = _Readings(tokens).of(0, len(tokens))
    if len(found) != 1:
        raise Unreadable("no reading" if not found else "more than one reading")
    return next(iter(found))


class _Readings:
    """All values of the spans of a text."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tokens
        self.of = cache(self._of)
        self._lists = cache(self._lists_of)

    def _of(self, start: int, end: int) -> frozenset[Fraction]:
        span = self._tokens[start:end]
        if not span:
            return frozenset()
        if all(_is_symbol(token) for token in span):
            try:
                return frozenset([value(span)])
            except Unreadable:
                return frozenset()
        if tuple(span[:2]) in _WHOLE_OF:  # these mean all that follows
            return self.of(start + 2, end)
        chain = _chain(span)
        if chain is not None:
            return frozenset([chain])
        found: set[Fraction] = set()
        present = set(span)
        for words, literal, rule in _INDEXED:
            if not literal <= present:
                continue
            for slots in self._matches(words, start, end):
                try:
                    result = rule(slots)
                except (Unreadable, ZeroDivisionError):
                    continue
                if result is not None:
                    found.add(result)
            if len(found) > _MOST_READINGS:
                break
        if span[0] == "(" and span[-1] == ")":
            found |= self.of(start + 1, end - 1)
        return frozenset(found)

    def _matches(self, words: Sequence[str], start: int, end: int) -> Iterator[list[Fraction]]:
        """The values of the slots of a rule, for each way in which its words cover the span.

        ``$`` is a slot for one value and ``@`` one for two or more, with commas or "and" between them.
        """
        if not words:
            if start == end:
                yield []
            return
        first, rest = words[0], words[1:]
        if first not in "$@":
            if start < end and self._tokens[start] == first:
                yield from self._matches(rest, start + 1, end)
            return
        ends = [end] if not rest else [i for i in range(start + 1, end) if self._tokens[i] == rest[0]]
        for stop in ends:
            options = [(v,) for v in self.of(start, stop)] if first == "$" else self._lists(start, stop)
            if options:
                for tail in self._matches(rest, stop, end):
                    for values in options:
                        yield [*values, *tail]

    def _lists_of(self, start: int, end: int) -> list[tuple[Fraction, ...]]:
        """All lists of at least two values that a span can stand for; "and" comes last and once."""
        found: list[tuple[Fraction, ...]] = []
        for last in range(start + 1, end - 1):
            if self._tokens[last] != "and":
                continue
            for before in self._commas(start, last):
                found += [(*before, v) for v in self.of(last + 1, end)]
        if not found and "and" not in self._tokens[start:end]:
            found = [values for values in self._commas(start, end) if len(values) > 1]
        return found[: _MOST_READINGS + 1]

    def _commas(self, start: int, end: int) -> list[tuple[Fraction, ...]]:
        tokens = self._tokens[start:end]
        if "," not in tokens:
            return [(v,) for v in self.of(start, end)]
        found: list[tuple[Fraction, ...]] = [()]
        begin = start
        for stop in [start + i for i, token in enumerate(tokens) if token == ","] + [end]:
            found = [(*values, v) for values in found for v in self.of(begin, stop)][: _MOST_READINGS + 1]
            begin = stop + 1
        return found


def _is_symbol(token: str) -> bool:
    return (not token[0].isalpha() and token not in ",%:;") or token == "sqrt" or token in VARIABLES


_WORD_SIGNS = {("plus",): "+", ("minus",): "-", ("times",): "*", ("multiplied", "by"): "*", ("divided", "by"): "/"}
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}


def _chain(span: Sequence[str]) -> Fraction | None:
    """A row of numbers with signs in words between them, where it is the same from left to right and by precedence."""
    signs = list(span)
    for words, sign in _WORD_SIGNS.items():
        signs = _replaced(signs, words, sign)
    numbers, between = signs[::2], signs[1::2]
    if len(signs) % 2 == 0 or len(signs) < 5 or not all(re.fullmatch(r"[0-9.]+", one) for one in numbers):
        return None
    if not all(sign in _PRECEDENCE for sign in between):
        return None
    if any(_PRECEDENCE[a] < _PRECEDENCE[b] for a, b in pairwise(between)):
        return None
    try:
        return value(signs)
    except Unreadable:
        return None


def _replaced(tokens: Sequence[str], words: Sequence[str], sign: str) -> list[str]:
    found: list[str] = []
    for token in tokens:
        found.append(token)
        if tuple(found[-len(words) :]) == tuple(words):
            found[-len(words) :] = [sign]
    return found


def _whole(number: Fraction, low: int = 0, high: int = 10**12) -> int:
    if number.denominator != 1 or not low <= number <= high:
        raise Unreadable("no whole number in bounds")
    return int(number)


def _wholes(numbers: Numbers, low: int = 1) -> list[int]:
    return [_whole(number, low) for number in numbers]


def difference(a: Fraction, b: Fraction) -> Fraction:
    """Of two numbers the first of which is not smaller; people disagree about the sign of any other."""
    if a < b:
        raise Unreadable("the sign of the difference is a matter of opinion")
    return a - b


def remainder(a: Fraction, b: Fraction) -> Fraction:
    return Fraction(_whole(a) % _whole(b, 1))


def exact_quotient(a: Fraction, b: Fraction) -> Fraction:
    """A quotient that is whole: of others some leave a remainder."""
    return Fraction(_whole(a / b))


def _product(numbers: Numbers) -> Fraction:
    found = math.prod(numbers, start=Fraction(1))
    if abs(found) > LARGEST:
        raise Unreadable("out of bounds")
    return found


def _average(numbers: Numbers) -> Fraction:
    return sum(numbers, Fraction()) / len(numbers)


def _mode(numbers: Numbers) -> Fraction:
    found = statistics.multimode(numbers)
    if len(found) != 1 or len(numbers) == len(set(numbers)):
        raise Unreadable("no mode, or several")
    return found[0]


def _factorial(n: Fraction) -> Fraction:
    return value([str(_whole(n, 0, 18)), "!"])


def _first(n: Fraction, nth: Callable[[int], int]) -> Fraction:
    return Fraction(sum(nth(i) for i in range(1, _whole(n, 1, 10_000) + 1)))


def _primes(n: Fraction) -> Fraction:
    found: list[int] = []
    candidate = 2
    while len(found) < _whole(n, 1, 200):
        if all(candidate % p for p in found):
            found.append(candidate)
        candidate += 1
    return Fraction(sum(found))


def _from_to(numbers: Numbers, step: Callable[[int], bool] = lambda i: True) -> Fraction:
    a, b = _wholes(numbers, 0)
    if not a < b <= a + 100_000:
        raise Unreadable("no range")
    return Fraction(sum(i for i in range(a, b + 1) if step(i)))


def _divisors(n: Fraction) -> list[int]:
    m = _whole(n, 1, 100_000)
    return [i for i in range(1, m + 1) if m % i == 0]


def _largest_prime(n: Fraction) -> Fraction:
    m = _whole(n, 2, 100_000)
    return Fraction(max(p for p in _divisors(Fraction(m)) if len(_divisors(Fraction(p))) == 2))


Rule = tuple[tuple[str, ...], Callable[[list[Fraction]], Fraction | None]]


def _each(patterns: str, rule: Callable[[list[Fraction]], Fraction | None]) -> list[Rule]:
    """The rules of patterns with ``|`` between them; ``a/b`` in a pattern stands for either word."""
    found: list[Rule] = []
    for pattern in patterns.split("|"):
        ways: list[tuple[str, ...]] = [()]
        for word in pattern.split():
            options = word.split("/") if len(word) > 1 else [word]
            ways = [(*way, option) for way in ways for option in options]
        found += [(tuple(token for word in way for token in tokens_of(word)), rule) for way in ways]
    return found


_ADJECTIVES: dict[str, Callable[[int], int]] = {
    "odd": lambda i: 2 * i - 1, "even": lambda i: 2 * i, "natural": lambda i: i, "positive": lambda i: i,
    "counting": lambda i: i, "square": lambda i: i * i,
}  # fmt: skip

_RULES: tuple[Rule, ...] = (
    *_each("$ plus $|$ added to $|$ increased by $|$ more than $|$ + $|adding $ to/and $", lambda v: v[0] + v[1]),
    *_each("$ minus $|$ decreased by $|$ reduced by $|$ - $", lambda v: v[0] - v[1]),
    *_each("$ less than $|$ subtracted from $|subtracting $ from $", lambda v: v[1] - v[0]),
    *_each("$ times $|$ multiplied by $|$ * $|multiplying $ by/and $", lambda v: v[0] * v[1]),
    *_each("$ divided by $|$ over $", lambda v: v[0] / v[1]),
    (("$", "/", "$"), lambda v: v[0] / v[1]),
    *_each("dividing $ by $", lambda v: v[0] / v[1]),
    *_each("$ mod/modulo $", lambda v: remainder(*v)),
    *_each("$ to power of $|$ raised to power of $|$ raised to $", lambda v: power(*v)),
    *_each("$ squared|square of $", lambda v: power(v[0], Fraction(2))),
    *_each("$ cubed|cube of $", lambda v: power(v[0], Fraction(3))),
    *_each("square root of $|positive square root of $|principal square root of $", lambda v: root(v[0], 2)),
    *_each("cube root of $", lambda v: root(v[0], 3)),
    *_each("half of $|half $|a half of $", lambda v: v[0] / 2),
    *_each("a third of $", lambda v: v[0] / 3),
    *_each("a quarter/fourth of $", lambda v: v[0] / 4),
    *_each("a fifth of $", lambda v: v[0] / 5),
    *_each("a tenth of $", lambda v: v[0] / 10),
    *_each("twice $|double $|double of $", lambda v: 2 * v[0]),
    *_each("triple $|thrice $|triple of $", lambda v: 3 * v[0]),
    *_each("$ % of $|$ percent of $|$ per cent of $", lambda v: v[0] / 100 * v[1]),
    *_each("$ increased by $ %/percent", lambda v: v[0] * (1 + v[1] / 100)),
    *_each("$ decreased/reduced by $ %/percent", lambda v: v[0] * (1 - v[1] / 100)),
    *_each("$ %/percent more than $", lambda v: v[1] * (1 + v[0] / 100)),
    *_each("$ %/percent less than $", lambda v: v[1] * (1 - v[0] / 100)),
    *_each("$ of $", lambda v: v[0] * v[1] if 0 < v[0] < 1 else None),
    *_each("sum of @|total of @|result of adding @|sum when adding @", lambda v: sum(v, Fraction())),
    *_each("product of @", _product),
    *_each("difference between/of $ and $|positive difference between $ and $", lambda v: difference(*v)),
    *_each("quotient of $ and $|quotient of $ divided by $", lambda v: exact_quotient(*v)),
    *_each("quotient when/if $ is divided by $|quotient of dividing $ by $", lambda v: exact_quotient(*v)),
    *_each("quotient when dividing $ by $", lambda v: exact_quotient(*v)),
    *_each("remainder when/if/after/once $ is divided by $|remainder of $ divided by $", lambda v: remainder(*v)),
    *_each("remainder when/after/of/from/if dividing $ by $", lambda v: remainder(*v)),
    *_each("remainder when/if you divide $ by $|remainder when we divide $ by $", lambda v: remainder(*v)),
    *_each("remainder of division of $ by $|remainder when $ divided by $", lambda v: remainder(*v)),
    (("remainder", "of", "$", "/", "$"), lambda v: remainder(*v)),
    *_each(
        "gcd of @|gcf of @|hcf of @|greatest/highest/largest common divisor/factor of @|gcd ( @ )|gcf ( @ )",
        lambda v: Fraction(math.gcd(*_wholes(v))),
    ),
    *_each(
        "largest/greatest/biggest number/integer that divides @|largest/greatest number that divides @ evenly",
        lambda v: Fraction(math.gcd(*_wholes(v))),
    ),
    *_each(
        "lcm of @|least/lowest/smallest common multiple of @|lcm ( @ )|least common denominator of @",
        lambda v: Fraction(math.lcm(*_wholes(v))),
    ),
    *_each("average of @|average value of @|mean of @|arithmetic mean of @|mean value of @", _average),
    *_each("median of @", statistics.median),
    *_each("mode of @", _mode),
    *_each("range of @", lambda v: max(v) - min(v)),
    *_each("largest/greatest/biggest/maximum of @|larger/greater/bigger of @", max),
    *_each("smallest/minimum/least of @|smaller/lesser of @", min),
    *_each("sum of squares of @", lambda v: sum((power(n, Fraction(2)) for n in v), Fraction())),
    *_each("sum of cubes of @", lambda v: sum((power(n, Fraction(3)) for n in v), Fraction())),
    *_each("difference between/of squares of $ and $", lambda v: difference(v[0] ** 2, v[1] ** 2)),
    *_each("$ factorial|factorial of $", lambda v: _factorial(v[0])),
    *_each("absolute value of $", lambda v: abs(v[0])),
    *_each("reciprocal of $|multiplicative inverse of $", lambda v: 1 / v[0]),
    *_each("additive inverse of $", lambda v: -v[0]),
    *(
        rule
        for adjective, nth in _ADJECTIVES.items()
        for rule in _each(
            f"sum of first $ {adjective} numbers/integers|sum of first $ positive {adjective} numbers/integers",
            lambda v, nth=nth: _first(v[0], nth),  # type: ignore[misc]
        )
    ),
    *_each("sum of first $ prime numbers|sum of first $ primes", lambda v: _primes(v[0])),
    *_each("sum of first $ multiples of $|sum of first $ positive multiples of $", lambda v: _first(v[0], lambda i:
    i) * v[1]),
    *_each("sum of first $ perfect squares", lambda v: _first(v[0], lambda i: i * i)),
    *_each("sum of squares of first $ natural/positive numbers/integers", lambda v: _first(v[0], lambda i: i * i)),
    *_each(
        "sum of integers/numbers from $ to/through $|sum of all integers/numbers from $ to/through $|"
        "sum of natural/whole numbers from $ to/through $|sum of all natural/whole numbers from $ to/through $",
        _from_to,
    ),
    *_each(
        "sum of all integers/numbers between $ and $ , inclusive|sum of all integers/numbers between $ and $ inclusive",
        _from_to,
    ),
    *_each("sum of all odd numbers/integers from $ to $", lambda v: _from_to(v, lambda i: i % 2 == 1)),
    *_each("sum of all even numbers/integers from $ to $", lambda v: _from_to(v, lambda i: i % 2 == 0)),
    *_each("sum of digits of $|sum of all digits of $", lambda v: Fraction(sum(map(int, str(_whole(v[0])))))),
    *_each("sum of divisors/factors of $", lambda v: Fraction(sum(_divisors(v[0])))),
    *_each("number of divisors/factors of $|number of positive divisors/factors of $", lambda v:
    Fraction(len(_divisors(v[0])))),
    *_each("largest/greatest prime factor/divisor of $", lambda v: _largest_prime(v[0])),
    *_each("exact/numerical value of $", lambda v: v[0]),
    *_each("$ is multiplied by $|$ is multiplied with $", lambda v: v[0] * v[1]),
    *_each("$ is added to $|$ and $ are added", lambda v: v[0] + v[1]),
    *_each("$ is subtracted from $", lambda v: v[1] - v[0]),
    *_each("$ is divided by $", lambda v: v[0] / v[1]),
    *_each("$ and $ are multiplied", lambda v: v[0] * v[1]),
    *_each("product when/of $ is multiplied by $|product of multiplying $ by/and $", lambda v: v[0] * v[1]),
)  # fmt: skip
_INDEXED = tuple((words, frozenset(words) - {"$", "@"}, rule) for words, rule in _RULES)
