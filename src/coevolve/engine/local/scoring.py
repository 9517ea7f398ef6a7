"""From hidden states to log-probabilities and the loss, and the two parts of a causal model this needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from coevolve.config.acting import Distribution
from coevolve.engine.local.attention import NAME, Layout, tree_attention
from coevolve.engine.local.drawing import likely
from coevolve.engine.local.layers import layers_of
from coevolve.engine.local.packing import Index, MicroBatch, pack
from coevolve.engine.local.portions import CACHED
from coevolve.errors import EngineError
from coevolve.learning.objectives import ClipStats, clipped_policy_loss, k3, kl_term, weighted_likelihood
from coevolve.types import Batch, KLGradient, Objective, TrainStats


def prepare(model: nn.Module, device: torch.device) -> None:
    """Switch a model to ``tree_attention``, and check on two short rows that their logits stay the same.

    Raises:
        EngineError: they do not: the model scales or caps its logits, or attends in another way.
    """
    from transformers import AttentionInterface

    rows = np.array([[0, 1, 2, 3, 4], [0, 1, 3, 2, 1]], np.int32) % output_head(model).out_features
    with torch.no_grad():
        whole = model(input_ids=torch.from_numpy(rows).long().to(device), use_cache=False).logits[:, :-1]
        AttentionInterface.register(NAME, tree_attention)
        model.set_attn_implementation(NAME)  # type: ignore[operator]
        probe = pack(list(rows), [np.arange(1, rows.shape[1])] * 2, rows.size)[0]
        states = hidden_states(model, probe, device)[torch.from_numpy(probe.owner).to(device)]
        parts = output_head(model)(states).unflatten(0, (2, -1))[torch.from_numpy(np.argsort(probe.rows))]
        exact = whole.dtype not in (torch.bfloat16, torch.float16)
    whole, parts = whole.float(), parts.float()
    # In 16 bits each of many layers rounds in another order; what is computed in another way differs by more.
    rounding = 1e-2 if exact else 0.05 * float(whole.abs().max())
    if not torch.allclose(whole, parts, rtol=1e-2, atol=rounding):
        raise EngineError(
            f"{type(model).__name__} does not compute its logits as the local trainer does",
            fix="train a model with plain causal attention and a plain output matrix, such as Qwen3 or Llama",
        )


def least_shared(model: nn.Module) -> int:
    """From how many common tokens on rows share them, where attention runs by segments; 0 where it does not.

    Another segment costs about as much time as some millions of products in each layer.
    """
    layers = layers_of(model)
    return 0 if layers is None else 1 + _SEGMENT // layers.layer_numbers


def checkpoint_layers(model: nn.Module) -> None:
    """Keep only the inputs of each decoder layer, and compute the rest again in the backward pass.

    Raises:
        EngineError: the model's layers cannot do that.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise EngineError(f"{type(model).__name__} has no gradient checkpointing", fix="engine.checkpointing=false")
    # Nothing in the layers is drawn at random, so there is no state of a generator to keep.
    options = {"use_reentrant": False, "preserve_rng_state": False}
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)  # type: ignore[operator]
    for layer in layers:
        layer.training = (
            True  # of the layer alone, which then uses checkpoints; what is inside stays in evaluation mode
        )


def hidden_states(model: nn.Module, micro: MicroBatch, device: torch.device) -> Tensor:
    """Last hidden states [U, H] of the tokens whose logits are needed."""
    layers = layers_of(model)
    if layers is not None:
        return layers(micro)
    decoder: nn.Module = model.base_model  # type: ignore[assignment]
    states: Tensor = decoder(
        input_ids=to_device(micro.inputs, device)[None],
        position_ids=to_device(micro.depth, device)[None],
        layout=Layout(micro.blocks, to_device(micro.spread, device), to_device(micro.collect, device)),
        use_cache=False,
    ).last_hidden_state
    return F.embedding(to_device(micro.states, device), states[0])


def to_device(values: NDArray[np.generic], device: torch.device) -> Tensor:
    """An array as a tensor there; to CUDA through pinned memory, so that nobody waits for the copy."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def output_head(model: nn.Module) -> nn.Linear:
    """The linear layer that turns hidden states into logits."""
    return model.get_output_embeddings()  # type: ignore[operator, no-any-return]


_SEGMENT = 4_000_000  # products of weights and tokens


class Portion(NamedTuple):
    """States whose logits are alive at once, and the scored tokens that they predict."""

    states: slice  # S of [U]
    tokens: Index  # [T] of [M]
    owner: Index  # [T] the state of each token, among the S


def portions(owner: Index, count: int, size: int) -> Iterator[Portion]:
    """Cut U = ``count`` states into portions of up to ``size``; ``owner`` [M] is the state of each scored token."""
    order = np.argsort(owner, kind="stable")
    ordered = owner[order]
    for start in range(0, count, size):
        end = min(start + size, count)
        first, last = np.searchsorted(ordered, (start, end))
        yield Portion(slice(start, end), order[first:last], ordered[first:last] - start)


class Scores(NamedTuple):
    """What the logits [S, V] of a model say of T tokens."""

    logp: Tensor  # [T]
    entropy: Tensor  # [T], nats, of the whole distribution; no gradient
    kept: Tensor | None  # [S, V], which tokens could have been drawn; None: all


def token_logprobs(
    logits: Tensor, owner: Tensor, target: Tensor, drawn: Distribution, kept: Tensor | None = None
) -> Scores:
    """Log-probabilities of the targets under what tokens are drawn from, given logits [S, V], which are overwritten.

    Where that leaves out tokens, the others share the probability. The target is never left out: it was drawn, and
    would be on the other side of the bound only by a rounding error or a later update, with a ratio of zero or none.

    Args:
        owner: which of the S each target [T] belongs to; where tokens are left out, each to one of its own.
        target: [T].
        drawn: temperature, top-p and top-k.
        kept: which tokens to keep instead, such as those of another model [S, V].
    """
    logits = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    if drawn.truncated and kept is None:
        with torch.no_grad():
            kept = likely(logits / drawn.temperature, drawn.top_p, drawn.top_k)
            kept[owner, target] = True
    logp, entropy = _LogProbs.apply(logits, owner, target, drawn.temperature, kept)  # type: ignore[no-untyped-call]
    return Scores(logp, entropy, kept)


class _LogProbs(torch.autograd.Function):
    """Log-softmax at the targets, and the entropy. The logits become probabilities, then their gradient, in place."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, owner: Tensor, target: Tensor, temperature: float, kept: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        chosen = logits[owner, target] / temperature
        norm, entropy = logits.new_empty(len(logits)), logits.new_empty(len(logits))
        # On a CPU a few rows at a time stay in the cache.
        step = max(1, CACHED // logits.shape[1]) if logits.device.type == "cpu" else max(1, len(logits))
        for start in range(0, len(logits), step):
            part = slice(start, start + step)
            z = logits[part]
            if temperature != 1.0:
                z.div_(temperature)
            if kept is not None:
                z.masked_fill_(~kept[part], -torch.inf)
            top = z.amax(-1, keepdim=True)
            p = z.sub_(top).exp()
            total = p.sum(-1, keepdim=True)
            if kept is not None:
                z.masked_fill_(~kept[part], 0.0)
            mean = z.mul_(p).sum(-1, keepdim=True).div_(total)
            torch.div(p, total, out=z)
            log = total.log_()
            norm[part], entropy[part] = (top + log)[:, 0], (log - mean)[:, 0]
        ctx.save_for_backward(logits, owner, target)
        ctx.temperature = temperature
        entropy = entropy[owner]
        ctx.mark_non_differentiable(entropy)
        return chosen - norm[owner], entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        back, owner, target = ctx.saved_tensors
        grad = grad / ctx.temperature
        back *= grad.new_zeros(len(back)).index_add_(0, owner, grad).neg_().unsqueeze(1)
        back.index_put_((owner, target), grad, accumulate=True)
        return back, None, None, None, None


@dataclass(frozen=True, slots=True)
class Streams:
    """The per-token numbers of the scored tokens of a micro-batch, each [N]."""

    old_logp: Tensor
    advantage: Tensor
    clip_low: Tensor
    clip_high: Tensor
    weight: Tensor
    bin: Tensor
    bins: int
    kl: float
    dual_clip: float | None
    kl_gradient: KLGradient
    objective: Objective

    @classmethod
    def gather(cls, batch: Batch, micro: MicroBatch, device: torch.device) -> Self:
        """Collect the numbers in the order of the micro-batch's scored positions."""
        owned = [(batch.rows[i], token) for i, token, _ in micro.split(micro.token)]

        def stream(name: str) -> Tensor:
            values = np.concatenate([getattr(row, name)[token] for row, token in owned])
            return to_device(values, device)

        bins = np.repeat([row.bin for row, _ in owned], np.diff(micro.bounds))
        return cls(
            old_logp=stream("old_logp"),
            advantage=stream("advantage"),
            clip_low=stream("clip_low"),
            clip_high=stream("clip_high"),
            weight=stream("weight"),
            bin=to_device(bins, device),
            bins=batch.bins,
            kl=batch.kl,
            dual_clip=batch.dual_clip,
            kl_gradient=batch.kl_gradient,
            objective=batch.objective,
        )

    def loss(self, part: Tensor, logp: Tensor, entropy: Tensor, ref_logp: Tensor | None, tally: Tally) -> Tensor:
        """The summed loss of the scored tokens in ``part``, with its counts added to ``tally``."""
        weight, old_logp = self.weight[part], self.old_logp[part]
        if self.objective == "clipped":
            loss, clip = clipped_policy_loss(
                logp,
                old_logp,
                self.advantage[part],
                self.clip_low[part],
                self.clip_high[part],
                weight,
                self.bin[part],
                self.bins,
                self.dual_clip,
            )
        else:
            loss, clip = weighted_likelihood(logp, self.advantage[part], weight, self.bin[part], self.bins)
        kl = torch.zeros_like(loss.detach())
        if ref_logp is not None:
            term = kl_term(logp, old_logp, ref_logp, self.kl_gradient)
            loss = loss + self.kl * (weight * term).sum()
            kl = (term if self.kl_gradient == "k3" else k3(logp, ref_logp)).detach().sum()
        tally.add(loss.detach(), kl, entropy.sum(), (logp.detach() - old_logp).abs().max(), clip)
        return loss


class Tally:
    """Sums over scored tokens that stay on the device until the end: to read one earlier would make the device wait."""

    def __init__(self, bins: int, device: torch.device) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64, device=device)  # loss, kl, entropy, ratio
        self._gap = torch.zeros((), dtype=torch.float64, device=device)
        # tokens, clipped low, high and by the dual clip
        self._counts = torch.zeros(4, bins, dtype=torch.int64, device=device)

    def add(self, loss: Tensor, kl: Tensor, entropy: Tensor, gap: Tensor, clip: ClipStats) -> None:
        """Count the tokens of one chunk of logits; all but ``clip`` are scalars."""
        self._sums += torch.stack([x.double() for x in (loss, kl, entropy, clip.ratio.sum())])
        self._gap = torch.fmax(self._gap, gap.double())
        self._counts += torch.stack([clip.tokens, clip.clipped_low, clip.clipped_high, clip.clipped_dual])

    def stats(self) -> TrainStats:
        """What was counted."""
        loss, kl, entropy, ratio = self._sums.tolist()
        tokens, low, high, dual = self._counts.tolist()
        return TrainStats(
            loss=loss,
            tokens=sum(tokens),
            kl=kl,
            entropy=entropy,
            ratio=ratio,
            clipped_low=sum(low),
            clipped_high=sum(high),
            clipped_dual=sum(dual),
            clipped_by_bin=[sum(bounds) for bounds in zip(low, high, dual, strict=True)],
            tokens_by_bin=tokens,
            max_logp_gap=float(self._gap),
        )
