"""From hidden states to log-probabilities and the loss, and the two parts of a causal model this needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from coevolve.config.acting import Distribution
from coevolve.engine.local.drawing import likely
from coevolve.engine.local.packing import MicroBatch, pack
from coevolve.errors import EngineError
from coevolve.learning.objectives import ClipStats, clipped_policy_loss, k3, kl_term
from coevolve.types import Batch, KLGradient, TrainStats

_ATTENTION = "coevolve_tree"


class Layout(NamedTuple):
    """Where the N tokens of a micro-batch stand in its padded blocks of rows, see ``MicroBatch``."""

    blocks: tuple[tuple[int, int], ...]
    spread: Tensor  # [P]
    collect: Tensor  # [N]


def tree_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    layout: Layout,
    sliding_window: int | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Causal attention of [1, H, N, D] queries over [1, KV, N, D] keys, each token seeing its own past only.

    Attention alone runs on padded rows; the rest of the model runs on the N tokens.
    """
    if sliding_window is not None and layout.blocks[0][1] > sliding_window:
        raise EngineError("The local trainer has no sliding-window attention", fix="use shorter sequences")
    mixed = []
    for q, k, v in zip(*(_to_blocks(x, layout) for x in (query, key, value)), strict=True):
        block = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=True)
        mixed.append(block.transpose(1, 2).flatten(2).flatten(0, 1))
    flat = F.embedding(layout.collect, torch.cat(mixed))
    return flat.view(1, len(layout.collect), query.shape[1], -1), None


def _to_blocks(x: Tensor, layout: Layout) -> list[Tensor]:
    """[1, H, N, D] -> [B, H, L, D] for each block.

    An embedding is a gather whose backward pass is fast and deterministic on CPU.
    """
    _, heads, tokens, dim = x.shape
    places = F.embedding(layout.spread, x.transpose(1, 2).reshape(tokens, heads * dim))
    parts = torch.split(places, [count * length for count, length in layout.blocks])
    return [
        part.view(count, length, heads, dim).transpose(1, 2)
        for part, (count, length) in zip(parts, layout.blocks, strict=True)
    ]


def prepare(model: nn.Module, device: torch.device) -> None:
    """Switch a model to ``tree_attention``, and check on a few tokens that its logits stay the same.

    Raises:
        EngineError: they do not: the model scales or caps its logits, or attends in another way.
    """
    from transformers import AttentionInterface

    tokens = np.arange(4) % output_head(model).out_features
    with torch.no_grad():
        whole = model(input_ids=torch.from_numpy(tokens)[None].to(device), use_cache=False).logits[0, :-1]
        AttentionInterface.register(_ATTENTION, tree_attention)
        model.set_attn_implementation(_ATTENTION)  # type: ignore[operator]
        probe = pack([tokens.astype(np.int32)], [np.arange(1, len(tokens))], len(tokens))[0]
        parts = output_head(model)(hidden_states(model, probe, device))
        exact = whole.dtype not in (torch.bfloat16, torch.float16)
    whole, parts = whole.float(), parts.float()
    # In 16 bits each of many layers rounds in another order; what is computed in another way differs by more.
    rounding = 1e-2 if exact else 0.05 * float(whole.abs().max())
    if not torch.allclose(whole, parts, rtol=1e-2, atol=rounding):
        raise EngineError(
            f"{type(model).__name__} does not compute its logits as the local trainer does",
            fix="train a model with plain causal attention and a plain output matrix, such as Qwen3 or Llama",
        )


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
    """Last hidden states [M, H] at the scored positions."""

    decoder: nn.Module = model.base_model  # type: ignore[assignment]
    states: Tensor = decoder(
        input_ids=to_device(micro.inputs, device)[None],
        position_ids=to_device(micro.depth, device)[None],
        layout=Layout(micro.blocks, to_device(micro.spread, device), to_device(micro.collect, device)),
        use_cache=False,
    ).last_hidden_state
    return F.embedding(to_device(micro.position, device), states[0])


def to_device(values: NDArray[np.generic], device: torch.device) -> Tensor:
    """An array as a tensor there; to CUDA through pinned memory, so that nobody waits for the copy."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def output_head(model: nn.Module) -> nn.Linear:
    """The linear layer that turns hidden states into logits."""
    return model.get_output_embeddings()  # type: ignore[operator, no-any-return]


class Scores(NamedTuple):
    """What the logits [N, V] of a model say of N tokens."""

    logp: Tensor  # [N]
    entropy: Tensor  # [N], nats, of the whole distribution; no gradient
    kept: Tensor | None  # [N, V], which tokens could have been drawn; None: all


def token_logprobs(logits: Tensor, target: Tensor, drawn: Distribution, kept: Tensor | None = None) -> Scores:
    """Log-probabilities of the targets under what tokens are drawn from, given logits [N, V].

    Where that leaves out tokens, the others share the probability. The target is never left out: it was drawn, and
    would be on the other side of the bound only by a rounding error or a later update, with a ratio of zero or none.

    Args:
        target: [N].
        drawn: temperature, top-p and top-k.
        kept: which tokens to keep instead, such as those of another model [N, V].
    """
    logits = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    if drawn.temperature != 1.0:
        logits = logits / drawn.temperature
    if drawn.truncated:
        if kept is None:
            with torch.no_grad():
                kept = likely(logits, drawn.top_p, drawn.top_k).scatter(-1, target.unsqueeze(-1), True)
        logits = logits.masked_fill(~kept, -torch.inf)
    everything = F.log_softmax(logits, dim=-1)
    with torch.no_grad():
        finite = everything if kept is None else everything.masked_fill(~kept, 0.0)
        entropy = -(everything.exp() * finite).sum(-1)
    return Scores(everything.gather(-1, target.unsqueeze(-1)).squeeze(-1), entropy, kept)


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
        )

    def loss(self, part: slice, logp: Tensor, entropy: Tensor, ref_logp: Tensor | None, tally: Tally) -> Tensor:
        """The summed loss of the scored tokens in ``part``, with its counts added to ``tally``."""
        weight, old_logp = self.weight[part], self.old_logp[part]
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
