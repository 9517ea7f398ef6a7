"""The questions that the proposer wrote in earlier steps and iterations, as the run folder holds them.

A phase that is taken up after a kill must find what it would have had: every step writes down what it asked before the
save point that counts it, and reads no more than the steps before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from coevolve.methods.base import Store
from coevolve.methods.phases.pool_tasks import read_tasks


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a step, and the shape of most programs that led to its majority answer."""

    step: int
    question: str
    shape: str | None


class Remembered:
    """What was asked before a step of an iteration, by pools and by training steps, in order.

    Args:
        store: of the run.
        iteration: whose proposer is trained.
    """

    def __init__(self, store: Store, iteration: int) -> None:
        self._store, self._table = store, table_of(iteration)
        self._earlier: list[Asked] = []  # of earlier iterations
        for t in range(1, iteration):
            self._earlier += _read(store, table_of(t))
            self._earlier += [Asked(0, row.question, row.shape) for row in read_tasks(store, t) if row.well_formed]
        self._steps: list[Asked] | None = None  # of this iteration

    def before(self, step: int) -> list[Asked]:
        """Everything that was asked before a step."""
        if self._steps is None:  # the first step of this process
            self._steps = _read(self._store, self._table) if step else []
        return self._earlier + [one for one in self._steps if one.step < step]

    def add(self, step: int, questions: Sequence[str], shapes: Sequence[str | None]) -> None:
        """Write down what a step asked, after what the steps before it did."""
        own = [one for one in self._steps or () if one.step < step]
        self._steps = own + [Asked(step, *one) for one in zip(questions, shapes, strict=True)]
        self._store.write_table(self._table, [asdict(one) for one in self._steps])

    def files(self, steps: int) -> list[Path]:
        """What the phase leaves after so many steps, also where another process did them."""
        self.before(steps)
        return [self._store.write_table(self._table, [asdict(one) for one in self._steps or ()])]


def table_of(iteration: int) -> str:
    """Where the questions of a proposer's training stand in the run folder."""
    return f"questions/iteration-{iteration}.parquet"


def _read(store: Store, table: str) -> list[Asked]:
    return [Asked(**row) for row in store.read_table(table)]
