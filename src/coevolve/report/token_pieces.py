"""What each token of a trajectory stands for in its text, by the tokenizer that the run itself used."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from coevolve.engine.vocabulary import read_tokenizer

_UNFINISHED = "\ufffd"  # what a tokenizer writes for bytes that are no whole character


class TokenPieces:
    """Cuts a text into the pieces of its tokens."""

    def __init__(self, file: Path) -> None:
        """
        Args:
            file: the ``tokenizer.json`` of a model.

        Raises:
            ModelError: it cannot be read.
        """
        self._tokenizer = read_tokenizer(file)
        self._alone = lru_cache(maxsize=1 << 18)(lambda token: self._decode([token]))

    def of(self, tokens: Sequence[int], text: str) -> list[str] | None:
        """One piece per token, which join up to ``text``; None when the tokens do not belong to the text.

        Tokens that share a character, as those of byte-level BPE may, leave it to the last of them; the others have
        an empty piece. Tokens after the end of the text, such as the one that ends a turn, keep their own text, so
        the join may be longer than ``text`` by whole pieces.
        """
        pieces = [self._alone(token) for token in tokens]
        return pieces if _begins(pieces, text) else self._in_context(tokens, text)

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=False)
        return text

    def _in_context(self, tokens: Sequence[int], text: str) -> list[str] | None:
        """Pieces by what each token adds to the text of those before it, a few of which are enough context."""
        pieces: list[str] = []
        context = read = written = (
            0  # tokens[context:read] are written out already, as the first ``written`` characters
        )
        for index in range(len(tokens)):
            before = self._decode(tokens[context:read])
            now = self._decode(tokens[context : index + 1])
            unfinished = now.endswith(_UNFINISHED) and index + 1 < len(tokens)
            if unfinished or not now.startswith(before):
                pieces.append("")
                continue
            piece = now[len(before) :]
            if written < len(text) and not text.startswith(piece, written):
                return None
            pieces.append(piece)
            context, read, written = read, index + 1, written + len(piece)
        return pieces if _begins(pieces, text) else None


def _begins(pieces: Sequence[str], text: str) -> bool:
    """Whether the pieces join up to the text, with nothing or whole pieces after it."""
    rest = len(text)
    for index, piece in enumerate(pieces):
        if rest <= 0:
            return rest == 0 and "".join(pieces[:index]) == text
        rest -= len(piece)
    return rest == 0 and "".join(pieces) == text
