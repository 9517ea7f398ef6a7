"""Forward passes over a cache that grows with its sequences: what the local sampler does on CPU.

A pass takes the tokens of many rows one after the other, without padding: one of each row that decodes, several of rows
that begin or were extended. Only attention knows which row a token belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from coevolve.engine.local.fused import Attend, FusedDecoder, can_fuse
from coevolve.engine.local.portions import GROWTH, MASKED, PACKED_TOKENS, SCORES
from coevolve.engine.local.prefixes import Prefixes, common_prefix
from coevolve.types import Ints

NAME = "coevolve_slots"


class GrowingPasses:
    """The forward passes of a sampler over a cache of slots; takes the model's attention over.

    The beginning that all waiting prompts share when the sampler is empty is computed once, in blocks of fixed size,
    and kept until the weights change. What follows depends on the prompts at hand alone, to the last bit: whether a
    prefix was known already changes nothing.
    """

    def __init__(self, model: Any, cache: SlotCache) -> None:
        self._model, self._cache = model, cache
        self._fused = FusedDecoder(model) if can_fuse(model) else None
        if self._fused is None:
            register()
            model.set_attn_implementation(NAME)
        self._prefixes = Prefixes(cache.like(), self._extend_prefix)

    def weights_changed(self) -> None:
        """Forget what was computed with other weights."""
        self._prefixes.clear()
        if self._fused is not None:
            self._fused.refresh()

    def open(self, prompts: Sequence[Ints]) -> None:
        """Begin anew: no row holds anything any more, and these prompts are known to come."""
        self._cache.empty(self._prefixes.of(common_prefix(prompts)))

    def begin(self, rows: NDArray[np.int64], prompts: Sequence[Ints]) -> NDArray[np.int64]:
        """Give slots to new sequences; where each of them is to begin [R], behind the shared prefix or at 0."""
        return self._cache.begin(rows, prompts)

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
        order = np.argsort(widths, kind="stable")  # single tokens first; rows of similar width share their attention
        logits: list[Tensor] = []
        for part in _portions(widths[order]):
            chosen = order[part]
            hidden = self._pass(self._cache, texts, rows[chosen], starts[chosen], widths[chosen])
            logits.append(self._model.lm_head(hidden) if self._fused is None else self._fused.logits(hidden))
        if len(logits) == 1 and (np.diff(order) == 1).all():
            return logits[0]
        inverse = np.empty(len(order), np.int64)
        inverse[order] = np.arange(len(order))
        return torch.cat(logits)[torch.from_numpy(inverse)]

    def release_memory(self) -> None:
        """Keep the cache's room: main memory is not what training is short of."""

    def _pass(
        self,
        cache: SlotCache,
        texts: NDArray[np.int32],
        rows: NDArray[np.int64],
        starts: NDArray[np.int64],
        widths: NDArray[np.int64],
    ) -> Tensor:
        """Last hidden states [R, hidden size] of the last tokens."""
        ends = np.cumsum(widths)
        of = np.repeat(np.arange(len(rows)), widths)  # which row a token belongs to
        positions = starts[of] + np.arange(len(of)) - (ends - widths)[of]
        tokens = torch.from_numpy(texts[rows[of], positions].astype(np.int64)).to(cache.device)
        attend = _attention(cache, rows, starts, widths, of, positions)
        last = None if len(of) == len(rows) else torch.from_numpy(ends - 1).to(cache.device)
        places = torch.from_numpy(positions).to(cache.device)
        if self._fused is not None:
            return self._fused.hidden(tokens, places, last, attend)
        states: Tensor = self._model.model(
            input_ids=tokens[None], position_ids=places[None], use_cache=False, attend=attend
        ).last_hidden_state[0]
        return states if last is None else states[last]

    def _extend_prefix(self, cache: SlotCache, tokens: Ints, start: int, end: int) -> None:
        row, begin, width = (np.array([n], np.int64) for n in (0, start, end - start))
        self._pass(cache, tokens[None], row, begin, width)


class SlotCache:
    """Keys and values [layer][2, slots, kv heads, capacity, head dim] of tokens behind a prefix that rows may share."""

    def __init__(self, layers: int, kv_heads: int, head_dim: int, *, dtype: torch.dtype, device: torch.device) -> None:
        self.shape = (kv_heads, head_dim)
        self.dtype, self.device = dtype, device
        self.slots, self.capacity = 0, 0
        self.layers = [torch.empty(2, 0, kv_heads, 0, head_dim, dtype=dtype, device=device) for _ in range(layers)]
        self.prefix: SlotCache | None = None  # one slot, exactly as long as the prefix
        self._prefix_tokens = np.zeros(0, np.int32)
        self.behind = np.zeros(0, np.int64)  # by slot: the length of the prefix that it shares, or 0
        self._holds = False

    def like(self) -> SlotCache:
        """An empty one of the same kind."""
        return SlotCache(len(self.layers), *self.shape, dtype=self.dtype, device=self.device)

    def empty(self, prefix: tuple[Ints, SlotCache] | None) -> None:
        """Nothing that is stored is needed any more; rows that begin with the prefix are to share it."""
        self._holds = False
        self._prefix_tokens, self.prefix = (np.zeros(0, np.int32), None) if prefix is None else prefix

    def begin(self, rows: NDArray[np.int64], prompts: Sequence[Ints]) -> NDArray[np.int64]:
        """Where each of these new sequences begins [R]."""
        length = len(self._prefix_tokens)
        for row, prompt in zip(rows, prompts, strict=True):
            shares = length and len(prompt) > length and np.array_equal(prompt[:length], self._prefix_tokens)
            self.behind[row] = length if shares else 0
        return self.behind[rows]

    def reserve(self, slots: int, length: int) -> None:
        """Grow to at least this many slots; what is stored stays. Positions up to ``length`` come when needed."""
        if slots > self.slots:
            self._resize(slots, self.capacity)
            self.behind = np.concatenate([self.behind, np.zeros(slots - len(self.behind), np.int64)])

    def fit(self, length: int) -> None:
        """Have room for so many tokens in each slot, and for some more: every move copies all that is stored."""
        if length > self.capacity:
            grown = max(length, self.capacity + self.capacity // 4)
            self._resize(self.slots, -(-grown // GROWTH) * GROWTH)
        self._holds = True

    def hold(self, length: int) -> None:
        """Have one slot with room for exactly so many tokens."""
        self.reserve(1, length)
        self._resize(1, length)

    def _resize(self, slots: int, capacity: int) -> None:
        heads, dim = self.shape
        for n, old in enumerate(self.layers):
            new = torch.zeros(2, slots, heads, capacity, dim, dtype=self.dtype, device=self.device)
            if self._holds:
                new[:, : self.slots, :, : self.capacity] = old
            self.layers[n] = new
        self.slots, self.capacity = slots, capacity

    def copy(self, source: Tensor, target: Tensor, length: int) -> None:
        """Copy the first ``length`` positions of the source slots to the target slots."""
        for layer in self.layers:
            layer[:, target, :, :length] = layer[:, source, :, :length]
        self.behind[target.numpy()] = self.behind[source.numpy()]


def _portions(widths: NDArray[np.int64]) -> list[slice]:
    """Rows in order that share a pass: so many that their tokens stay below a limit, but at least one."""
    parts, begin, tokens = [], 0, 0
    for n, width in enumerate(widths.tolist()):
        if n > begin and tokens + width > PACKED_TOKENS:
            parts.append(slice(begin, n))
            begin, tokens = n, 0
        tokens += width
    return [*parts, slice(begin, len(widths))]


class _Group(Protocol):
    """Rows of a pass whose attention is computed together."""

    def mix(self, layer: Tensor, prefix: Tensor | None, query: Tensor, scaling: float) -> Tensor:
        """What the tokens of these rows read [n, H, D].

        Args:
            layer: keys and values of all slots [2, slots, KV, capacity, D].
            prefix: those of the shared prefix [2, 1, KV, P, D].
            query: of all tokens of the pass [N, H, D].
            scaling: of the scores.
        """


def _attention(
    cache: SlotCache,
    rows: NDArray[np.int64],
    starts: NDArray[np.int64],
    widths: NDArray[np.int64],
    of: NDArray[np.int64],
    positions: NDArray[np.int64],
) -> Attend:
    """How the tokens of a pass attend; rows are in order of their widths."""
    behind = cache.behind[rows]
    places = positions - behind[of]
    cache.fit(int(places.max()) + 1)
    kv, dim = cache.shape
    heads = np.arange(kv)
    flat = ((rows[of][:, None] * kv + heads) * cache.capacity + places[:, None]).reshape(-1)
    index = torch.from_numpy(flat).to(cache.device)
    groups: list[_Group] = []
    single = int(np.searchsorted(widths, 2))
    if single:
        groups.append(_Window(cache, rows[:single], places[:single], behind[:single]))
    first = single
    for end in _similar(widths, first):
        part, begin = slice(first, end), int(widths[:first].sum())
        groups.append(_Blocks(cache, rows[part], (starts - behind)[part], widths[part], behind[part], begin))
        first = end

    def attend(layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float = dim**-0.5) -> Tensor:
        store = cache.layers[layer]
        store[0].view(-1, dim).index_copy_(0, index, key.reshape(-1, dim))
        store[1].view(-1, dim).index_copy_(0, index, value.reshape(-1, dim))
        shared = None if cache.prefix is None else cache.prefix.layers[layer]
        mixed = [group.mix(store, shared, query, scaling) for group in groups]
        return (mixed[0] if len(mixed) == 1 else torch.cat(mixed)).flatten(1)

    return attend


def _similar(widths: NDArray[np.int64], first: int) -> list[int]:
    """Ends of runs of rows from ``first`` on whose widths, in ascending order, leave little padding."""
    ends, begin, tokens = [], first, 0
    for n in range(first, len(widths)):
        padded = int(widths[n]) * (n + 1 - begin)
        tokens += int(widths[n])
        if n > begin and padded - tokens > max(64, tokens // 4):
            ends.append(n)
            begin, tokens = n, int(widths[n])
    return [*ends, len(widths)] if first < len(widths) else []


class _Window:
    """One token in each of some of the first slots; the others in between compute scores that nobody reads."""

    def __init__(
        self, cache: SlotCache, rows: NDArray[np.int64], places: NDArray[np.int64], behind: NDArray[np.int64]
    ) -> None:
        self._count, self._top = len(rows), int(rows.max()) + 1
        self._length = int(places.max()) + 1
        whole = self._count == self._top and bool((np.diff(rows) == 1).all())
        self._rows = None if whole else torch.from_numpy(rows).to(cache.device)
        limits = np.zeros(self._top, np.int64)
        limits[rows] = places
        hidden = torch.arange(self._length)[None] > torch.from_numpy(limits)[:, None]
        mask = torch.zeros(hidden.shape, dtype=cache.dtype).masked_fill_(hidden, MASKED)
        self._mask = mask.repeat_interleave(cache.shape[0], 0)[:, None].to(cache.device)  # [top KV, 1, L]
        self._shares = bool(behind.any())
        apart = np.ones(self._top, bool)
        apart[rows] = behind == 0
        self._apart = None
        if self._shares and not behind.all():
            self._apart = torch.from_numpy(np.where(apart, MASKED, 0.0)).to(cache.device, cache.dtype)

    def mix(self, layer: Tensor, prefix: Tensor | None, query: Tensor, scaling: float) -> Tensor:
        """As in ``_Group``."""
        _, _, kv, capacity, dim = layer.shape
        top, heads = self._top, query.shape[1]
        query = query[: self._count]
        if self._rows is not None:
            query = query.new_zeros(top, heads, dim).index_copy_(0, self._rows, query)
        folded = query.reshape(top * kv, heads // kv, dim)
        keys, values = (x[:top].view(top * kv, capacity, dim)[:, : self._length] for x in layer)
        scores = torch.baddbmm(self._mask, folded, keys.transpose(1, 2), alpha=scaling)
        if not self._shares or prefix is None:
            mixed = torch.bmm(_weights(scores), values)
        else:
            mixed = _mixed_with_prefix(scores, values, folded * scaling, prefix, self._apart)
        mixed = mixed.view(top, heads, dim)
        return mixed if self._rows is None else mixed[self._rows]


class _Blocks:
    """Several tokens in each of some slots, which follow what is stored there; the widths are similar."""

    def __init__(
        self,
        cache: SlotCache,
        rows: NDArray[np.int64],
        starts: NDArray[np.int64],
        widths: NDArray[np.int64],
        behind: NDArray[np.int64],
        first: int,
    ) -> None:
        width, device = int(widths.max()), cache.device
        self._shape, self._length = (len(rows), width), int((starts + widths).max())
        begins = first + np.cumsum(widths) - widths
        inside = np.arange(width) < widths[:, None]  # [R, T]
        self._spread = torch.from_numpy(begins[:, None] + np.minimum(np.arange(width), widths[:, None] - 1)).to(device)
        self._collect = None if inside.all() else torch.from_numpy(np.flatnonzero(inside)).to(device)
        self._rows = torch.from_numpy(rows).to(device)
        places = np.minimum(starts[:, None] + np.arange(width), self._length - 1)
        hidden = torch.from_numpy(np.arange(self._length) > places[:, :, None])
        self._mask = torch.zeros(hidden.shape, dtype=cache.dtype).masked_fill_(hidden, MASKED).to(device)  # [R, T, L]
        self._shares = bool(behind.any())
        self._apart = None
        if self._shares and not behind.all():
            self._apart = torch.from_numpy(np.where(behind == 0, MASKED, 0.0)).to(device, cache.dtype)
        self._fresh = not starts.any() and not self._shares

    def mix(self, layer: Tensor, prefix: Tensor | None, query: Tensor, scaling: float) -> Tensor:
        """As in ``_Group``."""
        (count, width), heads = self._shape, query.shape[1]
        query = query[self._spread].transpose(1, 2)  # [R, H, T, D]
        if self._fresh:
            keys, values = (x.narrow(2, 0, width).index_select(0, self._rows) for x in layer)
            mixed = F.scaled_dot_product_attention(query, keys, values, is_causal=True, scale=scaling, enable_gqa=True)
        else:
            seen = self._length + (0 if prefix is None or not self._shares else prefix.shape[3])
            step = max(1, SCORES // (heads * width * seen))
            parts = [self._part(slice(n, n + step), layer, prefix, query, scaling) for n in range(0, count, step)]
            mixed = parts[0] if len(parts) == 1 else torch.cat(parts)
        flat = mixed.transpose(1, 2).reshape(count * width, heads, -1)
        return flat if self._collect is None else flat[self._collect]

    def _part(self, part: slice, layer: Tensor, prefix: Tensor | None, query: Tensor, scaling: float) -> Tensor:
        """The same for some of the rows [R, H, T, D], so that there are never too many scores."""
        query, mask = query[part], self._mask[part]
        count, heads, width, dim = query.shape
        kv = layer.shape[2]
        folded = (query * scaling).reshape(count * kv, heads // kv * width, dim)
        rows = self._rows[part]
        keys, values = (x.narrow(2, 0, self._length).index_select(0, rows).flatten(0, 1) for x in layer)
        scores = torch.bmm(folded, keys.transpose(1, 2))
        scores.view(count, heads, width, -1).add_(mask[:, None])
        if not self._shares or prefix is None:
            mixed = torch.bmm(_weights(scores), values)
        else:
            apart = None if self._apart is None else self._apart[part]
            mixed = _mixed_with_prefix(scores, values, folded, prefix, apart)
        return mixed.view(count, heads, width, dim)


def _mixed_with_prefix(scores: Tensor, values: Tensor, query: Tensor, prefix: Tensor, apart: Tensor | None) -> Tensor:
    """Attention over a prefix that rows share, and what each of them has of its own [R KV, T, D].

    Keys and values of the prefix are read once for all rows: its part is one product for each key-value head.

    Args:
        scores: of each row's own keys [R KV, T, L], T being the queries of one key-value head.
        values: of each row's own [R KV, L, D].
        query: scaled [R KV, T, D].
        prefix: keys and values [2, 1, KV, P, D].
        apart: added to the scores of the prefix by row [R], where not all share it.
    """
    (many, steps, dim), (kv, length) = query.shape, prefix.shape[2:4]
    rows = many // kv
    by_head = query.view(rows, kv, steps, dim).transpose(0, 1).reshape(kv, rows * steps, dim)
    shared = torch.bmm(by_head, prefix[0, 0].transpose(1, 2)).view(kv, rows, steps, length).transpose(0, 1)
    if apart is not None:
        shared = shared + apart[:, None, None, None]
    weights = _weights(torch.cat([shared, scores.view(rows, kv, steps, -1)], dim=-1))
    first = weights[..., :length].transpose(0, 1).reshape(kv, rows * steps, length)
    mixed = torch.bmm(first, prefix[1, 0]).view(kv, rows, steps, dim).transpose(0, 1).reshape(many, steps, dim)
    return torch.baddbmm(mixed, weights[..., length:].flatten(0, 1), values)


def _weights(scores: Tensor) -> Tensor:
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(scores.dtype)


def packed_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    attend: Any,
    **_: object,
) -> tuple[Tensor, None]:
    """The attention of a pass for the modules of transformers: [1, H, N, D] queries, [1, KV, N, D] keys and values."""
    query, key, value = (x[0].transpose(0, 1) for x in (query, key, value))
    mixed = attend(module.layer_idx, query, key, value, scaling)
    return mixed.view(1, len(query), query.shape[1], -1), None


def register() -> None:
    """Make the function known to transformers under its name; safe to call again."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, packed_attention)
