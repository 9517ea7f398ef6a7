"""Tasks to answer and texts to write, as episodes: what methods and evaluation ask of a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from coevolve.config.acting import Distribution, Use
from coevolve.engine.base import Sampling
from coevolve.grading.refused import Refusing
from coevolve.rollout.base import Episode, Rollouts, RolloutSettings, Seat, Snapshot
from coevolve.rollout.environments import DialogueSpec, EnvironmentSpec, ToolSpec, WritingSpec
from coevolve.rollout.refusing import RefusingSpec
from coevolve.rollout.seeds import seed_of
from coevolve.types import PROPOSER, SOLVER, Ban, Task, Trajectory
from coevolve.worlds.base import NO_CONTEXT, Contract, PromptContext


def solve(
    rollouts: Rollouts,
    policy: Snapshot,
    tasks: Sequence[Task],
    samples: int,
    *,
    seed: int,
    greedy: bool = False,
    opening: str = "",
    agent: str = SOLVER,
    use: Use | None = None,
) -> list[tuple[Trajectory, ...]]:
    """``samples`` answers to each task, with the tool.

    Args:
        rollouts: where they are made.
        policy: who answers.
        tasks: in an order that counts: the random numbers of an answer depend on its place.
        samples: answers per task.
        seed: of all random numbers.
        greedy: decode at temperature 0.
        opening: text forced at the start of each answer.
        agent: whose policy it is.
        use: what the answers are for, where nobody is trained on them and ``sampling`` has keys for it.
    """
    drawn = rollouts.settings.sampling.of(agent, use)
    drawn = Distribution(temperature=0.0) if greedy else drawn
    episodes = [
        answer_episode(rollouts.settings, Seat(agent, None, opening), task, k, seed_of(seed, n, k), drawn)
        for n, task in enumerate(tasks)
        for k in range(samples)
    ]
    flat = [only for (only,) in rollouts.play({agent: policy}, episodes)]
    return [tuple(flat[i : i + samples]) for i in range(0, len(flat), samples)]


def write(
    rollouts: Rollouts,
    policy: Snapshot,
    n: int,
    *,
    seed: int,
    context: PromptContext | Sequence[PromptContext] = NO_CONTEXT,
    use: Use | None = None,
    bans: Sequence[Ban | None] = (),
) -> list[Trajectory]:
    """``n`` texts of the proposer.

    Args:
        rollouts, policy, seed, use: as in ``solve``.
        n: how many.
        context: what the prompts of all of them depend on, or one for each text.
        bans: of each text, tokens that may not be drawn; none: nothing is banned.
    """
    settings = rollouts.settings
    contexts = [context] * n if isinstance(context, PromptContext) else context
    prompts = {one: settings.contract.prompt(PROPOSER, one) for one in dict.fromkeys(contexts)}
    place = _text(settings, PROPOSER)
    sampling = _sampling(settings.sampling.of(PROPOSER, use), settings.sampling.question_tokens)
    episodes = [
        Episode(f"q{i}", 0, (Seat(PROPOSER, prompts[one]),), place, replace(sampling, banned=ban), seed_of(seed, i, 0))
        for i, (one, ban) in enumerate(zip(contexts, bans or [None] * n, strict=True))
    ]
    return [only for (only,) in rollouts.play({PROPOSER: policy}, episodes)]


def subjects(contract: Contract, n: int, *, seed: int, group_size: int = 1) -> list[PromptContext]:
    """What ``n`` texts of the proposer are asked for: topics and levels in turn, each round in an order of its own, and
    of the openings of its topic one at random.

    Args:
        contract: has the topics and levels; without any the contexts are empty.
        n: how many texts.
        seed: of the orders.
        group_size: texts in a row that share a prompt, so that they differ by luck alone; where one group is the whole
            batch, its texts do not share it: the batch would be of one topic.
    """
    size = group_size if group_size < n else 1
    groups = -(-n // size)
    topics = _in_turn(contract.topics, groups, seed_of(seed, "topics"))
    levels = _in_turn(contract.levels, groups, seed_of(seed, "levels"))
    drawn = np.random.default_rng(seed_of(seed, "openings"))
    contexts = []
    for topic, level in zip(topics, levels, strict=True):
        openings = contract.openings.get(topic, ())
        opening = openings[int(drawn.integers(len(openings)))] if openings else ""
        contexts.append(PromptContext(topic=topic, level=level, opening=opening))
    return [contexts[i // size] for i in range(n)]


def _in_turn(names: Sequence[str], n: int, seed: int) -> list[str]:
    """``n`` names: all of them, shuffled, then all of them in another order, and so on; empty where there are none."""
    generator, found = np.random.default_rng(seed), list[str]()
    while len(found) < n:
        found += [names[i] for i in generator.permutation(len(names))] or [""] * n
    return found[:n]


def answer_episode(
    settings: RolloutSettings, seat: Seat, task: Task, sample: int, seed: int, drawn: Distribution
) -> Episode:
    """One answer to a task, with the tool where the seat's agent has it.

    Args:
        settings: of the rollouts that will play it.
        seat: who answers, and what its answer is made to begin with, where that is not for the contract to say; its
            prompt is filled in.
        task: what is asked.
        sample: index among the answers to the task.
        seed: of its random numbers.
        drawn: what tokens are drawn from.
    """
    first, *more = task.turns
    place, *later = [_answer(settings, seat.agent, turn) for turn in task.turns]
    if more:
        all_turns = settings.dialogue.judged == "all"
        place = DialogueSpec(place, tuple(more), all_turns, () if all(x == place for x in later) else tuple(later))
    prompt = settings.contract.prompt(seat.agent, PromptContext(first, kind=task.kind))
    opening = seat.opening or settings.contract.opening(seat.agent)
    sampling = _sampling(drawn, settings.sampling.max_tokens)
    return Episode(task.id, sample, (replace(seat, prompt=prompt, opening=opening),), place, sampling, seed)


def _sampling(drawn: Distribution, max_tokens: int) -> Sampling:
    return Sampling(drawn.temperature, drawn.top_p, drawn.top_k, max_tokens)


def _answer(settings: RolloutSettings, agent: str, question: str) -> EnvironmentSpec:
    """The environment of an answer to one user turn."""
    place, refusing = _text(settings, agent), Refusing.of(settings.grading)
    return RefusingSpec(place, question, refusing) if refusing else place


def _text(settings: RolloutSettings, agent: str) -> EnvironmentSpec:
    if agent not in settings.tool_users:
        return WritingSpec(agent)
    tool = settings.tool
    return ToolSpec(agent, tool.max_turns, at_fence=tool.call_at == "fence", echo=tool.echo == "last")
