"""Pages from templates: styles, scripts and data go into the page itself, so that it needs no other file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from coevolve.errors import RunError


def filled(
    name: str, styles: Sequence[str], scripts: Sequence[str], *, title: str, follows: bool = False, **parts: str
) -> str:
    """A template with everything in its places, behind the head and with the script that all pages have.

    Args:
        name: its file in ``templates``.
        styles: style sheets, in their order.
        scripts: scripts, in their order, after the data.
        title: of the page, as text.
        follows: whether the page may ask the server that it came from; no page may ask another.
        parts: markup for every other place, already escaped.

    Raises:
        KeyError: the template has a place that nothing was given for.
    """
    connect = "; connect-src 'self'" if follows else ""
    head = _placed("head.html", {"title": escape(title), "style": _texts(styles), "connect": connect})
    script = _placed("script.html", parts | {"script": _texts(scripts)})
    return _placed(name, parts | {"head": head, "script": script})


def embedded_json(data: object) -> str:
    """JSON that can stand in a script element: nothing in it can end the element or open a comment.

    Raises:
        RunError: the data holds a number that JSON does not have.
    """
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise RunError(f"a number of the run cannot be shown: {error}", fix="look for NaN in its tables") from error
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text.encode(errors="replace").decode()  # a lone surrogate of a model's text has no UTF-8


def _placed(name: str, parts: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _text(name))


def _texts(names: Sequence[str]) -> str:
    return "\n".join(map(_text, names))


def _text(name: str) -> str:
    return (files("coevolve.report") / "templates" / name).read_text(encoding="utf-8")
