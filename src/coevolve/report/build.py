"""The report of a run: one page that needs nothing but a browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import coevolve
from coevolve.evaluation.oracle import TRAINED_ON_TRUTH
from coevolve.evaluation.phase import run_phases, run_reports
from coevolve.harness.contamination import finding, of_run, table
from coevolve.methods.figures import (
    AgentNote,
    Headline,
    Part,
    RunView,
    Stat,
    as_json,
    merged,
    plain_figures,
)
from coevolve.methods.registry import method_named
from coevolve.methods.reporting import PhaseReport
from coevolve.monitor.health import health
from coevolve.monitor.summary import logged
from coevolve.report.before_after import before_and_after
from coevolve.report.chunks import left_out, read_trajectories
from coevolve.report.filling import embedded_json, filled
from coevolve.report.judging import sample_of_kept
from coevolve.report.live import phase_kinds
from coevolve.report.task_index import TaskIndex, read_index
from coevolve.runs.provenance import described
from coevolve.store import settings
from coevolve.store.atomic import replace_file, writing
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
    "beforeafter.js",
    "sample.js",
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
    folder = RunRecords.open(path)
    index = read_index(folder)
    trajectories = read_trajectories(folder, index)
    tasks = task_data(index) | {
        "at": trajectories.at,
        "answered": trajectories.answered,
        "left_out": left_out(index, trajectories),
        "before_after": before_and_after(index, [at is not None for at in trajectories.at]),
        "sample": [asdict(task) for task in sample_of_kept(folder, index)],
    }
    page = render(page_data(folder), tasks, trajectories.chunks)
    target = path / "report" / "index.html"
    again = f"make room on the disk, then: coevolve report {path}"
    with writing(target, again, f"see the page without writing it: coevolve watch {path}"):
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
    summary, metrics, config = logged(folder), folder.metrics(), folder.config
    method = method_named(config.method)
    view = RunView(summary, metrics, config, method.agents(config), method.answerer)
    own = {phase.report.name for phase in run_phases(config)}
    reports = [report for report in run_reports(config) if report.name in own]
    # Not of a run in progress, whose page is made again and again.
    found = of_run(folder) if live is None else {}
    judged = finding(found)
    parts = [*page_parts(view, reports), *([table(found)] if found else [])]
    headlines = [part for part in parts if isinstance(part, Headline)] or [Headline(f"A run of {config.method}.")]
    return {
        "run": {key: summary[key] for key in ("method", "preset", "seed", "status")}
        | {
            "name": folder.path.resolve().name,
            "version": coevolve.__version__,
            "iterations": config.iterations,
            "config": settings.to_yaml(config.model_dump()).decode(),
            "provenance": described(folder.facts),
        },
        "headline": headlines[0].text,
        "lead": headlines[0].lead,
        "standing": standing(summary),
        "oracle": f"Oracle: {TRAINED_ON_TRUTH}." if config.oracle else "",
        "agents": _agents(view, parts),
        "phases": phase_kinds(reports),
        "stats": [asdict(part) for part in parts if isinstance(part, Stat)],
        "notices": notices(metrics, reports),
        "health": [asdict(one) for one in health(summary, metrics, reports, [judged] if judged else ())],
        "figures": [as_json(figure) for figure in merged(parts)],
        "time": {key: summary[key] for key in ("wall_s", "cpu_s", "time", "tokens")} | {"phases": folder.timings()},
        "live": live,
    }


def page_parts(view: RunView, reports: Sequence[PhaseReport]) -> list[Part]:
    """What the phases show, in the order of the run; the quantities and rows of those that declare no figures."""
    return [
        part
        for report in reports
        for figures in report.figures or (partial(plain_figures, report),)
        for part in figures(view)
    ]


def standing(summary: Mapping[str, Any]) -> str:
    """One sentence about a run that has not finished; empty for one that has."""
    if summary["status"] == "finished":
        return ""
    done = summary["finished_phases"]
    where = f"its last finished phase is {done[-1]}" if done else "no phase is finished"
    return f"This run has not finished (status: {summary['status']}); {where}. The page shows progress so far."


def notices(metrics: Sequence[Mapping[str, Any]], reports: Sequence[PhaseReport]) -> list[dict[str, Any]]:
    """What the run found wrong, in the order of the log, with the keys of a finding.

    ``mark`` is how figures over iterations name it at its iteration; an alarm, which is no event of a phase, has none.
    """
    marks = {event: title for report in reports for event, title in report.notices.items()}
    return [
        {"iteration": row["iteration"], "mark": marks.get(row["event"], "").lower(), "tone": "bad"}
        | {"title": f"{titles[row['event']]} in iteration {row['iteration']}", "text": row["text"]}
        for titles in [{"alarm": "Alarm"} | marks]
        for row in metrics
        if row.get("event") in titles
    ]


def _agents(view: RunView, parts: Sequence[Part]) -> list[dict[str, str]]:
    """The agents in the order of the method, which gives each its colour, and what each does."""
    does = {part.agent: part.text for part in parts if isinstance(part, AgentNote)}
    return [{"id": agent.id, "label": agent.label, "does": does.get(agent.id, "")} for agent in view.agents]


def task_data(index: TaskIndex) -> dict[str, Any]:
    """The tasks of the page without their trajectories, as JSON values; ``at`` null means: ask the server."""
    return index.as_json() | {"at": None, "answered": None, "left_out": "", "before_after": None, "sample": []}


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
