"""Find the final answer in the text of a model."""

from __future__ import annotations

import re
from dataclasses import dataclass

_OPENER = "\\boxed{"
_TOKEN = re.compile(r"\\boxed\{|\\.|[{}]", re.DOTALL)
_STATED = ("Final Answer:", "The answer is:")

# With braces, or before one symbol: \boxed{5}, \boxed {5}, \boxed 5, \boxed\frac{1}{2}, \fbox{5}
_BOX = re.compile(
    r"\\boxed\s{0,4}(?P<brace>\{)|\\boxed(?P<bare>\s{0,4}(?=-?\.?[0-9]|\\[A-Za-z])|\s{1,4}(?=[A-Za-z](?![A-Za-z])))"
)
_FRAME = re.compile(r"\\f(?:rame)?box\s{0,4}(?P<brace>\{)")
_SYMBOL = re.compile(
    r"-?(?:[0-9][0-9,]*(?:\.[0-9]+)?(?:/[0-9]+)?|\.[0-9]+|[A-Za-z])|"
    r"\\[dtc]?frac ?[0-9] ?[0-9]|\\sqrt ?[0-9]+|\\[A-Za-z]+"
)
_PROGRAM = re.compile(r"```(?i:python3?|py)(?![A-Za-z0-9]).*?(?:```|\Z)", re.DOTALL)
# A sign that belongs to the box: behind a relation or where mathematics begins. "- \boxed{7}" is an item of a list,
# and 3 - \boxed{7} a difference.
_SIGN = re.compile(
    r"(?:(?:[=<>($]|\\\(|\\\[|\\(?:approx|le|ge|leq|geq)|\bis) ?(?P<sign>[-−]|\\pm|\\mp) ?|"
    r"(?:[:*] ?|(?:^|\n)[ \t]{0,4})(?P<attached>[-−]|\\pm|\\mp))\Z"
)
_PERCENT = re.compile(
    r" ?(?:\$|\\\)|\\\])? ?(?:\\%|(?:\\text ?\{ ?)?(?:percent|per cent|pct)(?![a-z])|(?<! )%|%(?= ?(?:[.,;)$*]|\n|\Z)))"
)
_TERMS, _ONE_TERM = re.compile(r"[^,;=<>&]*"), re.compile(r"[^-+]*")
_NUMBER_END = re.compile(r"[0-9)}]\Z")


@dataclass(frozen=True, slots=True)
class Box:
    """A box in a text: the indices of its first and last character, the last one excluded, and what it holds."""

    start: int
    end: int
    content: str


def last_box(text: str) -> Box | None:
    r"""The last box of a text, as :func:`last_boxed` finds it; None where it never closes or there is none."""
    if "\\" not in text:
        return None
    programs = [match.span() for match in _PROGRAM.finditer(text)] if "```" in text else []
    found = _last(_BOX, text, programs) or _last(_FRAME, text, programs)
    if found is None:
        return None
    start, after = found.end(), found.end()
    if found["brace"]:
        closing = closing_brace(text, start)
        if closing is None:
            return None
        end, after = closing, closing + 1
    else:
        end = after = _symbol_end(text, start)
    return Box(found.start(), after, text[start:end].strip())


def last_boxed(text: str) -> str | None:
    r"""The content of the last ``\boxed{...}`` of a text, stripped; None when there is no answer.

    The last opener decides. If its braces never close (the text was truncated) or contain only whitespace there is no
    answer, even if an earlier box is complete: the model took that one back. ``\{`` and ``\}`` are literal braces of a
    set and do not count. The answer is always None or a non-empty text, never a stand-in word such as "None", which
    would become a class of its own in a vote.

    A box may also stand before one symbol (``\boxed 5``), and is called ``\fbox`` in a text without ``\boxed``. A sign
    before it (``x = -\boxed{7}``) and a percent sign behind it are part of the answer. One inside a program, a block
    fenced as Python, is none: what stands there is not said but computed, and was never run."""
    box = last_box(text)
    if box is None or not box.content:
        return None
    content = box.content
    if not content.endswith("%") and _NUMBER_END.search(content) and _PERCENT.match(text, box.end):
        content += r"\%"
    before = text[max(0, box.start - 16) : box.start]
    found = _SIGN.search(before)
    if found is None or not _TERMS.fullmatch(content):
        return content
    sign = found["sign"] or found["attached"]
    return f"{sign}{content}" if _ONE_TERM.fullmatch(content) else f"{sign}({content})"


def holds_box(text: str) -> bool:
    """Whether there is the beginning of a box anywhere in a text."""
    return "\\" in text and (_BOX.search(text) or _FRAME.search(text)) is not None


def _last(opener: re.Pattern[str], text: str, programs: list[tuple[int, int]]) -> re.Match[str] | None:
    """The last match outside all programs."""
    found = None
    spans = iter(programs)
    begin, end = next(spans, (len(text), len(text)))
    for match in opener.finditer(text):
        while match.start() >= end and end < len(text):
            begin, end = next(spans, (len(text), len(text)))
        if match.start() < begin:
            found = match
    return found


def _symbol_end(text: str, start: int) -> int:
    """Where the symbol that begins at ``start`` ends: a number, a letter, or a command with its arguments."""
    symbol = _SYMBOL.match(text, start)
    end = symbol.end() if symbol else start
    if symbol and symbol[0].startswith("\\"):
        while end < len(text) and text[end] == "{" and (closing := closing_brace(text, end + 1)) is not None:
            end = closing + 1
    return start + len(text[start:end].rstrip(","))


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


def closing_brace(text: str, start: int) -> int | None:
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
