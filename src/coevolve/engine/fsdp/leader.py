"""The trainer that a run holds: what it is asked, all processes of its group do together."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from coevolve.config import EngineSection
from coevolve.engine.base import Opening, Snapshot
from coevolve.engine.fsdp.group import TIMEOUT_S, Group
from coevolve.engine.fsdp.servant import Call, Method
from coevolve.types import Ban, Batch, Floats, TrainRow, TrainStats


class FsdpTrainers:
    """Opens trainers over ``engine.gpus`` processes, which start with the first one and end with ``close``."""

    def __init__(self, engine: EngineSection, *, timeout_s: float = TIMEOUT_S) -> None:
        self._engine, self._timeout_s = engine, timeout_s
        self._group: Group | None = None
        self._numbers = count()
        self._given_up: list[int] = []  # trainers that nobody holds any more

    @property
    def processes(self) -> tuple[int, ...]:
        """Ids of the processes beside this one, by rank from 1."""
        return self._group.processes if self._group else ()

    def open_trainer(self, asked: Opening) -> FsdpTrainer:
        """A trainer in all processes.

        Raises:
            CoevolveError: as of ``opened``, or a process does not come up.
        """
        if self._group is None:
            self._group = Group(self._engine, timeout_s=self._timeout_s)
        number = next(self._numbers)
        given_up, self._given_up = tuple(self._given_up), []
        self._group.do(Call(number, asked, given_up=given_up))
        trainer = FsdpTrainer(self._group.do, number, asked.micro_batch_tokens)
        weakref.finalize(trainer, self._given_up.append, number)
        return trainer

    def close(self) -> None:
        """End the other processes; the trainers are of no use then."""
        if self._group is not None:
            self._group.close()
            self._group = None


class FsdpTrainer:
    """Implements :class:`coevolve.engine.base.Trainer`.

    Args:
        do: lets all processes do the same.
        number: of the trainer in each of them.
        micro_batch_tokens: of one pass of one process.
    """

    def __init__(self, do: Callable[[Call], Any], number: int, micro_batch_tokens: int) -> None:
        self._do, self._number, self.micro_batch_tokens = do, number, micro_batch_tokens

    def forward_backward(self, batch: Batch) -> TrainStats:
        """Accumulate the gradient of the batch; every process computes a share of its micro-batches."""
        stats: TrainStats = self._ask("forward_backward", batch)
        return stats

    def step(self, lr: float, limit: float = math.inf) -> float:
        """Clip, update, zero the gradient; returns the norm of the whole gradient before clipping."""
        return float(self._ask("step", lr, limit))

    def discard(self) -> None:
        """Zero the gradient without an update."""
        self._ask("discard")

    def logprobs(self, rows: Sequence[TrainRow], banned: Ban | None = None) -> list[Floats]:
        """Log-probabilities [L] of each row's tokens as the policy draws them; index 0 is 0."""
        found: list[Floats] = self._ask("logprobs", rows, banned)
        return found

    def snapshot(self, name: str, version: int) -> Snapshot:
        """The present weights, gathered in this process."""
        made: Snapshot = self._ask("snapshot", name, version)
        return made

    def save(self, folder: Path, *, optimizer: bool) -> None:
        """Write the weights as a folder that transformers or peft reads, and the optimiser's state in parts."""
        self._ask("save", folder, optimizer=optimizer)

    def load(self, folder: Path, *, optimizer: bool) -> None:
        """Go on with the weights of ``save``, however many processes wrote the optimiser's state."""
        self._ask("load", folder, optimizer=optimizer)

    def _ask(self, method: Method, *arguments: Any, **named: Any) -> Any:
        return self._do(Call(self._number, method, arguments, named, self.micro_batch_tokens))
