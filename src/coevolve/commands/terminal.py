"""Text of models and snippets on a person's terminal: letters, never commands to the terminal."""

from __future__ import annotations

import re

# All control characters but tab and line feed, and those that turn the direction of a line.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """The text with every character that could move the cursor, colour or reorder a line written as its escape."""
    return _COMMANDS.sub(lambda match: ascii(match[0])[1:-1], text)
