"""Tasks to answer and texts to write, as episodes: what methods and evaluation ask of a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from coevolve.config.acting import Distribution, Use
from coevolve.engine.base import Sampling
from coevolve.grading.refused import Refusing
from coevolve.rollout.base import Episode, Rollouts, RolloutSettings, Seat, Snapshot
from coevolve.rollout.environments import DialogueSpec, EnvironmentSpec, ToolSpec, WritingSpec
from coevolve.rollout.refusing import RefusingSpec
from coevolve.rollout.seeds import seed_of
from coevolve.types import PROPOSER, SOLVER, Task, Trajectory
from coevolve.worlds.base import NO_CONTEXT, PromptContext


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
    context: PromptContext = NO_CONTEXT,
    use: Use | None = None,
) -> list[Trajectory]:
    """``n`` texts of the proposer, all after the one prompt that it has in this context; ``use`` as in ``solve``."""
    settings = rollouts.settings
    seat = Seat(PROPOSER, settings.contract.prompt(PROPOSER, context))
    place = _text(settings, PROPOSER)
    sampling = _sampling(settings.sampling.of(PROPOSER, use), settings.sampling.question_tokens)
    episodes = [Episode(f"q{i}", 0, (seat,), place, sampling, seed_of(seed, i, 0)) for i in range(n)]
    return [only for (only,) in rollouts.play({PROPOSER: policy}, episodes)]


def answer_episode(
    settings: RolloutSettings, seat: Seat, task: Task, sample: int, seed: int, drawn: Distribution
) -> Episode:
    """One answer to a task, with the tool where the seat's agent has it.

    Args:
        settings: of the rollouts that will play it.
        seat: who answers, and what its answer is made to begin with; its prompt is filled in.
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
    sampling = _sampling(drawn, settings.sampling.max_tokens)
    return Episode(task.id, sample, (replace(seat, prompt=prompt),), place, sampling, seed)


def _sampling(drawn: Distribution, max_tokens: int) -> Sampling:
    return Sampling(drawn.temperature, drawn.top_p, drawn.top_k, max_tokens)


def _answer(settings: RolloutSettings, agent: str, question: str) -> EnvironmentSpec:
    """The environment of an answer to one user turn."""
    place, refusing = _text(settings, agent), Refusing.of(settings.grading)
    return RefusingSpec(place, question, refusing) if refusing else place


def _text(settings: RolloutSettings, agent: str) -> EnvironmentSpec:
    return ToolSpec(agent, settings.tool.max_turns) if agent in settings.tool_users else WritingSpec(agent)
