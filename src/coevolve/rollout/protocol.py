"""What the text of an agent means: fences, boxes and questions. Pure functions of text."""

from __future__ import annotations

import re

OUTPUT_FENCE = "```output"
CLOSE_FENCE = "```"
END_OF_PROGRAM = "\n```"  # closes a program; other fences begin like that too

# A closed code block, then nothing but white space until the output fence at the very end.
_CALL = re.compile(r"```python[ \t]*\n(?P<code>(?:(?!```).)*?)\n?```[ \t]*\s*```output\s*\Z", re.DOTALL)
# The same as soon as it is closed, with whatever white space came in the token that closed it.
_CLOSED = re.compile(r"```python[ \t]*\n(?P<code>(?:(?!```).)*?)\n```\s*\Z", re.DOTALL)
_PROGRAM = re.compile(r"```python[ \t]*\n(?P<code>(?:(?!```).)*?)\n?```", re.DOTALL)
_QUESTION = re.compile(r"<question>(?P<text>(?:(?!</?question>).)*)</question>", re.DOTALL)


def called_code(segment: str) -> str | None:
    """The code block that a segment of model text hands to the tool, or None when its output fence is forged.

    Args:
        segment: what the policy wrote since the last observation, up to and including an output fence.
    """
    match = _CALL.search(segment)
    # An empty block is no call: running nothing must not earn a tool reward.
    return match["code"] if match and match["code"].strip() else None


def closed_program(segment: str) -> str | None:
    """The program that the end of a segment has just closed, or None where it closed none."""
    match = _CLOSED.search(segment)
    return match["code"] if match and match["code"].strip() else None


def closed_programs(text: str) -> int:
    """How many programs were begun and closed in a text, whether they were run or not; empty ones are none."""
    return sum(bool(match["code"].strip()) for match in _PROGRAM.finditer(text))


def written_question(text: str) -> str | None:
    """The last complete question in a proposer's text, stripped; None when there is none or it holds a fence."""
    found = _QUESTION.findall(text)
    question = found[-1].strip() if found else ""
    return question if question and CLOSE_FENCE not in question else None


def after_last_output(text: str) -> str:
    """What a policy wrote after the last tool result that it was shown; all of a text that has none.

    Printed text can hold no fence (:func:`appended_observation`), so the first one after an output fence closes it.
    """
    before, found, after = text.rpartition(OUTPUT_FENCE)
    return after.partition(CLOSE_FENCE)[2] if found else before + after


def appended_observation(segment: str, observation: str) -> str:
    """What follows an output fence: the observation on lines of its own and the closing fence.

    A fence inside the observation is defused, so that printed text can never close the block it stands in.

    Args:
        segment: what the policy wrote; where it ends in a closed program instead, the output fence is put there too.
        observation: of that program.
    """
    lead = "" if segment.endswith("\n") else "\n"
    fence = "" if OUTPUT_FENCE in segment else f"{OUTPUT_FENCE}\n"
    safe = observation.replace(CLOSE_FENCE, "'''")
    return f"{lead}{fence}{safe}\n{CLOSE_FENCE}\n"
