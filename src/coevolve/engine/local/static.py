"""A key-value cache whose tensors stay where they are, so that a decoding step can be a CUDA graph."""

from __future__ import annotations

import torch
from torch import Tensor

from coevolve.engine.local.portions import length_bucket, row_bucket


class StaticCache:
    """Keys and values [layer][slots, kv heads, capacity, head dim], laid out once for the longest sequence to come.

    Where ``SlotCache`` grows with its sequences and moves, this one takes all its room at the start and gives it back
    at the end. ``moved`` counts how often it was laid out anew, after which no recorded step may be replayed.
    """

    def __init__(self, layers: int, kv_heads: int, head_dim: int, *, dtype: torch.dtype, device: torch.device) -> None:
        self.shape = (kv_heads, head_dim)
        self.dtype, self.device = dtype, device
        self.slots = self.capacity = self.moved = 0
        self.keys: list[Tensor] = [torch.empty(0) for _ in range(layers)]
        self.values: list[Tensor] = [torch.empty(0) for _ in range(layers)]
        self._empty = True
        self._rows: Tensor | None = None
        self._positions = torch.empty(0)
        self._count = self._length = 0
        self._fresh = False

    def reserve(self, slots: int, length: int) -> None:
        """Have room for at least this many slots of ``length`` tokens each; what is stored stays."""
        slots, capacity = max(row_bucket(slots), self.slots), max(length_bucket(length + 1), self.capacity)
        if (slots, capacity) == (self.slots, self.capacity):
            return
        heads, dim = self.shape
        for store in (self.keys, self.values):
            for layer, old in enumerate(store):
                if self._empty:
                    old = store[layer] = torch.empty(0)  # its room may be needed for the new one
                new = torch.zeros(slots, heads, capacity, dim, dtype=self.dtype, device=self.device)
                if not self._empty:
                    new[: self.slots, :, : self.capacity] = old
                store[layer] = new
        self.slots, self.capacity, self.moved = slots, capacity, self.moved + 1

    def forget(self) -> None:
        """Nothing that is stored is needed any more."""
        self._empty = True

    def release(self) -> None:
        """Give the room back until it is reserved again."""
        for store in (self.keys, self.values):
            store[:] = [torch.empty(0) for _ in store]
        self.slots = self.capacity = 0
        self.moved += 1
        self._empty = True

    def open_window(self, rows: Tensor, positions: Tensor, length: int, *, fresh: bool) -> None:
        """Choose the rows of the next forward pass over several tokens.

        Args:
            rows: slots [R].
            positions: where each new token goes [R, T]; padding may lie beyond its row's end.
            length: positions [0, length) hold something.
            fresh: the rows begin here, so that ``update`` returns the new tokens alone.
        """
        self._rows, self._length, self._fresh = rows, length, fresh
        self._positions = positions.clamp(max=self.capacity - 1)  # the last position is never read
        self._empty = False

    def open_step(self, positions: Tensor, length: int) -> None:
        """Choose the first R slots for one new token each, at ``positions`` [R], over a window of ``length``."""
        self._rows, self._count, self._length = None, len(positions), length
        self._positions = positions
        self._empty = False

    def update(self, key: Tensor, value: Tensor, layer_idx: int, *_: object) -> tuple[Tensor, Tensor]:
        """Store the new keys and values [R, H, T, D] and return those of the window [R, H, L, D]."""
        out: list[Tensor] = []
        for store, new in ((self.keys[layer_idx], key), (self.values[layer_idx], value)):
            if self._rows is None:
                first = store[: self._count]
                first.scatter_(2, self._positions[:, None, None, None].expand_as(new), new)
                out.append(first[:, :, : self._length])
            else:
                store[self._rows[:, None], :, self._positions] = new.transpose(1, 2)
                out.append(new if self._fresh else store[:, :, : self._length].index_select(0, self._rows))
        return out[0], out[1]

    def copy(self, source: Tensor, target: Tensor, length: int) -> None:
        """Copy the first ``length`` positions of the source slots to the target slots."""
        for store in (*self.keys, *self.values):
            store[target, :, :length] = store[source, :, :length]
