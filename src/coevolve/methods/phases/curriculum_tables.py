"""The curriculum of Socratic-Zero in the run folder: questions with their lineage, and answers with their verdicts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from coevolve.methods.base import Store
from coevolve.types import Origin, Task, Trajectory
from coevolve.worlds.base import PromptContext


@dataclass(frozen=True, slots=True)
class Entry:
    """A question of the curriculum.

    Args:
        answer, solution: the teacher's.
        round: in which the teacher wrote it; 0: a seed.
        parent: id of the question whose failure it was written from; None for a seed.
        failed: that failure: the whole text of a wrong answer to the parent; empty for a seed.
        success: share of right answers when it was last asked; None before.
        asked: round in which it was asked last; 0 before. A new problem is asked at once by the solver of its round.
    """

    task_id: str
    question: str
    answer: str
    solution: str
    round: int = 0
    parent: str | None = None
    failed: str = ""
    success: float | None = None
    asked: int = 0

    def task(self, method: str) -> Task:
        """As it is asked. It carries no answer."""
        return Task(self.task_id, (self.question,), "chain", Origin(method, "teacher", self.round, self.parent))


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer to a question of the curriculum as token ids, and whether the teacher called it right."""

    task_id: str
    sample: int
    right: bool
    prompt: list[int]
    tokens: list[int]
    mask: list[bool]

    @classmethod
    def of(cls, answer: Trajectory, right: bool) -> Judged:
        """Of a trajectory."""
        ids = [answer.prompt.tolist(), answer.tokens.tolist(), answer.mask.tolist()]
        return cls(answer.task_id, answer.sample, right, *ids)


def read_entries(store: Store, iteration: int) -> list[Entry]:
    """The curriculum as a round left it."""
    return [Entry(**row) for row in store.read_table(f"curriculum/questions-{iteration}.parquet")]


def read_judged(store: Store, iteration: int) -> list[Judged]:
    """The judged answers of a round to the questions that it began with, those of one question together."""
    return [Judged(**row) for row in store.read_table(f"curriculum/answers-{iteration}.parquet")]


def write_tables(store: Store, iteration: int, entries: Iterable[Entry], judged: Iterable[Judged]) -> list[Path]:
    """Write what a round has made; returns the files."""
    return [
        store.write_table(f"curriculum/questions-{iteration}.parquet", [asdict(x) for x in entries]),
        store.write_table(f"curriculum/answers-{iteration}.parquet", [asdict(x) for x in judged]),
    ]


def failure_context(parent: str, failed: str) -> PromptContext:
    """What a generator's prompt shows: the question and the wrong answer to it."""
    return PromptContext(question=parent, failed=failed)
