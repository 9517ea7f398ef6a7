"""What the stand-in writes: a Markov chain over tokens, so that one run really passes through every part.

It asks small sums, computes others with the tool, and puts small numbers into boxes, which have nothing to do with what
was asked. Some of its texts are damaged, some have no box, some of its code fails. Its tokens are pieces that its own
tokenizer would never make of such a text: what is sampled cannot be had by encoding it again.
"""

from __future__ import annotations

from collections.abc import Mapping

QUESTION, CODE, BOX, OUTPUT = "<question>", "```python\nprint(", "\\boxed{", "```output\n"
_CLOSED, _END_OF_CODE, _THOUGHT = "?</question>\n", ")\n```\n", " Let me see"
_ASKED = ("What is", "Find", "How much is")
_NUMBERS = tuple(f" {digit}" for digit in "23456789")  # of a question: digit and space in one token
_WORDS = (" plus", " times", " minus")
_DIGITS, _SIGNS, _FAULT = tuple("23456789"), ("+", "*", "-"), "/0"
_BOXED = {"5}": 0.55, "6}": 0.2, "7}": 0.15, "12}": 0.1}  # one answer often enough for votes at the frontier
_LINE_END = ".\n"

START, OBSERVED, END, OTHER_END = "START", "OBSERVED", "END", "OTHER END"  # tokens that depend on the family


def _any(choices: tuple[str, ...], share: float = 1.0) -> dict[str, float]:
    return {choice: share / len(choices) for choice in choices}


TRANSITIONS: Mapping[str, Mapping[str, float]] = {
    START: {QUESTION: 0.5, CODE: 0.4, _THOUGHT: 0.1},
    _THOUGHT: {BOX: 0.5, CODE: 0.4, END: 0.1},
    QUESTION: _any(_ASKED),
    **{words: _any(_NUMBERS) for words in _ASKED},
    **{number: {**_any(_WORDS, 0.65), _CLOSED: 0.35} for number in _NUMBERS},
    **{word: _any(_NUMBERS) for word in _WORDS},
    _CLOSED: {BOX: 0.9, END: 0.1},
    CODE: _any(_DIGITS),
    **{digit: {**_any(_SIGNS, 0.45), _END_OF_CODE: 0.5, _FAULT: 0.05} for digit in _DIGITS},
    **{sign: _any(_DIGITS) for sign in _SIGNS},
    _FAULT: {_END_OF_CODE: 1.0},
    _END_OF_CODE: {OUTPUT: 0.9, BOX: 0.1},
    OUTPUT: {END: 1.0},  # reached only where there is no tool
    OBSERVED: {BOX: 0.85, CODE: 0.15},
    BOX: _BOXED,
    **{answer: {END: 0.5, OTHER_END: 0.25, _LINE_END: 0.25} for answer in _BOXED},
    _LINE_END: {_THOUGHT: 0.5, END: 0.5},  # writes on as base models do
}

PIECES = tuple(name for name in TRANSITIONS if name not in (START, OBSERVED))
