"""Runs the cells of a study, several at once, each as a ``coevolve`` process of its own.

A process per cell: a fault of one cannot touch another, and its memory goes when it ends. All of them end with this
one, whatever ends it; a killed run loses at most its batch in hand.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from coevolve.errors import CoevolveError
from coevolve.runs.plan import planned
from coevolve.store import atomic, manifest, settings
from coevolve.studies.study import Cell, state_of

POLL_S = 0.2
STATUS_S = 2.0
# Beside the cells, out of the way of a pattern over their folders.
NOTES = "cells"
_ELSEWHERE = "choose a place that you can write to: --dir DIR"
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class CellView(Protocol):
    """Told what happens to the cells."""

    def began(self, cell: Cell, *, resumed: bool) -> None:
        """A cell's process was started."""

    def ended(self, cell: Cell, failure: str | None, seconds: float) -> None:
        """It has ended after so many wall seconds of this process; ``failure`` says why it is not finished."""

    def status(self, running: Sequence[Cell], finished: int, total: int, left_s: float | None) -> None:
        """Now and then: what is running, how many are finished, and the seconds left as far as known."""

    def note(self, text: str) -> None:
        """Something the user should know at once."""


@dataclass(slots=True)
class _Running:
    cell: Cell
    process: subprocess.Popen[bytes]
    began: float


@dataclass(slots=True)
class _Forecast:
    """Seconds left, from the share of the planned work that this process has seen done."""

    cells: Sequence[Cell]
    work: dict[str, dict[str, float]] = field(default_factory=dict)  # cell -> phase -> planned CPU seconds
    before: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.work = {cell.name: {phase.name: phase.cpu_s for phase in planned(cell.config)} for cell in self.cells}
        self.before = self._done()

    def left_s(self) -> float | None:
        done, total = self._done(), sum(sum(phases.values()) for phases in self.work.values())
        gained = done - self.before
        return (total - done) * (time.monotonic() - self.began) / gained if gained > 0 else None

    def _done(self) -> float:
        return sum(self.work[cell.name].get(phase, 0.0) for cell in self.cells for phase in _finished_phases(cell))


def run_cells(cells: Sequence[Cell], jobs: int, view: CellView) -> dict[str, str]:
    """Bring every cell to its end; what is finished is left alone.

    The first interruption asks the running cells to stop, and waits until they have; further ones are passed on.

    Args:
        cells: all cells, in the order in which they are begun.
        jobs: how many run at once.

    Returns:
        Why cells are not finished, by name. One that failed does not stop the others.

    Raises:
        RunError: a folder holds something else than its cell; nothing was started.
        KeyboardInterrupt: after an interruption; every cell can be taken up again.
    """
    waiting = [cell for cell in cells if state_of(cell) != "finished"]
    finished, total = len(cells) - len(waiting), len(cells)
    forecast = _Forecast(waiting)
    failures: dict[str, str] = {}
    running: list[_Running] = []
    spoke = 0.0
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_start(waiting.pop(0), view))
            time.sleep(POLL_S)
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                failure = _failure(one)
                finished += failure is None
                failures |= {one.cell.name: failure} if failure else {}
                view.ended(one.cell, failure, time.monotonic() - one.began)
            if time.monotonic() - spoke >= STATUS_S:
                view.status([one.cell for one in running], finished, total, forecast.left_s())
                spoke = time.monotonic()
    except KeyboardInterrupt:
        _stop(running, view)
        raise
    except BaseException:
        for one in running:
            one.process.kill()
        raise
    return failures


def log_of(cell: Cell) -> Path:
    """Where a cell's process writes what it would show."""
    return cell.path.parent / NOTES / f"{cell.name}.log"


def _start(cell: Cell, view: CellView) -> _Running:
    resumed = (cell.path / manifest.NAME).exists()
    file = cell.path.parent / NOTES / f"{cell.name}.yaml"
    with atomic.writing(file, _ELSEWHERE, _ELSEWHERE):
        atomic.replace_file(file, settings.to_yaml(cell.config.model_dump()))
        log = log_of(cell).open("ab")
    command = ["resume", str(cell.path)] if resumed else ["run", cell.config.method, "--config", str(file)]
    if cell.config.oracle and not resumed:
        command.append("--oracle")
    with log:
        process = subprocess.Popen(
            [sys.executable, "-m", "coevolve", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,  # Ctrl-C of the terminal reaches us only, and we pass it on
            preexec_fn=ending_with(os.getpid()),
        )
    view.began(cell, resumed=resumed)
    return _Running(cell, process, time.monotonic())


def ending_with(parent: int) -> Callable[[], None]:
    """What a new process does first: ask the system to be killed when its parent is gone."""

    def arrange() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it went before we had asked
            os._exit(1)

    return arrange


def _failure(one: _Running) -> str | None:
    """Why an ended process left no finished run; None when it did."""
    code = one.process.returncode
    if code == 0:
        return None
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    lines = log_of(one.cell).read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
    said = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    words = "\n".join(lines[said[-1] :]).removeprefix("error: ") if said else lines[-1] if lines else ""
    return words or f"ended with code {code}"


def _stop(running: Sequence[_Running], view: CellView) -> None:
    """Pass an interruption on and wait; every further one is passed on as well."""
    signal_number = signal.SIGINT
    while alive := [one for one in running if one.process.poll() is None]:
        try:
            for one in alive:
                one.process.send_signal(signal_number)
            view.note(f"stopping {len(alive)} cell{'s' if len(alive) > 1 else ''}; Ctrl-C again to stop them at once")
            for one in alive:
                one.process.wait()
        except KeyboardInterrupt:
            continue


def _finished_phases(cell: Cell) -> list[str]:
    try:
        return [phase.name for phase in manifest.read(cell.path).phases]
    except CoevolveError:
        return []  # not begun, or just being written for the first time
