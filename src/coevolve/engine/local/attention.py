"""Attention over the slot cache: grouped queries without copying the keys of a group."""

from __future__ import annotations

import torch
from torch import Tensor, nn

NAME = "coevolve_slots"


def slot_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    **_: object,
) -> tuple[Tensor, None]:
    """Softmax attention of [R, H, T, D] queries over [R, KV, L, D] keys with an additive mask [R, 1, T, L].

    The queries of one key-value head are folded into one matrix, so keys and values are read once per group.
    """
    rows, heads, steps, dim = query.shape
    kv = key.shape[1]
    folded = (query * scaling).reshape(rows, kv, heads // kv * steps, dim)
    scores = torch.matmul(folded, key.transpose(-1, -2)).view(rows, heads, steps, -1)
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    mixed = torch.matmul(weights.view(rows, kv, heads // kv * steps, -1), value)
    return mixed.view(rows, heads, steps, dim).transpose(1, 2), None


def register() -> None:
    """Make the function known to transformers under its name; safe to call again."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, slot_attention)
