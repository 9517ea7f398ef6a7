"""The answers of a policy graded against true ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coevolve import statistics
from coevolve.curriculum.voting import counted_as, vote
from coevolve.grading.canonical import canonical
from coevolve.grading.equivalence import OWN_RULES, Judge
from coevolve.grading.grade import Item, Kind
from coevolve.grading.graders import gold_letter, named_option, one_line, short_key
from coevolve.types import Bools, Trajectory
from coevolve.worlds.base import Problem


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


def solves(answer: str | None, problem: Problem, *, judge: Judge = OWN_RULES) -> bool:
    """Whether an answer is right by the strict rules for the problem's kind, or by the scorer of its source.

    A missing answer or truth is never right, and an answer to a choice that names none of its options is wrong.

    Args:
        answer: what stands in the last box; None where there is none.
        problem: with its true answer.
        judge: decides which answers are the same.

    Raises:
        ConfigError: the true answer of a choice is not the letter of one of its options.
    """
    if answer is None or problem.truth is None:
        return False
    if problem.scorer is not None:
        return problem.scorer(answer)
    if problem.kind is Kind.MATH:
        return is_right(answer, problem.truth, judge=judge)
    if problem.kind is Kind.CHOICE:
        return reading(answer, problem, judge=judge) == gold_letter(
            Item(problem.truth, problem.options, problem.task.id)
        )
    return reading(answer, problem, judge=judge) == reading(problem.truth, problem, judge=judge) is not None


def reading(answer: str, problem: Problem, *, judge: Judge = OWN_RULES) -> str | None:
    """What an answer to a problem that is not mathematics says: equal readings are equal answers.

    Of a choice it is the letter of the option that is named, of a short or an exact text the text without what their
    strict rules ignore.

    Returns:
        None where nothing can be read from it.
    """
    match problem.kind:
        case Kind.CHOICE:
            return named_option(judge, answer, problem.options)[0]
        case Kind.FUZZY:
            return short_key(answer, lenient=False) or None
        case _:
            return one_line(answer) or None


def majority(answers: Sequence[str | None], problem: Problem, *, judge: Judge = OWN_RULES) -> tuple[str | None, bool]:
    """The answer that most of k answers give, and whether it is right.

    Of mathematics it is that of the curriculum's own vote, ties included, so that maj@k here and pseudo-labels there
    mean the same; of other kinds the most frequent ``reading``, the first in the alphabet among equally frequent ones.

    Args:
        answers: at least one; None for a missing one, which casts no vote.
        problem: with its true answer.
        judge: decides which answers are the same.
    """
    if problem.kind is Kind.MATH:
        found = vote(answers, judge=judge)
        if problem.scorer is None:
            return found.answer, is_right(found.answer, problem.truth, judge=judge)
        spelled = next((a for a in answers if a is not None and counted_as(canonical(a), found.forms) == 0), None)
        return found.answer, solves(spelled, problem, judge=judge)
    read = [None if answer is None else reading(answer, problem, judge=judge) for answer in answers]
    counts = Counter(key for key in read if key is not None)
    if not counts:
        return None, False
    most = min(counts, key=lambda key: (-counts[key], key))
    return most, solves(answers[read.index(most)], problem, judge=judge)


def score(problems: Sequence[Problem], groups: Sequence[Sequence[Trajectory]], *, judge: Judge = OWN_RULES) -> Scores:
    """Grade the answers to each problem.

    Args:
        problems: n problems with their true answers.
        groups: n groups of k trajectories each, in the same order.
        judge: decides which answers are the same.

    Raises:
        ValueError: the numbers of problems, or of answers to two problems, differ.
    """
    answers = [[trajectory.answer for trajectory in group] for group in groups]
    shape = (len(answers), len(answers[0]) if answers else 0)
    right = [[solves(a, x, judge=judge) for a in given] for given, x in zip(answers, problems, strict=True)]
    most = [majority(given, x, judge=judge) for given, x in zip(answers, problems, strict=True)]
    calls = [[len(trajectory.tool_calls) for trajectory in group] for group in groups]
    return Scores(
        right=np.array(right, dtype=np.bool_).reshape(shape),
        majority=tuple(answer for answer, _ in most),
        majority_right=np.array([is_true for _, is_true in most], dtype=np.bool_),
        tool_calls=statistics.mean_at_k(np.array(calls, dtype=np.float64).reshape(shape)),
    )
