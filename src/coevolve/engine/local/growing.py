"""Forward passes over a cache that grows with its sequences: what the local sampler does on CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coevolve.engine.local import attention
from coevolve.engine.local.cache import SlotCache

MASKED = -1e9  # additive; finite, so that a fully masked row of padding gives no NaN


class GrowingPasses:
    """The forward passes of a sampler over a cache of slots; takes the model's attention over."""

    def __init__(self, model: Any, cache: SlotCache) -> None:
        attention.register()
        model.set_attn_implementation(attention.NAME)
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

    def rest(self) -> None:
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
