"""What ``coevolve watch`` shows: one run, or a folder with several, each with a line that says how it stands."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from coevolve.errors import RunError
from coevolve.evaluation.report import suites_mean
from coevolve.monitor.summary import logged
from coevolve.report.build import page_data, render, task_data
from coevolve.report.chunks import task_trajectories
from coevolve.report.filling import embedded_json, filled
from coevolve.report.live import (
    Snapshot,
    changed,
    fingerprint,
    live_state,
    machine,
    run_version,
    take_snapshot,
)
from coevolve.report.task_index import Key, read_index
from coevolve.store import manifest, settings
from coevolve.store.lock import holder_if_known, is_held
from coevolve.store.manifest import METRICS

POLL_S = 0.5  # how often the files of a run are looked at while somebody listens
PULSE_S = 2.0  # how often who writes, and how the machine is, is asked
REST = 25.0  # after work for new data, nothing is read for so many times as long: at most 4 % of a core
MOST_RUNS = 500
DEEPEST = 3  # folders below the one that was named: a study keeps its runs in folders of their own
MOST_OPEN = 8  # runs whose data is kept in memory

LOOK_S = 2.0  # how often the folder is looked through while somebody listens

ADDRESSES = {"events": "events", "data": "data", "trajectories": "trajectories"}  # beside the page of a run
_STYLES = ("page.css", "live.css")  # of pages that wait for a run or list several
_WAITING, _LISTING = (("dom.js", "theme.js", "news.js", script) for script in ("waiting.js", "runs.js"))

Line = dict[str, Any]


class WatchedRun:
    """One run that may not exist yet, be written to, fail or be replaced. What it was last is kept.

    Many threads may ask; one at a time works.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._looked, self._rest = -PULSE_S, 0.0
        self._version, self._pulsed = "", -PULSE_S
        self._snapshot: Snapshot | None = None
        self._settings = ""  # which file the configuration of the snapshot was read from
        self._problem = ""
        self._pulse: dict[str, Any] = {}
        self._tasks: tuple[str, bytes] = ("", b"")
        self._data: tuple[str, bytes] = ("", b"")

    def news(self) -> dict[str, Any]:
        """How the run stands: ``live_state``, ``machine``, what is wrong with it, and the versions of its data.

        ``state`` is ``waiting`` before the run has begun and ``unreadable`` where nothing of it could be read.
        """
        with self._lock:
            self._look()
            return {**self._pulse, "path": str(self.path), "problem": self._problem, "versions": self._versions()}

    def page(self) -> str:
        """The page as it is now, or one that waits for the run."""
        with self._lock:
            self._look(at_once=True)
            if self._snapshot is None:
                waited = {"live": ADDRESSES, "path": str(self.path)}
                title = f"{self.path.name} · coevolve"
                return filled("waiting.html", _STYLES, _WAITING, title=title, follows=True, data=embedded_json(waited))
            return render(self._page_data(self._snapshot), json.loads(self._tasks_of(self._snapshot)))

    def data(self, tasks: str) -> bytes:
        """JSON with what stands above the tasks in ``page``, and ``tasks`` unless they are of version ``tasks``."""
        with self._lock:
            self._look()
            snapshot = self._snapshot
            if snapshot is None:
                return b"{}"
            begin = time.monotonic()
            if self._data[0] != self._version:
                self._data = self._version, embedded_json(self._page_data(snapshot)).encode()
            listed = b"null" if tasks == snapshot.tasks_version else self._tasks_of(snapshot)
            self._rest = max(self._rest, REST * (time.monotonic() - begin))
            return b'{"page":%b,"tasks":%b}' % (self._data[1], listed)

    def trajectories(self, key: Key) -> bytes | None:
        """What was stored of a task, in JSON; None where the run has no such task.

        Raises:
            RunError: a table of the run is damaged.
        """
        with self._lock:
            self._look()
            snapshot = self._snapshot
        if snapshot is None:
            return None
        return embedded_json(task_trajectories(snapshot, key)).encode()

    def _versions(self) -> dict[str, str]:
        known = self._snapshot
        return {"data": self._version if known else "", "tasks": known.tasks_version if known else ""}

    def _page_data(self, snapshot: Snapshot) -> dict[str, Any]:
        return page_data(snapshot, {**ADDRESSES, "versions": self._versions()})

    def _tasks_of(self, snapshot: Snapshot) -> bytes:
        if self._tasks[0] != snapshot.tasks_version:
            self._tasks = snapshot.tasks_version, embedded_json(task_data(read_index(snapshot))).encode()
        return self._tasks[1]

    def _look(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and now - self._looked < max(POLL_S * 0.8, self._rest):
            return
        self._looked, self._rest = now, 0.0
        version = run_version(self.path)
        changed = version != self._version
        if changed or self._problem:
            self._read(version)
            self._rest = REST * (time.monotonic() - now)
        if changed or now - self._pulsed >= PULSE_S:
            self._pulsed = now
            self._feel()

    def _read(self, version: str) -> None:
        """Take up what the folder holds now; where it cannot be read, keep what it held and say so."""
        try:
            named = fingerprint([self.path / settings.NAME])
            self._snapshot = take_snapshot(self.path, self._snapshot if self._settings == named else None)
            self._settings = named
            self._problem = ""
        except RunError as error:
            begun = os.path.exists(self.path / manifest.NAME)
            told = begun or isinstance(error, manifest.Unreadable)
            self._problem = str(error) if told or self._snapshot else ""
        self._version = version

    def _feel(self) -> None:
        process = holder_if_known(self.path)
        if self._snapshot is None:
            self._pulse = {"state": "unreadable" if self._problem else "waiting"}
            return
        try:
            state = live_state(self._snapshot)
        except RunError as error:
            self._problem = str(error)
            return
        self._pulse = state
        if state["state"] == "running":  # what nobody works on has no news
            self._pulse |= {"now": round(time.time(), 1)}
            if process is not None:  # of this machine
                self._pulse |= {"process": process, "machine": machine(self.path, process)}


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
        begun = any(os.path.exists(self.path / name) for name in (manifest.NAME, ".lock"))
        return begun or not os.path.isdir(self.path) or not os.access(self.path, os.X_OK, effective_ids=True)

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
        return filled("runs.html", _STYLES, _LISTING, title="Runs · coevolve", follows=True, data=self.data().decode())

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
        live = {"events": "events", "data": "data", "versions": {"data": self._version}}  # addresses beside the index
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
        version = f"{run_version(path)} {is_held(path)}"
        known = self._lines.get(name)
        if known and known[0] == version:
            return known
        when = changed(path / manifest.NAME, path / METRICS)
        return version, path, {"name": name, "changed": when, **_standing(path)}


def _standing(path: Path) -> Line:
    """How a run stands, in the few words of a line."""
    try:
        snapshot = take_snapshot(path)
        summary: Any = logged(snapshot)
    except RunError as error:
        return {"state": "unreadable", "problem": str(error)}
    measured = [entry for entry in summary["iterations"] if entry["held_out"] or entry["suites"]]
    found = [(*_accuracy(entry), entry["iteration"]) for entry in measured]
    return {
        "state": snapshot.status,
        "method": summary["method"],
        "preset": summary["preset"],
        "seed": summary["seed"],
        "iterations": snapshot.config.iterations,
        "iteration": found[-1][2] if found else None,
        "base": found[0][0] if found else None,
        "held_out": found[-1][0] if found else None,
        "ci95": found[-1][1] if found else None,
    }


def _accuracy(entry: Any) -> tuple[float | None, list[float] | None]:
    """On the held-out problems of the world with its interval; where it has none, the mean over the chosen suites."""
    held = entry["held_out"]
    return (held["mean_at_8"], held.get("ci95")) if held else (suites_mean(entry["suites"]), None)
