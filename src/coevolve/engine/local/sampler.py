"""The local sampler: batched decoding over a slot cache, with continuous admission and early release."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coevolve.config import LoraSection
from coevolve.engine.base import Completion, MemoryShortage, Pause, SampleRequest, Sampling, Snapshot
from coevolve.engine.local.banned import BannedLogits
from coevolve.engine.local.decoding import StaticCache, StaticPasses
from coevolve.engine.local.drawing import draw, uniforms
from coevolve.engine.local.full import shared_base, tree_of
from coevolve.engine.local.growing import GrowingPasses, SlotCache
from coevolve.engine.local.lora import MergedAdapter, add_adapter, load_adapter
from coevolve.engine.local.models import load_model, load_tokenizer, tensors_of
from coevolve.engine.local.shortage import give_back, out_of_memory
from coevolve.engine.stops import StopStrings
from coevolve.engine.vocabulary import read_vocabulary
from coevolve.errors import EngineError
from coevolve.types import Ints


class LocalSampler:
    """Implements :class:`coevolve.engine.base.Sampler` with torch and a standard transformers model.

    A slot is active (decoded at every step), paused (at a stop string, its cache kept), or free. All that is new at a
    step goes through the model together: a token of each active slot, the tokens that came from outside
    (``_extend_paused``) and the prompts of the queue (``_admit``). Then follow a drawn token for each of them,
    ``_collect`` (who ended or paused) and ``_shrink``, always in this order: results depend on it.

    The state of a sequence is spread over numpy arrays with one entry per slot: tokens, lengths, limits, seeds.

    ``static`` lays the cache out once, for the longest sequences, and replays recorded steps where the device can: the
    default on CUDA. On CPU the cache grows with its sequences.

    With ``lora`` policies are adapters. On CPU in float32 they are added to weights of the sampler's own; elsewhere the
    base model is the one that the process shares, and they stand beside its matrices.
    """

    def __init__(
        self,
        model_path: Path,
        *,
        max_rows: int = 512,
        dtype: str = "float32",
        device: str = "cpu",
        static: bool | None = None,
        lora: LoraSection | None = None,
    ) -> None:
        self.policy_version, self._path = 0, model_path
        self.device = torch.device(device)
        self._static = self.device.type == "cuda" if static is None else static
        self.model: Any
        self._take: Callable[[Mapping[str, Tensor]], None]  # the weights of a snapshot
        self._has_adapter = lora is not None
        own = lora is None or (self.device.type == "cpu" and dtype == "float32" and not self._static)
        if own:
            self.model, self._take = load_model(model_path, dtype=dtype).to(device), self._overwrite  # type: ignore[arg-type]
        if lora is not None:
            merged = MergedAdapter(self.model, model_path, lora) if own else None
            if merged is not None and merged.possible:
                self._take = merged.load
            else:
                self._base = shared_base(model_path, dtype=dtype, device=device)  # held while its parameters are used
                self.model = tree_of(self._base)
                self._take = partial(load_adapter, add_adapter(self.model, lora, seed=0, dtype=self.model.dtype))
                self._take({})
        self.model.eval().requires_grad_(False)
        load_tokenizer(model_path)  # refuses what transformers would read in another way
        self._vocabulary = read_vocabulary(model_path)
        self._banned = BannedLogits(self._vocabulary)
        config = self.model.config
        self._eos = np.array(sorted(self._vocabulary.ends), np.int64)
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._sizes = (config.num_hidden_layers, config.num_key_value_heads, head_dim)
        self._cache: SlotCache | StaticCache
        self._passes: GrowingPasses | StaticPasses
        self._max_rows = max_rows
        self._stops: dict[tuple[str, ...], StopStrings] = {}
        self._samplings: list[Sampling] = []  # of living sequences and older ones; slots refer to them by index
        self._begin()

    def _begin(self) -> None:
        """Have no sequences and an empty cache."""
        dtype, device = self.model.dtype, self.device
        if self._static:
            self._cache = StaticCache(*self._sizes, dtype=dtype, device=device)
            self._passes = StaticPasses(self.model, self._cache, graphs=device.type == "cuda")
        else:
            self._cache = SlotCache(*self._sizes, dtype=dtype, device=device)
            self._passes = GrowingPasses(self.model, self._cache)
        self._queue: deque[SampleRequest] = deque()
        self._extensions: dict[int, Ints] = {}
        self._slot_of: dict[int, int] = {}  # living sequences by id
        self._tokens, self._logp = np.zeros((0, 0), np.int32), np.zeros((0, 0), np.float32)
        self._top = self._admitting = 0
        self._allocate(0, 1)

    def _allocate(self, slots: int, capacity: int) -> None:
        """Grow the cache and the per-slot arrays together."""
        old, old_logp = self._tokens, self._logp
        self._cache.reserve(max(slots, old.shape[0]), capacity)
        slots, capacity = self._cache.slots, max(capacity, old.shape[1])
        self._tokens = np.zeros((slots, capacity), np.int32)
        self._logp = np.zeros((slots, capacity), np.float32)
        self._tokens[: old.shape[0], : old.shape[1]] = old
        self._logp[: old.shape[0], : old.shape[1]] = old_logp
        grow = slots - old.shape[0]
        if old.shape[0] == 0:
            self._ids = np.full(slots, -1, np.int64)  # -1 = free
            self._active = np.zeros(slots, bool)
            self._length = np.zeros(slots, np.int64)  # tokens known; all but the last are in the cache
            self._segment = np.zeros(slots, np.int64)  # where the present run of sampled tokens starts
            self._limit = np.zeros(slots, np.int64)  # length at which the sequence is cut
            self._seeds = np.zeros(slots, np.uint64)
            self._kind = np.zeros(slots, np.int64)  # index of the sequence's Sampling
            self._begins = np.zeros(slots, np.int64)  # where its own part of the cache begins, behind a shared prefix
        elif grow:
            self._ids = np.concatenate([self._ids, np.full(grow, -1, np.int64)])
            self._active = np.concatenate([self._active, np.zeros(grow, bool)])
            for name in ("_length", "_segment", "_limit", "_seeds", "_kind", "_begins"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.zeros(grow, array.dtype)]))

    @property
    def eos(self) -> frozenset[int]:
        """Token ids that end a sequence."""
        return self._vocabulary.ends

    @property
    def active(self) -> int:
        """Sequences that the next step would advance."""
        return int(self._active.sum()) + len(self._queue) + len(self._extensions)

    def load_weights(self, snapshot: Snapshot) -> None:
        """Replace the weights; no sequence may be alive.

        Raises:
            EngineError: sequences are alive, the weights do not fit the model, or they are on a server.
            ModelError: a folder holds no weights, or damaged ones.
        """
        if self._slot_of or self._queue:
            raise EngineError(
                "weights were pushed to a sampler that still decodes", fix="finish or release its sequences"
            )
        self._take(tensors_of(snapshot, self._path, adapter=self._has_adapter))
        self._passes.weights_changed()
        self.policy_version = snapshot.version

    def _overwrite(self, weights: Mapping[str, Tensor]) -> None:
        own = self.model.state_dict()
        for name, value in weights.items():
            if name not in own or own[name].shape != value.shape:
                raise EngineError("pushed weights do not fit the sampler's model", where=name)
            own[name].copy_(value)

    def submit(self, request: SampleRequest) -> None:
        """Queue a new sequence; it is admitted when a slot is free."""
        if len(request.prompt) == 0:
            raise EngineError("a sequence needs at least one prompt token", where=f"request {request.id}")
        if not self._slot_of and not self._queue:
            self._samplings.clear()
        self._queue.append(request)

    def extend(self, id: int, tokens: Ints) -> None:
        """Append tokens to a paused sequence and let it go on at the next step."""
        slot = self._slot_of[id]
        if self._length[slot] + len(tokens) >= self._limit[slot]:
            raise EngineError("an extension leaves no room for another token", where=f"request {id}")
        self._extensions[id] = tokens

    def release(self, id: int) -> None:
        """Forget a sequence, whether it rests, decodes or waits for a slot."""
        self._extensions.pop(id, None)
        if id in self._slot_of:
            self._free(self._slot_of[id])
        else:
            self._queue = deque(request for request in self._queue if request.id != id)

    def release_memory(self) -> None:
        """Nothing is given back: the cache would be needed again at the next step."""

    def close(self) -> None:
        """Nothing outlives the object."""

    def _free(self, slot: int) -> None:
        id = int(self._ids[slot])
        del self._slot_of[id]
        self._ids[slot], self._active[slot], self._length[slot] = -1, False, 1
        if not self._slot_of and not self._queue:
            self._passes.release_memory()

    def step(self) -> list[Completion]:
        """Decode one token for every active sequence, admit extended and queued ones with their first token.

        Raises:
            MemoryShortage: memory ran out; no sequence is alive any more, and half as many rows will be.
            EngineError: it ran out with a single row.
        """
        try:
            return self._step()
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        # Out here nothing holds the tensors of the failed pass any more.
        rows = self._admitting or len(self._slot_of)
        self._begin()
        give_back(self.device)
        if rows <= 1:
            raise EngineError(
                "memory is too small to decode a single sequence",
                where=str(self.device),
                fix="a new run with a smaller sampling.max_tokens or lora.enabled=true",
            )
        self._max_rows = rows // 2
        raise MemoryShortage(
            f"memory ran out while {rows} sequences were decoded; it will be {self._max_rows} at once from now on",
            where=str(self.device),
        )

    @torch.inference_mode()
    def _step(self) -> list[Completion]:
        decoding = np.flatnonzero(self._active[: self._top])
        extended = self._extend_paused()
        admitted, source = self._admit()
        leaders = admitted[np.unique(source)]
        rows = np.concatenate([decoding, extended[0], leaders])
        if len(rows) == 0:
            return []
        starts = np.concatenate([self._length[decoding] - 1, extended[1], self._begins[leaders]])
        logits = self._tokens_of(self._passes.forward(self._tokens, rows, starts, self._length[rows] - starts))
        if len(leaders) < len(admitted):
            logits = self._share(admitted, source, logits)
        self._admitting = 0
        touched = np.concatenate([decoding, extended[0], admitted])
        self._active[touched] = True
        self._draw(touched, logits)
        completions = self._collect(touched)
        self._shrink()
        return completions

    def _extend_paused(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Append tokens to paused sequences; their slots, and where each has something new: its last sampled token."""
        slots = np.array([self._slot_of[id] for id in self._extensions], np.int64)
        starts = self._length[slots] - 1
        for slot, tokens in zip(slots, self._extensions.values(), strict=True):
            end = self._length[slot] + len(tokens)
            self._tokens[slot, self._length[slot] : end] = tokens
            self._length[slot] = end
        self._extensions.clear()
        self._segment[slots] = self._length[slots]
        return slots, starts

    def _admit(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give slots to queued sequences [n]; and which of them computes the prompt of each [n], the first with it."""
        used = int((self._ids >= 0).sum())
        n = min(len(self._queue), self._max_rows - used)
        if n <= 0:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._admitting = used + n  # rows that there are to be
        if not self._slot_of:
            self._passes.open([r.prompt for r in self._queue])
        requests = [self._queue.popleft() for _ in range(n)]
        # Room: the cache and the arrays grow before any slot is filled.
        need = max(len(r.prompt) + r.sampling.max_tokens for r in requests)
        self._allocate(min(self._max_rows, max(self._cache.slots, used + n)), need)
        slots = np.flatnonzero(self._ids < 0)[:n]
        # State: everything that the arrays say about the new sequences.
        for slot, r in zip(slots, requests, strict=True):
            p = len(r.prompt)
            self._ids[slot], self._active[slot] = r.id, True
            self._slot_of[r.id] = int(slot)
            self._kind[slot] = self._kind_of(r.sampling)
            self._tokens[slot, :p] = r.prompt
            self._length[slot] = self._segment[slot] = p
            self._limit[slot] = p + r.sampling.max_tokens
            self._seeds[slot] = np.uint64(r.seed % 2**64)
        self._begins[slots] = self._passes.begin(slots, [r.prompt for r in requests])
        self._top = max(self._top, int(slots.max()) + 1)
        first: dict[bytes, int] = {}
        return slots, np.array([first.setdefault(r.prompt.tobytes(), i) for i, r in enumerate(requests)], np.int64)

    def _share(self, admitted: NDArray[np.int64], source: NDArray[np.int64], logits: Tensor) -> Tensor:
        """Copy the cache of each computed prompt to the others that have it; logits with theirs behind the rest."""
        unique = np.unique(source)
        for leader in unique:
            slot, followers = admitted[leader], admitted[(source == leader) & (np.arange(len(source)) != leader)]
            if len(followers):
                own = int(self._length[slot] - self._begins[slot])
                self._cache.copy(torch.tensor([slot]), torch.from_numpy(followers), own)
        others = len(logits) - len(unique)
        index = np.concatenate([np.arange(others), others + np.searchsorted(unique, source)])
        return logits[torch.from_numpy(index)]

    def _tokens_of(self, logits: Tensor) -> Tensor:
        """Without the rows that pad the output matrix: they stand for no token."""
        return logits[:, : self._vocabulary.size]

    def _draw(self, slots: NDArray[np.int64], logits: Tensor) -> None:
        """Sample one token for each slot and append it."""
        kinds = self._kind[slots]
        for kind in np.unique(kinds):
            members = np.flatnonzero(kinds == kind)
            alone = len(members) == len(slots)
            chosen = slots if alone else slots[members]
            part = logits if alone else logits[torch.from_numpy(members)]
            at = self._length[chosen]
            sampling = self._samplings[kind]
            part = self._banned.of(part, sampling.banned)
            tokens, logp = draw(part, uniforms(self._seeds[chosen], at), sampling)
            self._tokens[chosen, at] = tokens.cpu().numpy()
            self._logp[chosen, at] = logp.float().cpu().numpy()
            self._length[chosen] = at + 1

    def _collect(self, touched: NDArray[np.int64]) -> list[Completion]:
        """Completions of the sequences whose newest token ends or pauses them."""
        if len(touched) == 0:
            return []
        last = self._tokens[touched, self._length[touched] - 1]
        eos = np.isin(last, self._eos)
        cut = self._length[touched] >= self._limit[touched]
        maybe = np.zeros(len(touched), bool)
        kinds = self._kind[touched]
        for kind in np.unique(kinds):
            maybe |= (kinds == kind) & self._stop_strings(kind).candidates[last]
        out: list[Completion] = []
        for i in np.flatnonzero(eos | cut | maybe):
            slot = int(touched[i])
            span = slice(int(self._segment[slot]), int(self._length[slot]))
            if eos[i]:
                pause = Pause.EOS
            elif maybe[i] and self._stop_strings(kinds[i]).completed(self._tokens[slot, span].tolist()):
                pause = Pause.STOP
            elif cut[i]:
                pause = Pause.LENGTH
            else:
                continue
            tokens, logp = self._tokens[slot, span].copy(), self._logp[slot, span].copy()
            out.append(Completion(int(self._ids[slot]), tokens, logp, pause))
            self._active[slot] = False
            if pause is not Pause.STOP:
                self._free(slot)
        return sorted(out, key=lambda c: c.id)

    def _kind_of(self, sampling: Sampling) -> int:
        if sampling not in self._samplings:
            self._samplings.append(sampling)
        return self._samplings.index(sampling)

    def _stop_strings(self, kind: int) -> StopStrings:
        stop = self._samplings[kind].stop
        if stop not in self._stops:
            self._stops[stop] = StopStrings(self._vocabulary.texts, stop)
        return self._stops[stop]

    def _shrink(self) -> None:
        """Move the last sequences into free slots when a quarter of the window decodes nothing."""
        used = np.flatnonzero(self._ids[: self._top] >= 0)
        if self._queue or len(used) > 0.75 * self._top:
            return
        holes = np.flatnonzero(self._ids[: len(used)] < 0)
        movers = used[used >= len(used)]
        if len(holes):  # in both the cache and every array
            self._cache.copy(torch.from_numpy(movers), torch.from_numpy(holes), int(self._length[movers].max()))
            for array in (self._tokens, self._logp, self._ids, self._active):
                array[holes] = array[movers]
            for array in (self._length, self._segment, self._limit, self._seeds, self._kind, self._begins):
                array[holes] = array[movers]
            for hole in holes:
                self._slot_of[int(self._ids[hole])] = int(hole)
            self._ids[movers], self._active[movers], self._length[movers] = -1, False, 1
        self._top = len(used)
