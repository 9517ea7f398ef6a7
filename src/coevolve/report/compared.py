"""The page of several runs side by side: self-contained, like the page of one run."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import coevolve
from coevolve.report.filling import embedded_json, filled
from coevolve.store.atomic import replace_file, writing

_ELSEWHERE = "choose a file that you can write to"
_STYLES = ("page.css", "compared.css")
_SCRIPTS = ("dom.js", "charts.js", "theme.js", "compared.js")


def write_comparison(data: Mapping[str, Any], target: Path) -> Path:
    """Write the page and return its path.

    Args:
        data: as ``coevolve compare --json`` prints it.
        target: the file to write.

    Raises:
        RunError: the file cannot be written.
    """
    with writing(target, _ELSEWHERE, _ELSEWHERE):
        replace_file(target, render(data).encode())
    return target


def render(data: Mapping[str, Any]) -> str:
    """The page with its data inside."""
    labels = [str(setting["label"]) for setting in data["settings"]]
    return filled(
        "compared.html",
        _STYLES,
        _SCRIPTS,
        title=f"{' · '.join(labels)} · coevolve",
        headline=escape(headline(data)),
        data=embedded_json({**data, "version": coevolve.__version__}),
    )


def headline(data: Mapping[str, Any]) -> str:
    """One sentence: which settings can be told from the first one."""
    first, *others = data["settings"]
    if not others:
        seeds = len(first["seeds"])
        return f"{first['label']}, over {seeds} seed{'s' if seeds > 1 else ''}."
    told = [x for x in others if x["difference"]["verdict"] in ("higher", "lower")]
    alone = sum(not x["difference"]["over_seeds"] for x in others)
    if not told:
        if alone == len(others):
            return f"No verdict against {first['label']}: that takes two seeds or more of each setting."
        many = f"None of {len(others)} settings can be told apart from {first['label']}."
        return many if len(others) > 1 else f"{others[0]['label']} and {first['label']} cannot be told apart."
    if len(told) > 3:
        return f"{len(told)} of {len(others)} settings differ from {first['label']}."
    words = [f"{x['label']} is {_points(x['difference']['mean'])} {first['label']}" for x in told]
    rest = len(others) - len(told)
    more = f"; {rest} other{'s' if rest > 1 else ''} cannot be told apart from it" if rest else ""
    return f"{' and '.join(words)}{more}."


def _points(difference: float) -> str:
    size = f"{abs(100 * difference):.1f}"
    return f"{size} point{'' if size == '1.0' else 's'} {'above' if difference > 0 else 'below'}"
