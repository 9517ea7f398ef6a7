"""What a model is shown of a program that has ended: what it printed, what went wrong, and how it ended.

Pure functions of text. Nothing here decides anything: a program can write to stderr whatever it likes.
"""

from __future__ import annotations

import re

NOTHING_PRINTED = "(nothing was printed)"

# "Traceback (most recent call last):", in a group of exceptions behind a margin
_TRACEBACK = re.compile(r"(?P<margin>(?: *[+|] )?)(?:Exception Group )?Traceback \(most recent call last\):")
_PLACE_OF_A_SYNTAX_ERROR = re.compile(r' *(?:\| )? *File ".*", line \d+')  # others end in a function's name
_CONTEXT = "\n\nDuring handling of the above exception, another exception occurred:\n\n"
_WARNING = re.compile(r"\S.*?:\d+: \w*Warning: ?(?P<message>.*)|\w*Warning: (?P<hint>Enable tracemalloc to .*)")
_ERROR = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|Interrupt|SessionLost|SnippetTooLong)(?:: .*)?")


def observation(status: str, stdout: str, stderr: str) -> str:
    """Everything that was printed, then the messages: stderr without the frames of tracebacks, and without warnings
    unless they are all there is to show. A status other than ok is said, last, unless an error's own message says it.

    Args:
        status: "ok" or a failure.
        stdout: what the program printed.
        stderr: what it printed there, and the traceback of the exception that ended it.
    """
    lines = _last_states(stderr)
    messages = without_repetition("\n".join(without_frames(without_warnings(lines)))).strip("\n")
    printed = stdout.strip("\n")
    ending = _ending(status, lines)
    if not (printed or messages or ending):
        messages = "\n".join(lines).strip("\n")  # warnings
    return "\n".join(part for part in (printed, messages, ending) if part) or NOTHING_PRINTED


def _ending(status: str, lines: list[str]) -> str:
    """The line that says the status; empty where there is no need."""
    if status == "ok" or (status in ("error", "session_lost") and _tell_an_error(lines)):
        return ""
    return f"the program {'was not run' if status == 'session_lost' else 'ended'}: {status}"


def _tell_an_error(lines: list[str]) -> bool:
    """Whether there is a traceback, or the place of a syntax error, or the last line names an error."""
    last = next((line for line in reversed(lines) if line.strip()), "")
    told = any(_TRACEBACK.fullmatch(line) or _PLACE_OF_A_SYNTAX_ERROR.fullmatch(line) for line in lines)
    return told or _ERROR.fullmatch(last) is not None


def _last_states(text: str) -> list[str]:
    """The lines; of one that was written over and over (a progress bar), what was last to be seen."""
    return [next((part for part in reversed(line.split("\r")) if part.strip()), "") for line in text.split("\n")]


def without_frames(lines: list[str]) -> list[str]:
    """Leave out where in the program an exception was raised. What remains of a traceback is the exception: all lines
    of its message, its notes, its causes, the exceptions of a group, and the place of a syntax error."""
    kept: list[str] = []
    frames = None  # what each line of the frames begins with, while they last
    for line in lines:
        if found := _TRACEBACK.fullmatch(line):
            frames = found["margin"].replace("+", "|") + "  "
        elif frames is None or not line.startswith(frames) or _PLACE_OF_A_SYNTAX_ERROR.fullmatch(line):
            frames = None
            kept.append(line)
    return kept


def without_repetition(text: str) -> str:
    """Leave out an exception that the next one, raised while it was handled, repeats in its own message."""
    first, *others = text.split(_CONTEXT)
    for following in others:
        before, line_end, line = first.rpartition("\n")
        said = line.partition(": ")[2]
        if said and said in following.partition("\n")[0]:
            first = f"{before}{line_end}{following}"
        else:
            first += _CONTEXT + following
    return first


def without_warnings(lines: list[str]) -> list[str]:
    """Leave out warnings, each with the line of the program that stands below it."""
    kept: list[str] = []
    skip_to_source = False  # within a warning of several lines, the first of which is empty
    may_be_source = False  # right below a warning
    for line in lines:
        is_source = line.startswith("  ") and line[2:3].strip() != ""
        found = _WARNING.fullmatch(line)
        if found:
            skip_to_source, may_be_source = not (found["message"] or found["hint"]), True
        elif skip_to_source or (may_be_source and is_source):
            skip_to_source, may_be_source = skip_to_source and not is_source, False
        else:
            may_be_source = False
            kept.append(line)
    return kept
