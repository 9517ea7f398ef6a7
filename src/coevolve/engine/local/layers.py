"""The layers of Llama and Qwen on a CPU, written out with their gradients: forward and backward passes for training.

The same numbers as transformers' modules give, up to rounding, with less time and memory: an adapter is added to its
matrix (rank x rows x columns products) instead of to every output; products that read the same input are one; tokens
pass norms, activations and products in portions that stay in the cache; what can be had again from what is kept anyway
(normalised inputs, gated activations) is not kept. Other models, devices and precisions use transformers' modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from coevolve.engine.local.attention import Heads, attend, attend_backward
from coevolve.engine.local.packing import MicroBatch, Segment
from coevolve.engine.local.portions import PORTION

MODELS = ("LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
_TORCH = (2, 13)  # from here on its attention for CPUs is known to take fewer key than query heads
_ADAPTER = "default"
Gradients = dict[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Matrix:
    """W [outputs, inputs] of a linear layer, its bias, and an adapter's A [rank, inputs] and B [outputs, rank].

    The layer's matrix is W + scale B A.
    """

    weight: Tensor
    bias: Tensor | None
    a: Tensor | None = None
    b: Tensor | None = None
    scale: float = 1.0

    @classmethod
    def of(cls, layer: Any) -> Matrix:
        """The matrix of a linear layer, or of one that peft has put an adapter beside."""
        if isinstance(layer, nn.Linear):
            return cls(layer.weight, layer.bias)
        base, a, b = layer.base_layer, layer.lora_A[_ADAPTER], layer.lora_B[_ADAPTER]
        return cls(base.weight, base.bias, a.weight, b.weight, layer.scaling[_ADAPTER])

    @property
    def parameters(self) -> list[Tensor]:
        """All of its parameters."""
        return [x for x in (self.weight, self.bias, self.a, self.b) if x is not None]


@dataclass(frozen=True, slots=True)
class Product:
    """Matrices that read the same input, as one."""

    matrices: tuple[Matrix, ...]

    @property
    def parameters(self) -> list[Tensor]:
        """All of their parameters."""
        return [x for matrix in self.matrices for x in matrix.parameters]

    @property
    def width(self) -> int:
        """Outputs of all of them."""
        return sum(len(matrix.weight) for matrix in self.matrices)

    @property
    def bias(self) -> Tensor | None:
        """Their biases; all of them have one, or none has."""
        found = [matrix.bias for matrix in self.matrices if matrix.bias is not None]
        return torch.cat(found) if found else None

    @property
    def learns(self) -> bool:
        """Whether any of them needs its inputs for a gradient."""
        return any(x.requires_grad for x in self.parameters)

    def whole(self) -> Tensor:
        """[outputs, inputs] of all, adapters added."""
        if len(self.matrices) == 1 and self.matrices[0].a is None:
            return self.matrices[0].weight
        joined = self.matrices[0].weight.new_empty(self.width, self.matrices[0].weight.shape[1])
        for matrix, rows in zip(self.matrices, joined.split([len(m.weight) for m in self.matrices]), strict=True):
            if matrix.a is None or matrix.b is None:
                rows.copy_(matrix.weight)
            else:
                torch.addmm(matrix.weight, matrix.b, matrix.a, alpha=matrix.scale, out=rows)
        return joined

    def learn(self, inputs: Tensor, grad: Tensor, gradients: Gradients) -> None:
        """Add the gradients of the parameters, given inputs [T, inputs] and the gradient of the outputs [T, outputs].

        With t = x A^T and u = scale dy B those of an adapter are scale dy^T t and u^T x.
        """
        parts = grad.split([len(matrix.weight) for matrix in self.matrices], dim=1)
        adapters = [(m.a, m.b, m.scale, part) for m, part in zip(self.matrices, parts, strict=True) if m.a is not None]
        for matrix, part in zip(self.matrices, parts, strict=True):
            if matrix.weight.requires_grad:
                _add_product(gradients, matrix.weight, part.t(), inputs)
            if matrix.bias is not None and matrix.bias.requires_grad:
                _add(gradients, matrix.bias, part.sum(0))
        if not adapters:
            return
        ranks = [len(a) for a, *_ in adapters]
        low = torch.mm(inputs, torch.cat([a for a, *_ in adapters]).t()).split(ranks, dim=1)
        back = inputs.new_empty(len(inputs), sum(ranks))
        for (_, b, scale, part), t, u in zip(adapters, low, back.split(ranks, dim=1), strict=True):
            assert b is not None
            torch.mm(part, b, out=u)
            _add_product(gradients, b, part.t(), t, scale=scale)
            u.mul_(scale)
        for (a, *_), value in zip(adapters, torch.mm(back.t(), inputs).split(ranks), strict=True):
            _add(gradients, a, value)


@dataclass(frozen=True, slots=True)
class Norm:
    """RMSNorm: x / sqrt(mean of x^2 + eps) * weight, over the last dimension."""

    weight: Tensor
    eps: float

    def root(self, x: Tensor) -> Tensor:
        """1 / sqrt(mean of x^2 + eps) [..., 1]."""
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        root: Tensor = norm.square_().div_(x.shape[-1]).add_(self.eps).rsqrt_()
        return root

    def backward(self, grad: Tensor, x: Tensor, root: Tensor, gradients: Gradients) -> Tensor:
        """The gradient of x; adds that of the weight."""
        if self.weight.requires_grad:
            _add(gradients, self.weight, (grad * x).mul_(root).flatten(0, -2).sum(0))
        grad = grad * self.weight
        share = (grad * x).sum(-1, keepdim=True).mul_(root.pow(3)).div_(x.shape[-1])
        return grad.mul_(root).addcmul_(x, share, value=-1)


@dataclass(frozen=True, slots=True)
class Attention:
    """The first half of a layer: x + o(attention(q, k, v of the normalised x))."""

    norm: Norm
    inputs: Product  # q, k, v
    output: Product
    heads: int
    kv_heads: int
    head_norms: tuple[Norm, Norm] | None  # of queries and keys, before they are turned
    scale: float

    @property
    def parameters(self) -> list[Tensor]:
        """All of its parameters."""
        own = [norm.weight for norm in self.head_norms or ()]
        return [self.norm.weight, *own, *self.inputs.parameters, *self.output.parameters]

    def split(self, joined: Tensor) -> Heads:
        """Queries, keys and values of [N, width]."""
        parts = joined.unflatten(1, (self.heads + 2 * self.kv_heads, -1))
        return Heads(*parts.split([self.heads, self.kv_heads, self.kv_heads], dim=1))


@dataclass(frozen=True, slots=True)
class Mlp:
    """The second half of a layer: x + down(silu(gate) * up of the normalised x)."""

    norm: Norm
    inputs: Product  # gate, up
    output: Product

    @property
    def parameters(self) -> list[Tensor]:
        """All of its parameters."""
        return [self.norm.weight, *self.inputs.parameters, *self.output.parameters]


class Tree(NamedTuple):
    """What attention needs to know of the tokens."""

    segments: tuple[Segment, ...]
    cos: Tensor  # [N, 1, D / 2]
    sin: Tensor


@dataclass(frozen=True, slots=True)
class Layers:
    """The decoder of a model; its tensors are the model's own."""

    embedding: nn.Embedding
    rotary: nn.Module
    halves: tuple[tuple[Attention, Mlp], ...]
    norm: Norm
    checkpointing: bool

    @property
    def layer_numbers(self) -> int:
        """Weights of one layer's matrices."""
        products = (product for half in self.halves[0] for product in (half.inputs, half.output))
        return sum(matrix.weight.numel() for product in products for matrix in product.matrices)

    def __call__(self, micro: MicroBatch) -> Tensor:
        """Last hidden states [U, H] of the tokens whose logits are needed."""
        x = F.embedding(torch.from_numpy(micro.inputs), self.embedding.weight)
        with torch.no_grad():
            cos, sin = self.rotary(x[None], torch.from_numpy(micro.depth)[None])
        tree = Tree(micro.segments, *(part[0, :, None, : part.shape[-1] // 2].contiguous() for part in (cos, sin)))
        states = torch.from_numpy(micro.states)
        for n, halves in enumerate(self.halves):
            # What follows the last attention is needed of the scored tokens alone.
            layer = partial(_layer, *halves, tree, states if n == len(self.halves) - 1 else None)
            kept = self.checkpointing and torch.is_grad_enabled()
            x = checkpoint(layer, x, use_reentrant=False, preserve_rng_state=False) if kept else layer(x)
        return _apply(_NormPass, self.norm, x, self.norm.weight)


def _layer(attention: Attention, mlp: Mlp, tree: Tree, wanted: Tensor | None, x: Tensor) -> Tensor:
    """One layer on [N, H]: its attention, then its MLP, of some tokens or of all."""
    x = _apply(_AttentionPass, attention, tree, x, *attention.parameters)
    x = x if wanted is None else x.index_select(0, wanted)
    return _apply(_MlpPass, mlp, torch.is_grad_enabled(), x, *mlp.parameters)


def _apply(function: type[torch.autograd.Function], *arguments: object) -> Tensor:
    out: Tensor = function.apply(*arguments)
    return out


def layers_of(model: Any) -> Layers | None:
    """The layers of a model on a CPU, where they are written out here; None where its modules have to compute."""
    weight = model.get_input_embeddings().weight
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    known = type(model).__name__ in MODELS and version >= _TORCH and model.config.hidden_act == "silu"
    windows = "sliding_attention" in (getattr(model.config, "layer_types", None) or ())
    plain = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64)
    if not known or windows or not plain or torch.is_autocast_enabled("cpu"):
        return None
    decoder = model.base_model
    halves = tuple((_attention(layer), _mlp(layer)) for layer in decoder.layers)
    layer = decoder.layers[0]
    checkpointing = bool(layer.gradient_checkpointing and layer.training)
    return Layers(decoder.embed_tokens, decoder.rotary_emb, halves, _norm(decoder.norm), checkpointing)


def _attention(layer: Any) -> Attention:
    own = layer.self_attn
    q, k, v, o = (Matrix.of(x) for x in (own.q_proj, own.k_proj, own.v_proj, own.o_proj))
    norms = (_norm(own.q_norm), _norm(own.k_norm)) if hasattr(own, "q_norm") else None
    heads, kv_heads = len(q.weight) // own.head_dim, len(k.weight) // own.head_dim
    return Attention(
        _norm(layer.input_layernorm), Product((q, k, v)), Product((o,)), heads, kv_heads, norms, own.scaling
    )


def _mlp(layer: Any) -> Mlp:
    own = layer.mlp
    gate, up, down = (Matrix.of(x) for x in (own.gate_proj, own.up_proj, own.down_proj))
    return Mlp(_norm(layer.post_attention_layernorm), Product((gate, up)), Product((down,)))


def _norm(layer: Any) -> Norm:
    return Norm(layer.weight, layer.variance_epsilon)


class _AttentionPass(torch.autograd.Function):
    """``Attention`` of [N, H]; the parameters are arguments so that autograd knows of them."""

    @staticmethod
    def forward(ctx: Any, half: Attention, tree: Tree, x: Tensor, *parameters: Tensor) -> Tensor:
        root = half.norm.root(x)
        joined = _project(half.norm, half.inputs, x, root)
        raw = None
        if half.head_norms is not None:
            turned = _turned(half, joined)
            raw = turned.clone()
            for norm, part in zip(half.head_norms, turned.split([half.heads, half.kv_heads], 1), strict=True):
                part.mul_(norm.root(part)).mul_(norm.weight)
        _turn(_turned(half, joined), tree.cos, tree.sin)
        out, total = attend(half.split(joined), tree.segments, half.scale)
        y = _add_output(x, half.output, out.flatten(1))
        ctx.half, ctx.tree = half, tree
        ctx.save_for_backward(x, root, joined, raw, out, total)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        half, tree = ctx.half, ctx.tree
        x, root, joined, raw, out, total = ctx.saved_tensors
        gradients: Gradients = {}
        mixed = torch.mm(grad, half.output.whole())
        if half.output.learns:
            half.output.learn(out.flatten(1), grad, gradients)
        back = torch.zeros_like(joined)
        attend_backward(mixed.view_as(out), half.split(joined), out, total, tree.segments, half.scale, half.split(back))
        del mixed
        turned = _turned(half, back)
        _turn(turned, tree.cos, -tree.sin)
        if half.head_norms is not None:
            sizes = [half.heads, half.kv_heads]
            for norm, part, before in zip(half.head_norms, turned.split(sizes, 1), raw.split(sizes, 1), strict=True):
                part.copy_(norm.backward(part, before, norm.root(before), gradients))
        dx = _back_to_input(half.norm, half.inputs, x, root, back, grad, gradients, wanted=ctx.needs_input_grad[2])
        return None, None, dx, *(gradients.get(p) for p in half.parameters)


class _MlpPass(torch.autograd.Function):
    """``Mlp`` of [N, H]; the parameters are arguments so that autograd knows of them."""

    @staticmethod
    def forward(ctx: Any, half: Mlp, keep: bool, x: Tensor, *parameters: Tensor) -> Tensor:
        root = half.norm.root(x)
        whole, down, bias = half.inputs.whole(), half.output.whole(), half.output.bias
        y = torch.empty_like(x)
        joined = x.new_empty(len(x) if keep else min(len(x), PORTION), half.inputs.width)
        for part in _portions(len(x)):
            both = joined[part] if keep else joined[: part.stop - part.start]
            _project_portion(half.norm, half.inputs, whole, x[part], root[part], both)
            gate, up = both.chunk(2, dim=1)
            torch.addmm(x[part], F.silu(gate).mul_(up), down.t(), out=y[part])
            if bias is not None:
                y[part] += bias
        ctx.half = half
        ctx.save_for_backward(x, root, joined)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        half = ctx.half
        x, root, joined = ctx.saved_tensors
        gradients: Gradients = {}
        whole, down = half.inputs.whole(), half.output.whole()
        dx = torch.empty_like(x)
        for part in _portions(len(x)):
            gate, up = joined[part].chunk(2, dim=1)
            silu = F.silu(gate)
            if half.output.learns:
                half.output.learn(silu * up, grad[part], gradients)
            back = torch.empty_like(joined[part])
            gate_back, up_back = back.chunk(2, dim=1)
            inner = torch.mm(grad[part], down)
            torch.mul(inner, silu, out=up_back)
            torch.ops.aten.silu_backward.grad_input(inner.mul_(up), gate, grad_input=gate_back)
            if half.inputs.learns:
                half.inputs.learn((x[part] * root[part]).mul_(half.norm.weight), back, gradients)
            own = half.norm.backward(torch.mm(back, whole), x[part], root[part], gradients)
            torch.add(grad[part], own, out=dx[part])
        return None, None, dx, *(gradients.get(p) for p in half.parameters)


class _NormPass(torch.autograd.Function):
    """``Norm`` of [N, H]."""

    @staticmethod
    def forward(ctx: Any, norm: Norm, x: Tensor, weight: Tensor) -> Tensor:
        root = norm.root(x)
        ctx.norm = norm
        ctx.save_for_backward(x, root)
        return (x * root).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gradients: Gradients = {}
        dx = ctx.norm.backward(grad, *ctx.saved_tensors, gradients)
        return None, dx, gradients.get(ctx.norm.weight)


def _portions(tokens: int) -> Iterator[slice]:
    """Parts of the tokens, small enough to stay in the cache between one operation and the next."""
    for start in range(0, tokens, PORTION):
        yield slice(start, min(start + PORTION, tokens))


def _project(norm: Norm, product: Product, x: Tensor, root: Tensor) -> Tensor:
    """Outputs [N, width] of the matrices on the normalised x."""
    whole, joined = product.whole(), x.new_empty(len(x), product.width)
    for part in _portions(len(x)):
        _project_portion(norm, product, whole, x[part], root[part], joined[part])
    return joined


def _project_portion(norm: Norm, product: Product, whole: Tensor, x: Tensor, root: Tensor, out: Tensor) -> None:
    normed = (x * root).mul_(norm.weight)
    torch.mm(normed, whole.t(), out=out)
    if (bias := product.bias) is not None:
        out += bias


def _add_output(x: Tensor, product: Product, inputs: Tensor) -> Tensor:
    """x and the outputs of the matrix on its inputs."""
    y = torch.addmm(x, inputs, product.whole().t())
    return y if product.bias is None else y.add_(product.bias)


def _back_to_input(
    norm: Norm,
    product: Product,
    x: Tensor,
    root: Tensor,
    back: Tensor,
    grad: Tensor,
    gradients: Gradients,
    *,
    wanted: bool,
) -> Tensor | None:
    """The gradient of x through the normalised product and past it; adds those of the parameters."""
    whole, dx = product.whole(), torch.empty_like(x)
    for part in _portions(len(x)):
        if product.learns:
            product.learn((x[part] * root[part]).mul_(norm.weight), back[part], gradients)
        if wanted or norm.weight.requires_grad:
            own = norm.backward(torch.mm(back[part], whole), x[part], root[part], gradients)
            torch.add(grad[part], own, out=dx[part])
    return dx if wanted else None


def _turned(half: Attention, joined: Tensor) -> Tensor:
    """Queries and keys [N, H + KV, D] of [N, width]."""
    heads: Tensor = joined.unflatten(1, (half.heads + 2 * half.kv_heads, -1))
    return heads.narrow(1, 0, half.heads + half.kv_heads)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Rotary positions, in place: turn each pair (x_i, x_i+D/2) by its angle."""
    first, second = x.chunk(2, dim=-1)
    turned = (first * cos).addcmul_(second, sin, value=-1)
    second.mul_(cos).addcmul_(first, sin)
    first.copy_(turned)


def _add(gradients: Gradients, parameter: Tensor, value: Tensor) -> None:
    known = gradients.get(parameter)
    gradients[parameter] = value if known is None else known.add_(value)


def _add_product(gradients: Gradients, parameter: Tensor, left: Tensor, right: Tensor, scale: float = 1.0) -> None:
    """Add scale * left right to the gradient of a parameter."""
    known = gradients.get(parameter)
    if known is None:
        gradients[parameter] = torch.mm(left, right).mul_(scale) if scale != 1.0 else torch.mm(left, right)
    else:
        known.addmm_(left, right, alpha=scale)
