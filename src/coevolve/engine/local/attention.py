"""Causal attention over a tree of tokens, each token seeing its own past only: see ``packing.MicroBatch``.

Two ways to the same numbers. In blocks: whole rows are laid out and padded, for any device and through autograd. By
segments: each segment attends to itself, and all that goes on from it attends to it at once, so that nothing is laid
out, padded or computed twice; on CPU, with a backward pass of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coevolve.engine.local.packing import Segment
from coevolve.errors import EngineError

NAME = "coevolve_tree"


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
    """Attention of [1, H, N, D] queries over [1, KV, N, D] keys in blocks, as transformers calls it.

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


class Heads(NamedTuple):
    """Queries [N, H, D], keys and values [N, KV, D] of the tokens of a tree; any strides with D in one piece."""

    query: Tensor
    key: Tensor
    value: Tensor


def attend(heads: Heads, segments: Sequence[Segment], scale: float) -> tuple[Tensor, Tensor]:
    """Attention by segments: the result [N, H, D], and the logarithm [N, H] of the sum of each softmax.

    Where a token sees several segments, their results are merged by the sums of their softmaxes (as in ring attention,
    arXiv 2310.01889).
    """
    query = heads.query
    out, total = query.new_empty(query.shape), query.new_empty(query.shape[:2])
    for queries, keys, causal, first in _pairs(segments):
        found, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            *_batched(heads, queries, keys), 0.0, causal, scale=scale
        )
        found, sums = found[0].transpose(0, 1), sums[0].t()
        if first:
            out[queries], total[queries] = found, sums
        else:
            share = torch.sigmoid(sums - total[queries])
            out[queries] += (found - out[queries]).mul_(share.unsqueeze(-1))
            total[queries] = torch.logaddexp(total[queries], sums)
    return out, total


def attend_backward(
    grad: Tensor, heads: Heads, out: Tensor, total: Tensor, segments: Sequence[Segment], scale: float, into: Heads
) -> None:
    """Add the gradients of ``attend`` to ``into``, given that of its result.

    With the merged result and sum in the place of its own, each pair's backward pass is that of its share of the whole.
    """
    for queries, keys, causal, _ in _pairs(segments):
        found = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            grad[queries].transpose(0, 1)[None],
            *_batched(heads, queries, keys),
            out[queries].transpose(0, 1)[None],
            total[queries].t()[None],
            0.0,
            causal,
            scale=scale,
        )
        for to, value, part in zip(into, found, (queries, keys, keys), strict=True):
            to[part] += value[0].transpose(0, 1)


def _pairs(segments: Sequence[Segment]) -> Iterator[tuple[slice, slice, bool, bool]]:
    """Which tokens attend to which, whether in causal order, and whether these are the first that they see."""
    reach = 0
    for start, end, stop in segments:
        first = start >= reach
        reach = max(reach, stop)
        yield slice(start, end), slice(start, end), True, first
        if stop > end:
            yield slice(end, stop), slice(start, end), False, first


def _batched(heads: Heads, queries: slice, keys: slice) -> tuple[Tensor, Tensor, Tensor]:
    """[1, H, T, D] queries of some tokens, keys and values of others."""
    parts = heads.query[queries], heads.key[keys], heads.value[keys]
    q, k, v = (x.transpose(0, 1)[None] for x in parts)
    return q, k, v
