"""A training server in this process: real gradients of a small model, both reductions, and faults on demand."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from coevolve.config import LoraSection
from coevolve.engine.local.lora import add_adapter
from coevolve.engine.local.models import load_model
from coevolve.engine.tinker.server import Adam, LostReply, Sampled
from coevolve.types import Floats, Ints

LORA = LoraSection(enabled=True, rank=4, alpha=32)


@dataclass
class _Adapter:
    model: nn.Module
    weights: dict[str, nn.Parameter]
    optimizer: torch.optim.AdamW
    examples: int = 0  # since the last step

    def forward(self, row: Ints) -> Tensor:
        tokens = torch.from_numpy(row.astype(np.int64))[None]
        logits = self.model(input_ids=tokens).logits[0, :-1]
        return torch.log_softmax(logits, -1)[torch.arange(len(row) - 1), tokens[0, 1:]]


@dataclass
class SmallServer:
    """Implements :class:`coevolve.engine.tinker.server.Server`; its loops are as plain as can be.

    ``fault(call)`` is asked after each call that changes weights was carried out, and may raise. ``reduction`` may also
    be "mean of each call", which is in no class that we know.
    """

    folder: Path
    reduction: str = "sum"
    fault: Callable[[str], None] = lambda call: None
    shift: int = 0  # of log-probabilities, to the right
    told_rank: int | None = LORA.rank
    broken: bool = False  # forward gives NaN
    tells_norm: bool = True
    stale: bool = False  # samples from the base model whatever is asked
    written: Sequence[int] | None = None  # the next segments, in place of what the model would write
    facts: dict[str, str] = field(default_factory=dict)
    adapters: dict[str, _Adapter] = field(default_factory=dict)
    steps: int = 0  # carried out

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._base = load_model(self.folder, dtype="float32").requires_grad_(False)
        self._saved: dict[str, tuple[dict[str, Tensor], Any]] = {}
        self._published: dict[str | None, _Adapter] = {None: self._new(0)}

    def _new(self, seed: int) -> _Adapter:
        model = copy.deepcopy(self._base)
        weights = add_adapter(model, LORA, seed=seed, dtype=torch.float32)
        return _Adapter(model, weights, torch.optim.AdamW(weights.values(), lr=0.0))

    def open(self, rank: int, seed: int) -> str:
        name = f"adapter-{next(self._numbers)}"
        self.adapters[name] = self._new(seed)
        return name

    def reopen(self, state: str, *, optimizer: bool) -> str:
        name = self.open(LORA.rank, 0)
        weights, moments = self._saved[state]
        self._set(self.adapters[name], weights)
        if optimizer:
            self.adapters[name].optimizer.load_state_dict(moments)
        return name

    def _set(self, adapter: _Adapter, weights: dict[str, Tensor]) -> None:
        for key, value in weights.items():
            adapter.weights[key].data.copy_(value)

    def rank(self, state: str) -> int | None:
        return self.told_rank

    @torch.no_grad()
    def forward(self, adapter: str, rows: Sequence[Ints]) -> list[Floats]:
        found = [self.adapters[adapter].forward(row).numpy() for row in rows]
        return [np.roll(x, self.shift) * (np.nan if self.broken else 1.0) for x in found]

    def backward(
        self, adapter: str, rows: Sequence[Ints], logprobs: Sequence[Floats], advantages: Sequence[Floats]
    ) -> None:
        own = self.adapters[adapter]
        for row, old, gain in zip(rows, logprobs, advantages, strict=True):
            logp = own.forward(row)
            loss = -(torch.exp(logp - torch.from_numpy(old)) * torch.from_numpy(gain)).sum()
            share = {"sum": 1.0, "mean": 1 / len(logp), "mean of each call": 1 / (len(logp) * len(rows))}
            (loss * share[self.reduction]).backward()
        own.examples += len(rows)
        self.fault("backward")

    def step(self, adapter: str, adam: Adam) -> float | None:
        own = self.adapters[adapter]
        squares = 0.0
        for weight in own.weights.values():
            if weight.grad is not None:
                weight.grad /= own.examples if self.reduction == "mean" else 1
                squares += float((weight.grad.double() ** 2).sum())
        numbers = {"lr": adam.lr, "betas": (adam.beta1, adam.beta2), "weight_decay": adam.weight_decay, "eps": 1e-8}
        own.optimizer.param_groups[0].update(numbers)
        own.optimizer.step()
        own.optimizer.zero_grad()
        own.examples = 0
        self.steps += 1
        self.fault("step")
        return float(np.sqrt(squares)) if self.tells_norm else None

    def _copy(self, adapter: str) -> dict[str, Tensor]:
        return {key: value.detach().clone() for key, value in self.adapters[adapter].weights.items()}

    def save(self, adapter: str) -> str:
        name = f"state-{next(self._numbers)}"
        self._saved[name] = (self._copy(adapter), copy.deepcopy(self.adapters[adapter].optimizer.state_dict()))
        return name

    def publish(self, adapter: str) -> str:
        name = f"weights-{next(self._numbers)}"
        self._published[name] = self._new(0)
        self._set(self._published[name], self._copy(adapter))
        return name

    @torch.no_grad()
    def sample(
        self, weights: str | None, prompt: Ints, *, limit: int, greedy: bool, seed: int, ends: Sequence[int]
    ) -> Future[Sampled]:
        model = self._published[None if self.stale else weights].model
        random, tokens, logprobs = torch.Generator().manual_seed(seed), prompt.tolist(), []
        while len(logprobs) < limit and not (logprobs and tokens[-1] in ends):
            logp = torch.log_softmax(model(input_ids=torch.tensor([tokens])).logits[0, -1], -1)
            drawn = int(logp.argmax()) if greedy else int(torch.multinomial(logp.exp(), 1, generator=random))
            if self.written is not None:
                drawn = self.written[len(logprobs)]
            tokens.append(drawn)
            logprobs.append(float(logp[drawn]))
        future: Future[Sampled] = Future()
        future.set_result(Sampled(tokens[len(prompt) :], logprobs, tokens[-1] in ends))
        return future

    def release(self, adapter: str) -> None:
        self.adapters.pop(adapter, None)


def lose(*calls: str) -> Callable[[str], None]:
    """A fault: the replies to these calls are lost, in this order, each after it was carried out."""
    waiting = list(calls)

    def fault(call: str) -> None:
        if waiting and waiting[0] == call:
            waiting.pop(0)
            raise LostReply(f"the connection was cut during {call}")

    return fault
