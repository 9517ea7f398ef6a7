"""The one way in which everybody gets trajectories: curriculum scoring, pools, training and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from coevolve.engine.base import Snapshot as Snapshot  # what every call here takes
from coevolve.types import Task, Trajectory


@dataclass(frozen=True, slots=True)
class RolloutCost:
    """What rollouts have cost since the start of the process group; seconds are summed over workers."""

    sampled_tokens: int = 0
    tool_calls: int = 0
    sample_s: float = 0.0
    tool_s: float = 0.0
    cpu_s: float = 0.0  # of worker processes and sandboxes; what runs in the main process is not in it
    workers: int = 1
    answers_lost: int = 0  # to a failing sandbox
    shortages: int = 0  # times that memory ran out and a worker began its work again with fewer rows


class Rollouts(Protocol):
    """Turns prompts into trajectories under one contract. Equal seeds and weights give equal trajectories."""

    contract: str  # hash of prompts, fences, limits, sampling

    def solve(
        self,
        policy: Snapshot,
        tasks: Sequence[Task],
        samples: int,
        *,
        seed: int,
        greedy: bool = False,
        opening: str = "",
        first: int = 0,
    ) -> list[tuple[Trajectory, ...]]:
        """``samples`` answers to each task, with the tool.

        Args:
            opening: text forced at the start of each answer.
            first: place of the first task among all that are asked with this seed.
        """

    def write(self, policy: Snapshot, n: int, *, seed: int, first: int = 0) -> list[Trajectory]:
        """``n`` texts of the proposer, from its one prompt; ``first``: the place of the first among all of the seed."""

    def release_memory(self) -> None:
        """The trainer's turn: give back what memory can be had again when the next answers are asked for."""

    @property
    def cost(self) -> RolloutCost: ...

    def close(self) -> None: ...
