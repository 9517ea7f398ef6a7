"""The report of a run: one page that needs nothing but a browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import coevolve
from coevolve.config import Config, at_iteration
from coevolve.config.keys import values_by_key
from coevolve.monitor.health import health
from coevolve.monitor.summary import logged
from coevolve.report.chunks import left_out, read_trajectories
from coevolve.report.filling import embedded_json, filled
from coevolve.report.task_index import TaskIndex, read_index
from coevolve.report.text import headline, notices, standing
from coevolve.store import settings
from coevolve.store.atomic import replace_file, writing
from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords

_STYLES = ("page.css", "tasks.css")
_SCRIPTS = (
    "dom.js",
    "charts.js",
    "data.js",
    "sections.js",
    "filters.js",
    "tasks.js",
    "tokens.js",
    "trajectories.js",
    "theme.js",
    "page.js",
)
_LIVE_STYLES, _LIVE_SCRIPTS = ("live.css",), ("news.js", "live.js")  # of a page that follows its run


def build_report(path: Path) -> Path:
    """Write RUN/report/index.html from what the run has finished so far, and return its path.

    The page holds everything it shows: no other file, no network. Whatever a model wrote is carried as data
    and shown as text, never as markup.

    Raises:
        RunError: the folder holds no run, or a damaged one, or the page cannot be written.
    """
    folder = RunFolder.open(path, write=False)
    index = read_index(folder)
    trajectories = read_trajectories(folder, index)
    tasks = task_data(index) | {
        "at": trajectories.at,
        "answered": trajectories.answered,
        "left_out": left_out(index, trajectories),
    }
    page = render(page_data(folder), tasks, trajectories.chunks)
    target = path / "report" / "index.html"
    with writing(target, f"make room on the disk, then: coevolve report {path}"):
        replace_file(target, page.encode())
    return target


def page_data(folder: RunRecords, live: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the page shows above the tasks, as JSON values.

    Args:
        folder: the run.
        live: of a page that a server keeps up to date: the addresses ``events``, ``data`` and ``trajectories``
            (``?origin=0&iteration=1&task=ID`` gives ``chunks.task_trajectories``), and the ``versions`` of this data.

    Raises:
        RunError: a file of the run is missing or damaged.
    """
    summary = logged(folder)
    metrics = folder.metrics()
    keys = values_by_key(folder.config)
    return {
        "run": {
            "name": folder.path.resolve().name,
            "version": coevolve.__version__,
            "facts": folder.facts,
            "config": settings.to_yaml(folder.config.model_dump()).decode(),
        },
        "headline": headline(summary),
        "standing": standing(summary),
        "health": health(summary, metrics),
        "notices": notices(metrics),
        "summary": summary,
        "gates": _gates(folder.config),
        "steps": {
            "curriculum": _steps(metrics, "curriculum", bool(keys.get("proposer.kl"))),
            "executor": _steps(metrics, "executor", bool(keys.get("solver.kl"))),
        },
        "timings": folder.timings(),
        "live": live,
    }


def task_data(index: TaskIndex) -> dict[str, Any]:
    """The tasks of the page without their trajectories, as JSON values; ``at`` null means: ask the server."""
    return index.as_json() | {"at": None, "answered": None, "left_out": ""}


def _steps(metrics: Sequence[Mapping[str, Any]], agent: str, has_reference: bool) -> list[dict[str, Any]]:
    """The training steps of an agent; without a reference policy there is no KL, whatever number was logged."""
    rows = (dict(row) for row in metrics if row.get("event") == f"{agent}_step")
    return [row if has_reference else row | {"kl": None} for row in rows]


def _gates(config: Config) -> dict[str, list[float] | None]:
    """[lower, upper] of every iteration, or null where the gate is disabled."""
    numbers = range(1, config.iterations + 1)
    gate = getattr(config, "gate", None)
    if gate is None:
        return {}
    return {
        str(t): [at_iteration(gate.lower, t), at_iteration(gate.upper, t)] if gate.enabled else None for t in numbers
    }


def render(data: Mapping[str, Any], tasks: Mapping[str, Any], chunks: Sequence[str] = ()) -> str:
    """The page with its data inside. The figures come first in it, so that they are seen while the rest is read.

    Args:
        data: as ``page_data`` gives it.
        tasks: as ``task_data`` gives it, with ``at`` where there are chunks.
        chunks: compressed trajectories in base64.

    Raises:
        RunError: the data holds a number that JSON does not have.
    """
    return filled(
        "page.html",
        (*_STYLES, *_LIVE_STYLES) if data["live"] else _STYLES,
        (*_SCRIPTS[:-1], *_LIVE_SCRIPTS, *_SCRIPTS[-1:]) if data["live"] else _SCRIPTS,
        title=f"{data['run']['name']} · coevolve",
        headline=escape(data["headline"]),
        follows=bool(data["live"]),
        data=embedded_json(data),
        tasks=embedded_json(tasks),
        chunks="\n".join(f'<script type="text/plain" id="chunk-{i}">{text}</script>' for i, text in enumerate(chunks)),
    )
