"""Per-token weights of the loss: the mask and the normalisation in one number, so that a loss is a plain sum.

Weights are made once for a whole minibatch. Micro-batches then add up to the same gradient however the rows
are split.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from coevolve.types import Bools, Floats

Normalisation = Literal["token", "sequence", "fixed"]


def token_weights(
    masks: Sequence[Bools], normalisation: Normalisation = "token", *, max_tokens: int | None = None
) -> list[Floats]:
    """The weight of every token of a minibatch; 0 where the mask is false.

    - ``token``: 1 / (trained tokens of the minibatch). Long answers count more. Weights add up to 1.
    - ``sequence``: 1 / (sequences * trained tokens of the sequence), over the sequences that have any: the
      mean over sequences of the mean over tokens, as in GRPO. Weights add up to 1.
    - ``fixed``: 1 / (sequences * max_tokens): no dependence on lengths, as in Dr. GRPO (arXiv 2503.20783).

    Args:
        masks: one array [L_i] per sequence, true for the tokens that are trained on; lengths may differ.
        normalisation: one of the three above.
        max_tokens: token limit of a sequence, for ``fixed`` only.

    Returns:
        One array [L_i] per sequence.

    Raises:
        ValueError: ``fixed`` without a positive ``max_tokens``.
    """
    trained = [int(mask.sum()) for mask in masks]
    if normalisation == "token":
        shares = [1.0 / max(sum(trained), 1)] * len(masks)
    elif normalisation == "sequence":
        sequences = sum(count > 0 for count in trained)
        shares = [1.0 / max(sequences * count, 1) for count in trained]
    else:
        if max_tokens is None or max_tokens < 1:
            raise ValueError("the fixed normalisation needs the token limit of a sequence: max_tokens >= 1")
        shares = [1.0 / (len(masks) * max_tokens)] * len(masks)
    return [np.where(mask, share, 0.0).astype(np.float32) for mask, share in zip(masks, shares, strict=True)]
