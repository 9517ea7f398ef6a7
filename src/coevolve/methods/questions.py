"""From a proposer's texts to tasks: parsing and the format gate, which computes no answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coevolve.grading.extract import last_boxed
from coevolve.rollout.protocol import written_question
from coevolve.types import Origin, Role, StopReason, Task, Trajectory
from coevolve.worlds.base import World


@dataclass(frozen=True, slots=True)
class Written:
    """What the proposer wrote, and the task it is when it passes the format gate."""

    trajectory: Trajectory
    question: str  # empty when there is none
    task: Task | None


def read_questions(
    world: World, texts: Sequence[Trajectory], *, method: str, iteration: int, prefix: str
) -> list[Written]:
    """Parse and check every text; ``prefix`` makes the task ids unique within a run."""
    opening = world.contract.proposer_prompt()
    out = []
    for i, trajectory in enumerate(texts):
        question = written_question(opening + trajectory.text) if trajectory.stop is StopReason.EOS else None
        task = None
        if question is not None and world.is_well_formed(question):
            origin = Origin(method, Role.PROPOSER, iteration)
            task = Task(f"{prefix}-{i:04d}", (question,), "chain", origin, last_boxed(trajectory.text))
        out.append(Written(trajectory, question or "", task))
    return out


def answers_of(trajectories: Sequence[Trajectory]) -> list[str | None]:
    """The answers that vote on a task: not those that the sandbox lost, unless it lost them all."""
    return [x.answer for x in trajectories if not x.lost] or [None] * len(trajectories)
