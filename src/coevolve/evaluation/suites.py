"""What evaluations are called on disk, and the numbers of a suite as rows: for metrics.jsonl and for tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from coevolve import statistics
from coevolve.evaluation.scoring import Scores
from coevolve.types import StopReason, Trajectory
from coevolve.worlds.base import HELD_OUT, SUITES, Problem, Suite

# Keys of metrics.jsonl and of `summary --json` since the first run; the ``k`` beside them says how many answers.
MEAN_AT_K, MAJ_AT_K = "mean_at_8", "maj_at_8"
_SET_OF_PART = {HELD_OUT: "level"}  # how the names of a part's sets begin where they do not begin with the part
_PART_OF_SET = {begin: part for part, begin in _SET_OF_PART.items()}


class Answered(NamedTuple):
    """The answers of one policy to the problems of a suite, and what they are worth."""

    groups: Sequence[tuple[Trajectory, ...]]  # of each problem
    scores: Scores


@dataclass(frozen=True, slots=True)
class Measured:
    """A suite, its problems, and how one policy answered them."""

    suite: Suite
    problems: Sequence[Problem]
    sampled: Answered
    greedy: Answered | None = None  # one answer of each problem


def set_name(suite: Suite) -> str:
    """The name of a suite in tables: ``level-1``, ``transfer-paraphrase``."""
    return f"{_SET_OF_PART.get(suite.part, suite.part)}-{suite.key}"


def part_and_key(name: str) -> tuple[str, str]:
    """The part and the key of the suite that ``set_name`` has named."""
    begin, _, key = name.partition("-")
    return _PART_OF_SET.get(begin, begin), key


def by_part(suites: Iterable[Suite]) -> dict[str, list[Suite]]:
    """The suites of each part, parts in order of first appearance."""
    parts: dict[str, list[Suite]] = {}
    for suite in suites:
        parts.setdefault(suite.part, []).append(suite)
    return parts


def sampled_row(measured: Sequence[Measured]) -> dict[str, object]:
    """mean@k over all problems, with its interval.

    Returns:
        mean_at_8, tool_calls (per answer), n (problems), k (answers per problem), ci95 (of mean@k).
    """
    found = statistics.estimate(np.concatenate([one.sampled.scores.rates for one in measured]))
    return {
        MEAN_AT_K: found.mean,
        "tool_calls": statistics.mean(np.concatenate([one.sampled.scores.tool_calls for one in measured])),
        "n": found.n,
        "k": measured[0].suite.samples,
        "ci95": found.ci95,
    }


def row_of_levels(measured: Sequence[Measured]) -> dict[str, object]:
    """What levels add up to, and what each of them is: by_level (mean@k), greedy_by_level, tool_calls_by_level."""
    majority = np.concatenate([one.sampled.scores.majority_right for one in measured])
    row = sampled_row(measured) | {MAJ_AT_K: statistics.mean(majority)}
    greedy = {one.suite.key: one.greedy.scores.rates for one in measured if one.greedy}
    if greedy:
        row["greedy"] = statistics.mean(np.concatenate(list(greedy.values())))
    row["by_level"] = {one.suite.key: statistics.mean(one.sampled.scores.rates) for one in measured}
    if greedy:
        row["greedy_by_level"] = {key: statistics.mean(rates) for key, rates in greedy.items()}
    row["tool_calls_by_level"] = {one.suite.key: statistics.mean(one.sampled.scores.tool_calls) for one in measured}
    return row


def row_of_suite(measured: Measured) -> dict[str, object]:
    """The figures of a suite that stands for itself: mean (mean@k), n, k, ci95.

    Of chosen suites, and where greedy answers are asked for, there are also greedy (where it is asked for), majority,
    tool_calls (per answer), no_answer (share of answers without one), cut_off (share that used up their tokens),
    refused (share whose box is no answer, where there are any), and by_level and by_topic (mean@k of each), where the
    source says them.
    """
    scores = measured.sampled.scores
    found = statistics.estimate(scores.rates)
    row: dict[str, object] = {"mean": found.mean, "n": found.n, "k": scores.right.shape[1], "ci95": found.ci95}
    if measured.greedy is None and measured.suite.part != SUITES:
        return row
    answers = [answer for group in measured.sampled.groups for answer in group]
    row |= {
        **({"greedy": statistics.mean(measured.greedy.scores.rates)} if measured.greedy else {}),
        "majority": statistics.mean(scores.majority_right),
        "tool_calls": statistics.mean(scores.tool_calls),
        "no_answer": statistics.mean([answer.answer is None for answer in answers]),
        "cut_off": statistics.mean([answer.stop is StopReason.LENGTH for answer in answers]),
    }
    refused = [answer.refused != "" for answer in answers]
    row |= {"refused": statistics.mean(refused)} if any(refused) else {}
    for key in ("level", "topic"):
        named = [getattr(problem, key) or "none" for problem in measured.problems]
        if any(name != "none" for name in named):
            row[f"by_{key}"] = dict(sorted(statistics.mean_by(scores.rates, named).items()))
    return row


def problem_rows(measured: Measured) -> list[dict[str, object]]:
    """One row per problem, for meter/evaluation-N.parquet."""
    scores, greedy = measured.sampled.scores, measured.greedy
    return [
        {
            "set": set_name(measured.suite),
            "task_id": problem.task.id,
            "question": problem.task.question,
            "truth": problem.truth,
            "samples_right": int(scores.right[i].sum()),
            "k": scores.right.shape[1],
            "majority": scores.majority[i],
            "majority_right": bool(scores.majority_right[i]),
            "greedy_right": bool(greedy.scores.right[i, 0]) if greedy else None,
            "tool_calls": float(scores.tool_calls[i]),
        }
        for i, problem in enumerate(measured.problems)
    ]


def trajectories_by_set(measured: Sequence[Measured]) -> dict[str, tuple[Trajectory, ...]]:
    """All answers; greedy ones of a set under "greedy-<set>"."""
    sets = [(set_name(one.suite), one.sampled) for one in measured if one.sampled is not one.greedy]
    sets += [(f"greedy-{set_name(one.suite)}", one.greedy) for one in measured if one.greedy]
    return {name: tuple(t for group in answered.groups for t in group) for name, answered in sets}
