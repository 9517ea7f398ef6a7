"""The trainer of the local engine: one causal model, AdamW and a frozen reference, in this process.

The trainer knows no method. It turns rows of per-token numbers into a gradient of

    sum over tokens t of weight_t * (clipped policy loss_t + kl * k3_t)

and keeps memory and time low: rows are packed by length, padding stays on the right so that causal attention
needs no mask, and logits exist only for the tokens that teach, a bounded number at a time.
"""

from __future__ import annotations

import copy
import json
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from coevolve.engine.local.models import TOKENIZER_FILES, load_model, quiet
from coevolve.engine.local.packing import Index, MicroBatch, pack, scored_tokens
from coevolve.engine.local.scoring import Streams, hidden_states, output_head, prepare, token_logprobs
from coevolve.engine.vocabulary import vocabulary_size
from coevolve.errors import EngineError
from coevolve.types import Batch, Floats, TrainRow, TrainStats

OPTIMIZER_FILE = "optimizer.pt"
_LOGITS = 1 << 25  # elements of a logits matrix alive at once, 128 MB in fp32


def warmup_lr(step: int, lr: float, warmup: int) -> float:
    """Learning rate of optimiser step ``step`` (from 0): linear from lr / warmup to lr in ``warmup``."""
    return lr * min(1.0, (step + 1) / warmup) if warmup > 0 else lr


class LocalTrainer:
    """Weights, optimiser and reference of one policy; implements ``coevolve.engine.base.Trainer``.

    Equal inputs give bit-equal weights on CPU. Weight decay acts on matrices only, not on norms.

    Args:
        model_path: Hugging Face folder the weights start from; its tokenizer goes into every saved folder.
        dtype: precision of the weights.
        device: where the model lives, as torch names it.
        temperature: of the distribution the tokens were sampled from; logits are divided by it.
        betas: of AdamW.
        weight_decay: of AdamW.
        max_grad_norm: gradient norm above which the gradient is scaled down to it.
        micro_batch_tokens: padded tokens of one forward and backward pass.
        autocast: "bfloat16" runs matrix products in that type.

    Raises:
        ModelError: the folder cannot be used.
        EngineError: the model computes its logits in a way this trainer does not reproduce.
    """

    def __init__(
        self,
        model_path: Path,
        *,
        dtype: str = "float32",
        device: str = "cpu",
        temperature: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        max_grad_norm: float = 1.0,
        micro_batch_tokens: int = 8192,
        autocast: Literal["none", "bfloat16"] = "none",
    ) -> None:
        self.model_path = model_path
        self._vocabulary = vocabulary_size(model_path)
        self.model: nn.Module = load_model(model_path, dtype=dtype).to(device)  # type: ignore[arg-type]
        self._device = torch.device(device)
        self._temperature = temperature
        self._max_grad_norm = max_grad_norm
        self._micro_batch_tokens = micro_batch_tokens
        self._autocast = autocast == "bfloat16"
        self._reference: nn.Module | None = None
        self._reference_weights: dict[str, Tensor] | None = None
        self._optimizer = self._new_optimizer(betas, weight_decay)
        prepare(self.model, self._device)

    def forward_backward(self, batch: Batch) -> TrainStats:
        """Accumulate the gradient of sum(weight * (clipped loss + kl * k3)) over the batch.

        Old log-probabilities are those of the rows; ``max_logp_gap`` is their largest change.

        Raises:
            EngineError: a first token has a weight (nothing predicts it), a bin is out of range, or kl > 0 has no
                reference.
        """
        stats = TrainStats(clipped_by_bin=[0] * batch.bins, tokens_by_bin=[0] * batch.bins)
        scored = [scored_tokens(row) for row in batch.rows]
        if any(len(where) and where[0] == 0 for where in scored):
            raise EngineError("A row has a weight on its first token, which nothing predicts")
        if any(not 0 <= row.bin < batch.bins for row in batch.rows):
            raise EngineError(f"A row is counted under a bin beyond the {batch.bins} of its batch")
        tokens = [row.tokens for row in batch.rows]
        # Rows whose advantages are all 0 (groups that all fail or all succeed) only count, without a KL term.
        moves = [
            batch.kl > 0 or bool(row.advantage[where].any()) for row, where in zip(batch.rows, scored, strict=True)
        ]
        for learn in (True, False):
            chosen = [where if m == learn else where[:0] for where, m in zip(scored, moves, strict=True)]
            for micro in pack(tokens, chosen, self._micro_batch_tokens):
                with torch.set_grad_enabled(learn):
                    self._micro_step(batch, micro, stats)
        return stats

    def step(self, lr: float, limit: float = math.inf) -> float:
        """Clip, update, zero the gradient; returns the gradient norm before clipping.

        A norm that is not finite or is above ``limit`` leaves weights and optimiser as they are, to the last bit.
        """
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        norm = float(nn.utils.clip_grad_norm_(parameters, self._max_grad_norm)) if parameters else 0.0
        if math.isfinite(norm) and norm <= limit:
            for group in self._optimizer.param_groups:
                group["lr"] = lr
            self._optimizer.step()
        self.discard()
        return norm

    def discard(self) -> None:
        """Zero the gradient without an update."""
        self._optimizer.zero_grad(set_to_none=True)

    def logprobs(self, rows: Sequence[TrainRow]) -> list[Floats]:
        """Log-probabilities [L] of each row's tokens at the training temperature; index 0 is 0."""
        result = [np.zeros(len(row.tokens), dtype=np.float32) for row in rows]
        scored: list[Index] = [np.arange(1, len(row.tokens)) for row in rows]
        for micro in pack([row.tokens for row in rows], scored, self._micro_batch_tokens):
            values = self._score(self.model, micro).cpu().numpy()
            for i, token, part in micro.split(values):
                result[i][token] = part
        return result

    def set_reference(self) -> None:
        """Make the present weights the reference of the KL term; the second model is built on first use."""
        self._reference_weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def state_dict_numpy(self) -> dict[str, Floats]:
        """Copies of the weights as float32; tied weights appear under each of their names."""
        return {
            name: value.detach().to("cpu", torch.float32, copy=True).numpy()
            for name, value in self.model.state_dict().items()
        }

    def load_weights(self, weights: Mapping[str, Floats]) -> None:
        """Overwrite the weights in place; optimiser and reference stay as they are.

        Raises:
            EngineError: names or shapes are not those of ``state_dict_numpy``.
        """
        own = self.model.state_dict()
        if wrong := sorted(own.keys() ^ weights.keys()):
            raise EngineError(f"Weights with other names than the model's: {', '.join(wrong[:3])}")
        for name, value in own.items():
            if tuple(value.shape) != weights[name].shape:
                raise EngineError(f"{name} has shape {weights[name].shape}, the model needs {tuple(value.shape)}")
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(torch.from_numpy(np.ascontiguousarray(weights[name])))

    def save(self, folder: Path, *, optimizer: bool) -> None:
        """Write a Hugging Face folder with the base model's tokenizer, and the optimiser's state if asked."""
        folder.mkdir(parents=True, exist_ok=True)
        with quiet():
            self.model.save_pretrained(str(folder))  # type: ignore[operator]
        for name in TOKENIZER_FILES:
            if (self.model_path / name).is_file() and self.model_path.resolve() != folder.resolve():
                shutil.copyfile(self.model_path / name, folder / name)
        if optimizer:
            state = {"adamw": self._optimizer.state_dict()}
            with (folder / OPTIMIZER_FILE).open("wb") as file:  # given a path, torch hides why it cannot write
                torch.save(state, file)

    def load_optimizer(self, folder: Path) -> None:
        """Restore what ``save(folder, optimizer=True)`` kept.

        Raises:
            EngineError: the folder holds no optimiser state, or that of another model.
        """
        file = folder / OPTIMIZER_FILE
        if not file.is_file():
            raise EngineError(f"{OPTIMIZER_FILE} is missing", where=str(folder), fix="resume from another checkpoint")
        state = torch.load(file, map_location=self._device, weights_only=True)
        try:
            self._optimizer.load_state_dict(state["adamw"])
        except ValueError as error:
            raise EngineError("The optimiser state is that of another model", where=str(file)) from error

    def save_state(self, file: Path) -> None:
        """Write weights and AdamW's moments into one safetensors file, bit by bit."""
        tensors = {f"weight.{name}": value.detach() for name, value in self.model.named_parameters()}
        for number, parameter in enumerate(self._parameters()):
            for name, value in self._optimizer.state.get(parameter, {}).items():
                tensors[f"adamw.{number}.{name}"] = value
        # The order of the tensors and the last learning rates decide the bytes of the checkpoint that comes next.
        rest = {"order": [*tensors], "lr": [g["lr"] for g in self._optimizer.param_groups]}
        save_file({name: x.contiguous() for name, x in tensors.items()}, file, metadata={"rest": json.dumps(rest)})

    def load_state(self, file: Path) -> None:
        """Take up what ``save_state`` wrote; the reference stays as it is.

        Raises:
            EngineError: the file is that of another model, or none of ours.
        """
        try:
            with safe_open(file, framework="pt", device=str(self._device)) as source:
                rest = json.loads(source.metadata()["rest"])
                self._take_up({name: source.get_tensor(name).clone() for name in rest["order"]})
            for group, lr in zip(self._optimizer.param_groups, rest["lr"], strict=True):
                group["lr"] = lr
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise EngineError(f"the state of the training cannot be used: {error}", where=str(file)) from error

    def _take_up(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(tensors[f"weight.{name}"])
        for number, parameter in enumerate(self._parameters()):
            prefix = f"adamw.{number}."
            # Interned as AdamW's own names are: a checkpoint is a pickle, which writes one object once.
            own = {sys.intern(name.removeprefix(prefix)): x for name, x in tensors.items() if name.startswith(prefix)}
            if own:
                self._optimizer.state[parameter] = own
            else:
                self._optimizer.state.pop(parameter, None)  # it has not moved yet

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self._optimizer.param_groups for parameter in group["params"]]

    def _new_optimizer(self, betas: tuple[float, float], weight_decay: float) -> torch.optim.AdamW:
        matrices = [p for p in self.model.parameters() if p.ndim >= 2]
        vectors = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [
            {"params": matrices, "weight_decay": weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=0.0, betas=betas, fused=True)

    def _micro_step(self, batch: Batch, micro: MicroBatch, stats: TrainStats) -> None:
        """Forward of one micro-batch, and backward where gradients are enabled; adds to ``stats``."""
        streams = Streams.gather(batch, micro, self._device)
        reference = self._score(self._reference_model(), micro) if batch.kl > 0 else None
        with self._precision():
            hidden = hidden_states(self.model, micro, self._device)
        # The head runs chunk by chunk, each with its own backward pass: only one chunk of logits is alive.
        leaves = [piece.requires_grad_() for piece in torch.split(hidden.detach(), self._chunk())]
        target = torch.from_numpy(micro.target).to(self._device)
        start = 0
        for leaf in leaves:
            part = slice(start, start + len(leaf))
            with self._precision():
                logits = output_head(self.model)(leaf)[:, : self._vocabulary]  # the sampler draws from these alone
            logp, entropy = token_logprobs(logits, target[part], self._temperature)
            stats.entropy += float(entropy.sum())
            loss = streams.loss(part, logp, None if reference is None else reference[part], stats)
            if loss.requires_grad:
                loss.backward()
            start += len(leaf)
        if hidden.requires_grad:
            hidden.backward(torch.cat([leaf.grad for leaf in leaves if leaf.grad is not None]))

    @torch.no_grad()
    def _score(self, model: nn.Module, micro: MicroBatch) -> Tensor:
        """Log-probabilities [N] of the scored tokens of a micro-batch."""
        target = torch.from_numpy(micro.target).to(self._device)
        with self._precision():
            hidden = hidden_states(model, micro, self._device)
            pieces = torch.split(hidden, self._chunk()), torch.split(target, self._chunk())
            parts = [
                token_logprobs(output_head(model)(piece)[:, : self._vocabulary], at, self._temperature)[0]
                for piece, at in zip(*pieces, strict=True)
            ]
        return torch.cat(parts)

    def _chunk(self) -> int:
        return max(1, _LOGITS // int(output_head(self.model).out_features))

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self._device.type, torch.bfloat16) if self._autocast else nullcontext()

    def _reference_model(self) -> nn.Module:
        if self._reference_weights is not None:
            if self._reference is None:
                self._reference = copy.deepcopy(self.model).requires_grad_(False)
            self._reference.load_state_dict(self._reference_weights)
            self._reference_weights = None
        if self._reference is None:
            raise EngineError("The KL term needs a reference policy", fix="call set_reference() before")
        return self._reference
