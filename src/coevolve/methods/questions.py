"""From a proposer's texts to tasks: parsing and the format gate, which computes no answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coevolve.curriculum.checks import refuses
from coevolve.grading.extract import last_boxed
from coevolve.rollout.protocol import after_last_output, written_question
from coevolve.types import Origin, StopReason, Task, Trajectory
from coevolve.worlds.base import NO_CONTEXT, PromptContext, World


@dataclass(frozen=True, slots=True)
class Written:
    """What the proposer wrote, and the task it is when it passes the format gate."""

    trajectory: Trajectory
    question: str  # empty when there is none
    task: Task | None
    asked: PromptContext = NO_CONTEXT  # the topic and level that it was asked for


def read_questions(
    world: World,
    texts: Sequence[Trajectory],
    origin: Origin,
    prefix: str,
    *,
    asked: Sequence[PromptContext],
    turns: int = 1,
    own_answer: bool = False,
) -> list[Written]:
    """Parse and check every text.

    A question stands after the last tool result of a writer that has the tool: what a program prints is not written.

    Args:
        origin: of the tasks.
        prefix: makes the task ids unique within a run.
        asked: what each text was asked for, with the first words of its question.
        turns: user turns that a task may have.
        own_answer: a question without the writer's own boxed answer is malformed.
    """
    opening = world.contract.proposer_opening
    out = []
    for i, (trajectory, context) in enumerate(zip(texts, asked, strict=True)):
        text = after_last_output(opening + context.opening + trajectory.text)
        question = written_question(text) if trajectory.stop is StopReason.EOS else None
        task = None
        own = last_boxed(text)
        answered = own is not None or not own_answer
        if question is not None and answered and world.is_well_formed(question):
            task = task_of(world, origin, f"{prefix}-{i:04d}", question, turns, own)
        out.append(Written(trajectory, question or "", task, context))
    return out


def task_of(
    world: World, origin: Origin, id: str, question: str, turns: int = 1, own_answer: str | None = None
) -> Task:
    """The task of a well-formed question: a dialogue where it may have several turns and can be cut into them."""
    asked = world.user_turns(question, turns)
    written = question if len(asked) > 1 else None
    return Task(id, asked, "dialogue" if written else "chain", origin, own_answer, written)


def answers_of(
    trajectories: Sequence[Trajectory], *, count_missing: bool = True, refusal: str = ""
) -> list[str | None]:
    """The answers that vote on a task: not those that the sandbox lost, unless it lost them all.

    Args:
        count_missing: keep a missing answer, which is no vote, in the denominator of p_hat; without it only a task
            that nobody answered keeps them.
        refusal: what an answer says that calls the question unanswerable: it is no vote and stays in the denominator.
    """
    heard = [x.answer for x in trajectories if not x.lost and (count_missing or x.answer is not None)]
    voting = [None if refuses(answer, refusal) else answer for answer in heard]
    return voting or [None] * len(trajectories)


def refusal_of(world: World) -> str:
    """What the world's prompts let a solver box instead of an answer; empty where they know no such words."""
    return str(getattr(world.contract, "refusal", ""))  # a contract of one's own may be older than this
