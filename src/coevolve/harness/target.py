"""What is measured: anything that answers problems with texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from coevolve.worlds.base import Problem


class Place(NamedTuple):
    """One answer that is wanted: of which problem, and which of its samples."""

    problem: int  # index within the suite
    sample: int  # 0, 1, ...; of a greedy answer -1

    @property
    def greedy(self) -> bool:
        """Whether it is the greedy answer."""
        return self.sample < 0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a target.

    ``fault`` says what went wrong where nothing was answered: a lost sandbox, a server that stalled or sent garbage.
    Such an answer is not a wrong one: it is asked for again, and counted apart if it stays lost.
    """

    text: str  # everything that was written, observations of the tool included
    answer: str | None  # as the target itself reads it (the last box of a finished answer); None: none
    stop: str  # a StopReason, or what the endpoint said
    tokens: int = 0  # that the policy sampled
    tool_calls: int = 0
    tool_timeouts: int = 0
    wall_s: float = 0.0  # of the answer itself, without waiting in a queue, where this is known
    fault: str = ""
    said: str | None = None  # what the model itself wrote, where ``text`` holds more; None: all of it
    more: bool = False  # others that were made together with it follow at once: no time to take the pace from


class Target(Protocol):
    """A model that answers. Opening and closing it are the business of whoever made it."""

    @property
    def name(self) -> str:
        """On screen and in tables: "runs/x@3", "Qwen3-4B-Base", "gpt-x at http://..."."""

    @property
    def facts(self) -> Mapping[str, object]:
        """All that decides what it answers: weights, contract, sampling. With other facts nothing is resumed."""

    def answer(self, problems: Sequence[Problem], places: Sequence[Place], seed: int) -> Iterator[tuple[Place, Reply]]:
        """The answers, as they become known and in any order, each once.

        With equal seeds an answer depends on its place and problem alone, not on which others are asked with it, as
        far as the target can give that.

        Raises:
            CoevolveError: nothing more can be answered; what was yielded before stays good.
        """

    def close(self) -> None: ...


Progress = Callable[[int, int], None]  # answers known so far, of how many
