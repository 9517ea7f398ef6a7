"""Stop strings in token streams, found without decoding every sequence at every step.

Every sampler uses them, so that the same tokens pause at the same place whoever writes them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class StopStrings:
    """Which tokens can complete one of the stop strings, and whether a tail of tokens does."""

    def __init__(self, texts: Sequence[str], stops: tuple[str, ...]) -> None:
        self.stops = stops
        self._texts = texts
        endings = tuple({s[i:] for s in stops for i in range(1, len(s))})
        # A token completes a stop string when it holds it whole or starts with a proper ending of it. One search of
        # each kind, because vocabularies have 150,000 tokens.
        whole = re.compile("|".join(map(re.escape, stops)) or r"(?!)")
        self.candidates: NDArray[np.bool_] = np.array(
            [t.startswith(endings) or whole.search(t) is not None for t in texts], dtype=bool
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
