"""Tables for Markdown files, and the one place in a file that a command writes to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coevolve.errors import RunError
from coevolve.runs.atomic import replace_file, writing

BEGIN, END = "<!-- results -->", "<!-- /results -->"


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """The first row is the heading."""
    head, *body = ("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


def write_between(file: Path, text: str) -> None:
    """Replace what stands between the two marker lines of a file.

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
    with writing(file, "choose a file that you can write to"):
        replace_file(file, f"{before}{BEGIN}\n{text}\n{after}".encode())
