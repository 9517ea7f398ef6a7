"""From a proposer's texts to tasks: parsing and the format gate, which computes no answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coevolve.config import Config
from coevolve.grading.extract import last_boxed
from coevolve.methods.config import CoevolutionConfig
from coevolve.rollout.protocol import after_last_output, written_question
from coevolve.types import PROPOSER, Origin, StopReason, Task, Trajectory
from coevolve.worlds.base import World


@dataclass(frozen=True, slots=True)
class Written:
    """What the proposer wrote, and the task it is when it passes the format gate."""

    trajectory: Trajectory
    question: str  # empty when there is none
    task: Task | None


def read_questions(
    world: World, texts: Sequence[Trajectory], config: CoevolutionConfig, *, iteration: int, prefix: str
) -> list[Written]:
    """Parse and check every text; ``prefix`` makes the task ids unique within a run.

    A question stands after the last tool result of a writer that has the tool: what a program prints is not written.
    """
    opening = world.contract.proposer_opening
    out = []
    for i, trajectory in enumerate(texts):
        text = after_last_output(opening + trajectory.text)
        question = written_question(text) if trajectory.stop is StopReason.EOS else None
        task = None
        own = last_boxed(text)
        answered = own is not None or not config.proposer.own_answer
        if question is not None and answered and world.is_well_formed(question):
            task = task_of(world, config, f"{prefix}-{i:04d}", question, iteration, own)
        out.append(Written(trajectory, question or "", task))
    return out


def task_of(
    world: World, config: Config, id: str, question: str, iteration: int, own_answer: str | None = None
) -> Task:
    """The task of a well-formed question: a dialogue where the configuration has them and the question can be one."""
    turns = world.user_turns(question, config.dialogue.turns)
    origin = Origin(config.method, PROPOSER, iteration)
    written = question if len(turns) > 1 else None
    return Task(id, turns, "dialogue" if written else "chain", origin, own_answer, written)


def answers_of(trajectories: Sequence[Trajectory], *, count_missing: bool = True) -> list[str | None]:
    """The answers that vote on a task: not those that the sandbox lost, unless it lost them all.

    Args:
        count_missing: keep a missing answer, which is no vote, in the denominator of p_hat; without it only a task
            that nobody answered keeps them.
    """
    heard = [x.answer for x in trajectories if not x.lost and (count_missing or x.answer is not None)]
    return heard or [None] * len(trajectories)
