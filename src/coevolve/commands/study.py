"""``coevolve study``: run the cells of a study, then print its table."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from coevolve.commands.compare import (
    console_for_tables,
    difference_cells,
    gap_sentences,
    print_table,
    seeds_text,
)
from coevolve.commands.faults import INTERRUPTED
from coevolve.commands.markdown import markdown_table, write_between
from coevolve.errors import RunError
from coevolve.monitor.progress import HEARTBEAT_S, duration, time_left
from coevolve.runs.plan import Speed, needs_of, planned
from coevolve.studies.comparison import read_runs
from coevolve.studies.members import log_of, run_cells
from coevolve.studies.quantities import cell as quantity_cell
from coevolve.studies.seeds import seeds_of
from coevolve.studies.side_by_side import SettingResult, side_by_side
from coevolve.studies.study import Cell, Study, cells_of, load_study, state_of
from coevolve.system import usable_cores

STUDIES = Path("runs/studies")


@dataclass(frozen=True, slots=True)
class StudyRequest:
    """What was asked for on the command line."""

    name: str
    seeds: str | None = None
    jobs: int | None = None
    preset: str | None = None
    overrides: Sequence[str] = ()
    folder: Path | None = None
    only: str | None = None
    dry_run: bool = False
    as_json: bool = False
    quiet: bool = False
    into: Path | None = None


def run_study(request: StudyRequest) -> None:
    """Run what is missing, then print or write the table.

    Raises:
        CoevolveError: the study cannot be used, a folder holds something else, or cells are not finished at the end.
    """
    name, study = load_study(request.name)
    folder = request.folder or STUDIES / name
    cells = cells_of(
        study,
        folder,
        seeds=seeds_of(request.seeds) if request.seeds is not None else None,
        preset=request.preset,
        overrides=request.overrides,
        only=[part.strip() for part in request.only.split(",")] if request.only else None,
    )
    jobs = request.jobs or usable_cores()
    if request.dry_run:
        _show_plan(study, cells, jobs, as_json=request.as_json)
        return
    failures = _run(study, cells, jobs, request)
    tables = study_results(study, cells)
    if request.into:
        write_between(request.into, study_markdown(study, tables))
    if request.as_json:
        print(json.dumps(_json(study, cells, failures, tables)))
    elif not request.quiet:
        print_study(Console(), study, tables, cells)
    if failures:
        listing = "\n".join(f"  {name}: {_indented(why)}" for name, why in failures.items())
        what = f"{len(failures)} of {len(cells)} cells are not finished:\n{listing}"
        raise RunError(what, where=str(folder), fix="run the same command again: finished cells are kept")


@dataclass(frozen=True, slots=True)
class WorldTable:
    """The rows of one world. Those of another one meet other problems, and stand in a table of their own."""

    reference: str  # the row that the others are compared with: the study's first of this world
    results: Sequence[SettingResult]

    def columns(self, study: Study) -> list[str]:
        """Of the study's columns those that any of these rows has a number for."""
        return [
            key
            for key in study.columns
            if key in self.results[0].known
            and any(not math.isnan(x.mean) for result in self.results for x in result.quantities.get(key, ()))
        ]


def study_results(study: Study, cells: Sequence[Cell]) -> list[WorldTable]:
    """A result for each row with at least one finished cell, in the order of the study; its label is the row.

    Raises:
        RunError: a folder holds another run than its cell, or a damaged one.
    """
    wanted = [cell.path for row in study.rows for cell in cells if cell.row == row and state_of(cell) == "finished"]
    finished = read_runs(wanted, study.compared)
    worlds = {cell.row: cell.config.world for row in study.rows for cell in cells if cell.row == row}
    tables = []
    for world in dict.fromkeys(worlds.values()):
        runs = {label: mine for label, mine in finished.items() if mine[0].config.world == world}
        reference = next(row for row in worlds if worlds[row] == world)
        if runs:
            tables.append(WorldTable(reference, side_by_side(runs, reference=reference, each_at_its_end=True)))
    return tables


def study_markdown(study: Study, tables: Sequence[WorldTable]) -> str:
    """The tables for a Markdown file, with what their numbers are."""
    if not tables:
        return "No cell is finished yet."
    parts = []
    for table in tables:
        gaps = [f"{words}." for words in gap_sentences(table.results)]
        title = [f"World `{table.results[0].world}`:"] if len(tables) > 1 else []
        parts += [*title, markdown_table(_rows(study, table)), _note(study, table), *gaps]
    return "\n\n".join(parts)


def print_study(console: Console, study: Study, tables: Sequence[WorldTable], cells: Sequence[Cell]) -> None:
    """The tables for a terminal."""
    if not tables:
        console.print("no cell is finished yet")
        return
    wide = console_for_tables(console)
    for table in tables:
        title = study.title if len(tables) == 1 else f"{study.title}: world {table.results[0].world}"
        print_table(wide, _rows(study, table), title)
        wide.print(_note(study, table), style="dim", highlight=False, soft_wrap=True)
        for words in gap_sentences(table.results):
            wide.print(Text(words), soft_wrap=True)
    if study.text:
        wide.print(Text(study.text.strip()), soft_wrap=True)
    finished = sum(len(row.seeds) for table in tables for row in table.results)
    if finished < len(cells):
        wide.print(f"{finished} of {len(cells)} cells are finished; the tables show these.", highlight=False)


def _rows(study: Study, table: WorldTable) -> list[list[str]]:
    first, columns = table.results[0], table.columns(study)
    named = {"dialogues": "{} turns", "play": "{}"}.get(first.problems, "level {}")
    levels = [named.format(level.replace("_", ", ")) for level in first.levels]
    head = ["variant", "seeds", *levels, "mean@k", f"to {study.title_of(table.reference)}", ""]
    rows = [_row(study, result, columns) for result in table.results]
    return [[*head, *(first.known[key].heading for key in columns)], *rows]


def _row(study: Study, result: SettingResult, columns: Sequence[str]) -> list[str]:
    cells = [study.title_of(result.label), seeds_text(result.seeds)]
    cells += [f"{100 * found.mean:.1f}" for found in result.levels.values()]
    cells.append(f"{100 * result.mean.mean:.1f} ± {50 * (result.mean.high - result.mean.low):.1f}")
    cells += difference_cells(result.difference)
    return cells + [quantity_cell(result.quantities[key], result.known[key]) for key in columns]


def _note(study: Study, table: WorldTable) -> str:
    first = table.results[0]
    several = all(len(row.seeds) > 1 for row in table.results)
    over = "problems and seeds" if several else "problems, and over seeds where there are several"
    columns = [first.known[key] for key in table.columns(study)]
    meanings = "".join(f" {column.heading}: {column.meaning};" for column in columns if column.meaning)
    what = {
        "dialogues": "Accuracy of the last executor on held-out dialogues in %, by user turns and over all",
        "play": "Matches that the last player has not lost in %, by game and opponent and over all",
    }.get(first.problems, "Held-out accuracy after the last iteration in %, by level and over all problems")
    return (
        f"{what}; differences in points, problem by"
        f" problem and seed by seed. Intervals (95 %) are over {over}; not told apart: the interval includes 0."
        f"{'' if several else ' No verdict: it takes two seeds or more of each row.'}"
        f"{meanings} ± in the last columns is half the t-interval over seeds of the last number."
    )


def _seconds(cell: Cell, speeds: dict[Path, Speed]) -> float:
    """CPU seconds of a whole cell; the speed of a model of one's own is measured once and kept in ``speeds``."""
    from coevolve.runs.speed import is_timed, measured_speed

    needs, speed = needs_of(cell.config), None
    if needs.own is not None and is_timed(needs):
        speed = speeds.get(needs.own) or speeds.setdefault(needs.own, measured_speed(needs))
    return sum(phase.cpu_s for phase in planned(cell.config, None, speed))


def _show_plan(study: Study, cells: Sequence[Cell], jobs: int, *, as_json: bool) -> None:
    speeds: dict[Path, Speed] = {}
    rows = [(cell, state_of(cell), _seconds(cell, speeds)) for cell in cells]
    if as_json:
        listing = [
            {"row": cell.row, "seed": cell.seed, "path": str(cell.path), "state": state, "cpu_s": cpu_s}
            for cell, state, cpu_s in rows
        ]
        print(json.dumps({"title": study.title, "jobs": jobs, "cells": listing}))
        return
    console = Console()
    console.print(Text(study.title, style="bold"), soft_wrap=True)
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("cell", "state", "CPU", "settings of the row"):
        shown.add_column(heading, no_wrap=heading != "settings of the row", overflow="fold")
    for cell, state, cpu_s in rows:
        settings = " ".join(f"{key}={json.dumps(value)}" for key, value in study.rows[cell.row].set.items())
        shown.add_row(cell.name, state, duration(cpu_s), Text(settings))
    console.print(shown)
    waiting = [cpu_s for _, state, cpu_s in rows if state != "finished"]
    left, at_once = sum(waiting), min(jobs, len(waiting))
    best = f": {duration(max([left / at_once, *waiting]))} at best with {at_once} at once" if at_once else ""
    console.print(
        f"about {duration(left)} of CPU time left{best}, each with its"
        " own rollout workers (engine.workers, 1 unless the study says more). An estimate; nothing was started.",
        highlight=False,
        soft_wrap=True,
    )


def _run(study: Study, cells: Sequence[Cell], jobs: int, request: StudyRequest) -> dict[str, str]:
    view = StudyView(Console(), silent=request.quiet or request.as_json)
    try:
        return run_cells(cells, jobs, view)
    except KeyboardInterrupt:
        view.close()
        print("interrupted; go on with the same command, finished phases are kept", file=sys.stderr, flush=True)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        view.close()


class StudyView:
    """A line for every cell that begins or ends; below them, on a terminal, how far the study is."""

    def __init__(self, console: Console, *, silent: bool) -> None:
        self._console, self._silent = console, silent
        alive = console.is_terminal and not console.is_dumb_terminal and not silent
        self._live = Live(console=console, auto_refresh=False, transient=True) if alive else None
        self._spoke = time.monotonic()
        if self._live:
            self._live.start()

    def began(self, cell: Cell, *, resumed: bool) -> None:
        """See :class:`coevolve.studies.members.CellView`."""
        self._say(f" {cell.name:<28} {'goes on' if resumed else 'begins'}")

    def ended(self, cell: Cell, failure: str | None, seconds: float) -> None:
        """See :class:`coevolve.studies.members.CellView`."""
        if failure:
            self._say(f" {cell.name:<28} FAILED: {failure.splitlines()[0]}  (all of it: {log_of(cell)})")
        else:
            self._say(f" {cell.name:<28} finished  ({duration(seconds)})")

    def status(self, running: Sequence[Cell], finished: int, total: int, left_s: float | None) -> None:
        """See :class:`coevolve.studies.members.CellView`."""
        parts = [f"{finished} of {total} cells finished", time_left(left_s), ", ".join(cell.name for cell in running)]
        line = " " + " · ".join(part for part in parts if part)
        if self._live:
            self._live.update(Text(line, style="cyan", no_wrap=True, overflow="ellipsis"), refresh=True)
        elif time.monotonic() - self._spoke >= HEARTBEAT_S:
            self._say(line)

    def note(self, text: str) -> None:
        """See :class:`coevolve.studies.members.CellView`."""
        self._say(f" {text}")

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live:
            self._live.stop()

    def _say(self, line: str) -> None:
        if not self._silent:
            self._console.print(Text(line), soft_wrap=True)
            self._spoke = time.monotonic()


def _json(
    study: Study, cells: Sequence[Cell], failures: dict[str, str], tables: Sequence[WorldTable]
) -> dict[str, object]:
    states = [
        {"row": cell.row, "seed": cell.seed, "path": str(cell.path), "failure": failures.get(cell.name)}
        for cell in cells
    ]
    return {
        "title": study.title,
        "cells": states,
        "table": [row.as_json() for table in tables for row in table.results],
    }


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")
