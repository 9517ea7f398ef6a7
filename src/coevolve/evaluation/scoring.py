"""The answers of a policy graded against true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coevolve import statistics
from coevolve.curriculum.voting import vote
from coevolve.grading.equivalence import OWN_RULES, Judge
from coevolve.types import Bools, Trajectory


@dataclass(frozen=True, slots=True)
class Scores:
    """What k answers to each of n problems were worth."""

    right: Bools  # [n, k]
    majority: tuple[str | None, ...]  # n canonical answers; None when nobody answered
    majority_right: Bools  # [n]
    tool_calls: NDArray[np.float64]  # [n] mean number of executed calls per answer

    @property
    def rates(self) -> NDArray[np.float64]:
        """[n] the share of right answers of each problem."""
        return statistics.mean_at_k(self.right)


def is_right(answer: str | None, truth: str | None, *, judge: Judge = OWN_RULES) -> bool:
    """Whether the judge calls an answer the same as the truth; a missing answer or truth is never right."""
    return answer is not None and truth is not None and judge.same(answer, truth).same


def score(truths: Sequence[str | None], groups: Sequence[Sequence[Trajectory]], *, judge: Judge = OWN_RULES) -> Scores:
    """Grade the answers to each problem.

    The majority answer is the one of the curriculum's own vote, ties included, so that maj@k here and
    pseudo-labels there mean the same.

    Args:
        truths: n true answers.
        groups: n groups of k trajectories each, in the same order.
        judge: decides which answers are the same.

    Raises:
        ValueError: the numbers of problems, or of answers to two problems, differ.
    """
    answers = [[trajectory.answer for trajectory in group] for group in groups]
    shape = (len(answers), len(answers[0]) if answers else 0)
    right = [[is_right(a, t, judge=judge) for a in given] for given, t in zip(answers, truths, strict=True)]
    majority = tuple(vote(given, judge=judge).answer for given in answers)
    calls = [[len(trajectory.tool_calls) for trajectory in group] for group in groups]
    right_majority = [is_right(a, t, judge=judge) for a, t in zip(majority, truths, strict=True)]
    return Scores(
        right=np.array(right, dtype=np.bool_).reshape(shape),
        majority=majority,
        majority_right=np.array(right_majority, dtype=np.bool_),
        tool_calls=statistics.mean_at_k(np.array(calls, dtype=np.float64).reshape(shape)),
    )
