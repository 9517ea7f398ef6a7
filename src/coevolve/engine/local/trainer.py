"""The trainer of the local engine: one causal model or an adapter on it, AdamW and a frozen reference, in this process.

The trainer knows no method. It turns rows of per-token numbers into a gradient of

    sum over tokens t of weight_t * (clipped policy loss_t + kl * KL term_t)

and keeps memory and time low: rows are packed by length, padding stays on the right so that causal attention
needs no mask, and logits exist only for the tokens that teach, a bounded number at a time.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coevolve.config import LoraSection
from coevolve.config.acting import Distribution
from coevolve.engine.base import Arrays, Snapshot
from coevolve.engine.local.banned import BannedLogits
from coevolve.engine.local.full import Trained, WholeModel
from coevolve.engine.local.lora import Adapter
from coevolve.engine.local.models import TOKENIZER_FILES, read_tensors
from coevolve.engine.local.optimizers import (
    Kind,
    load_optimizer,
    new_optimizer,
    save_optimizer,
)
from coevolve.engine.local.packing import Index, MicroBatch, pack, scored_tokens
from coevolve.engine.local.portions import LOGITS
from coevolve.engine.local.scoring import (
    Portion,
    Scores,
    Streams,
    Tally,
    checkpoint_layers,
    hidden_states,
    least_shared,
    output_head,
    portions,
    prepare,
    to_device,
    token_logprobs,
)
from coevolve.engine.local.shortage import give_back, out_of_memory
from coevolve.engine.vocabulary import read_vocabulary, vocabulary_size
from coevolve.errors import EngineError
from coevolve.learning.objectives import preferences
from coevolve.types import Ban, Batch, Floats, Ints, TrainRow, TrainStats

OPTIMIZER_FILE = "optimizer.pt"
ALL_TOKENS = Distribution()


class LocalTrainer:
    """Weights, optimiser and reference of one policy; implements ``coevolve.engine.base.Trainer``.

    Equal inputs give bit-equal weights on CPU. Weight decay acts on matrices only, not on norms.

    An update of full fine-tuning is often smaller than the last bit of a number in bfloat16, and would be lost. So with
    ``dtype="bfloat16"`` the trained weights are float32 all the same, and matrix products run in bfloat16.

    Args:
        model_path: Hugging Face folder the weights start from; its tokenizer goes into every saved folder.
        dtype: precision that the model computes in; of the weights as well, where they are not trained.
        device: where the model lives, as torch names it.
        drawn: what tokens are drawn from. Log-probabilities of the policy and of its reference are those of this
            distribution: at its temperature, over the tokens that the policy itself keeps (and the one at hand), which
            share the probability of the rest.
        optimizer: AdamW with moments of 32 or of 8 bits.
        betas: of AdamW.
        weight_decay: of AdamW.
        max_grad_norm: gradient norm above which the gradient is scaled down to it.
        micro_batch_tokens: padded tokens of one forward and backward pass.
        autocast: "bfloat16" runs matrix products in that type.
        checkpointing: keep only the inputs of each layer, and compute what is inside once more for the backward pass.
        lora: train an adapter on a base that the process shares; None trains all weights.
        seed: of a new adapter's first matrices.
        on_halved: told the new ``micro_batch_tokens`` after memory has run out.

    Raises:
        ConfigError: the adapter does not suit the model, or a package is not installed.
        ModelError: the folder cannot be used.
        EngineError: the model computes its logits in a way this trainer does not reproduce.
    """

    def __init__(
        self,
        model_path: Path,
        *,
        dtype: str = "float32",
        device: str = "cpu",
        drawn: Distribution = ALL_TOKENS,
        optimizer: Kind = "adamw",
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        max_grad_norm: float = 1.0,
        micro_batch_tokens: int = 8192,
        autocast: Literal["none", "bfloat16"] = "none",
        checkpointing: bool = False,
        lora: LoraSection | None = None,
        seed: int = 0,
        on_halved: Callable[[int], None] | None = None,
    ) -> None:
        self.model_path = model_path
        self._vocabulary = vocabulary_size(model_path)
        self._device = torch.device(device)
        self._autocast = "bfloat16" in (autocast, dtype)
        self._trained: Trained
        if lora is None:
            self._trained = WholeModel(model_path, dtype="float32" if dtype == "bfloat16" else dtype, device=device)
        else:
            self._trained = Adapter(model_path, lora, seed=seed, dtype=dtype, device=device)
        self.model = self._trained.model
        self._drawn = drawn
        self._banned = BannedLogits(read_vocabulary(model_path), self.model)
        self._max_grad_norm = max_grad_norm
        self.micro_batch_tokens, self._on_halved = micro_batch_tokens, on_halved
        self._halvings = 0  # since the last statistics
        self._kind: Kind = optimizer
        with self._precision():
            prepare(self.model, self._device)
        if checkpointing:
            checkpoint_layers(self.model)
        self._trained = self._divided(self._trained)
        with self._precision():
            self._least = least_shared(self.model)
        parameters = self._trained.parameters.values()
        self._optimizer = new_optimizer(optimizer, parameters, betas=betas, weight_decay=weight_decay)

    def forward_backward(self, batch: Batch) -> TrainStats:
        """Accumulate the gradient of sum(weight * (loss + kl * KL term)) over the batch.

        Preferences need the log-ratios of whole texts first, and so one forward pass more. Old log-probabilities are
        those of the rows; ``max_logp_gap`` is their largest change. Where memory runs out the gradient is thrown away
        and the whole batch done again with micro-batches of half the size, which stays; the result is that of a trainer
        that had this size from the start.

        Raises:
            EngineError: a first token has a weight (nothing predicts it), a bin is out of range, kl > 0 has no
                reference, or memory is too small for a single row.
        """
        if batch.objective == "preference":
            return self._preferences(batch)
        self._banned.choose(batch.banned)
        scored = [scored_tokens(row) for row in batch.rows]
        if batch.kl == 0:  # a row without advantage has no gradient: it is not computed
            moves = [bool(row.advantage[at].any()) for row, at in zip(batch.rows, scored, strict=True)]
            scored = [at if moving else at[:0] for at, moving in zip(scored, moves, strict=True)]
        if any(len(where) and where[0] == 0 for where in scored):
            raise EngineError("A row has a weight on its first token, which nothing predicts")
        if any(not 0 <= row.bin < batch.bins for row in batch.rows):
            raise EngineError(f"A row is counted under a bin beyond the {batch.bins} of its batch")
        earlier = any(p.grad is not None for p in self._trained.parameters.values())
        while (stats := self._attempt(batch, scored)) is None:
            if earlier:
                raise EngineError("Memory ran out in a later part of a batch, and the gradient of the first is lost")
        stats.halvings, self._halvings = self._halvings, 0
        return stats

    def _preferences(self, batch: Batch) -> TrainStats:
        """The gradient of a preference loss: that of the likelihood of each row, times what its pairs make of it."""
        own = self.logprobs(batch.rows, batch.banned)
        ratios = [
            float((row.weight[at] * (logp[at] - row.old_logp[at])).sum(dtype=np.float64))
            for row, logp in zip(batch.rows, own, strict=True)
            for at in [scored_tokens(row)]
        ]
        found = preferences(torch.tensor(ratios, dtype=torch.float64), batch.pairs, batch.beta)
        rows = tuple(
            replace(row, advantage=np.full(len(row.tokens), gain, np.float32))
            for row, gain in zip(batch.rows, found.gains.tolist(), strict=True)
        )
        stats = self.forward_backward(replace(batch, rows=rows, objective="likelihood", pairs=(), beta=0.0))
        stats.loss, stats.pairs = found.loss, len(batch.pairs)
        stats.preferred, stats.margin = int((found.margins > 0).sum()), float(found.margins.sum())
        return stats

    def step(self, lr: float, limit: float = math.inf) -> float:
        """Clip, update, zero the gradient; returns the gradient norm before clipping.

        A norm that is not finite or is above ``limit`` leaves weights and optimiser as they are, to the last bit.
        """
        parameters = [p for p in self._trained.parameters.values() if p.grad is not None]
        norm = self._clip(parameters) if parameters else 0.0
        if math.isfinite(norm) and norm <= limit:
            for group in self._optimizer.param_groups:
                group["lr"] = lr
            try:
                self._optimizer.step()
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                fix = "engine.optimizer=adamw-8bit or lora.enabled=true in a new run"
                raise EngineError("memory ran out in the optimiser's step", fix=fix) from error
        self.discard()
        return norm

    def discard(self) -> None:
        """Zero the gradient without an update."""
        self._optimizer.zero_grad(set_to_none=True)

    def logprobs(self, rows: Sequence[TrainRow], banned: Ban | None = None) -> list[Floats]:
        """Log-probabilities [L] of each row's tokens as the policy draws them; index 0 is 0."""
        self._banned.choose(banned)
        scored: list[Index] = [np.arange(1, len(row.tokens)) for row in rows]
        while True:
            result = [np.zeros(len(row.tokens), dtype=np.float32) for row in rows]
            micros = self._pack([row.tokens for row in rows], scored)
            try:
                for micro in micros:
                    values = self._score(self.model, micro).cpu().numpy()
                    for i, token, part in micro.split(values):
                        result[i][token] = part
                return result
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            self._halve(micros)

    def set_reference(self, folder: Path | None = None) -> None:
        """Make the present weights the reference of the KL term, or those of a folder.

        Args:
            folder: a model, or with LoRA an adapter or the base model itself.

        Raises:
            EngineError: the folder is that of another model.
            ModelError: it cannot be used.
        """
        loaded = self._trained.set_reference(folder)
        if loaded is not None:
            self._banned.choose(None)
            with self._precision():
                prepare(loaded, self._device)
            self._banned.watch(loaded)

    def snapshot(self, name: str, version: int) -> Snapshot:
        """Copies of the trained weights as float32, as the weights of a policy."""
        return Snapshot(name, version, Arrays(self._trained.numpy(), self._trained.adapter))

    def save(self, folder: Path, *, optimizer: bool) -> None:
        """Write a folder with weights and the base model's tokenizer, and the optimiser's state if asked.

        The weights are a Hugging Face model or, with LoRA, an adapter as peft writes it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._trained.save(folder)
        self._save_tokenizer(folder)
        if optimizer:
            self._save_optimizer(folder)

    def load(self, folder: Path, *, optimizer: bool) -> None:
        """Go on exactly where ``save`` was called; the reference stays as it is.

        Args:
            optimizer: restore the optimiser's state too, which ``save`` was asked for.

        Raises:
            EngineError: the folder is that of another model, holds no optimiser state, or that of another optimiser.
            ModelError: weights are missing or damaged.
        """
        self._trained.load(read_tensors(folder))
        if optimizer:
            self.load_optimizer(folder)

    def load_optimizer(self, folder: Path) -> None:
        """Restore the optimiser's state alone: the weights are those of the folder already.

        Raises:
            EngineError: the folder holds no optimiser state, or that of another model or optimiser.
        """
        load_optimizer(self._optimizer, self._kind, folder / OPTIMIZER_FILE, self._device)

    def _save_tokenizer(self, folder: Path) -> None:
        for name in TOKENIZER_FILES:
            if (self.model_path / name).is_file() and self.model_path.resolve() != folder.resolve():
                shutil.copyfile(self.model_path / name, folder / name)

    def _save_optimizer(self, folder: Path) -> None:
        save_optimizer(self._optimizer, self._kind, folder / OPTIMIZER_FILE)

    def _divided(self, trained: Trained) -> Trained:
        """What becomes of a model that is ready, before its optimiser is made: here it stays in one piece."""
        return trained

    def _clip(self, parameters: Sequence[nn.Parameter]) -> float:
        """Scale the gradients down to the largest norm that is allowed; returns the norm that they had."""
        return float(nn.utils.clip_grad_norm_(parameters, self._max_grad_norm))

    def _hidden(self, model: nn.Module, micro: MicroBatch) -> Tensor:
        """Last hidden states [U, H] of the tokens whose logits are needed."""
        return hidden_states(model, micro, self._device)

    def _attempt(self, batch: Batch, scored: Sequence[Index]) -> TrainStats | None:
        """The gradient of a batch, added to what there is; None, and no gradient, where memory ran out."""
        tally = Tally(batch.bins, self._device)
        tokens = [row.tokens for row in batch.rows]
        micros: list[MicroBatch] = []
        try:
            micros = self._pack(tokens, scored)
            for micro in micros:
                self._micro_step(batch, micro, tally)
            return tally.stats()
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        # Only out here does nothing hold the tensors of the failed pass any more.
        self.discard()
        self._halve(micros)
        return None

    def _pack(self, tokens: Sequence[Ints], scored: Sequence[Index]) -> list[MicroBatch]:
        return pack(tokens, scored, self.micro_batch_tokens, once=self._least > 0, least=max(self._least, 1))

    def _halve(self, micros: Sequence[MicroBatch]) -> None:
        """Make micro-batches so small that the largest of these is divided.

        Raises:
            EngineError: each of them is a single row.
        """
        give_back(self._device)
        largest = max((micro.row_tokens for micro in micros if len(micro.rows) > 1), default=0)
        if not largest:
            longest = max(micro.row_tokens for micro in micros)
            raise EngineError(
                f"memory is too small to train on a single text of {longest} tokens",
                where=str(self._device),
                fix="a new run with engine.checkpointing=true, lora.enabled=true or a smaller sampling.max_tokens; "
                "or on with this one where there is more memory: coevolve resume",
            )
        self.micro_batch_tokens = min(self.micro_batch_tokens, largest) // 2
        self._halvings += 1
        if self._on_halved is not None:
            self._on_halved(self.micro_batch_tokens)

    def _micro_step(self, batch: Batch, micro: MicroBatch, tally: Tally) -> None:
        """Forward and backward of one micro-batch; adds to ``tally``."""
        streams = Streams.gather(batch, micro, self._device)
        reference = self._reference(micro) if batch.kl > 0 else None
        with self._precision():
            hidden, owner = self._states(self.model, micro)
        # The head runs portion by portion, each with its own backward pass: only one portion of logits is alive.
        grad = torch.empty_like(hidden)
        target = to_device(micro.target, self._device)
        for portion in portions(owner, len(hidden), self._chunk()):
            leaf = hidden[portion.states].detach().requires_grad_()
            part = to_device(portion.tokens, self._device)
            own = self._scores(self.model, leaf, portion, target[part])
            referred = None if reference is None else reference(portion, own.kept)
            streams.loss(part, own.logp, own.entropy, referred, tally).backward()
            assert leaf.grad is not None
            grad[portion.states] = leaf.grad
            del own, leaf  # of the last portion: they would stay for the whole backward pass
        hidden.backward(grad)

    def _states(self, model: nn.Module, micro: MicroBatch) -> tuple[Tensor, Index]:
        """Hidden states whose logits are needed, and which of them each scored token belongs to.

        Where tokens are left out, the target is not, so that each needs logits of its own.
        """
        states = self._hidden(model, micro)
        if not self._drawn.truncated:
            return states, micro.owner
        return F.embedding(to_device(micro.owner, self._device), states), np.arange(len(micro.owner))

    def _scores(
        self, model: nn.Module, states: Tensor, portion: Portion, target: Tensor, kept: Tensor | None = None
    ) -> Scores:
        """What a model says of the targets of a portion."""
        with self._precision():
            logits = output_head(model)(states)[:, : self._vocabulary]  # the sampler draws from these alone
        return token_logprobs(logits, to_device(portion.owner, self._device), target, self._drawn, kept)

    def _reference(self, micro: MicroBatch) -> Callable[[Portion, Tensor | None], Tensor]:
        """Log-probabilities of the reference, for a portion of the scored tokens and what the policy keeps there."""
        if not self._drawn.truncated:
            with self._trained.reference() as model:
                everything = self._score(model, micro)
            return lambda portion, kept: everything[to_device(portion.tokens, self._device)]
        target = to_device(micro.target, self._device)
        with torch.no_grad(), self._trained.reference() as model, self._precision():
            states, _ = self._states(model, micro)

        @torch.no_grad()
        def among(portion: Portion, kept: Tensor | None) -> Tensor:
            part = to_device(portion.tokens, self._device)
            with self._trained.reference() as model:
                return self._scores(model, states[portion.states], portion, target[part], kept).logp

        return among

    @torch.no_grad()
    def _score(self, model: nn.Module, micro: MicroBatch) -> Tensor:
        """Log-probabilities [M] of the scored tokens of a micro-batch."""
        target = to_device(micro.target, self._device)
        with self._precision():
            hidden, owner = self._states(model, micro)
        scores = torch.empty(len(target), dtype=torch.promote_types(hidden.dtype, torch.float32), device=self._device)
        for portion in portions(owner, len(hidden), self._chunk()):
            part = to_device(portion.tokens, self._device)
            scores[part] = self._scores(model, hidden[portion.states], portion, target[part]).logp
        return scores

    def _chunk(self) -> int:
        """Tokens whose logits are alive at once. To leave out tokens takes their order, and the reference's logits."""
        size = LOGITS // 4 if self._drawn.truncated else LOGITS
        return max(1, size // int(output_head(self.model).out_features))

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self._device.type, torch.bfloat16) if self._autocast else nullcontext()
