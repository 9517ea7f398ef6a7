"""The trainer of one process among several: each calls the same methods with the same arguments at the same time.

Every process packs all rows the same way and computes the micro-batches that fall to it. What they find is summed, so
that all of them have the result of one process that computed everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from coevolve.engine.fsdp.moments import load_moments, save_moments
from coevolve.engine.fsdp.weights import DividedAdapter, DividedModel, hidden_of
from coevolve.engine.local.full import Trained, WholeModel
from coevolve.engine.local.lora import Adapter
from coevolve.engine.local.packing import Index, MicroBatch, pack
from coevolve.engine.local.scoring import Tally
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.errors import EngineError
from coevolve.types import Ban, Batch, Floats, Ints, TrainRow, TrainStats

_IDLE = np.zeros(0, np.int64)  # rows of a micro-batch that is computed for company only


class DividedTrainer(LocalTrainer):
    """A ``LocalTrainer`` whose weights, gradients and moments are shared out over the processes of the default group.

    All processes give the same results; the weights of ``snapshot`` and the files of ``save`` are made by the first.
    Where memory runs out nothing is done again: the other processes cannot know.
    """

    def _divided(self, trained: Trained) -> Trained:
        mesh = init_device_mesh(self._device.type, (dist.get_world_size(),))
        self._parts: DividedModel | DividedAdapter
        if isinstance(trained, Adapter):
            self._parts = DividedAdapter(trained, self.model_path, trained.lora, mesh=mesh)
        else:
            assert isinstance(trained, WholeModel)
            dtype = str(next(trained.model.parameters()).dtype).removeprefix("torch.")
            self._parts = DividedModel(trained, self.model_path, dtype=dtype, device=str(self._device), mesh=mesh)
        return self._parts

    def set_reference(self, folder: Path | None = None) -> None:
        """Make the present weights the reference of the KL term, or those of a folder; as of one process."""
        super().set_reference(folder)
        if isinstance(self._parts, DividedModel):
            self._parts.divide_reference()

    def load(self, folder: Path, *, optimizer: bool) -> None:
        """Go on exactly where ``save`` was called, with however many processes; as of one process."""
        self._let_go()
        super().load(folder, optimizer=optimizer)

    def load_optimizer(self, folder: Path) -> None:
        """Restore the optimiser's state alone, of whatever number of processes wrote it.

        Raises:
            EngineError: the folder holds no optimiser state, or that of another model.
        """
        load_moments(self._optimizer, self._trained.parameters, folder)

    def logprobs(self, rows: Sequence[TrainRow], banned: Ban | None = None) -> list[Floats]:
        """Log-probabilities [L] of each row's tokens as the policy draws them; index 0 is 0."""
        own = super().logprobs(rows, banned)
        whole = torch.from_numpy(np.concatenate([*own, np.zeros(0, np.float32)]))
        dist.all_reduce(whole)  # each number is computed by one process and 0 in the others
        return np.split(whole.numpy(), np.cumsum([len(row.tokens) for row in rows])[:-1]) if rows else []

    def _save_tokenizer(self, folder: Path) -> None:
        if dist.get_rank() == 0:
            super()._save_tokenizer(folder)

    def _save_optimizer(self, folder: Path) -> None:
        save_moments(self._optimizer, self._trained.parameters, folder)

    def _let_go(self) -> None:
        """Keep only the part of this process, also of what a pass without gradients has left gathered."""
        cast(FSDPModule, self.model).reshard()

    def _clip(self, parameters: Sequence[nn.Parameter]) -> float:
        self._let_go()  # the parts are about to change
        norm = nn.utils.clip_grad_norm_(parameters, self._max_grad_norm)
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)

    def _hidden(self, model: nn.Module, micro: MicroBatch) -> Tensor:
        return hidden_of(model, micro, self._device)

    def _pack(self, tokens: Sequence[Ints], scored: Sequence[Index]) -> list[MicroBatch]:
        """The micro-batches of this process: as many as every other has, and in each round of similar size.

        A batch that would fit into fewer micro-batches than there are processes is cut smaller.
        """
        count = dist.get_world_size()
        rows = [int(where[-1]) for where in scored if len(where)]
        budget = min(self.micro_batch_tokens, max(-(-sum(rows) // count), max(rows, default=0)))
        micros = sorted(pack(tokens, scored, budget), key=lambda micro: -micro.row_tokens)
        own = micros[dist.get_rank() :: count]
        if len(own) * count < len(micros) or (len(own) < -(-len(micros) // count)):
            first = min((where[0], i) for i, where in enumerate(scored) if len(where))[1]
            company = pack([tokens[first]], [scored[first][:1]], budget)[0]
            own.append(replace(company, rows=_IDLE, bounds=np.zeros(1, np.int64)))
        return own

    def _micro_step(self, batch: Batch, micro: MicroBatch, tally: Tally) -> None:
        if len(micro.rows):
            super()._micro_step(batch, micro, tally)
            return
        # A row without weight: its gradient is zero, but the others need this process for their layers.
        length = int(micro.token[0]) + 1
        nothing = np.zeros(length, np.float32)
        row = TrainRow(np.zeros(length, np.int32), nothing, nothing, nothing, nothing, nothing, nothing)
        alone = replace(micro, rows=np.zeros(1, np.int64), bounds=np.array([0, 1]))
        super()._micro_step(replace(batch, rows=(row,)), alone, Tally(batch.bins, self._device))

    def _attempt(self, batch: Batch, scored: Sequence[Index]) -> TrainStats | None:
        own = super()._attempt(batch, scored)
        everyone: list[TrainStats | None] = [None] * dist.get_world_size()
        dist.all_gather_object(everyone, own)
        return added([stats for stats in everyone if stats is not None])

    def _halve(self, micros: Sequence[MicroBatch]) -> None:
        raise EngineError(
            f"memory ran out in process {dist.get_rank()} of {dist.get_world_size()}",
            where=str(self._device),
            fix="a new run with a smaller engine.micro_batch_tokens, engine.checkpointing=true or lora.enabled=true",
        )


def added(parts: Sequence[TrainStats]) -> TrainStats:
    """The statistics of all micro-batches from those of each process: sums, and the largest gap."""
    total = TrainStats(
        clipped_by_bin=[0] * len(parts[0].clipped_by_bin), tokens_by_bin=[0] * len(parts[0].tokens_by_bin)
    )
    for one in parts:
        for name in (field.name for field in fields(TrainStats)):
            before, value = getattr(total, name), getattr(one, name)
            if isinstance(value, list):
                setattr(total, name, [a + b for a, b in zip(before, value, strict=True)])
            elif not isinstance(value, bool):
                setattr(total, name, before + value)
    total.max_logp_gap = max(one.max_logp_gap for one in parts)
    return total
