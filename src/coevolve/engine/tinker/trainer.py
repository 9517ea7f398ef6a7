"""The trainer on a server: losses are differentiated here, gradients and updates happen there.

An update is never sent twice to the same weights. Before each one the server keeps its state. Where the reply is lost,
or the norm that it tells is above the limits, the adapter is opened again from that state and the one that may have
moved is given up.
"""

from __future__ import annotations

import json
import math
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coevolve.config import OptimizerSection
from coevolve.engine.base import Handle, Snapshot
from coevolve.engine.tinker.connection import Connection
from coevolve.engine.tinker.gradient import advantages, derivatives
from coevolve.engine.tinker.server import Adam, LostReply
from coevolve.errors import EngineError, ModelError
from coevolve.types import Ban, Batch, Floats, Ints, TrainRow, TrainStats

STATE_FILE = "server.json"  # in the folder of a policy: where the server keeps it
_ATTEMPTS = 3  # at one update, each from the saved state


class TinkerTrainer:
    """An adapter on a server; implements :class:`coevolve.engine.base.Trainer`.

    Its gradient waits here until ``step``, because a server can take none back. The adapter's place is given back when
    the trainer is no longer used, and at the end of the process.

    Args:
        connection: to the server.
        section: of the optimiser.
        folder: weights to begin with, see ``load``; None: the base model.
        optimizer: take the optimiser's state of that folder too.
    """

    def __init__(
        self, connection: Connection, section: OptimizerSection, folder: Path | None = None, *, optimizer: bool = False
    ) -> None:
        self.micro_batch_tokens = connection.settings.engine.micro_batch_tokens  # the server has its own
        self._connection, self._section = connection, section
        self._opened: set[str] = set()
        self._finalizer = weakref.finalize(self, _release, connection, self._opened)
        self._reference: str | None = None
        self._adapter, self._state, self._published = "", "", ""
        self._rows: list[Ints] = []
        self._gains: list[Floats] = []
        if folder is None:
            self._adapter = self._keep(connection.open())
        else:
            self.load(folder, optimizer=optimizer)

    def forward_backward(self, batch: Batch) -> TrainStats:
        """Add the gradient of sum(weight * (loss + kl * KL term)) over the batch to what waits for ``step``.

        Raises:
            EngineError: the server failed, tokens were banned, or the batch is none, see
                :func:`coevolve.engine.tinker.gradient.derivatives`.
        """
        reference = self._logprobs(self._reference, batch.rows) if self._reference and batch.kl > 0 else None
        gains, stats = derivatives(batch, self.logprobs(batch.rows, batch.banned), reference)
        self._rows += [row.tokens for row in batch.rows]
        self._gains += gains
        return stats

    def step(self, lr: float, limit: float = math.inf) -> float:
        """Clip, update, zero the gradient; returns the gradient norm before clipping.

        The norm is known when the update is made. One that should not have been is undone from the saved state, and one
        that should have been clipped is made again from there with a smaller gradient.

        Raises:
            EngineError: the replies to this update were lost again and again, or the server tells no norm.
        """
        rows, gains = self._rows, self._gains
        self.discard()
        moving = [i for i, gain in enumerate(gains) if gain.any()]
        if not moving:
            return 0.0
        rows, gains = [rows[i] for i in moving], [gains[i] for i in moving]
        if not all(np.isfinite(gain).all() for gain in gains):
            return math.nan
        saved = self._save()
        norm = self._update(saved, rows, gains, lr)
        if not math.isfinite(norm) or norm > min(limit, self._section.max_grad_norm):
            self._return_to(saved)
            if math.isfinite(norm) and norm <= limit:
                scale = np.float32(self._section.max_grad_norm / norm)
                self._update(saved, rows, [gain * scale for gain in gains], lr)
        return norm

    def _update(self, saved: str, rows: Sequence[Ints], gains: Sequence[Floats], lr: float) -> float:
        """One update of the weights as they were saved; returns the norm of its gradient."""
        server, section = self._connection.server, self._section
        adam = Adam(lr, section.beta1, section.beta2, section.weight_decay)
        lost = None
        for _ in range(_ATTEMPTS):
            try:
                # Asked for again in each attempt: a ratio of 1 needs the log-probabilities of these very weights.
                logprobs = server.forward(self._adapter, rows)
                server.backward(self._adapter, rows, logprobs, advantages(gains, self._connection.reduction))
                norm = server.step(self._adapter, adam)
            except LostReply as error:
                lost = error
                self._return_to(saved)
                continue
            if norm is None:
                raise EngineError("the server no longer tells the norm of a gradient", where="tinker.url")
            if norm == 0:  # a step without gradient: what was sent before was used up by a step that nobody answered
                lost = LostReply("the server updated the weights with no gradient")
                self._return_to(saved)
                continue
            self._moved()
            return norm
        raise EngineError(
            f"{_ATTEMPTS} attempts at an update were lost, each undone: {lost.what if lost else ''}",
            where=f"tinker.url={self._connection.settings.tinker.url}",
            fix="look at the server's log; then: coevolve resume",
        ) from lost

    def discard(self) -> None:
        """Forget the gradient."""
        self._rows, self._gains = [], []

    def logprobs(self, rows: Sequence[TrainRow], banned: Ban | None = None) -> list[Floats]:
        """Log-probabilities [L] of each row's tokens at temperature 1; index 0 is 0."""
        if banned is not None:
            raise EngineError("a server cannot leave out tokens", where="engine.backend", fix="engine.backend=local")
        return self._logprobs(self._adapter, rows)

    def _logprobs(self, adapter: str, rows: Sequence[TrainRow]) -> list[Floats]:
        found = self._connection.server.forward(adapter, [row.tokens for row in rows])
        return [np.concatenate([np.zeros(1, np.float32), x]).astype(np.float32) for x in found]

    def set_reference(self, folder: Path | None) -> None:
        """Make the weights of a folder the reference of the KL term, in an adapter of their own; None: the base."""
        if self._reference is not None:
            self._drop(self._reference)
        if folder is None:
            self._reference = self._keep(self._connection.open())
        else:
            self._reference = self._keep(self._connection.server.reopen(read_state(folder), optimizer=False))

    def snapshot(self, name: str, version: int) -> Snapshot:
        """The present weights, which the server keeps for its sampler. They can be sampled from until the next step."""
        if not self._published:
            self._published = self._connection.server.publish(self._adapter)
            self._connection.current[self._adapter] = self._published
        return Snapshot(name, version, Handle(self._published))

    def save(self, folder: Path, *, optimizer: bool) -> None:
        """Let the server keep weights and optimiser, and write down where."""
        state = self._save()
        folder.mkdir(parents=True, exist_ok=True)
        section = self._connection.settings
        facts = {
            "state": state,
            "optimizer": optimizer,
            "rank": section.lora.rank,
            "url": section.tinker.url,
            "base_model": section.tinker.base_model,
            **self._connection.server.facts,
        }
        (folder / STATE_FILE).write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def load(self, folder: Path, *, optimizer: bool) -> None:
        """Go on from what the server kept, in a new adapter; the reference stays as it is.

        Raises:
            EngineError: the server has it no longer.
            ModelError: the folder does not say where it is.
        """
        old, self._state = self._adapter, read_state(folder, optimizer=optimizer)
        self._adapter = self._keep(self._connection.server.reopen(self._state, optimizer=optimizer))
        self._published = ""
        if not optimizer:
            self._state = ""  # another optimiser than the saved one
        self.discard()
        if old:
            self._drop(old)

    def _save(self) -> str:
        self._state = self._state or self._connection.server.save(self._adapter)
        return self._state

    def _moved(self) -> None:
        """The weights are no longer those that were saved or published."""
        self._state, self._published = "", ""
        self._connection.current.pop(self._adapter, None)

    def _return_to(self, saved: str) -> None:
        """Take the weights as they were saved; the adapter that may have moved is given up."""
        old = self._adapter
        self._adapter = self._keep(self._connection.server.reopen(saved, optimizer=True))
        self._moved()
        self._state = saved
        self._drop(old)

    def _keep(self, adapter: str) -> str:
        self._opened.add(adapter)
        return adapter

    def _drop(self, adapter: str) -> None:
        self._opened.discard(adapter)
        _release(self._connection, {adapter})


def read_state(folder: Path, *, optimizer: bool = False) -> str:
    """Where the server keeps the weights of a policy's folder.

    Raises:
        ModelError: the folder does not say.
        EngineError: it was written without the optimiser that is asked for.
    """
    try:
        facts = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        state, kept = facts["state"], facts["optimizer"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(
            "the folder does not say where a server keeps its weights",
            where=str(folder / STATE_FILE),
            fix="policies of other engines cannot be taken up with engine.backend=tinker",
        ) from None
    if optimizer and not kept:
        raise EngineError("the folder was written without the optimiser's state", where=str(folder / STATE_FILE))
    return str(state)


def _release(connection: Connection, adapters: set[str]) -> None:
    for adapter in adapters:
        connection.current.pop(adapter, None)  # what it published goes with its place
        connection.server.release(adapter)
