"""Find the final answer in the text of a model."""

from __future__ import annotations

import re

_OPENER = "\\boxed{"
_TOKEN = re.compile(r"\\boxed\{|\\.|[{}]", re.DOTALL)
_STATED = ("Final Answer:", "The answer is:")


def last_boxed(text: str) -> str | None:
    r"""The content of the last ``\boxed{...}`` of a text, stripped; None when there is no answer.

    The last opener decides. If its braces never close (the text was truncated) or contain only whitespace there is no
    answer, even if an earlier box is complete: the model took that one back. ``\{`` and ``\}`` are literal braces of a
    set and do not count. The answer is always None or a non-empty text, never a stand-in word such as "None", which
    would become a class of its own in a vote."""
    start = text.rfind(_OPENER)
    if start < 0:
        return None
    start += len(_OPENER)
    end = _closing_brace(text, start)
    if end is None:
        return None
    return text[start:end].strip() or None


def first_boxed(text: str) -> str | None:
    r"""The text from the first ``\boxed{`` with a closing brace in its line to the last closing brace of that line.

    R-Zero's published evaluation extracts answers of mathematical tasks this way. With two boxes in one line, or a
    brace after the box, it takes too much; an answer that the model took back later stays. None without a box."""
    for line in text.split("\n"):
        start = line.find(_OPENER)
        end = line.rfind("}")
        if 0 <= start <= end - len(_OPENER):
            return line[start + len(_OPENER) : end].strip() or None
    return None


def last_complete_box(text: str) -> str | None:
    r"""The content of the box that closes last; a later truncated one does not count. None without a box.

    R-Zero's published evaluation extracts answers of multiple choice and BBEH this way."""
    open_groups: list[int | None] = []  # where the content of a box begins; None for other braces
    answer = None
    for token in _TOKEN.finditer(text):
        if token[0] == _OPENER:
            open_groups.append(token.end())
        elif token[0] == "{":
            open_groups.append(None)
        elif token[0] == "}" and open_groups:
            start = open_groups.pop()
            if start is not None:
                answer = (start, token.start())
    return text[slice(*answer)].strip() or None if answer else None


def stated_answer(text: str) -> str | None:
    """The rest of the line after the last "Final Answer:", or else after the last "The answer is:".

    As in the published evaluation of R-Zero the line must have an end. None without either.
    """
    for phrase in _STATED:
        _, found, rest = text.rpartition(phrase)
        line, ended, _ = rest.partition("\n")
        if found and ended and line.strip():
            return line.strip()
    return None


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
