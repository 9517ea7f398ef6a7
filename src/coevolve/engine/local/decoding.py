"""Forward passes over a static cache: decoding steps that CUDA replays as graphs, and passes over several tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from coevolve.engine.local.portions import MASKED, PREFILL_TOKENS, length_bucket, row_bucket
from coevolve.types import Ints


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


NAME = "coevolve_static"


def slot_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, *, scaling: float) -> Tensor:
    """Softmax attention of [R, H, T, D] queries over [R, KV, L, D] keys with an additive mask [R, 1, T, L].

    The queries of one key-value head are folded into one matrix, so keys and values are read once per group.
    """
    rows, heads, steps, dim = query.shape
    kv = key.shape[1]
    folded = (query * scaling).reshape(rows, kv, heads // kv * steps, dim)
    scores = torch.matmul(folded, key.transpose(-1, -2)).view(rows, heads, steps, -1) + mask
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    mixed = torch.matmul(weights.view(rows, kv, heads // kv * steps, -1), value)
    return mixed.view(rows, heads, steps, dim)


def static_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention of [R, H, T, D] queries over [R, KV, L, D] keys; without a mask the T tokens are all, in causal order.

    A single token folds the queries of one key-value head into one product, which reads every key once. Several tokens
    use torch's fused kernels, which never lay out all scores: flash attention where there is no mask.
    """
    if attention_mask is not None and query.shape[2] == 1:
        return slot_attention(query, key, value, attention_mask, scaling=scaling).transpose(1, 2), None
    if attention_mask is None:
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=True)
    else:  # the kernel that takes a mask takes no groups
        groups = query.shape[1] // key.shape[1]
        keys, values = (x.repeat_interleave(groups, dim=1) for x in (key, value))
        mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=attention_mask, scale=scaling)
    return mixed.transpose(1, 2), None


def register() -> None:
    """Make the function known to transformers under its name; safe to call again."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, static_attention)


@dataclass(frozen=True, slots=True)
class _Step:
    """One decoding step for a number of rows and a length of window."""

    inputs: Tensor  # [2, R]: tokens and their positions, read wherever the step runs
    run: Callable[[], Tensor]  # logits [R, V]


class StaticPasses:
    """The forward passes of a sampler over a static cache; takes the model's attention over.

    Args:
        model: a causal model.
        cache: its keys and values.
        graphs: record each kind of step once as a CUDA graph and replay it; a step is then one launch instead of
            thousands. Without it the same step is computed kernel by kernel.
    """

    def __init__(self, model: Any, cache: StaticCache, *, graphs: bool) -> None:
        register()
        model.set_attn_implementation(NAME)
        self._model, self._cache, self._graphs = model, cache, graphs
        self._steps: dict[tuple[int, int], _Step] = {}
        self._moved = -1
        # Graphs are replayed one after the other, so they share their memory and leave their logits in one place.
        self._pool: Any = None
        self._logits = torch.empty(0)

    def weights_changed(self) -> None:
        """Nothing is kept that was computed with other weights."""

    def open(self, prompts: Sequence[Ints]) -> None:
        """Begin anew: no row holds anything any more."""
        self._cache.forget()

    def begin(self, rows: NDArray[np.int64], prompts: Sequence[Ints]) -> NDArray[np.int64]:
        """Where each of these new sequences begins [R]: at 0."""
        return np.zeros(len(rows), np.int64)

    def forward(
        self,
        texts: NDArray[np.int32],
        rows: NDArray[np.int64],
        starts: NDArray[np.int64],
        widths: NDArray[np.int64],
    ) -> Tensor:
        """Logits [R, V] after each row's last token.

        Args:
            texts: tokens of all slots [slots, capacity].
            rows: slots [R].
            starts, widths: which of their tokens are new [R]; what comes before is in the cache.
        """
        order = np.argsort(widths, kind="stable")  # rows of similar width share a pass: little padding
        begin = int((widths == 1).sum())
        logits: list[Tensor] = []
        if begin:
            single = rows[order[:begin]], starts[order[:begin]]
            logits.append(self.decode(single[0], texts[single], single[1]))
        while begin < len(order):
            end = begin + 1
            while end < len(order) and (end + 1 - begin) * widths[order[end]] <= PREFILL_TOKENS:
                end += 1
            part = order[begin:end]
            columns = np.minimum(np.arange(widths[part].max()), widths[part][:, None] - 1) + starts[part][:, None]
            logits.append(self.prefill(rows[part], texts[rows[part][:, None], columns], starts[part], widths[part]))
            begin = end
        inverse = np.empty(len(order), np.int64)
        inverse[order] = np.arange(len(order))
        return torch.cat(logits)[torch.from_numpy(inverse)]

    def decode(self, slots: NDArray[np.int64], tokens: NDArray[np.int32], positions: NDArray[np.int64]) -> Tensor:
        """Logits [R, V] after one more token in each of some slots [R]."""
        if self._moved != self._cache.moved:
            self._steps.clear()
            self._moved = self._cache.moved
            head = self._model.lm_head
            self._logits = head.weight.new_empty(self._cache.slots, head.out_features)
        rows = row_bucket(int(slots.max()) + 1)
        length = min(length_bucket(int(positions.max()) + 1), self._cache.capacity)
        inputs = np.zeros((2, rows), np.int64)
        inputs[1] = self._cache.capacity - 1  # where the slots in between write, and nobody reads
        inputs[0, slots], inputs[1, slots] = tokens, positions
        step = self._steps.get((rows, length))
        if step is None:
            step = self._steps[rows, length] = self._new_step(torch.from_numpy(inputs), length)
        else:
            step.inputs.copy_(torch.from_numpy(inputs))
        return step.run()[torch.from_numpy(slots)]

    def prefill(
        self,
        rows: NDArray[np.int64],
        tokens: NDArray[np.int32],
        starts: NDArray[np.int64],
        widths: NDArray[np.int64],
    ) -> Tensor:
        """Logits [R, V] after each row's last token, for tokens [R, T] that begin at ``starts`` [R]."""
        device, (count, width) = self._cache.device, tokens.shape
        positions = torch.from_numpy(starts[:, None] + np.arange(width)).to(device)
        length, fresh = int((starts + widths).max()), not starts.any()
        self._cache.open_window(torch.from_numpy(rows).to(device), positions, length, fresh=fresh)
        # Padding of short rows goes to the row's own future positions: overwritten before anything may look at them.
        mask = None if fresh else self._mask(positions, length)
        hidden = self._hidden(torch.from_numpy(tokens.astype(np.int64)).to(device), positions, mask)
        last = hidden[torch.arange(count, device=device), torch.from_numpy(widths - 1).to(device)]
        logits: Tensor = self._model.lm_head(last)
        return logits

    def release_memory(self) -> None:
        """Give the memory of cache and steps back: the trainer works next."""
        self._steps.clear()
        self._pool, self._logits = None, torch.empty(0)
        self._cache.release()
        if self._cache.device.type == "cuda":
            torch.cuda.empty_cache()  # else its blocks are cut up, and the cache finds no whole ones any more

    def _new_step(self, values: Tensor, length: int) -> _Step:
        """A step with its first inputs: what is computed to warm up is written to the cache, so it must be true."""
        inputs = values.to(self._cache.device)

        def compute() -> Tensor:
            tokens, positions = inputs[0, :, None], inputs[1, :, None]
            self._cache.open_step(inputs[1], length)
            states = self._hidden(tokens, positions, self._mask(positions, length))[:, 0]
            return self._logits[: len(states)].copy_(self._model.lm_head(states))

        return _Step(inputs, self._recorded(compute) if self._graphs else compute)

    def _recorded(self, compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """The same kernels as one CUDA graph."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            compute()  # libraries choose their kernels and take their memory before anything is recorded
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            logits = compute()
        self._pool = graph.pool()

        def replay() -> Tensor:
            graph.replay()
            return logits

        return replay

    def _mask(self, positions: Tensor, length: int) -> Tensor:
        """Additive mask [R, 1, T, L]: every token sees what is at or before its own position [R, T]."""
        hidden = torch.arange(length, device=positions.device) > positions[:, None, :, None]
        return torch.zeros(hidden.shape, dtype=self._cache.dtype, device=positions.device).masked_fill_(hidden, MASKED)

    def _hidden(self, tokens: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        states: Tensor = self._model.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        return states
