"""Measures a policy on problems with known answers: held-out levels, transfer sets, pools, and one control.

Every policy of every run meets the same problems: they depend on ``PROBLEM_SEED`` only, so that two policies,
and two run seeds, can be compared problem by problem. The run's seed decides how answers are sampled.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from coevolve import statistics
from coevolve.config import EvaluationSection
from coevolve.errors import SandboxInfraError
from coevolve.evaluation.scoring import Problem, Scores, score
from coevolve.grading.equivalence import OWN_RULES, Judge
from coevolve.rollout.asking import solve
from coevolve.rollout.base import Rollouts, Snapshot
from coevolve.types import StopReason, Task, Trajectory
from coevolve.worlds.base import Meter

PROBLEM_SEED = 12_345
_ATTEMPTS = 2  # at a batch of answers of which the sandbox lost some


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


def evaluate_held_out(
    rollouts: Rollouts,
    meter: Meter,
    policy: Snapshot,
    config: EvaluationSection,
    *,
    seed: int,
    judge: Judge = OWN_RULES,
) -> Evaluation:
    """mean@k, maj@k and greedy accuracy on all levels: one batch of sampled answers, one of greedy answers.

    Args:
        seed: the run's seed. The same for every policy of a run: they share their random numbers as well.

    Returns:
        ``row`` holds mean_at_8 and maj_at_8 (the names stay, ``k`` says how many answers there were), greedy,
        tool_calls, n, ci95 (of mean@k), and per level: by_level (mean@k), greedy_by_level,
        tool_calls_by_level.
    """
    problems = _held_out(meter, config)
    sampled = _solve(rollouts, policy, problems, config.samples, seed=_stream(seed, "held-out"))
    greedy = _solve(rollouts, policy, problems, 1, seed=_stream(seed, "greedy"), greedy=True)
    scores = _score(problems, sampled, judge)
    greedy_scores = _score(problems, greedy, judge)
    levels = [problem.set.removeprefix("level-") for problem in problems]
    row = _sampled_row(scores, config.samples) | {
        "maj_at_8": statistics.mean(scores.majority_right),
        "greedy": statistics.mean(greedy_scores.right),
        "by_level": statistics.mean_by(scores.rates, levels),
        "greedy_by_level": statistics.mean_by(greedy_scores.rates, levels),
        "tool_calls_by_level": statistics.mean_by(scores.tool_calls, levels),
    }
    trajectories = _by_set(problems, sampled) | _by_set(problems, greedy, prefix="greedy-")
    return Evaluation(row, _problem_rows(problems, scores, greedy_scores), trajectories)


def evaluate_transfer(
    rollouts: Rollouts,
    meter: Meter,
    policy: Snapshot,
    config: EvaluationSection,
    *,
    seed: int,
    judge: Judge = OWN_RULES,
) -> Evaluation:
    """mean@k on problems unlike those the base model was raised on, dialogues among them, all sets in one batch.

    Returns:
        ``row`` is {name: {"mean", "n", "k", "ci95"}}, empty when the configuration asks for no transfer
        problems.
    """
    n = config.transfer_per_set
    sets = meter.transfer_sets(n, PROBLEM_SEED) if n else {}
    sets |= meter.dialogues(config.dialogues, PROBLEM_SEED) if config.dialogues else {}
    problems = [Problem(f"transfer-{name}", task, meter.truth(task)) for name, tasks in sets.items() for task in tasks]
    sampled = _solve(rollouts, policy, problems, config.transfer_samples, seed=_stream(seed, "transfer"))
    scores = _score(problems, sampled, judge)
    row: dict[str, object] = {}
    for name in sets:
        members = np.array([problem.set == f"transfer-{name}" for problem in problems], dtype=np.bool_)
        found = statistics.estimate(scores.rates[members])
        row[name] = {"mean": found.mean, "n": found.n, "k": config.transfer_samples, "ci95": found.ci95}
    return Evaluation(row, _problem_rows(problems, scores), _by_set(problems, sampled))


def evaluate_pool(
    rollouts: Rollouts,
    meter: Meter,
    policy: Snapshot,
    tasks: Sequence[Task],
    samples: int,
    seed: int,
    *,
    judge: Judge = OWN_RULES,
) -> PoolMeasure:
    """How often a policy answers the tasks of a pool rightly, and with how many tool calls.

    One fixed policy on the pools of all iterations tells whether the tasks become harder. A task without a
    true answer is never answered rightly and stays in the denominator.

    Source: Agent0 (arXiv 2511.16043): pass rate of the first executor on each iteration's tasks. It is judged
    there by a larger model, here by the true answers.

    Args:
        samples: answers per task, at least 1.
        seed: the run's seed.
    """
    problems = [Problem("pool", task, meter.truth(task)) for task in tasks]
    scores = _score(problems, _solve(rollouts, policy, problems, samples, seed=_stream(seed, "pool")), judge)
    rates = scores.rates
    return PoolMeasure(statistics.mean(rates), statistics.mean(scores.tool_calls), tuple(rates.tolist()))


def forced_fence_control(
    rollouts: Rollouts,
    meter: Meter,
    policy: Snapshot,
    config: EvaluationSection,
    opening: str,
    *,
    seed: int,
    judge: Judge = OWN_RULES,
) -> Evaluation:
    """mean@k on the held-out problems when every answer is made to begin with a tool call.

    On the base model this tells how much of an improvement is only the habit of using the tool.

    Args:
        opening: the text that commits an answer to a tool call, ``Contract.tool_opening`` of the world.
    """
    problems = _held_out(meter, config)
    sampled = _solve(rollouts, policy, problems, config.samples, seed=_stream(seed, "fence"), opening=opening)
    scores = _score(problems, sampled, judge)
    row = _sampled_row(scores, config.samples)
    return Evaluation(row, _problem_rows(problems, scores), _by_set(problems, sampled))


def _held_out(meter: Meter, config: EvaluationSection) -> list[Problem]:
    return [
        Problem(f"level-{level}", task, meter.truth(task))
        for level in range(1, config.levels + 1)
        for task in meter.held_out(level, config.per_level, PROBLEM_SEED)
    ]


def _solve(
    rollouts: Rollouts,
    policy: Snapshot,
    problems: Sequence[Problem],
    samples: int,
    *,
    seed: int,
    greedy: bool = False,
    opening: str = "",
) -> list[tuple[Trajectory, ...]]:
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
        groups = solve(rollouts, policy, tasks, samples, seed=seed, greedy=greedy, opening=opening)
        lost = sum(answer.stop is StopReason.INFRASTRUCTURE for group in groups for answer in group)
        if not lost:
            return groups
    raise SandboxInfraError(
        f"the sandbox lost {lost} of {len(tasks) * samples} answers of a measurement, {_ATTEMPTS} times",
        fix="go on with `coevolve resume`; when it happens again, see `coevolve sandbox check`",
    )


def _score(problems: Sequence[Problem], groups: Sequence[tuple[Trajectory, ...]], judge: Judge) -> Scores:
    return score([problem.truth for problem in problems], groups, judge=judge)


def _stream(seed: int, purpose: str) -> int:
    """A seed of its own for each purpose, so that no two measurements of a run share their random numbers."""
    return int(np.random.SeedSequence([seed, zlib.crc32(purpose.encode())]).generate_state(1)[0])


def _sampled_row(scores: Scores, k: int) -> dict[str, object]:
    found = statistics.estimate(scores.rates)
    return {
        "mean_at_8": found.mean,
        "tool_calls": statistics.mean(scores.tool_calls),
        "n": found.n,
        "k": k,
        "ci95": found.ci95,
    }


def _problem_rows(problems: Sequence[Problem], scores: Scores, greedy: Scores | None = None) -> list[dict[str, object]]:
    return [
        {
            "set": problem.set,
            "task_id": problem.task.id,
            "question": problem.task.question,
            "truth": problem.truth,
            "samples_right": int(scores.right[i].sum()),
            "k": scores.right.shape[1],
            "majority": scores.majority[i],
            "majority_right": bool(scores.majority_right[i]),
            "greedy_right": bool(greedy.right[i, 0]) if greedy is not None else None,
            "tool_calls": float(scores.tool_calls[i]),
        }
        for i, problem in enumerate(problems)
    ]


def _by_set(
    problems: Sequence[Problem], groups: Sequence[tuple[Trajectory, ...]], prefix: str = ""
) -> dict[str, tuple[Trajectory, ...]]:
    sets: dict[str, list[Trajectory]] = {}
    for problem, group in zip(problems, groups, strict=True):
        sets.setdefault(prefix + problem.set, []).extend(group)
    return {name: tuple(trajectories) for name, trajectories in sets.items()}
