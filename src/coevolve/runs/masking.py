"""A command line without its secrets, so that it can be kept and shown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

MASK = "***"
_NAME = r"(?:token|secret|password|passwd|passphrase|credentials?|(?:api|access|private)[_-]?key|authori[sz]ation)"
_SECRET = re.compile(rf"(?:^|.*[._-]){_NAME}", re.IGNORECASE)
_SECRET_VARIABLE = re.compile(rf".*(?:{_NAME}|key|auth)", re.IGNORECASE)
_SHORTEST = 8  # characters of a variable's value that is looked for; shorter ones occur by chance
# Each with what stays of it: the part before a secret that has a name, or nothing of one that is known by its shape.
_SHAPES = [
    (re.compile(r"(://)[^/@\s]+(?=@)"), r"\1"),
    (re.compile(rf"([?&](?:[\w.-]*[._-])?(?:{_NAME}|sig|signature|key)=)[^&#\s]+", re.IGNORECASE), r"\1"),
    (re.compile(rf"({_NAME}(?:['\"]\s*:\s*|:\s+)['\"]?)[^\s'\",}}]+", re.IGNORECASE), r"\1"),
    (re.compile(r"(\bbearer\s+)\S+", re.IGNORECASE), r"\1"),
    (
        re.compile(
            r"\b(?:hf_\w{16,}|sk-[\w-]{16,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|xox[abps]-[\w-]{10,}|AKIA[0-9A-Z]{16})"
        ),
        "",
    ),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+"), ""),
]


def masked(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The arguments of a command with every value hidden that is a secret.

    A secret is what follows a name such as ``token`` (``--token X``, ``token=X``, ``token: X``, or in an address), what
    has the form of a known kind of token, and the value of a variable of the environment that is called one.
    ``sampling.max_tokens=512`` is none.
    """
    known = [v for k, v in environment.items() if len(v) >= _SHORTEST and _SECRET_VARIABLE.fullmatch(k)]
    out: list[str] = []
    for n, argument in enumerate(arguments):
        before = arguments[n - 1] if n else ""
        if before.startswith("-") and "=" not in before and _SECRET.fullmatch(before.lstrip("-")):
            out.append(MASK)
        else:
            out.append(_without(known, _assignment(argument)))
    return out


def _assignment(text: str) -> str:
    """``name=value`` without the value of a secret; ``--set=track.token=x`` has two names."""
    name, equals, value = text.partition("=")
    if not equals:
        return text
    return f"{name}={MASK if _SECRET.fullmatch(name.lstrip('-')) and value else _assignment(value)}"


def _without(known: Sequence[str], text: str) -> str:
    for value in known:
        text = text.replace(value, MASK)
    for shape, kept in _SHAPES:
        text = shape.sub(kept + MASK, text)
    return text
