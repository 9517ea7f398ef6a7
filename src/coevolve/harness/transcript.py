"""The text of an answer cut into what was said, the programs that were run and what they printed."""

from __future__ import annotations

from typing import NamedTuple

from coevolve.rollout.protocol import CLOSE_FENCE, OUTPUT_FENCE, called_code

_CODE_FENCE = "```python"


class Call(NamedTuple):
    """One program of an answer."""

    before: str  # what was said since the program before it
    code: str
    observation: str  # what the model was shown for it


class Transcript(NamedTuple):
    """An answer: its programs in order, and what was said after the last of them."""

    calls: tuple[Call, ...]
    last: str


def transcript(text: str) -> Transcript:
    """Cut a text at its fences.

    What a program printed holds no fence (``protocol.appended_observation``), so the next one closes it. An output
    fence that no program stands before, or that nothing closes, ends the search: what follows is text.
    """
    calls: list[Call] = []
    begin = 0
    while True:
        output = text.find(OUTPUT_FENCE, begin)
        close = text.find(CLOSE_FENCE, output + len(OUTPUT_FENCE))
        segment = text[begin : output + len(OUTPUT_FENCE)]
        code = called_code(segment) if 0 <= output < close else None
        if code is None:
            return Transcript(tuple(calls), text[begin:])
        before = segment[: segment.rindex(_CODE_FENCE)]
        observation = text[output + len(OUTPUT_FENCE) : close].removeprefix("\n").removesuffix("\n")
        calls.append(Call(before, code, observation))
        begin = close + len(CLOSE_FENCE)
        begin += text.startswith("\n", begin)
