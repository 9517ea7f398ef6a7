"""Tokens that may not be drawn for a while, so that a proposer cannot write the same words for ever. No torch.

Source: Vocabulary Dropout (arXiv 2604.03472): a hard random mask on the proposer's logits, new for each batch, in
training and when it writes the pool. Which tokens are protected is ours.
"""

from __future__ import annotations

import numpy as np

from coevolve.engine.vocabulary import Vocabulary
from coevolve.types import Ban, Bools

# Words of the format; every piece of them is protected, so that tags, fences and boxes can be written in any tokens.
_FORMAT = ("question", "boxed", "fbox", "text", "frac", "python", "output", "print", "import")


def banned_tokens(vocabulary: Vocabulary, ban: Ban) -> Bools:
    """Which tokens [V] a ban leaves out: each that is not protected with a probability of its share.

    Protected are special tokens and ends, tokens without letters (digits, white space, punctuation, parts of
    characters), single letters, and all pieces of the words that tags, fences and boxes are made of. Equal bans leave
    out equal tokens in every process.
    """
    free = np.array([not _is_protected(text) for text in vocabulary.texts], dtype=np.bool_)
    free[sorted(vocabulary.ends)] = False
    free &= np.array([text.strip() not in vocabulary.special for text in vocabulary.texts], dtype=np.bool_)
    drawn: Bools = np.random.default_rng(ban.seed).random(vocabulary.size) < ban.share
    return drawn & free


def _is_protected(text: str) -> bool:
    letters = "".join(filter(str.isalpha, text)).lower()
    return len(letters) < 2 or any(letters in word for word in _FORMAT)
