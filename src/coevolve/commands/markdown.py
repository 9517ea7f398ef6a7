"""Text that commands write: Markdown tables, the marked place in a file that they go to, and model text made safe for a
terminal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from coevolve.errors import RunError
from coevolve.store.atomic import replace_file, writing

BEGIN, END = "<!-- results -->", "<!-- /results -->"


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is the heading."""
    head, *body = ("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


def write_between(file: Path, text: str) -> None:
    """Replace the text between the two marker lines of a file.

    Raises:
        RunError: the file does not hold each marker once, in order; or it cannot be read or written.
    """
    try:
        old = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise RunError(f"cannot read the file: {reason}", where=str(file), fix="name a Markdown file") from error
    lines = old.splitlines(keepends=True)
    begin, end = ([i for i, line in enumerate(lines) if line.strip() == marker] for marker in (BEGIN, END))
    if len(begin) != 1 or len(end) != 1 or begin[0] > end[0]:
        fix = f"put in a line {BEGIN} and below it a line {END}"
        raise RunError("there is no one place for the table", where=str(file), fix=fix)
    before, after = "".join(lines[: begin[0]]), "".join(lines[end[0] :])
    with writing(file, _ELSEWHERE, _ELSEWHERE):
        replace_file(file, f"{before}{BEGIN}\n{text}\n{after}".encode())


# All control characters but tab and line feed, and those that turn the direction of a line.
_ELSEWHERE = "choose a file that you can write to"
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """The text with every character that could move the cursor, colour or reorder a line written as its escape."""
    return _COMMANDS.sub(lambda match: ascii(match[0])[1:-1], text)
