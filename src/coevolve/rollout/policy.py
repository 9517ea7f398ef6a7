"""A policy in training: a trainer, the rollouts that use its weights, and the check that both agree."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from coevolve.engine.base import Snapshot, Trainer
from coevolve.errors import EngineError
from coevolve.learning.guard import UpdateGuard, unusable
from coevolve.learning.rows import plain_row
from coevolve.types import Ban, Batch, Floats, TrainRow, TrainStats, Trajectory

ExtraState = Mapping[str, int | list[float] | dict[str, float]]
_CHECKED = 4  # trajectories per check


class Policy:
    """Name, trainer and version of a policy that learns.

    Args:
        name: for the record, e.g. ``solver-2``.
        trainer: holds weights and optimiser.
        tolerance: largest allowed gap between the log-probabilities of sampler and trainer.
        guard: decides which updates are made; its state belongs to the phase.
        truncated: tokens are left out of what is drawn from (top-p, top-k).

    ``numbers`` belongs to the phase: what its next step depends on beside weights and optimiser, e.g. running
    baselines. It is saved and loaded with them.
    """

    def __init__(
        self, name: str, trainer: Trainer, *, tolerance: float, guard: UpdateGuard, truncated: bool = False
    ) -> None:
        self.name, self._trainer, self._tolerance, self.guard = name, trainer, tolerance, guard
        self._truncated = truncated
        self.version, self.train_s, self.tokens_trained = 0, 0.0, 0
        self.numbers: dict[str, float] = {}

    def save(self, folder: Path, *, optimizer: bool) -> None:
        """Write the weights as a folder that transformers or peft reads, and the optimiser's state if asked."""
        self._trainer.save(folder, optimizer=optimizer)

    def save_state(self, folder: Path) -> None:
        """Write all that the next step depends on into a folder, save the numbers of ``extra_state``."""
        self._trainer.save(folder, optimizer=True)

    def extra_state(self) -> dict[str, int | list[float] | dict[str, float]]:
        """The numbers that ``load_state`` wants beside the folder."""
        guard = self.guard
        state: dict[str, int | list[float] | dict[str, float]] = {
            "version": self.version,
            "skipped_in_row": guard.skipped_in_row,
            "norms": list(guard.norms),
            "micro_batch_tokens": self._trainer.micro_batch_tokens,  # it decides the order of sums
        }
        return state | {"numbers": dict(self.numbers)} if self.numbers else state

    def load_state(self, folder: Path, extra: ExtraState) -> None:
        """Go on exactly where ``save_state`` was called.

        Raises:
            EngineError: the folder is that of another model or optimiser, or damaged.
            ModelError: its weights are missing or damaged.
        """
        self._trainer.load(folder, optimizer=True)
        version, skipped, norms = extra["version"], extra["skipped_in_row"], extra["norms"]
        micro_batch, numbers = extra["micro_batch_tokens"], extra.get("numbers", {})
        assert isinstance(version, int)
        assert isinstance(skipped, int)
        assert isinstance(norms, list)
        assert isinstance(micro_batch, int)
        assert isinstance(numbers, dict)
        self._trainer.micro_batch_tokens = micro_batch
        self.version, self.guard.skipped_in_row, self.guard.norms = version, skipped, list(norms)
        self.numbers = dict(numbers)

    def weights(self) -> Snapshot:
        """The present weights for rollouts."""
        return self._trainer.snapshot(self.name, self.version)

    def logprobs(self, rows: Sequence[TrainRow]) -> list[Floats]:
        """Log-probabilities [L] of each row's tokens under the present weights, see ``Trainer.logprobs``."""
        begin = time.perf_counter()
        found = self._trainer.logprobs(rows)
        self.train_s += time.perf_counter() - begin
        return found

    def check_logprobs(self, trajectories: Sequence[Trajectory], banned: Ban | None = None) -> float:
        """Compare stored log-probabilities of fresh trajectories with the trainer's; returns the largest gap.

        Args:
            trajectories: written with the present weights.
            banned: tokens that could not be drawn then.

        The gap of a token is |difference| / max(1, |log-probability|). The mean must stay within the tolerance, and no
        token may be a hundred times further off: single tokens were seen slightly above 1e-5 with the right weights
        (rounding in fp32, most likely), while stale weights move many tokens and a damaged cache some by far.

        Where tokens are left out, the worst gap in a hundred (and one at least) does not count: a rounding error may
        decide on which side of the bound a token lies, and then all that are left have another probability there.

        Raises:
            EngineError: the trajectories come from other weights, or the two disagree.
        """
        probed = [t for t in trajectories if t.mask.any()][:_CHECKED]
        if any((t.policy, t.policy_versions) != (self.name, (self.version,)) for t in probed):
            raise EngineError("trajectories of stale weights reached training", where=f"policy {self.name}")
        begin = time.perf_counter()
        gaps = []
        for trajectory, logp in zip(
            probed, self._trainer.logprobs([plain_row(t) for t in probed], banned), strict=True
        ):
            own, stored = logp[len(trajectory.prompt) :][trajectory.mask], trajectory.logprobs[trajectory.mask]
            gaps.append(np.abs(own - stored) / np.maximum(1.0, np.abs(stored)))
        self.train_s += time.perf_counter() - begin
        gap = np.concatenate(gaps) if gaps else np.zeros(1)
        if not np.isfinite(gap).all():
            raise EngineError(
                "log-probabilities of the policy are not numbers: its weights are broken",
                where=f"policy {self.name}, version {self.version}",
                fix="a new run with a smaller learning rate",
            )
        if self._truncated:
            gap = np.sort(gap)[: max(len(gap) - max(len(gap) // 100, 1), 1)]
        mean, largest = float(gap.mean()), float(gap.max())
        if not (mean <= self._tolerance and largest <= 100 * self._tolerance):
            raise EngineError(
                f"sampler and trainer disagree: log-probabilities differ by {mean:.2g} on average and {largest:.2g} at "
                f"most (allowed: {self._tolerance:.2g}, {100 * self._tolerance:.2g})",
                where=f"policy {self.name}, version {self.version}",
                fix="a larger engine.probe_tolerance for reduced precision; otherwise the weights were not synced",
            )
        return largest

    def update(self, batches: Sequence[Batch], lrs: Sequence[float]) -> list[TrainStats]:
        """One optimiser step per batch, the unusable ones left out; the version rises by one in all.

        An update whose numbers are not finite or whose gradient explodes leaves weights and optimiser bit-identical;
        its statistics say ``skipped``. A batch that teaches nothing costs no forward pass and no step: weights and
        optimiser stay as they are, and its statistics say ``idle``.

        Raises:
            EngineError: too many updates in a row had to be left out.
        """
        begin = time.perf_counter()
        out = []
        for batch, lr in zip(batches, lrs, strict=True):
            out.append(self._update_once(batch, lr))
            self.tokens_trained += out[-1].tokens
        self.version += 1
        self.train_s += time.perf_counter() - begin
        return out

    def _update_once(self, batch: Batch, lr: float) -> TrainStats:
        fault, stats = unusable(batch), TrainStats(grad_norm=math.nan)
        if not fault and not batch.teaches:
            return TrainStats(idle=True)
        if not fault:
            stats = self._trainer.forward_backward(batch)
            if math.isfinite(stats.loss):
                stats.grad_norm = self._trainer.step(lr, self.guard.limit)
            else:
                self._trainer.discard()
            fault = self.guard.fault(stats.loss, stats.grad_norm)
        if not fault:
            self.guard.made(stats.grad_norm)
            return stats
        self.guard.skipped()
        if self.guard.given_up:
            raise EngineError(
                f"{self.guard.skipped_in_row} updates in a row were skipped; of the last one, {fault}",
                where=f"policy {self.name}, step {self.version + 1} of its phase",
                fix="a new run with a smaller learning rate; if the gradients are fine, with a larger health.explosion",
            )
        stats.skipped = True
        return stats
