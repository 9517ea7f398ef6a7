"""Where a sequence ends or pauses: end tokens of a model, and stop strings in token streams.

Every sampler uses these, so that the same tokens pause at the same place whoever writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def token_texts(tokenizer: PreTrainedTokenizerBase, rows: int) -> list[str]:
    """The text of every token id below ``rows``; ids that the tokenizer does not know have none."""
    texts = [str(tokenizer.decode([i])) for i in range(len(tokenizer))]
    return texts + [""] * (rows - len(texts))


def end_ids(path: Path, tokenizer: PreTrainedTokenizerBase) -> NDArray[np.int64]:
    """End-of-sequence ids of a model folder's generation config (else its config) and tokenizer together, sorted."""
    from transformers import AutoConfig, GenerationConfig

    if (path / "generation_config.json").is_file():
        generation = GenerationConfig.from_pretrained(str(path), local_files_only=True)
    else:
        generation = GenerationConfig.from_model_config(AutoConfig.from_pretrained(str(path), local_files_only=True))
    declared: Sequence[int] | int | None = generation.eos_token_id
    ids = set(declared if isinstance(declared, list) else [] if declared is None else [declared])
    if tokenizer.eos_token_id is not None:
        ids.add(tokenizer.eos_token_id)
    return np.array(sorted(ids), np.int64)


class StopStrings:
    """Which tokens can complete one of the stop strings, and whether a tail of tokens does."""

    def __init__(self, texts: Sequence[str], stops: tuple[str, ...]) -> None:
        self.stops = stops
        self._texts = texts
        endings = {s[i:] for s in stops for i in range(1, len(s))}
        # A token completes a stop string when it holds it whole or starts with a proper ending of it.
        self.candidates: NDArray[np.bool_] = np.array(
            [any(s in t for s in stops) or any(t.startswith(e) for e in endings) for t in texts], dtype=bool
        )
        self._reach = max((len(s) for s in stops), default=0)

    def completed(self, tokens: Sequence[int]) -> bool:
        """Whether the last of these tokens completes a stop string."""
        text, reach = "", self._reach + len(self._texts[tokens[-1]])
        for token in reversed(tokens):
            text = self._texts[token] + text
            if len(text) >= reach:
                break
        cut = len(self._texts[tokens[-1]])
        return any(s in text and text.rindex(s) + len(s) > len(text) - cut for s in self.stops)
