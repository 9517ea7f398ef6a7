"""Reads attacks from the files in ``snippets``, which hold them as they are typed.

::

    # NUMBER: name
    #> ok error; exit=1; out='...'
    the snippet

The second line says how it may end: statuses, then what must be so (``out`` its exact stdout, ``says`` a part of
stdout or stderr, ``exit``, ``signal``, ``cut`` for output cut at the cap) and where it runs (``pool``, ``only`` on
one kind of machine). After ``refused``, each line is an expression of its own that must fail, with EPERM or EACCES
unless errors are named. ``@NAMES@`` are filled in by the lane.
"""

from __future__ import annotations

import ast
import platform
import re
from collections.abc import Iterator
from pathlib import Path

from coevolve.sandbox.base import Status

from .attack import Attack, refused, snippet

_HEAD = re.compile(r"^# (?P<number>\d+): (?P<name>.+)\n#> (?P<ends>.+)\n", re.MULTILINE)
_WORDS = ("pool", "only")


def attacks_in(folder: Path) -> Iterator[Attack]:
    """Those of this machine, from all files of the folder."""
    for path in sorted(folder.glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        heads = list(_HEAD.finditer(text))
        bodies = [text[a.end() : b] for a, b in zip(heads, [*(h.start() for h in heads[1:]), len(text)], strict=True)]
        for head, body in zip(heads, bodies, strict=True):
            attack = _attack(int(head["number"]), head["name"], head["ends"], body.rstrip("\n") + "\n")
            if attack:
                yield attack


def _attack(number: int, name: str, ends: str, body: str) -> Attack | None:
    first, *rest = ends.split("; ")
    kind, *errors = first.split()
    if kind == "refused":
        return refused(number, name, *body.splitlines(), errors=errors or ("EPERM", "EACCES"))
    wanted = dict(_wish(one) for one in rest)
    if wanted.pop("only", platform.machine()) != platform.machine():
        return None
    return snippet(number, name, body, *map(Status, first.split()), **wanted)  # type: ignore[arg-type]


def _wish(text: str) -> tuple[str, object]:
    key, _, value = text.partition("=")
    return key, value if key in _WORDS else ast.literal_eval(value or "True")
