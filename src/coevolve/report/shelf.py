"""What ``coevolve watch`` was given: one run, or a folder with several, each with a line that says how it stands."""

from __future__ import annotations

import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from coevolve.errors import RunError
from coevolve.monitor.summary import logged
from coevolve.report.filling import embedded_json, filled
from coevolve.report.live import changed, run_state, run_version, take_snapshot
from coevolve.report.watched import WatchedRun
from coevolve.store import manifest
from coevolve.store.lock import holder_if_known
from coevolve.store.records import METRICS

MOST_RUNS = 500
DEEPEST = 3  # folders below the one that was named: a study keeps its runs in folders of their own
MOST_OPEN = 8  # runs whose data is kept in memory

LOOK_S = 2.0  # how often the folder is looked through while somebody listens

ADDRESSES = {"events": "events", "data": "data"}  # beside the index
_STYLES, _SCRIPTS = ("page.css", "live.css"), ("dom.js", "theme.js", "news.js", "runs.js")

Line = dict[str, Any]


class Shelf:
    """The runs that a server shows. Names in requests are looked up among those found, never joined to a path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._looked = -LOOK_S
        self._lines: dict[str, tuple[str, Path, Line]] = {}
        self._data, self._version = b"", ""
        self._open: OrderedDict[str, WatchedRun] = OrderedDict()

    @property
    def is_one_run(self) -> bool:
        """Whether the path is a run, or will be one: it holds one, was locked by one, or does not exist yet."""
        begun = any((self.path / name).exists() for name in (manifest.NAME, ".lock"))
        return begun or not self.path.is_dir()

    def run(self, name: str | None) -> WatchedRun | None:
        """The run of this name, or the one that the path itself is (None); None where there is no such run."""
        if name is None:
            return self._opened("", self.path) if self.is_one_run else None
        with self._lock:
            self._look()
            line = self._lines.get(name)
        return None if line is None else self._opened(name, line[1])

    def news(self) -> dict[str, Any]:
        """The version of the index; it changes when a line of it does."""
        with self._lock:
            self._look()
            return {"versions": {"data": self._version}}

    def data(self, _tasks: str = "") -> bytes:
        """A line per run in JSON, the one that was written to last first."""
        with self._lock:
            self._look()
            return self._data

    def page(self) -> str:
        """The index as a page."""
        return filled("runs.html", _STYLES, _SCRIPTS, title="Runs · coevolve", follows=True, data=self.data().decode())

    def _opened(self, name: str, path: Path) -> WatchedRun:
        with self._lock:
            run = self._open.pop(name, None) or WatchedRun(path)
            self._open[name] = run
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
            return run

    def _look(self) -> None:
        """Find the runs and how they stand, unless that has just been done."""
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        self._lines = {name: self._line(name, path) for name, path in self._find()}
        lines = sorted((line for *_, line in self._lines.values()), key=lambda line: (-line["changed"], line["name"]))
        self._version = hashlib.sha256(embedded_json(lines).encode()).hexdigest()[:16]
        live = {**ADDRESSES, "versions": {"data": self._version}}
        shown = {"runs": lines, "more": len(lines) == MOST_RUNS, "folder": str(self.path), "live": live}
        self._data = embedded_json(shown).encode()

    def _find(self) -> Iterator[tuple[str, Path]]:
        left = MOST_RUNS
        for place, folders, files in os.walk(self.path):
            here = Path(place)
            depth = len(here.relative_to(self.path).parts)
            if manifest.NAME in files and depth:
                folders.clear()
                yield here.relative_to(self.path).as_posix(), here
                left -= 1
                if not left:
                    return
            elif depth == DEEPEST:
                folders.clear()
            folders.sort()

    def _line(self, name: str, path: Path) -> tuple[str, Path, Line]:
        """Version, place and content of a run's line; made anew when the run has changed or who writes to it."""
        process = holder_if_known(path)
        version = f"{run_version(path)} {process}"
        known = self._lines.get(name)
        if known and known[0] == version:
            return known
        when = changed(path / manifest.NAME, path / METRICS)
        return version, path, {"name": name, "changed": when, **_standing(path, process)}


def _standing(path: Path, process: int | None) -> Line:
    """How a run stands, in the few words of a line."""
    try:
        snapshot = take_snapshot(path)
        summary: Any = logged(snapshot)
    except RunError as error:
        return {"state": "unreadable", "problem": str(error)}
    measured = [entry for entry in summary["iterations"] if entry["held_out"]]
    last = measured[-1] if measured else None
    return {
        "state": run_state(snapshot.status, process),
        "method": summary["method"],
        "preset": summary["preset"],
        "seed": summary["seed"],
        "iterations": snapshot.config.iterations,
        "iteration": last["iteration"] if last else None,
        "base": measured[0]["held_out"]["mean_at_8"] if measured else None,
        "held_out": last["held_out"]["mean_at_8"] if last else None,
        "ci95": last["held_out"].get("ci95") if last else None,
    }
