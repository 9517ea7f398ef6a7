"""How a run stands at this moment: who writes to it, the phase in progress, the time that is left, the machine."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from coevolve.errors import RunError
from coevolve.evaluation.phase import run_phases, run_reports
from coevolve.methods.reporting import PhaseReport
from coevolve.monitor.forecast import PhaseKey, phase_seconds, seconds_left
from coevolve.store import manifest, settings
from coevolve.store.manifest import METRICS, TIMINGS
from coevolve.store.records import RunRecords
from coevolve.system import usable_cores

Row = Mapping[str, object]

_TRIES = 3  # a reader may see the manifest of one moment and a log of the next, or a folder that is being replaced


class Snapshot(RunRecords):
    """The records of a run whose logs are read once, however many ask."""

    def metrics(self) -> list[dict[str, object]]:
        return self._metrics

    def timings(self) -> list[dict[str, object]]:
        return self._timings

    @cached_property
    def _metrics(self) -> list[dict[str, object]]:
        return super().metrics()

    @cached_property
    def _timings(self) -> list[dict[str, object]]:
        return super().timings()

    @cached_property
    def tasks_version(self) -> str:
        """Changes with the tables of tasks and of the meter, and with what is stored of trajectories."""
        names = [name for prefix in ("tasks/", "meter/", "trajectories/") for name in self.recorded(prefix)]
        return fingerprint(self.path / name for name in names)


def take_snapshot(path: Path, known: Snapshot | None = None) -> Snapshot:
    """Open a run and read its logs.

    Args:
        path: the run folder.
        known: an earlier snapshot with the same configuration: reading that again would be most of the work.

    Raises:
        RunError: no run, or a damaged one.
    """
    for last in [False] * (_TRIES - 1) + [True]:
        try:
            state = manifest.read(path)
            snapshot = Snapshot(path, known.config if known else settings.read(path, state), state)
            snapshot.metrics(), snapshot.timings()
            return snapshot
        except RunError:
            if last:
                raise
    raise AssertionError("unreachable")


def run_version(path: Path) -> str:
    """Changes whenever a run logs something, finishes a phase or is replaced; costs a look at four files."""
    return fingerprint(path / name for name in (manifest.NAME, METRICS, TIMINGS, settings.NAME))


def fingerprint(files: Iterable[Path]) -> str:
    """Sixteen hex digits over which files these are on the disk, how long, and when they were written."""
    sha = hashlib.sha256()
    for file in files:
        try:
            found = file.stat()
        except OSError:
            sha.update(f"{file}: none\n".encode())
        else:
            sha.update(f"{file}: {found.st_ino} {found.st_size} {found.st_mtime_ns}\n".encode())
    return sha.hexdigest()[:16]


def phase_kinds(reports: Iterable[PhaseReport]) -> dict[str, dict[str, object]]:
    """How the page shows each kind of phase, by name; a second kind of the same agent is paler."""
    found: dict[str, dict[str, object]] = {}
    for report in reports:
        again = any(kind["agent"] == report.agent for kind in found.values())
        found[report.name] = {
            "title": report.shown,
            "activity": report.activity,
            "agent": report.agent,
            "shade": 3 if again and report.agent else 0,
        }
    return found


def live_state(folder: RunRecords) -> dict[str, Any]:
    """How a run stands, as JSON values; times are in seconds, moments in seconds since the epoch.

    ``state`` is that of ``store.standing``. ``phases`` lists all phases in their order with the
    time that each takes; ``current`` is the one in progress, or where the run would go on; ``done`` are its
    finished steps, null where it has logged none. ``left_s`` is counted from the moment ``left_from``.

    Raises:
        RunError: a log of the run is damaged.
    """
    plan = {(phase.iteration, phase.report.name): max(phase.steps, 1) for phase in run_phases(folder.config)}
    reports = {report.name: report for report in run_reports(folder.config)}
    shares = {name: report.share for name, report in reports.items()}
    finished = set(folder.finished_phases)
    current = next((key for key in plan if _name(key) not in finished), None)
    report = reports[current[1]] if current else None
    step = _last_step(folder.metrics(), report, current[0]) if current and report else None
    done = step["step"] if step else None
    began, spoke = _began(folder.path), changed(folder.path / METRICS)
    per_step = _per_step(folder.timings(), plan)
    if current and isinstance(done, int) and current[1] not in per_step:
        per_step[current[1]] = max(spoke - began, 0.0) / done
    left = seconds_left(plan, per_step, shares, current, done if isinstance(done, int) else 0) if current else None
    whole = phase_seconds(plan, per_step or {next(iter(plan))[1]: 1.0}, shares)  # nothing was timed: only shares matter
    return {
        "state": folder.status,
        "phases": [
            {"iteration": key[0], "name": key[1], "seconds": round(whole[key], 3), "finished": _name(key) in finished}
            for key in plan
        ],
        "current": {"iteration": current[0], "name": current[1], "steps": plan[current]} if current else None,
        "done": done,
        "facts": _facts(step, report) if step and report else {},
        "began": began,
        "left_s": None if left is None else round(left, 1),
        "left_from": spoke if step else began,
        "changed": changed(folder.path / manifest.NAME, folder.path / METRICS),
        "workers": folder.config.engine.workers,
        "sandbox": folder.facts.get("sandbox") or {},
    }


def machine(folder: Path, process: int | None) -> dict[str, Any]:
    """The machine that the run writes on: cores, load of the last minute, memory of the process, room on the disk."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        free = None  # the folder has just gone
    return {
        "cores": usable_cores(),
        "load": round(os.getloadavg()[0], 1),
        "memory_bytes": _resident(process) if process is not None else None,
        "disk_free_bytes": free,
    }


def _name(key: PhaseKey) -> str:
    return f"iteration-{key[0]}/{key[1]}"


def _last_step(rows: Sequence[Row], report: PhaseReport, iteration: int) -> Row | None:
    """The newest step that the phase in progress logged; the log of a phase begins anew when the phase does."""
    event = report.step_event or f"{report.name}_step"
    mine = [row for row in rows if row.get("event") == event and row.get("iteration") == iteration]
    return mine[-1] if mine and isinstance(mine[-1].get("step"), int) else None


def _per_step(timings: Sequence[Row], plan: Mapping[PhaseKey, int]) -> dict[str, float]:
    """Measured seconds per step by kind, from the finished phases."""
    seconds: dict[str, float] = {}
    steps: dict[str, int] = {}
    names = {_name(key): key for key in plan}
    for row in timings:
        key, wall = names.get(str(row.get("phase"))), row.get("wall_s")
        if key is not None and isinstance(wall, int | float):
            seconds[key[1]] = seconds.get(key[1], 0.0) + wall
            steps[key[1]] = steps.get(key[1], 0) + plan[key]
    return {kind: seconds[kind] / steps[kind] for kind in seconds}


def _began(folder: Path) -> float:
    """When the phase in progress began: a phase ends with its line of times, a process begins with the lock."""
    return max(changed(folder / TIMINGS), changed(folder / ".lock"))


def _facts(step: Row, report: PhaseReport) -> dict[str, object]:
    """The numbers of a step that its phase wants to be seen; of one that declares none, the first few."""
    shown = report.step_facts or [(key, key) for key in list(step) if key not in ("iteration", "step", "steps")][:4]
    return {name: step[key] for key, name in shown if isinstance(step.get(key), int | float)}


def changed(*files: Path) -> float:
    """When the newest of these files was written, in seconds since the epoch; 0 when there is none."""
    times = [0.0]
    for file in files:
        try:
            times.append(file.stat().st_mtime)
        except OSError:
            continue  # not there yet, or gone again
    return max(times)


def _resident(process: int) -> int | None:
    """Bytes of memory that a process has, where the kernel tells."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None  # it has just ended
    return pages * os.sysconf("SC_PAGE_SIZE")
