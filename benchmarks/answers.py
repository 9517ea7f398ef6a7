"""Synthetic questions with ten answers each, whose true classes are known: for grading.py and its tests.

Every question has a true answer in several spellings, one or two common wrong answers, also in several spellings, and
some rare ones, as the samples of a model do. All values come from a seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

KINDS = ("integer", "fraction", "surd", "set", "interval", "expression", "word")
SHARES = (10, 5, 3, 1)  # how often the true, the common wrong and the rare answers are drawn


@dataclass(frozen=True, slots=True)
class Question:
    """Answers of one question; ``classes`` numbers for each answer the value that it spells."""

    kind: str
    answers: tuple[str, ...]
    classes: tuple[int, ...]


def questions(count: int, answers: int, seed: int) -> list[Question]:
    """Questions of all kinds by turns."""
    rng = random.Random(seed)
    return [_question(KINDS[n % len(KINDS)], answers, rng) for n in range(count)]


def whole_numbers(count: int, answers: int, seed: int) -> list[list[str]]:
    """Answers to questions such as those of GSM8K: plain integers, most of them the same."""
    rng = random.Random(seed)
    groups = []
    for _ in range(count):
        right = rng.randint(1, 5000)
        groups.append([str(right if rng.random() < 0.6 else right + rng.randint(-20, 20)) for _ in range(answers)])
    return groups


def _question(kind: str, answers: int, rng: random.Random) -> Question:
    makers = _distinct(kind, rng)
    drawn = rng.choices(range(len(makers)), SHARES, k=answers)
    return Question(kind, tuple(rng.choice(makers[i]) for i in drawn), tuple(drawn))


def _distinct(kind: str, rng: random.Random) -> list[list[str]]:
    """As many values as there are shares, each with its spellings; no spelling belongs to two."""
    found: list[list[str]] = []
    while len(found) < len(SHARES):
        spelled = _SPELLINGS[kind](rng)
        if not any(set(spelled) & set(other) for other in found):
            found.append(spelled)
    return found


def _integer(rng: random.Random) -> list[str]:
    n = rng.randint(1000, 9999)
    return [f"{n}", f"{n}.0", f"${n}$", f"{n // 1000},{n % 1000:03}", rf"\text{{{n}}}", f"x = {n}"]


def _fraction(rng: random.Random) -> list[str]:
    bottom = rng.choice([3, 7, 9, 11, 13])
    top = bottom * rng.randint(1, 9) + 1
    whole, rest = divmod(top, bottom)
    return [
        rf"\frac{{{top}}}{{{bottom}}}",
        rf"\dfrac{{{2 * top}}}{{{2 * bottom}}}",
        f"{top}/{bottom}",
        f"{whole} {rest}/{bottom}",
    ]


def _surd(rng: random.Random) -> list[str]:
    n, m = rng.randint(2, 9), rng.choice([2, 3, 5, 7])
    return [rf"{n}\sqrt{{{m}}}", rf"\sqrt{{{n * n * m}}}", rf"\sqrt{{{m}}} \cdot {n}", f"{n}*sqrt({m})"]


def _set(rng: random.Random) -> list[str]:
    a, b, c = rng.sample(range(-20, 60), 3)
    return [rf"\{{{a}, {b}, {c}\}}", rf"\{{{c},{a},{b}\}}", rf"\left\{{{b}, {a}, {c}\right\}}", f"{a}, {b}, {c}"]


def _interval(rng: random.Random) -> list[str]:
    a = rng.randint(-9, 9)
    b = a + rng.randint(1, 9)
    return [f"[{a}, {b})", rf"\left[{a},{b}\right)", rf"{a} \le x < {b}", rf"x \in [{a},{b})"]


def _expression(rng: random.Random) -> list[str]:
    a, b = rng.sample(range(1, 10), 2)
    return [f"(x+{a})(x+{b})", f"x^2+{a + b}x+{a * b}", f"{a * b} + {a + b}x + x^{{2}}", rf"(x+{b}) \cdot (x+{a})"]


def _word(rng: random.Random) -> list[str]:
    word = rng.choice(["Monday", "Tuesday", "listen", "silent", "north", "thorn", "Ada", "none of these", "blue"])
    return [word, word.lower(), rf"\text{{{word}}}", f"{word}."]


_SPELLINGS: dict[str, Callable[[random.Random], list[str]]] = {
    "integer": _integer,
    "fraction": _fraction,
    "surd": _surd,
    "set": _set,
    "interval": _interval,
    "expression": _expression,
    "word": _word,
}
