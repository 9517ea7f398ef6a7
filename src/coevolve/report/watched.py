"""What the live server shows of one run: its news, its data, and the trajectories of a task that somebody opened."""

from __future__ import annotations

import json
import time
from pathlib import Path
from threading import Lock
from typing import Any

from coevolve.config import Config
from coevolve.errors import RunError
from coevolve.report.build import page_data, render, task_data
from coevolve.report.chunks import task_trajectories
from coevolve.report.filling import embedded_json, filled
from coevolve.report.live import Snapshot, fingerprint, live_state, machine, run_version, take_snapshot
from coevolve.report.task_index import Key, read_index
from coevolve.store import manifest, settings
from coevolve.store.lock import holder_if_known

POLL_S = 0.5  # how often the files of a run are looked at while somebody listens
PULSE_S = 2.0  # how often who writes, and how the machine is, is asked
REST = 25.0  # after work for new data, nothing is read for so many times as long: at most 4 % of a core
ADDRESSES = {"events": "events", "data": "data", "trajectories": "trajectories"}  # beside the page

_STYLES, _SCRIPTS = ("page.css", "live.css"), ("dom.js", "theme.js", "news.js", "waiting.js")  # while it waits


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
        self._config: tuple[str, Config] | None = None
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
                return filled("waiting.html", _STYLES, _SCRIPTS, title=title, follows=True, data=embedded_json(waited))
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
            known = self._config[1] if self._config and self._config[0] == named else None
            self._snapshot = take_snapshot(self.path, known)
            self._config = named, self._snapshot.config
            self._problem = ""
        except RunError as error:
            begun = (self.path / manifest.NAME).exists()
            self._problem = str(error) if begun or self._snapshot else ""
        self._version = version

    def _feel(self) -> None:
        process = holder_if_known(self.path)
        if self._snapshot is None:
            self._pulse = {"state": "unreadable" if self._problem else "waiting"}
            return
        try:
            state = live_state(self._snapshot, process)
        except RunError as error:
            self._problem = str(error)
            return
        self._pulse = state
        if state["state"] == "running":  # what nobody works on has no news
            self._pulse |= {"process": process, "machine": machine(self.path, process), "now": round(time.time(), 1)}
