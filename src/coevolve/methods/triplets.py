"""The buffers of Absolute Zero, as the run folder holds them: a table of the new tasks of every step.

A phase that is taken up after a kill must find what it would have had: every step writes down its tasks before the save
point that counts it, and reads no more than the steps before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coevolve.curriculum.ring import Ring
from coevolve.methods.base import Store
from coevolve.worlds.code.items import ABDUCTION, DEDUCTION, KINDS, Proposal, Triplet

Rings = Mapping[str, Ring[Triplet]]  # by type of task
IDENTITY = "def f(a):\n    return a"
_FIRST = tuple(Triplet(Proposal(kind, IDENTITY, ("3",)), ("3",)) for kind in (DEDUCTION, ABDUCTION))


@dataclass(frozen=True, slots=True)
class Learnable:
    """A valid task with the share of its answers that were right, None where nobody was asked."""

    triplet: Triplet
    solved: float | None


class Triplets:
    """The tasks that were valid before a step of an iteration, by type.

    Args:
        store: of the run.
        iteration: whose step it is.
        earlier: how many steps each iteration before it had.
        capacity: of the buffer of each type.
    """

    def __init__(self, store: Store, iteration: int, earlier: Sequence[int], capacity: int) -> None:
        self._store, self._iteration, self._earlier, self._capacity = store, iteration, earlier, capacity
        self._rings: dict[str, Ring[Triplet]] | None = None
        self._done = 0  # steps of this iteration whose tasks are in the rings

    def before(self, step: int) -> Rings:
        """Everything that was valid before a step, oldest first. The first tasks are the identity's."""
        if self._rings is None or self._done != step:
            self._rings = {kind: Ring(self._capacity, lambda one: one.proposal.key) for kind in KINDS}
            self._take_in(_FIRST)
            steps = [(t, n) for t, count in enumerate(self._earlier, 1) for n in range(count)]
            for t, n in [*steps, *((self._iteration, n) for n in range(step))]:
                self._take_in([_triplet(row) for row in self._store.read_table(table_of(t, n))])
            self._done = step
        return self._rings

    def add(self, step: int, found: Sequence[Learnable]) -> dict[str, int]:
        """Write down what a step added; returns how many tasks of each type are new."""
        rings = self.before(step)
        new: list[Learnable] = []
        for one in found:
            if rings[one.triplet.proposal.kind].add([one.triplet]):
                new.append(one)
        self._store.write_table(table_of(self._iteration, step), [_row(one) for one in new])
        self._done = step + 1
        counts = [one.triplet.proposal.kind for one in new]
        return {kind: counts.count(kind) for kind in KINDS}

    def files(self, steps: int) -> list[Path]:
        """What the phase leaves after so many steps, also where another process did them."""
        tables = (table_of(self._iteration, step) for step in range(steps))
        return [self._store.write_table(table, self._store.read_table(table)) for table in tables]

    def _take_in(self, triplets: Sequence[Triplet]) -> None:
        assert self._rings is not None
        for one in triplets:
            self._rings[one.proposal.kind].add([one])


def table_of(iteration: int, step: int) -> str:
    """Where the new tasks of a step stand in the run folder."""
    return f"programs/iteration-{iteration}-step-{step + 1}.parquet"


def _row(one: Learnable) -> dict[str, object]:
    proposal = one.triplet.proposal
    return {
        "kind": proposal.kind,
        "program": proposal.program,
        "inputs": list(proposal.inputs),
        "outputs": list(one.triplet.outputs),
        "message": proposal.message,
        "solved": one.solved,
    }


def _triplet(row: Mapping[str, Any]) -> Triplet:
    proposal = Proposal(row["kind"], row["program"], tuple(row["inputs"]), row["message"])
    return Triplet(proposal, tuple(row["outputs"]))
