"""What a client is shown of an answer: all of it or its last part, without stop strings, whole or as it grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from coevolve.harness.transcript import transcript
from coevolve.rollout.protocol import OUTPUT_FENCE
from coevolve.types import StopReason, Trajectory
from coevolve.worlds.base import Contract

Show = Literal["final", "all"]


def text_of(trajectory: Trajectory, contract: Contract, show: Show) -> str:
    """The text of a finished answer.

    Args:
        trajectory: the answer.
        contract: says where a text ends that goes on after its end, as those of base models do.
        show: all of it, with code and tool output, or what was written after the last tool output.
    """
    text = trajectory.text
    last = transcript(text).last if trajectory.tool_calls else text
    before = text[: len(text) - len(last)]
    if trajectory.stop in (StopReason.PROTOCOL, StopReason.TURNS):
        last = last.removesuffix(OUTPUT_FENCE)
    if trajectory.stop is StopReason.EOS:
        ended = contract.finished(trajectory.agent, last)
        last = last if ended is None or not last.startswith(ended) else ended
    return before + last if show == "all" else last


class Growing:
    """A text of which a client is told only what is certain: no part of a stop string, no white space at its ends.

    Args:
        stops: strings before the first of which the text ends.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self.told = ""
        self.cut = False  # a stop string has ended it

    def more(self, text: str, *, finished: bool) -> str:
        """What is told beyond what was told before.

        Args:
            text: all of it up to now.
            finished: it is complete.
        """
        certain = self._certain(text, finished).strip()
        if not certain.startswith(self.told):  # a token that needed the next one to be a letter
            return ""
        new = certain[len(self.told) :]
        self.told = certain
        return new

    def _certain(self, text: str, finished: bool) -> str:
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        self.cut = bool(found)
        if found:
            return text[: min(found)]
        if finished:
            return text
        begun = (k for stop in self._stops for k in range(1, len(stop)) if text.endswith(stop[:k]))
        return text[: len(text) - max(begun, default=0)].rstrip("\ufffd")
