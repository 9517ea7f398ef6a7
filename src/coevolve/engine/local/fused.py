"""The forward pass of decoders built as Llama is, for sampling: few operations, and no modules called between them.

transformers' modules make about twenty small operations a layer besides the matrix products. Here queries, keys and
values come from one product, gate and up projection from another, and a rotation is one product of complex numbers.
On a CPU large matrices are stored a second time in the layout that oneDNN's products read fastest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coevolve.engine.local.portions import ONEDNN

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, queries [N, H, D], keys [N, KV, D], values [N, KV, D]) -> what each token reads [N, H D]."""

_LAYERS = {"LlamaDecoderLayer", "Qwen2DecoderLayer", "Qwen3DecoderLayer"}
_FIXED_ROPE = {"default", "linear", "llama3", "yarn"}  # others change with the length of a text


class FusedDecoder:
    """The decoder of a causal model over the N tokens of several texts, one after the other without padding.

    The model's gate and up projections become views of one matrix. Queries, keys and values have a matrix of their own,
    in which the two halves of a head are interleaved. Weights written to the model are those of the next pass after
    ``refresh``.

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
        self._head: nn.Linear = model.lm_head
        self.refresh()

    def refresh(self) -> None:
        """Take over what was written to the model's weights."""
        self._layers.clear()  # two copies of one layer are enough at any time
        for n in range(len(self._modules)):
            self._layers.append(self._layer(n))
        self._logits = Projection(self._head.weight, self._head.bias)

    def logits(self, states: Tensor) -> Tensor:
        """Logits [R, V] of last hidden states [R, hidden size]."""
        return self._logits(states)

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
            qkv = layer.qkv(_norm(states, layer.before)).view(count, heads + 2 * kv, dim)
            turned = qkv[:, : heads + kv]
            if layer.heads is not None:
                turned = F.rms_norm(turned, (dim,), None, layer.eps).mul_(layer.heads)
            turned = _rotated(turned, cis)
            mixed = attend(n, turned[:, :heads], turned[:, heads:], qkv[:, heads + kv :])
            if last is not None and n == len(self._layers) - 1:
                mixed, states = mixed[last], states[last]
            states = layer.out.added(states, mixed)
            gate, up = layer.gate_up(_norm(states, layer.after)).chunk(2, dim=-1)
            states = layer.down.added(states, F.silu(gate).mul_(up))
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
            module.input_layernorm, Projection(qkv, bias), norms, eps, Projection(own.o_proj.weight, own.o_proj.bias),
            module.post_attention_layernorm, Projection(self._gate_up[n], None),
            Projection(module.mlp.down_proj.weight, module.mlp.down_proj.bias),
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
    qkv: Projection  # [(H + 2 KV) D, hidden size]
    heads: Tensor | None  # [H + KV, D], of the norms of queries and keys
    eps: float
    out: Projection
    after: nn.Module
    gate_up: Projection
    down: Projection


class Projection:
    """A linear layer: the product of rows with a weight [outputs, inputs], and a bias [outputs] where there is one.

    A large weight is kept in the blocks that oneDNN's products read; MKL's, which ``linear`` uses, lay it out again at
    every call.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._bias, self._packed = bias, _packed(weight)
        self._weight = weight if self._packed is None else None

    def __call__(self, x: Tensor) -> Tensor:
        """[R, outputs] of rows [R, inputs]."""
        if self._weight is not None:
            return F.linear(x, self._weight, self._bias)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, "none", [], "")
        return product

    def added(self, states: Tensor, x: Tensor) -> Tensor:
        """The states [R, outputs] and the product of rows [R, inputs], in the place of the states."""
        if self._weight is None:
            return states.add_(self(x))
        states.addmm_(x, self._weight.t())
        return states if self._bias is None else states.add_(self._bias)


def _packed(weight: Tensor) -> Tensor | None:
    """A copy in oneDNN's layout; None where it does not pay or torch has no such products."""
    fits = weight.device.type == "cpu" and weight.dtype == torch.float32 and weight.numel() >= ONEDNN
    names = ("_reorder_linear_weight", "_linear_pointwise")  # what torch's own compiler uses for frozen weights
    if not fits or not torch.backends.mkldnn.is_available() or not all(hasattr(torch.ops.mkldnn, n) for n in names):
        return None
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
    return packed


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


def _rotated(x: Tensor, cis: Tensor) -> Tensor:
    """Pairs of neighbouring numbers of [N, H, D] turned by [N, 1, D / 2]; in place where x is in float32."""
    turned = torch.view_as_complex(x.float().unflatten(-1, (-1, 2))).mul_(cis)
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)


def _joined(first: nn.Linear, second: nn.Linear) -> Tensor:
    """One matrix of two, of which they are views from now on."""
    both = torch.cat([first.weight.data, second.weight.data])
    first.weight.data, second.weight.data = both.split([first.out_features, second.out_features])
    return both
