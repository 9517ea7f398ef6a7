"""All questions of a run, over all iterations: which were asked before and which templates they use."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from coevolve.curriculum.bleu import masked


def canonical_question(text: str) -> str:
    """The form in which questions are compared: Unicode NFKC, case-folded, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class Archive:
    """A set of canonical questions that remembers how often each was added.

    Args:
        questions: initial content, for instance another archive."""

    def __init__(self, questions: Iterable[str] = ()) -> None:
        self._questions: Counter[str] = Counter()
        self._templates: Counter[str] = Counter()
        self.add(questions)

    def add(self, texts: Iterable[str]) -> None:
        """Add questions, repeats included."""
        for text in texts:
            question = canonical_question(text)
            self._questions[question] += 1
            self._templates[masked(question)] += 1

    def __contains__(self, text: str) -> bool:
        return canonical_question(text) in self._questions

    def __len__(self) -> int:
        """Questions added so far, repeats counted."""
        return self._questions.total()

    def __iter__(self) -> Iterator[str]:
        return self._questions.elements()

    def duplicate_share(self, texts: Sequence[str]) -> float:
        """Share of the texts that are in the archive or repeat an earlier text of the same list; 0 for no texts."""
        seen: set[str] = set()
        repeats = 0
        for question in map(canonical_question, texts):
            repeats += question in seen or question in self._questions
            seen.add(question)
        return repeats / max(len(texts), 1)

    def template_shares(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Template shares [B]: for each text the share of the archive that equals it when numbers are masked; 0 if
        empty.

        It is the analogue over all iterations of a cluster's share of one batch."""
        counts = [self._templates[masked(canonical_question(text))] for text in texts]
        return np.array(counts, dtype=np.float64) / max(len(self), 1)
