"""Find the final answer in the text of a model."""

from __future__ import annotations

_OPENER = "\\boxed{"


def last_boxed(text: str) -> str | None:
    r"""The content of the last ``\boxed{...}`` of a text, stripped; None when there is no answer.

    The last opener decides. If its braces never close (the text was cut off) or hold nothing but whitespace
    there is no answer, even when an earlier box is complete: the model took that one back. ``\{`` and ``\}``
    are literal braces of a set and do not count. The answer is always None or a non-empty text, never a
    stand-in word such as "None", which would become a class of its own in a vote.
    """
    start = text.rfind(_OPENER)
    if start < 0:
        return None
    start += len(_OPENER)
    end = _closing_brace(text, start)
    if end is None:
        return None
    return text[start:end].strip() or None


def _closing_brace(text: str, start: int) -> int | None:
    """Index of the brace that closes a group whose content begins at ``start``."""
    depth, position = 1, start
    while position < len(text):
        letter = text[position]
        if letter == "\\":
            position += 2  # an escaped character, never a delimiter
            continue
        depth += (letter == "{") - (letter == "}")
        if depth == 0:
            return position
        position += 1
    return None
