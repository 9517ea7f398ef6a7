"""Text to token ids and back, for prompts, observations and the reading of what was sampled."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from coevolve.engine.vocabulary import read_tokenizer
from coevolve.types import Ints

_LEAST = 32  # tokens that a text can be cut to
_WORTH_CUTTING = 60  # of fewer tokens, the words that say what is left out take too many


class Codec:
    """The tokenizer of a model folder without the rest of transformers: quick to load and to call."""

    def __init__(self, model_path: Path) -> None:
        self._tokenizer = read_tokenizer(model_path / "tokenizer.json")
        self.encode = lru_cache(maxsize=65536)(self._encode)
        self.encode_printed = lru_cache(maxsize=65536)(self._encode_printed)

    def forget(self) -> None:
        """Drop what both ways of encoding remember."""
        self.encode.cache_clear()
        self.encode_printed.cache_clear()

    def _encode(self, text: str) -> Ints:
        ids = np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, np.int32)
        ids.setflags(write=False)
        return ids

    def _encode_printed(self, text: str) -> Ints:
        """Ids of text that foreign code has made: the name of a special token is letters in it, and ends nothing."""
        self._tokenizer.encode_special_tokens = True
        try:
            return self._encode(text)
        finally:
            self._tokenizer.encode_special_tokens = False

    def within(self, text: str, tokens: int) -> str:
        """A printed text of at most so many tokens (32 or more); what is left out of a longer one is said."""
        ids = self.encode_printed(text)
        keep = tokens
        while len(self.encode_printed(text)) > tokens:
            keep -= 8
            head, tail = (
                self.decode(part).strip("\ufffd") for part in (ids[: 2 * keep // 3], ids[len(ids) - keep // 3 :])
            )
            text = f"{head}\n[{len(ids) - keep} tokens left out]\n{tail}"
        return text

    def both_within(self, printed: str, messages: str, tokens: int) -> str:
        """A printed text and below it what went wrong, of at most so many tokens (32 or more) together.

        Of the messages no more is left out than what goes beyond half of the tokens, however much was printed.
        """
        text = f"{printed}\n{messages}"
        if len(self.encode_printed(text)) <= tokens:
            return text
        half = tokens // 2
        if half >= _WORTH_CUTTING or len(self.encode_printed(messages)) <= half:
            last = self.within(messages, half)
            room = tokens - len(self.encode_printed(last))
            while room >= _LEAST:
                both = f"{self.within(printed, room)}\n{last}"
                excess = len(self.encode_printed(both)) - tokens
                if excess <= 0:
                    return both
                room -= excess
        return self.within(text, tokens)

    def quoted(self, text: str) -> str:
        """Text that a policy has written, for another's prompt: without the names of special tokens."""
        special = [token.content for token in self._tokenizer.get_added_tokens_decoder().values() if token.special]
        while any(name in text for name in special):  # what is left may join to a name again
            for name in special:
                text = text.replace(name, "")
        return text

    def decode(self, ids: Ints) -> str:
        """Text of the ids, special tokens included."""
        text: str = self._tokenizer.decode(ids.tolist(), skip_special_tokens=False)
        return text
