"""Pretraining the base model: a plain Qwen3 of 0.6 million parameters on the textbook corpus, in one process on one
thread.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from coevolve.worlds.miniature.corpus import ALL_TOOL, Document, Mixture, documents
from coevolve.worlds.miniature.vocabulary import EOS, PAD, TOKENS

_QUINTIC = (3.4445, -4.7750, 2.0315)  # steepest Newton-Schulz polynomial at 0, from the Muon write-up


def orthogonalised(gradient: Tensor, steps: int = 5) -> Tensor:
    """Roughly the nearest semi-orthogonal matrix to ``gradient`` [rows, cols]; singular values 0.7..1.2."""
    a, b, c = _QUINTIC
    tall = gradient.shape[0] > gradient.shape[1]
    x = gradient.T if tall else gradient
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    oriented: Tensor = x.T if tall else x
    return oriented


class Muon:
    """Nesterov momentum, orthogonalised, with decoupled weight decay; for matrices only."""

    def __init__(self, matrices: Iterable[Tensor], *, momentum: float = 0.95, weight_decay: float = 0.1) -> None:
        self.matrices = list(matrices)
        self.momentum, self.weight_decay = momentum, weight_decay
        self._velocity = [torch.zeros_like(matrix) for matrix in self.matrices]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One update; a tall matrix moves further, so that every output unit moves alike."""
        for matrix, velocity in zip(self.matrices, self._velocity, strict=True):
            if matrix.grad is None:
                continue
            velocity.mul_(self.momentum).add_(matrix.grad)
            update = orthogonalised(matrix.grad + self.momentum * velocity)
            scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
            matrix.mul_(1 - lr * self.weight_decay).add_(update, alpha=-lr * scale)


Example = tuple[list[int], list[bool]]  # token ids and whether each is learnt
Stage = tuple[str, Iterator[Document], int]  # of the textbook: its name, its documents, and how many tokens of them
BUDGET_TOKENS = 6_500_000  # of the shipped model
DIALOGUE_TOKENS = 1_500_000  # further tokens, of the one pretrained on dialogues as well
_IGNORED = -100


@dataclass(frozen=True, slots=True)
class Training:
    """How the base model is trained."""

    seed: int = 0
    budget_tokens: int = BUDGET_TOKENS
    batch_tokens: int = 1024  # small batches learn to copy sooner
    muon_lr: float = 0.02
    adam_lr: float = 3e-3
    warmup: int = 40  # optimiser steps
    constant: float = 0.3  # share of the budget before the linear decay to 0, which removes the last copying errors
    all_tool: float = 0.12  # share of the budget, at its start, of right tool documents only
    mixture: Mixture = field(default_factory=Mixture)
    start: Path | None = None  # folder of a pretrained model to continue from; None: a new one


def new_model(seed: int, vocabulary: int = len(TOKENS)) -> Qwen3ForCausalLM:
    """An untrained model; every matrix is drawn at a scale that suits Muon.

    Args:
        seed: of the weights.
        vocabulary: number of tokens, the special ones first.
    """
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=False,
        pad_token_id=TOKENS.index(PAD),
        bos_token_id=None,
        eos_token_id=TOKENS.index(EOS),
    )
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                weight.normal_(0.0, _init_scale(name, weight.shape[1]))
    return model


def _init_scale(name: str, fan_in: int) -> float:
    if "embed_tokens" in name:
        return 0.3
    if "lm_head" in name:
        return 0.21 / math.sqrt(fan_in)
    return (0.21 if "o_proj" in name or "down_proj" in name else 0.7) / math.sqrt(fan_in)


def train(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    plan: Training,
    progress: Callable[[str], None] | None = None,
    stages: Sequence[Stage] = (),
) -> float:
    """Train in place; returns the mean loss (nats per learnt token) of the last hundred steps.

    Args:
        stages: what is read, one after the other, of another world; none: the miniature's textbook.
    """
    matrices = [w for name, w in model.named_parameters() if w.ndim == 2 and "layers" in name]
    muon = Muon(matrices)
    others = [w for w in model.parameters() if not any(w is matrix for matrix in matrices)]
    adam = torch.optim.AdamW(others, lr=plan.adam_lr, betas=(0.9, 0.95), weight_decay=0.1)
    model.train()
    recent: list[float] = []
    started, seen, step = time.monotonic(), 0, 0
    for ids, labels in _batches(tokenizer, plan, stages):
        rate = _rate(plan, seen, step)
        loss = _loss(model, ids, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        muon.step(plan.muon_lr * rate)
        adam.param_groups[0]["lr"] = plan.adam_lr * rate
        adam.step()
        model.zero_grad(set_to_none=True)
        recent = [*recent[-99:], float(loss.detach())]
        seen, step = seen + int((ids != TOKENS.index(PAD)).sum()), step + 1
        if progress is not None and step % 200 == 0:
            mean = sum(recent) / len(recent)
            progress(f"step {step}  tokens {seen / 1e6:.2f} M  loss {mean:.3f}  {time.monotonic() - started:.0f} s")
    model.eval()
    return sum(recent) / len(recent)


def _rate(plan: Training, seen: int, step: int) -> float:
    """Factor of the learning rates: linear warm-up, constant, linear decay to 0."""
    decay = (1.0 - seen / plan.budget_tokens) / (1.0 - plan.constant)
    return min(1.0, (step + 1) / plan.warmup, max(decay, 0.0))


def _loss(model: Qwen3ForCausalLM, ids: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the learnt tokens. Padding is on the right, so the causal mask is enough."""
    logits_BTV: Any = model(input_ids=ids, use_cache=False).logits
    return F.cross_entropy(logits_BTV[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=_IGNORED)


def textbook(plan: Training) -> tuple[Stage, ...]:
    """The miniature's: right tool documents first, then the mixture."""
    first = int(plan.all_tool * plan.budget_tokens)
    right = replace(ALL_TOOL, dialogues=plan.mixture.dialogues)
    stages = (("tool", right, first), ("mixture", plan.mixture, plan.budget_tokens - first))
    return tuple((name, documents(mixture, f"{name} {plan.seed}"), budget) for name, mixture, budget in stages)


def _batches(
    tokenizer: PreTrainedTokenizerFast, plan: Training, stages: Sequence[Stage] = ()
) -> Iterator[tuple[Tensor, Tensor]]:
    """Padded batches until the budget is used up."""
    for stage in stages or textbook(plan):
        yield from _stage(tokenizer, plan, *stage)


def _stage(
    tokenizer: PreTrainedTokenizerFast, plan: Training, name: str, source: Iterator[Document], budget: int
) -> Iterator[tuple[Tensor, Tensor]]:
    rng = random.Random(f"{name} batches {plan.seed}")
    used = 0
    while True:
        examples = sorted(encode_all(tokenizer, [next(source) for _ in range(2048)]), key=lambda e: len(e[0]))
        batches = list(_cut(examples, plan.batch_tokens))
        rng.shuffle(batches)
        for batch in batches:
            if used >= budget:
                return
            used += sum(len(ids) for ids, _ in batch)
            yield _pad(batch)


def encode_all(tokenizer: PreTrainedTokenizerFast, written: Sequence[Document]) -> list[Example]:
    """Token ids of whole documents and an end token; observations are not learnt."""
    pieces = [piece for document in written for piece, _ in document.pieces]
    encoded = iter(tokenizer(pieces, add_special_tokens=False)["input_ids"])
    examples = []
    for document in written:
        ids: list[int] = []
        learnt: list[bool] = []
        for _, learn in document.pieces:
            piece = next(encoded)
            ids += piece
            learnt += [learn] * len(piece)
        examples.append(([*ids, TOKENS.index(EOS)], [*learnt, True]))
    return examples


def _cut(examples: Sequence[Example], tokens: int) -> Iterator[Sequence[Example]]:
    """Runs of examples, shortest first, whose padded size stays below ``tokens``."""
    start = 0
    for end in range(1, len(examples) + 1):
        if end == len(examples) or (end + 1 - start) * len(examples[end][0]) > tokens:
            yield examples[start:end]
            start = end


def _pad(batch: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Ids and labels [rows, longest], padded on the right."""
    longest = max(len(ids) for ids, _ in batch)
    ids_BT = torch.full((len(batch), longest), TOKENS.index(PAD))
    labels_BT = torch.full((len(batch), longest), _IGNORED)
    for row, (ids, learnt) in enumerate(batch):
        tokens = torch.tensor(ids)
        ids_BT[row, : len(ids)] = tokens
        labels_BT[row, : len(ids)] = torch.where(torch.tensor(learnt), tokens, torch.tensor(_IGNORED))
    return ids_BT, labels_BT
