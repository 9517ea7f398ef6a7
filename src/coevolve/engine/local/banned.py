"""Logits of tokens that may not be drawn, for the sampler and for the heads of the trainer's models."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from coevolve.engine.banning import banned_tokens
from coevolve.engine.vocabulary import Vocabulary
from coevolve.types import Ban


class BannedLogits:
    """Makes what a ban leaves out impossible.

    Args:
        vocabulary: of the model.
        model: whose output matrix obeys from now on; none: only what ``of`` is given.
    """

    def __init__(self, vocabulary: Vocabulary, model: nn.Module | None = None) -> None:
        self._vocabulary = vocabulary
        self._now: Ban | None = None
        self._mask = lru_cache(maxsize=8)(self._new_mask)
        if model is not None:
            self.watch(model)

    def watch(self, model: nn.Module) -> None:
        """Let the output matrix of another model obey as well."""
        head: nn.Module = model.get_output_embeddings()  # type: ignore[operator]
        head.register_forward_hook(lambda module, inputs, logits: self.of(logits, self._now))

    def choose(self, ban: Ban | None) -> None:
        """What the output matrices leave out from now on."""
        self._now = ban

    def of(self, logits: Tensor, ban: Ban | None) -> Tensor:
        """The logits [..., V or more] with those of banned tokens so low that they have no probability."""
        if ban is None:
            return logits
        # Of no probability after the softmax, and unlike an infinity still a number where it is multiplied by 0.
        low = max(-1e9, torch.finfo(logits.dtype).min / 64)
        return logits.masked_fill(self._mask(ban, logits.shape[-1], logits.device), low)

    def _new_mask(self, ban: Ban, size: int, device: torch.device) -> Tensor:
        mask = torch.zeros(size, dtype=torch.bool)
        mask[: self._vocabulary.size] = torch.from_numpy(banned_tokens(self._vocabulary, ban))
        return mask.to(device)
