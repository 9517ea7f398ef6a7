"""What a suite comes from: a name, where its problems are, under which licence, and how they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from coevolve.types import PROPOSER, Origin, Task
from coevolve.worlds.base import SUITES, Problem, Suite

ORIGIN = Origin(method="suite", agent=PROPOSER, iteration=0)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The problems of a source, as they were found."""

    problems: tuple[Problem, ...]
    copy: str  # which copy was read: "openai/gsm8k@cc7b047 main/test", a file, "reasoning-gym 0.1.25 seed 0"
    digest: str  # ``content_digest`` of all of them
    notes: tuple[str, ...] = ()  # what a user should know: a fallback was taken, the digest is another


@dataclass(frozen=True, slots=True)
class Source:
    """Where a suite comes from.

    ``name`` is its key in metrics, tables and pages: letters, digits, ``.``, ``_``, ``-`` and ``:`` only.
    """

    name: str
    size: int  # number of problems, known without loading what has to be fetched
    licence: str
    load: Callable[[], Loaded]  # raises ConfigError with file, row and fix


def content_digest(problems: Iterable[Problem]) -> str:
    """SHA-256 over (question, answer) of all problems in order of these, so that copies of one set are equal.

    Order of rows, ids and other columns do not count; runs of white space count as one space.
    """
    rows = sorted([_plain(p.task.question), _plain(p.truth or "")] for p in problems)
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


def task_of(source: str, id: str, question: str, kind: str = "suite") -> Task:
    """A task that nothing that learns may take."""
    return Task(f"{source}-{id}", (question,), kind, ORIGIN, measuring_only=True)


def subset(problems: tuple[Problem, ...], limit: int) -> tuple[Problem, ...]:
    """``limit`` of the problems (0: all), the same in every run and of every copy, in the order of the source.

    They are those whose questions have the smallest digests, so that a larger limit has all problems of a smaller one.
    """
    if not limit or limit >= len(problems):
        return problems
    ranked = sorted(
        range(len(problems)), key=lambda i: hashlib.sha256(_plain(problems[i].task.question).encode()).digest()
    )
    return tuple(problems[i] for i in sorted(ranked[:limit]))


def suite_of(source: Source, *, samples: int, limit: int = 0, greedy: bool = True) -> Suite:
    """The suite that an evaluation measures, one part of which all of them are.

    Args:
        samples: answers per problem at the sampling temperature.
        limit: problems at most; 0 = all.
    """
    size = min(limit, source.size) if limit else source.size
    return Suite(SUITES, source.name, size, samples, lambda: subset(source.load().problems, limit), greedy=greedy)


def _plain(text: str) -> str:
    return " ".join(text.split())
