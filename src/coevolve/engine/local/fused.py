"""The forward pass of decoders built as Llama is, for sampling: few operations, and no modules called between them.

transformers' modules make about twenty small operations a layer besides the matrix products. Here queries, keys and
values come from one product, gate and up projection from another, and a rotation is one product of complex numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, queries [N, H, D], keys [N, KV, D], values [N, KV, D]) -> what each token reads [N, H D]."""

_LAYERS = {"LlamaDecoderLayer", "Qwen2DecoderLayer", "Qwen3DecoderLayer"}
_FIXED_ROPE = {"default", "linear", "llama3", "yarn"}  # others change with the length of a text


class FusedDecoder:
    """The decoder of a causal model over the N tokens of several texts, one after the other without padding.

    The model's gate and up projections become views of one matrix, so that weights written to the model are those of
    the next pass. Queries, keys and values have a matrix of their own, in which the two halves of a head are
    interleaved; ``refresh`` makes it again.

    Args:
        model: a model for which ``can_fuse`` holds.
    """

    def __init__(self, model: Any) -> None:
        decoder = model.model
        self._embedding, self._norm, self._rotary = decoder.embed_tokens, decoder.norm, decoder.rotary_emb
        config = model.config
        self._dim: int = decoder.layers[0].self_attn.head_dim
        self._heads = (config.num_attention_heads, config.num_key_value_heads)
        self._modules = list(decoder.layers)
        self._layers: list[_Layer] = []
        self._cis = torch.empty(0)
        self._gate_up = [_joined(layer.mlp.gate_proj, layer.mlp.up_proj) for layer in self._modules]
        self.refresh()

    def refresh(self) -> None:
        """Take over what was written to the model's weights."""
        self._layers = [self._layer(n) for n in range(len(self._modules))]

    def hidden(self, tokens: Tensor, positions: Tensor, last: Tensor | None, attend: Attend) -> Tensor:
        """Last hidden states [R, hidden size] of N tokens at their positions, after the final norm.

        Args:
            tokens: [N].
            positions: [N], each within its own text.
            last: which of them are wanted [R]; None for all.
            attend: writes keys and values down and mixes those that a token sees.
        """
        (heads, kv), dim, count = self._heads, self._dim, len(tokens)
        states = F.embedding(tokens, self._embedding.weight)
        cis = self._rotation(int(positions.max()) + 1)[positions][:, None]
        for n, layer in enumerate(self._layers):
            qkv = F.linear(_norm(states, layer.before), layer.qkv, layer.bias).view(count, heads + 2 * kv, dim)
            turned = qkv[:, : heads + kv]
            if layer.heads is not None:
                turned = F.rms_norm(turned, (dim,), None, layer.eps).mul_(layer.heads)
            turned = _rotated(turned, cis)
            mixed = attend(n, turned[:, :heads], turned[:, heads:], qkv[:, heads + kv :])
            if last is not None and n == len(self._layers) - 1:
                mixed, states = mixed[last], states[last]
            states = _added(states, mixed, layer.out)
            gate, up = F.linear(_norm(states, layer.after), self._gate_up[n]).chunk(2, dim=-1)
            states = _added(states, F.silu(gate).mul_(up), layer.down)
        return _norm(states, self._norm)

    def _rotation(self, length: int) -> Tensor:
        """What turns each pair of numbers of a head at positions [0, length), as complex numbers [L, D / 2]."""
        if length > len(self._cis):
            positions = torch.arange(1 << (length - 1).bit_length(), device=self._embedding.weight.device)
            cos, sin = self._rotary(torch.empty(0, dtype=torch.float32, device=positions.device), positions[None])
            self._cis = torch.complex(cos[0, :, : self._dim // 2], sin[0, :, : self._dim // 2])
        return self._cis

    def _layer(self, n: int) -> _Layer:
        module = self._modules[n]
        own, (heads, kv) = module.self_attn, self._heads
        parts = [own.q_proj, own.k_proj, own.v_proj]
        qkv = torch.cat([self._paired(p.weight, p is not own.v_proj) for p in parts])
        bias = None
        if own.q_proj.bias is not None:
            bias = torch.cat([self._paired(p.bias, p is not own.v_proj) for p in parts])
        norms, eps = None, 0.0
        if hasattr(own, "q_norm"):
            q, k = (self._paired(norm.weight, True) for norm in (own.q_norm, own.k_norm))
            norms, eps = torch.cat([q.expand(heads, -1), k.expand(kv, -1)]), own.q_norm.variance_epsilon
        return _Layer(
            module.input_layernorm, qkv, bias, norms, eps, own.o_proj, module.post_attention_layernorm,
            module.mlp.down_proj,
        )  # fmt: skip

    def _paired(self, rows: Tensor, turn: bool) -> Tensor:
        """Rows in an order in which the numbers that are turned together stand side by side."""
        if not turn:
            return rows
        heads = rows.unflatten(0, (-1, 2, self._dim // 2))
        paired: Tensor = heads.transpose(1, 2).flatten(0, 2).contiguous()
        return paired


@dataclass(frozen=True, slots=True)
class _Layer:
    """The parts of one layer; the norms before attention and after it."""

    before: nn.Module
    qkv: Tensor  # [(H + 2 KV) D, hidden size]
    bias: Tensor | None
    heads: Tensor | None  # [H + KV, D], of the norms of queries and keys
    eps: float
    out: nn.Linear
    after: nn.Module
    down: nn.Linear


def can_fuse(model: Any) -> bool:
    """Whether ``FusedDecoder`` computes what the model computes."""
    decoder = getattr(model, "model", None)
    layers = list(getattr(decoder, "layers", []))
    if not layers or {type(layer).__name__ for layer in layers} - _LAYERS:
        return False
    rotary, config = getattr(decoder, "rotary_emb", None), model.config
    attention = [getattr(layer.self_attn, f"{name}_proj") for layer in layers for name in "qkvo"]
    gated = [getattr(layer.mlp, f"{name}_proj") for layer in layers for name in ("gate", "up", "down")]
    return (
        getattr(rotary, "rope_type", None) in _FIXED_ROPE
        and config.hidden_act == "silu"
        and all(type(matrix) is nn.Linear for matrix in (*attention, *gated))  # nothing beside a matrix or around it
        and all(matrix.bias is None for matrix in gated)
    )


def _norm(x: Tensor, module: Any) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], module.weight, module.variance_epsilon)


def _added(states: Tensor, x: Tensor, matrix: nn.Linear) -> Tensor:
    """The states and what a matrix makes of ``x``, in their place."""
    states.addmm_(x, matrix.weight.t())
    return states if matrix.bias is None else states.add_(matrix.bias)


def _rotated(x: Tensor, cis: Tensor) -> Tensor:
    """Pairs of neighbouring numbers of [N, H, D] turned by [N, 1, D / 2]; in place where x is in float32."""
    turned = torch.view_as_complex(x.float().unflatten(-1, (-1, 2))).mul_(cis)
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)


def _joined(first: nn.Linear, second: nn.Linear) -> Tensor:
    """One matrix of two, of which they are views from now on."""
    both = torch.cat([first.weight.data, second.weight.data])
    first.weight.data, second.weight.data = both.split([first.out_features, second.out_features])
    return both
