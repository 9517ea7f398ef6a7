"""The very text of the gold answer."""

from __future__ import annotations

import unicodedata

from coevolve.grading.extract import first_boxed, last_boxed
from coevolve.grading.grade import Grade, Item, Mode


def exact(mode: Mode, response: str, item: Item) -> Grade:
    """Right when the box holds the gold text: same characters (Unicode NFC), case included, runs of spaces as one.

    Strict takes the last box, paper-compatible the first.
    """
    answer = last_boxed(response) if mode is Mode.STRICT else first_boxed(response)
    if answer is None:
        return Grade(False, None, "no boxed answer", parsed=False)
    right = one_line(answer) == one_line(item.gold)
    return Grade(right, answer, "the same text" if right else "another text")


def one_line(text: str) -> str:
    """Composed characters, single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())
