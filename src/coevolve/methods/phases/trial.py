"""The first look at a model, before anything is trained: can its texts be read, run and voted on?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coevolve.curriculum.voting import pool_votes
from coevolve.engine.vocabulary import read_vocabulary
from coevolve.grading.equivalence import Judge
from coevolve.methods.config import CoevolutionState as State
from coevolve.methods.counting import count_answers, count_texts
from coevolve.methods.obstacles import Counts, Obstacle, obstacles
from coevolve.methods.phases.trial_report import obstacle_facts, trial_facts, trial_report
from coevolve.methods.questions import Written, answers_of, read_questions
from coevolve.methods.reporting import PhaseCost
from coevolve.methods.setup import Setup
from coevolve.rollout.asking import solve, subjects, write
from coevolve.rollout.base import Rollouts, Snapshot
from coevolve.rollout.seeds import seed_of
from coevolve.types import SOLVER, Group, Task
from coevolve.worlds.base import Contract, World
from coevolve.worlds.open.prompting import prompt_file
from coevolve.worlds.registry import world_named

VOTES = 4  # answers to each question
_TEXTS_PER_QUESTION = 4  # so that there are about as many answers to own questions as texts


@dataclass(frozen=True, slots=True)
class FirstLook:
    """The texts of a first look, and what was counted in them.

    Args:
        own: the proposer's questions that were answered, with their votes.
        plain: plain questions of several kinds, with theirs.
        setup: of the run, with what its prompts say of themselves.
        ends: the end tokens of the model.
    """

    written: Sequence[Written]
    own: Sequence[Group]
    plain: Sequence[Group]
    counts: Counts
    obstacles: Sequence[Obstacle]
    setup: Setup
    ends: frozenset[int]


class Trial:
    """Some questions are written and some are answered, with the base model in both roles. Trains nothing."""

    by_steps = False
    steps = 1
    iteration = 0
    report = trial_report()

    def cost(self, config: Any) -> PhaseCost:
        """As many texts as ``health.trial`` says, about as many answers, and those to the plain questions."""
        texts = config.health.trial
        prompts = _own_questions(texts) + len(plain_questions(config.world))
        return PhaseCost(texts, VOTES * prompts, prompts)

    def run(self, state: State) -> list[Path]:
        """Leaves what was counted and what does not work; whoever drives the run decides by it whether to go on."""
        policy = state.checkpoints.weights(SOLVER, 0)
        look = first_look(state.rollouts, policy, state.world, state.config.setup, state.judge)
        state.store.log(trial_facts(look.counts))
        if look.obstacles:
            state.store.log(obstacle_facts(look.obstacles))
        for obstacle in look.obstacles:
            state.progress.note(obstacle.advice)
        state.progress.step(1, {})
        return []


def first_look(rollouts: Rollouts, policy: Snapshot, world: World, setup: Setup, judge: Judge) -> FirstLook:
    """Write and answer as the phases of a run do, with random numbers of its own.

    Args:
        rollouts: of both agents.
        policy: the base model.
        world: of the run.
        setup: of the run.
        judge: makes the votes.
    """
    contract, ends, seed = world.contract, read_vocabulary(world.base_model()).ends, seed_of(setup.seed, "trial")
    asked = subjects(contract, setup.texts, seed=seed)
    written = read_questions(
        world,
        write(rollouts, policy, setup.texts, seed=seed, context=asked),
        setup.origin,
        "trial",
        asked=asked,
        turns=setup.turns,
        own_answer=setup.own_answer,
    )
    first = {w.question: w.task for w in reversed(written) if w.task is not None}
    own = [w.task for w in written if w.task is not None and first[w.question] is w.task][: _own_questions(setup.texts)]
    plain = [
        Task(f"plain-{n}", (question,), "plain", setup.origin)
        for n, question in enumerate(plain_questions(setup.world))
    ]
    answers = solve(rollouts, policy, [*own, *plain], VOTES, seed=seed_of(seed, "answers"))
    groups = [
        Group(task, group, pool_votes([answers_of(group)], judge=judge))
        for task, group in zip([*own, *plain], answers, strict=True)
    ]
    counts = Counts(
        count_texts(written, contract.proposer_opening, ends),
        count_answers(groups, ends),
        VOTES,
        own=tuple(group.vote.p_hat for group in groups[: len(own)]),
        plain=tuple(group.vote.p_hat for group in groups[len(own) :]),
    )
    setup = _with_prompts(setup, contract)
    return FirstLook(written, groups[: len(own)], groups[len(own) :], counts, obstacles(counts, setup), setup, ends)


def plain_questions(world: str) -> tuple[str, ...]:
    """Simple questions of several kinds in the language of a world."""
    entry = world_named(world)
    return entry.plain or (entry.example,)


def _own_questions(texts: int) -> int:
    return max(texts // _TEXTS_PER_QUESTION, 1)


def _with_prompts(setup: Setup, contract: Contract) -> Setup:
    """What the prompts say of themselves."""
    shown = prompt_file(setup.prompts).proposer if setup.prompts else None
    led = shown is not None and bool(shown.examples or shown.opening)
    return replace(setup, chat="-chat-" in contract.name, led=led)
