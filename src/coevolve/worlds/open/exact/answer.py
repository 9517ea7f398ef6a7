"""The true answer to a question in words, where its whole text is understood and has one exact answer.

For meters only: nothing that learns may import this package. Nothing of a question is ever evaluated as a program.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

from coevolve.worlds.open.exact.expressions import Unreadable
from coevolve.worlds.open.exact.frames import arithmetic
from coevolve.worlds.open.exact.measures import circle, conversion, shape
from coevolve.worlds.open.exact.stories import story
from coevolve.worlds.open.exact.text import plain


@lru_cache(maxsize=100_000)
def true_answer(question: str) -> str | None:
    r"""The answer as a text, such as ``12``, ``-3/4`` or ``9\pi``.

    Returns:
        None where the question is not understood, may mean several things, or has no exact answer. To be wrong about
        a question is worse than to say nothing of it.
    """
    text = plain(question)
    if text is None:
        return None
    for rule in _RULES:
        try:
            return str(rule(text))
        except (Unreadable, ZeroDivisionError):
            continue
    return None


_RULES: tuple[Callable[[str], Fraction | str], ...] = (arithmetic, conversion, shape, circle, story)
