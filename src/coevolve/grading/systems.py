"""Several relations at once, such as ``m < 0, n > 0``: each belongs to its names, which must stay with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from coevolve.grading.expression import variables
from coevolve.grading.parser import parse
from coevolve.grading.scalars import Form
from coevolve.grading.structures import Read, elements
from coevolve.grading.tokens import FUNCTIONS, Refused, TooLarge

_ORDERED = ("<", "<=", ">", ">=")
_NUMBER_SET = re.compile(r"\\mathbb ?\{? ?[A-Z] ?\}?(?: ?[\^_] ?.{1,5})?|[NZQR]|(?:the )?(?:integers|natural numbers)")
_FUNCTION = re.compile(rf"\\?(?:{'|'.join(sorted(FUNCTIONS, key=len, reverse=True))})(?![A-Za-z])")
_ROUND = re.compile(r"\((\w|\\[A-Za-z]+)\)")


@dataclass(frozen=True, slots=True)
class Part:
    """One of several relations, or what stands between them.

    Args:
        text: all of it.
        sides: of its relation signs; the text alone when it has none.
        signs: these.
    """

    text: str
    sides: tuple[str, ...]
    signs: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        """The names that it is about; none for a statement about a set of numbers, such as that k is an integer."""
        if self.signs == (r"\in",) and _NUMBER_SET.fullmatch(self.sides[-1]):
            return frozenset()
        found = [_names(side) for side in self.sides]
        known = frozenset().union(*(names for names in found if names is not None))
        return known | {label(self.sides[0])} if found[0] is None and self.signs else known


def is_function(text: str) -> bool:
    r"""Whether a text starts with a function that we know, as ``\\sin x`` and ``ln(x)`` do."""
    return bool(_FUNCTION.match(text))


def is_opaque(text: str) -> bool:
    r"""Whether a text is no expression and so can only be the name of one, as ``\max f``."""
    return any(map(str.isalpha, text)) and _names(text) is None


def label(text: str) -> str:
    """A name in one spelling."""
    bare = _ROUND.sub(r"\1", text) if is_function(text) else text
    return bare.replace(" ", "").lstrip("\\")


def about_several_names(parts: Sequence[Part], joints: frozenset[str], read: Read) -> Form | None:
    """Relations about more than one name: each with its names, in any order; None if there is one name only.

    Raises:
        Refused: both ``and`` and ``or`` join them."""
    if not any(part.signs for part in parts) or len(frozenset().union(*(part.names for part in parts))) < 2:
        return None
    if joints == {"and", "or"}:
        raise Refused("and, or")
    either = "or" in joints
    about: dict[str, list[str]] = {}
    for index, part in enumerate(parts):
        names = ",".join(sorted(part.names)) if part.signs else ""
        alone = either or not names or not set(part.signs) <= set(_ORDERED)
        about.setdefault(f"{index} {names}" if alone else f" {names}", []).append(part.text)
    said: list[tuple[str, str]] = []
    for key, texts in about.items():
        names = key.partition(" ")[2]
        forms = (
            [read(", ".join(texts))]
            if len(texts) > 1 and "," not in names
            else [f for t in texts for f in elements(t, read)]
        )
        for form in forms:
            own = form.kind in ("relation", "text", "words") or not names
            said.append((form.key, form.shown) if own else (f"{names}: {form.key}", f"{names}: {form.shown}"))
    said.sort()
    opener = "one of {" if either else "{"
    return Form("list", opener + "; ".join(key for key, _ in said) + "}", ", ".join(shown for _, shown in said))


def alternatives(texts: Sequence[str], read: Read) -> Form | None:
    """``x = 1, y = 2 or x = 2, y = 1``: systems in any order; None if these are none."""
    forms = [read(text) for text in texts]
    if not all(form.kind == "values" or (form.kind == "list" and ": " in form.key) for form in forms):
        return None
    forms.sort(key=lambda form: form.key)
    aliases = sorted(form.alias for form in forms if form.alias is not None)
    return Form(
        "list",
        "{" + "; ".join(form.key for form in forms) + "}",
        " or ".join(form.shown for form in forms),
        alias="{" + "; ".join(aliases) + "}" if len(aliases) == len(forms) else None,
    )


def _names(text: str) -> frozenset[str] | None:
    """The variables of an expression, None for any other text."""
    try:
        return variables(parse(text))
    except TooLarge:
        raise
    except Refused:
        return None
