"""Which texts are questions of the open world, and what they are about. No answer is computed here."""

from __future__ import annotations

import re

SHORTEST, LONGEST = 12, 4_000  # characters
_PROOF = re.compile(r"\b(?:prove|proof|disprove|show that|demonstrate that|justify)\b", re.IGNORECASE)
_MARKUP = ("\ufffd", "\\boxed", "```", "<question", "</question", "<|", "|>")
_PARTS = re.compile(r"\([bB]\)|\bpart b\b", re.IGNORECASE)
_BETWEEN_TURNS = re.compile(r"\n[ \t]*---[ \t]*\n")
_WORD = re.compile(r"[^\W\d_]{2,}")

# First match wins. Reports only: nothing is rewarded or dropped by topic.
_TOPICS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (topic, re.compile(rf"\b(?:{words})", re.IGNORECASE))
    for topic, words in (
        (
            "geometry",
            "triang|circle|angle|polygon|square with|rectang|sphere|tangent|perimeter|radius|inscribed|cube\\b",
        ),
        ("probability", "probab|expected|dice|die\\b|coin|random|urn|cards?\\b"),
        ("combinatorics", "how many ways|arrange|permut|combination|choose|subset|colou?rings?|tournament|graph"),
        ("number theory", "divis|prime|remainder|modulo|mod\\b|gcd|lcm|digits?\\b|integers?\\b|congru"),
        ("calculus", "integral|derivative|limit|differenti|converge|series"),
        ("linear algebra", "matri|determinant|eigen|vector"),
        ("sequences", "sequence|recurr|fibonacci|arithmetic progression|geometric progression"),
        ("algebra", "polynomial|equation|roots?\\b|function|solve|inequal|complex number|factor|real numbers?"),
        ("arithmetic", "plus\\b|minus\\b|times\\b|sum of|product of|difference of"),
        ("words", "hours?|minutes?|metres?|meters?|apples?|trains?|price|cost|per cent|percent"),
    )
)


def split_turns(text: str) -> tuple[str, ...]:
    """The user turns of a dialogue, which stand between lines of three hyphens."""
    return tuple(turn.strip() for turn in _BETWEEN_TURNS.split(text))


def is_question(text: str) -> bool:
    """One question in words, of a sensible length, that asks for an answer and not for a proof."""
    return len(text) >= SHORTEST and is_follow_up(text)


def is_follow_up(text: str) -> bool:
    """The same of a further user turn, which may be as short as "And for 7?"."""
    return (
        0 < len(text) <= LONGEST
        and all(letter.isprintable() or letter in "\n\t" for letter in text)
        and len(_WORD.findall(text)) >= 2
        and not any(mark in text for mark in _MARKUP)
        and _PROOF.search(text) is None
        and _PARTS.search(text) is None
        and text.count("?") <= 1
    )


def topic_of(text: str) -> str:
    """A field of mathematics by key words, "text" where none is known."""
    return next((topic for topic, words in _TOPICS if words.search(text)), "text")
