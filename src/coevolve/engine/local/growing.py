"""Forward passes over a cache that grows with its sequences: what the local sampler does on CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coevolve.engine.local.portions import STEP

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


MASKED = -1e9  # additive; finite, so that a fully masked row of padding gives no NaN


class GrowingPasses:
    """The forward passes of a sampler over a cache of slots; takes the model's attention over."""

    def __init__(self, model: Any, cache: SlotCache) -> None:
        register()
        model.set_attn_implementation(NAME)
        self._model, self._cache = model, cache

    def decode(self, tokens: NDArray[np.int32], positions: NDArray[np.int64]) -> Tensor:
        """Logits [R, V] after one more token in each of the first R slots; those of a free slot mean nothing."""
        return self._forward(None, tokens[:, None], positions, np.ones(len(tokens), np.int64))

    def prefill(
        self,
        rows: NDArray[np.int64],
        tokens: NDArray[np.int32],
        starts: NDArray[np.int64],
        widths: NDArray[np.int64],
    ) -> Tensor:
        """Logits [R, V] after each row's last token, for tokens [R, T] that begin at ``starts`` [R]."""
        return self._forward(rows, tokens, starts, widths)

    def release_memory(self) -> None:
        """Keep the cache's room: main memory is not what training is short of."""

    def _forward(
        self,
        rows: NDArray[np.int64] | None,
        tokens: NDArray[np.int32],
        starts: NDArray[np.int64],
        widths: NDArray[np.int64],
    ) -> Tensor:
        device, (count, width) = self._cache.device, tokens.shape
        positions = torch.from_numpy(starts[:, None] + np.arange(width))
        index = None if rows is None else torch.from_numpy(rows).to(device)
        length = self._cache.open_window(index, count, positions, int((starts + widths).max()))
        # Padding of short rows goes to the row's own future positions: overwritten before anything may look at them.
        shown = torch.arange(length)[None, None, :] <= positions[:, :, None]
        mask = torch.zeros(count, 1, width, length).masked_fill_(~shown[:, None], MASKED)
        hidden = self._model.model(
            input_ids=torch.from_numpy(tokens.astype(np.int64)).to(device),
            attention_mask=mask.to(device, self._cache.dtype),
            position_ids=positions.to(device),
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        last = hidden[:, 0] if width == 1 else hidden[torch.arange(count), torch.from_numpy(widths - 1)]
        logits: Tensor = self._model.lm_head(last)
        return logits


class SlotCache:
    """Keys and values [layer][slots, kv heads, capacity, head dim], written and read through a window of rows.

    The window is set before each forward pass: the rows that take part and the positions of their new tokens. It
    speaks the one method of transformers' cache that the attention layers call, ``update``.
    """

    def __init__(self, layers: int, kv_heads: int, head_dim: int, *, dtype: torch.dtype, device: torch.device) -> None:
        self.shape = (kv_heads, head_dim)
        self.dtype, self.device = dtype, device
        self.slots, self.capacity = 0, 0
        self.keys: list[Tensor] = [torch.empty(0) for _ in range(layers)]
        self.values: list[Tensor] = [torch.empty(0) for _ in range(layers)]
        self._rooms = [torch.empty(0, dtype=dtype, device=device) for _ in range(2 * layers)]
        self._spare = torch.empty(0, dtype=dtype, device=device)
        self._rows: Tensor | None = None
        self._row_count = 0
        self._positions = torch.empty(0)
        self._length = 0

    def reserve(self, slots: int, length: int) -> None:
        """Grow to at least this many slots; what is stored stays. Positions up to ``length`` come when needed."""
        if slots > self.slots:
            self._resize(slots, self.capacity)

    def forget(self) -> None:
        """Drop all positions. What follows then depends on nothing that was decoded before, to the last bit."""
        self._resize(self.slots, 0)

    def _fit(self, length: int, *, all_rows: bool) -> None:
        """Keep the capacity just above ``length``: batched products run several times faster on whole tensors.

        One position is always spare, so that padding can be written where nothing is ever read. Only a window of all
        rows may shrink the cache: others may hold longer ones.
        """
        needed = -(-(length + 1) // STEP) * STEP
        if needed > self.capacity or (all_rows and needed < self.capacity - 4 * STEP):
            self._resize(self.slots, needed)

    def _resize(self, slots: int, capacity: int) -> None:
        """Lay every tensor out anew in the spare room and make its old room the next spare.

        Fresh memory costs more than the copy, so rooms are reused; what they held before is finite and masked.
        """
        heads, dim = self.shape
        rows, length, size = min(slots, self.slots), min(capacity, self.capacity), slots * heads * capacity * dim
        larger = size if size > self._spare.numel() else 0
        for n, store in enumerate((self.keys, self.values)):
            for layer, old in enumerate(store):
                room = self._room(larger) if larger else self._spare
                new = room[:size].view(slots, heads, capacity, dim)
                if rows and length:
                    new[:rows, :, :length] = old[:rows, :, :length]
                at = n * len(store) + layer
                store[layer], self._spare, self._rooms[at] = new, self._rooms[at], room
        if larger:
            self._spare = self._room(larger)
        self.slots, self.capacity = slots, capacity

    def _room(self, size: int) -> Tensor:
        return torch.zeros(size + size // 4, dtype=self.dtype, device=self.device)

    def open_window(self, rows: Tensor | None, row_count: int, positions: Tensor, length: int) -> int:
        """Choose the rows of the next forward pass.

        Args:
            rows: slots [R], or None for the first ``row_count`` slots (which then need not be gathered).
            positions: where each new token goes [R, T]; padding may lie beyond its row's end.
            length: positions [0, length) hold something.

        Returns:
            How many positions ``update`` will return; those from ``length`` on must be masked.
        """
        self._fit(length, all_rows=rows is None)
        self._rows, self._row_count = rows, row_count
        self._positions = positions.clamp(max=self.capacity - 1).to(self.device)
        self._length = self.capacity if rows is None else length
        return self._length

    def update(self, key: Tensor, value: Tensor, layer_idx: int, *_: object) -> tuple[Tensor, Tensor]:
        """Store the new keys and values [R, H, T, D] and return those of the window [R, H, L, D]."""
        out: list[Tensor] = []
        for store, new in ((self.keys[layer_idx], key), (self.values[layer_idx], value)):
            if self._rows is None:
                rows = torch.arange(self._row_count, device=self.device)
                store[rows[:, None], :, self._positions] = new.transpose(1, 2)
                out.append(store[: self._row_count])
            else:
                store[self._rows[:, None], :, self._positions] = new.transpose(1, 2)
                out.append(store[:, :, : self._length].index_select(0, self._rows))
        return out[0], out[1]

    def copy(self, source: Tensor, target: Tensor, length: int) -> None:
        """Copy the first ``length`` positions of the source slots to the target slots."""
        for store in (*self.keys, *self.values):
            store[target, :, :length] = store[source, :, :length]
