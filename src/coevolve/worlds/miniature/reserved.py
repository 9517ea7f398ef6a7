"""Which questions belong to the meter: a property of the text alone, so all parts of the program agree."""

from __future__ import annotations

import hashlib

SHARE = 16  # one question in so many is reserved


def is_reserved(question: str) -> bool:
    """True when the question is kept for measuring: never in the corpus, dropped from every pool."""
    normalised = " ".join(question.split())
    return hashlib.sha256(normalised.encode()).digest()[0] % SHARE == 0
