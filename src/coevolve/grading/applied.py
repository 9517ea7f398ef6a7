r"""Whether a letter before brackets is a function of what is in them or a factor: ``N(0)``, ``P(A)``, ``x(x+1)``.

Brackets that a product would not need mean a function: ``V(r)``, ``y(0)``, ``T(2n)``. Those around a sum are needed, so
``h(a+b)`` is a product, unless the letter is a function elsewhere in the same answer. Before a number it depends on the
letter: ``T(5)`` is a value of T, ``k(0.5)`` a product."""

from __future__ import annotations

from collections.abc import Sequence

from coevolve.grading.tokens import GREEK, is_number

_ALWAYS = frozenset(["f", "g", r"\Gamma", r"\zeta"])
_OF_EVENTS = frozenset("PE")
_EVENTS = frozenset("ABCDXYZ")
_OF_INTEGERS = frozenset([r"\phi", r"\sigma", r"\tau", r"\psi", r"\Phi", r"\Psi", r"\eta", r"\chi"])
_LOWER = frozenset("hpqsuvy")
_ARGUMENTS = frozenset(["t", "x", "n", r"\theta"])
_CONSTANTS = frozenset(["e", "i"])


def is_applied(tokens: Sequence[str], at: int, end: int) -> bool:
    """Whether the letter at ``at`` is a function of what stands in the brackets that start at ``end``.

    Args:
        tokens: of the whole answer.
        at: index of the letter.
        end: index of what follows its subscript and primes.
    """
    letter = tokens[at]
    content = _content(tokens, end)
    if not content or "," in content or (tokens[end] == "[" and letter != "E"):
        return False
    if letter in _ALWAYS or "'" in tokens[at + 1 : end] or tokens[end] == "[":
        return True
    after = end + len(content) + 2
    return _decided(tokens, at, end, content, tokens[after : after + 2])


def functions(tokens: Sequence[str]) -> frozenset[str]:
    """The letters that are functions somewhere in an answer, and so everywhere in it."""
    return frozenset(
        letter
        for at, letter in enumerate(tokens[:-1])
        if tokens[at + 1] == "(" and _is_name(letter) and is_applied(tokens, at, at + 1)
    )


def _content(tokens: Sequence[str], start: int) -> Sequence[str]:
    """What stands in the brackets; nothing if they do not close."""
    depth = 0
    for index in range(start, len(tokens)):
        depth += (tokens[index] in "([{") - (tokens[index] in ")]}")
        if depth == 0:
            return tokens[start + 1 : index]
    return ()


def _decided(tokens: Sequence[str], at: int, end: int, content: Sequence[str], after: Sequence[str]) -> bool:
    letter, names = tokens[at], {token for token in content if _is_name(token)}
    events = letter in _OF_EVENTS and names and names <= _EVENTS
    if any(token in "+-" for token in content[1:]):
        return bool(events)
    if not names:
        return _of_number(tokens, at, end, content, after)
    functional = letter.isupper() or letter in _LOWER or letter in _OF_INTEGERS
    if len(names) == 1 and content[0] in names and (len(content) == 1 or content[1] == "_"):
        return _of_name(letter, content[0], functional) and after[:1] != ["("]
    if letter in _OF_INTEGERS or events:
        return True
    twice = len(content) == 2 and is_number(content[0])
    return twice and functional and (letter.isupper() or content[1] in _ARGUMENTS)


def _of_number(tokens: Sequence[str], at: int, end: int, content: Sequence[str], after: Sequence[str]) -> bool:
    letter, number = tokens[at], content[0] if len(content) == 1 else ""
    if number in ("0", "1"):
        return True
    raised = after[:1] == ["^"] and ("." in number or not after[-1].isdigit())
    if raised or (at and _is_name(tokens[at - 1])):
        return False  # P(1.05)^t, mgh(2)
    if list(tokens[at + 1 : end]) in (["_", "0"], ["_", "{", "0", "}"]):
        return False
    return letter.isupper() or letter in _LOWER or letter in _OF_INTEGERS


def _of_name(letter: str, name: str, functional: bool) -> bool:
    if letter == name:
        return False
    return functional or name in _ARGUMENTS or (letter == "n" and name in _EVENTS | {"S"})


def _is_name(token: str) -> bool:
    return (len(token) == 1 and token.isalpha() and token not in _CONSTANTS) or token[1:] in GREEK
