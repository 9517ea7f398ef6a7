"""Measures a policy on problems with known answers: suites, pools, and one control.

Every policy of every run is given the same problems: they depend on ``PROBLEM_SEED`` and ``evaluation.problem_set``
only, so that two policies, and two run seeds, can be compared problem by problem. The run's seed decides how answers
are sampled.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np

from coevolve import statistics
from coevolve.errors import SandboxInfraError
from coevolve.evaluation.scoring import score
from coevolve.evaluation.suites import (
    Answered,
    Measured,
    problem_rows,
    row_of_levels,
    row_of_suite,
    sampled_row,
    set_name,
    trajectories_by_set,
)
from coevolve.grading.equivalence import OWN_RULES, Judge
from coevolve.rollout.asking import solve
from coevolve.rollout.base import Rollouts, Snapshot
from coevolve.types import SOLVER, StopReason, Trajectory
from coevolve.worlds.base import SUITES, Problem, Suite

PROBLEM_SEED = 12_345
Asked = Callable[..., list[tuple[Trajectory, ...]]]  # tasks and samples, to answers by task
_ATTEMPTS = 2  # at a batch of which the sandbox loses answers


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One measurement of one policy."""

    row: dict[str, object]  # the numbers for metrics.jsonl; rates are fractions
    problems: list[dict[str, object]]  # one row per problem, for meter/evaluation-N.parquet
    trajectories: Mapping[str, tuple[Trajectory, ...]]  # by set; greedy answers of a set under "greedy-<set>"

    @property
    def questions(self) -> dict[str, str]:
        """The question of each task id in ``trajectories``."""
        return {str(row["task_id"]): str(row["question"]) for row in self.problems}


class PoolMeasure(NamedTuple):
    """How one policy does on a pool; NaN when the pool is empty."""

    pass_rate: float  # share of all answers that are right
    tool_calls: float  # executed calls per answer
    per_task: tuple[float, ...]  # share of right answers of each task, in the order of the tasks


def evaluate(
    rollouts: Rollouts,
    policy: Snapshot,
    suites: Sequence[Suite],
    *,
    seed: int,
    judge: Judge = OWN_RULES,
    agent: str = SOLVER,
) -> Evaluation:
    """Measure a policy on the suites of one part: a batch of sampled answers, and one of greedy answers.

    Args:
        suites: of one part. Those with different numbers of samples make batches of their own.
        seed: the run's seed. The same for every policy of a run: they share their random numbers as well.
        agent: whose policy it is.

    Returns:
        ``row`` holds what ``row_of_levels`` adds up, and the ``row_of_suite`` of every other suite under its key.
    """
    measured = _measure(partial(solve, rollouts, policy, agent=agent), suites, seed, judge)
    levels = [one for one in measured if one.suite.is_level]
    row = row_of_levels(levels) if levels else {}
    row |= {one.suite.key: row_of_suite(one) for one in measured if not one.suite.is_level}
    return _evaluation(row, measured)


def evaluate_pool(
    rollouts: Rollouts,
    policy: Snapshot,
    problems: Sequence[Problem],
    samples: int,
    seed: int,
    *,
    judge: Judge = OWN_RULES,
    agent: str = SOLVER,
) -> PoolMeasure:
    """How often a policy answers the tasks of a pool correctly, and with how many tool calls.

    One fixed policy on the pools of all iterations tells whether the tasks become harder. A task without a
    true answer is never answered correctly and stays in the denominator.

    Source: Agent0 (arXiv 2511.16043): pass rate of the first executor on each iteration's tasks. It is judged
    there by a larger model, here by the true answers.

    Args:
        samples: answers per task, at least 1.
        seed: the run's seed.
        agent: whose policy it is.
    """
    asked = partial(solve, rollouts, policy, agent=agent)
    scores = score(problems, _solve(asked, problems, samples, seed=_stream(seed, "pool")), judge=judge)
    rates = scores.rates
    return PoolMeasure(statistics.mean(rates), statistics.mean(scores.tool_calls), tuple(rates.tolist()))


def forced_fence_control(
    rollouts: Rollouts,
    policy: Snapshot,
    suites: Sequence[Suite],
    opening: str,
    *,
    seed: int,
    judge: Judge = OWN_RULES,
    agent: str = SOLVER,
) -> Evaluation:
    """mean@k on the problems of ``suites`` when every answer is made to begin with a tool call.

    On the base model this tells how much of an improvement is only the habit of using the tool.

    Args:
        opening: the text that commits an answer to a tool call, ``Contract.tool_opening`` of the world.
        agent: whose policy it is.
    """
    problems = {suite: suite.load() for suite in suites}
    asked = partial(solve, rollouts, policy, agent=agent, opening=opening)
    found = _ask(asked, problems, suites[0].samples, judge, seed=_stream(seed, "fence"))
    measured = [Measured(suite, problems[suite], answered) for suite, answered in found.items()]
    return _evaluation(sampled_row(measured), measured)


def _measure(asked: Asked, suites: Sequence[Suite], seed: int, judge: Judge) -> list[Measured]:
    problems = {suite: suite.load() for suite in suites}
    sampled: dict[Suite, Answered] = {}
    for purpose, samples in dict.fromkeys((_purpose(suite), suite.samples) for suite in suites if suite.samples):
        batch = {suite: x for suite, x in problems.items() if (_purpose(suite), suite.samples) == (purpose, samples)}
        sampled |= _ask(asked, batch, samples, judge, seed=_stream(seed, purpose))
    once = {suite: x for suite, x in problems.items() if suite.greedy}
    greedy = _ask(partial(asked, greedy=True), once, 1, judge, seed=_stream(seed, "greedy"))
    sampled |= {suite: answered for suite, answered in greedy.items() if not suite.samples}
    return [Measured(suite, x, sampled[suite], greedy.get(suite)) for suite, x in problems.items()]


def _purpose(suite: Suite) -> str:
    """What names the random numbers of a suite: its part; chosen suites do not depend on which others are chosen."""
    return set_name(suite) if suite.part == SUITES else suite.part.replace("_", "-")


def _evaluation(row: dict[str, object], measured: Sequence[Measured]) -> Evaluation:
    return Evaluation(row, [row for one in measured for row in problem_rows(one)], trajectories_by_set(measured))


def _ask(
    asked: Asked, problems: Mapping[Suite, Sequence[Problem]], samples: int, judge: Judge, *, seed: int
) -> dict[Suite, Answered]:
    """The problems of several suites, answered in one batch and scored by suite."""
    every = [problem for mine in problems.values() for problem in mine]
    groups = iter(_solve(asked, every, samples, seed=seed))
    answers = {suite: list(islice(groups, len(mine))) for suite, mine in problems.items()}
    return {suite: Answered(given, score(problems[suite], given, judge=judge)) for suite, given in answers.items()}


def _solve(asked: Asked, problems: Sequence[Problem], samples: int, *, seed: int) -> list[tuple[Trajectory, ...]]:
    """All answers to all problems.

    With equal seeds equal answers come back, so a batch of which the sandbox lost any is asked for once more, and the
    numbers are those of an unbroken run.

    Raises:
        SandboxInfraError: answers were lost again; they would count as wrong.
    """
    if not problems:
        return []
    tasks = [problem.task for problem in problems]
    lost = 0
    for _ in range(_ATTEMPTS):
        groups = asked(tasks, samples, seed=seed)
        lost = sum(answer.stop is StopReason.INFRASTRUCTURE for group in groups for answer in group)
        if not lost:
            return groups
    raise SandboxInfraError(
        f"the sandbox lost {lost} of {len(tasks) * samples} answers of a measurement, {_ATTEMPTS} times",
        fix="go on with `coevolve resume`; when it happens again, see `coevolve sandbox check`",
    )


def _stream(seed: int, purpose: str) -> int:
    """A seed of its own for each purpose, so that no two measurements of a run share their random numbers."""
    return int(np.random.SeedSequence([seed, zlib.crc32(purpose.encode())]).generate_state(1)[0])
