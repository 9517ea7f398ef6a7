"""How answers are graded, strictly and as the published numbers were made, and what the grades of a suite add up to.

Pure: no files, no model. Strict grading trusts what the target itself reads as its answer; paper-compatible grading
reads the text that the model wrote as the published evaluation of R-Zero does, first boxes and drawn letters included.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coevolve import statistics
from coevolve.evaluation.scoring import majority, reading, solves
from coevolve.grading.equivalence import Judge
from coevolve.grading.grade import Item, Kind, Mode
from coevolve.grading.graders import grader
from coevolve.harness.results import PartResult, Rates
from coevolve.harness.target import Reply
from coevolve.suites.catalogue import GENERAL, MATHS
from coevolve.worlds.base import Problem


@dataclass(frozen=True, slots=True)
class Grades:
    """One answer in both modes; what was read in each is what votes for its majority."""

    right: bool
    read: str | None
    paper: bool
    paper_read: str | None


LOST = Grades(False, None, False, None)


class Marker:
    """Grades answers; holds the judge, whose time is bounded, and is closed with it.

    Args:
        judge: decides whether two answers are the same.
        seed: of the letters that paper-compatible grading draws where a choice names none.
    """

    def __init__(self, judge: Judge, *, seed: int = 0) -> None:
        self._judge = judge
        self._paper = {kind: grader(kind.value, Mode.PAPER.value, judge, seed=seed) for kind in Kind}

    def grade(self, problem: Problem, reply: Reply) -> Grades:
        """One answer.

        Raises:
            ConfigError: the true answer of a choice is not the letter of one of its options.
        """
        if reply.fault:
            return LOST
        strict, answer = self._read(problem, reply.answer), reply.answer
        right = strict is not None and solves(answer, problem, judge=self._judge)
        if problem.truth is None:
            return Grades(False, strict, False, None)
        item = Item(problem.truth, problem.options, problem.task.id)
        paper = self._paper[problem.kind](reply.text if reply.said is None else reply.said, item)
        is_right = paper.right
        if problem.scorer is not None and paper.answer is not None:
            is_right = problem.scorer(paper.answer)
        return Grades(right, strict, is_right, paper.answer)

    def majority_right(self, problem: Problem, reads: Sequence[str | None]) -> bool:
        """Whether the answer that most of them give is right; false where nobody answered."""
        return majority(reads, problem, judge=self._judge)[1]

    def _read(self, problem: Problem, answer: str | None) -> str | None:
        """What votes: the letter of a choice, else the answer as it was written; None where nothing can be read."""
        if answer is None or problem.kind is Kind.MATH:
            return answer
        found = reading(answer, problem, judge=self._judge)
        return found if problem.kind is Kind.CHOICE or found is None else answer


def pass_at(n: int, c: int, k: int) -> float:
    """The chance that one of k answers is right that are drawn without replacement from n, of which c are right.

    1 - C(n - c, k) / C(n, k), the unbiased estimate of pass@k (Chen et al. 2021, arXiv 2107.03374, equation 1).

    Raises:
        ValueError: k is not from 1 to n, or c not from 0 to n.
    """
    if not (1 <= k <= n and 0 <= c <= n):
        raise ValueError(f"there is no pass@{k} of {n} answers with {c} right ones")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def powers_of_two(most: int) -> list[int]:
    """1, 2, 4, ... up to ``most``."""
    return [1 << i for i in range(most.bit_length())] if most else []


@dataclass(frozen=True, slots=True)
class Marks:
    """The grades of all answers to n problems in one mode. Lost and unknown answers are -1.

    Args:
        greedy: [n] 1 where the greedy answer is right, 0 where it is wrong.
        sampled: [n, k] the same of the sampled ones.
    """

    greedy: NDArray[np.int8]
    sampled: NDArray[np.int8]

    @classmethod
    def unknown(cls, n: int, k: int) -> Marks:
        """Nothing is known yet."""
        return cls(np.full(n, -1, np.int8), np.full((n, k), -1, np.int8))

    @property
    def rates(self) -> NDArray[np.float64]:
        """[n] the share of right answers of each problem among its sampled ones; NaN where none is known."""
        known: NDArray[np.int64] = (self.sampled >= 0).sum(axis=1)
        right: NDArray[np.int64] = (self.sampled == 1).sum(axis=1)
        return np.where(known > 0, right / np.maximum(known, 1), np.nan)

    @property
    def once(self) -> NDArray[np.float64]:
        """[n] 1 or 0 for the greedy answer of each problem; NaN where it is not known."""
        return np.where(self.greedy < 0, np.nan, self.greedy.astype(np.float64))

    def pass_at(self) -> dict[str, float]:
        """pass@k for powers of two, over the problems that have so many answers."""
        known = (self.sampled >= 0).sum(axis=1)
        right = (self.sampled == 1).sum(axis=1)
        out = {}
        for k in powers_of_two(self.sampled.shape[1]):
            each = [pass_at(int(n), int(c), k) for n, c in zip(known, right, strict=True) if n >= k]
            if each:
                out[str(k)] = float(np.mean(each))
        return out


def mean_of(values: NDArray[np.float64]) -> float | None:
    """The mean of what is known; None of nothing."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def scatter(values: NDArray[np.float64]) -> tuple[float | None, tuple[float, float] | None]:
    """Standard error of the mean over problems, and its 95 % interval (:func:`coevolve.statistics.estimate`).

    The interval is a bootstrap over whole problems with a fixed seed, or that of Clopper and Pearson where nearly all
    problems are right or wrong. None where there are fewer than two problems, or none.
    """
    known = values[~np.isnan(values)]
    if not known.size:
        return None, None
    found = statistics.estimate(known)
    error = float(known.std(ddof=1) / math.sqrt(known.size)) if known.size > 1 else None
    return error, (found.low, found.high)


def parts(names: Sequence[str], marks: Marks) -> dict[str, PartResult]:
    """The problems of each level or topic, in natural order; none where the source names none."""
    members: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        if name:
            members.setdefault(name, []).append(index)
    out = {}
    for name in sorted(members, key=_natural):
        mine = members[name]
        out[name] = PartResult(len(mine), mean_of(marks.once[mine]), mean_of(marks.rates[mine]))
    return out


def rates_of(marks: Marks, majority_right: Iterable[bool] | None) -> Rates:
    """The three shares of one mode."""
    majorities = None if majority_right is None else list(majority_right)
    return Rates(
        greedy=mean_of(marks.once),
        mean=mean_of(marks.rates),
        majority=float(np.mean(majorities)) if majorities else None,
    )


def averages(accuracies: Mapping[str, float | None]) -> dict[str, float]:
    """Plain means over the benchmarks of mathematics and the general ones, where two or more of them were measured.

    Args:
        accuracies: by name of the suite.
    """
    out = {}
    for name, members in (("maths", MATHS), ("general", GENERAL)):
        found = [value for member in members if (value := accuracies.get(member)) is not None]
        if len(found) > 1:
            out[f"{name} ({len(found)} of {len(members)})"] = sum(found) / len(found)
    return out


def _natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """Numbers in a name by their value: level 2 before level 10."""
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in re.findall(r"[0-9]+|[^0-9]+", name))
