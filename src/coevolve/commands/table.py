"""``coevolve table``: results in the layout of the papers' tables, for a terminal, Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coevolve.commands.compare import console_for_tables
from coevolve.commands.markdown import harmless, markdown_table, write_between
from coevolve.errors import ConfigError
from coevolve.harness.entries import SCORINGS, Entry, Scoring, read_entries
from coevolve.harness.published import BASES, SIZES, Size
from coevolve.harness.table import SCORING_NAMES, Cell, Column, Kind, Results, Row, build, mark

Form = Literal["terminal", "markdown", "latex", "csv", "json"]
_NOTHING = "–"
_GROUPS = {"mathematics": "Mathematics", "general": "General reasoning and overall", "other": "Other suites"}


def run(paths: Sequence[Path], published: str | None, scoring: str | None, form: Form, into: Path | None) -> None:
    """Print the table, and write it into a file where asked.

    Raises:
        CoevolveError: an option or a path cannot be used.
    """
    asked = sizes_of(published) if published is not None else None
    entries = read_entries(paths) if paths else []
    sizes = asked if asked is not None else _fitting(entries)
    if not entries and not sizes:
        fix = "name folders of coevolve eval or runs, or --published 4b"
        raise ConfigError("there is nothing to show", where="coevolve table", fix=fix)
    found = build(entries, sizes, scorings_of(scoring, beside_published=bool(sizes)))
    if into:
        write_between(into, markdown(found))
    if form == "terminal":
        print_results(Console(), found)
    else:
        print({"markdown": markdown, "latex": latex, "csv": comma_separated, "json": _json}[form](found))


def sizes_of(text: str) -> list[Size]:
    """``4b``, ``8b``, both with a comma between them, or ``none``.

    Raises:
        ConfigError: it is something else.
    """
    names = [part.strip().lower() for part in text.split(",")]
    if names == ["none"]:
        return []
    if not set(names) <= set(SIZES):
        what = f"there are no published rows for {text}"
        raise ConfigError(what, where="--published", fix=f"--published {', '.join(SIZES)}, {','.join(SIZES)} or none")
    return [size for size in SIZES if size in names]


def scorings_of(text: str | None, *, beside_published: bool) -> list[Scoring]:
    """The scorings that are asked for; by default strict, and beside published rows all that there are.

    Raises:
        ConfigError: one of them does not exist.
    """
    if text is None:
        return list(SCORINGS) if beside_published else ["strict"]
    names = [part.strip() for part in text.split(",")]
    unknown = [name for name in names if name not in SCORINGS]
    if unknown:
        fix = f"--scoring {', '.join(SCORINGS)}, or several of them"
        raise ConfigError(f"unknown scoring {unknown[0]!r}", where="--scoring", fix=fix)
    return [scoring for scoring in SCORINGS if scoring in names]


def _fitting(entries: Sequence[Entry]) -> list[Size]:
    """The base models that were measured."""
    found = {entry.size for entry in entries}
    return [size for size in SIZES if size in found]


def print_results(console: Console, found: Results) -> None:
    """A block per group of columns, since a terminal is not wide; intervals stand below their numbers."""
    wide = console_for_tables(console)
    for group, title in _GROUPS.items():
        columns = [column for column in found.columns if column.group == group]
        rows = [row for row in found.rows if any(column.key in row.cells for column in columns)]
        if not columns or not rows:
            continue
        wide.print(Text(title, style="bold"))
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column("")
        for column in columns:
            table.add_column(column.title, justify="right")
        for row in rows:
            cells = [_terminal(row, found, column) for column in columns]
            table.add_row(Text(harmless(_name(row)), style="dim" if row.kind == "published" else ""), *cells)
        wide.print(table)
        wide.print()
    for note in footnotes(found):
        wide.print(Text(harmless(note), style="dim"), soft_wrap=True)


def _terminal(row: Row, found: Results, column: Column) -> Text:
    cell = row.cells.get(column.key)
    if cell is None:
        return Text(_NOTHING, style="dim")
    marks = found.marks(cell)
    text = Text(percent(cell, row.kind), style="bold" if column.average else "")
    text.append(f" {marks}" if marks else "", style="dim")
    half = half_width(cell)
    return text.append(f"\n±{half}" if half else "", style="dim not bold")


def markdown(found: Results) -> str:
    """One wide table and its footnotes."""
    head = ["model", *(column.title for column in found.columns)]
    rows = []
    for row in found.rows:
        name = _name(row).replace("_", r"\_").replace("*", r"\*")
        cells = [_in_line(row, found, column, " ± ", "<sup>{}</sup>") for column in found.columns]
        rows.append([f"*{name}*" if row.kind == "published" else name, *cells])
    notes = "\n".join(f"- {note}" for note in footnotes(found))
    return f"{markdown_table([head, *rows])}\n\n{notes}"


def latex(found: Results) -> str:
    """A float as wide as the text, with its footnotes below; for the packages ``booktabs`` and ``graphicx``."""
    lines = [r"% \usepackage{booktabs,graphicx}", r"\begin{table}", r"\centering\setlength{\tabcolsep}{3pt}"]
    lines += [r"\resizebox{\linewidth}{!}{%", rf"\begin{{tabular}}{{l{'r' * len(found.columns)}}}", r"\toprule"]
    lines += [" & ".join(["", *(escaped(column.title) for column in found.columns)]) + r" \\", r"\midrule"]
    before = None
    for row in found.rows:
        if before and (before.kind, before.base) != (row.kind, row.base):
            lines.append(r"\midrule")
        before = row
        cells = [_in_line(row, found, column, r" $\pm$ ", r"$^{{{}}}$") for column in found.columns]
        name = escaped(_name(row))
        lines.append(" & ".join([rf"\textit{{{name}}}" if row.kind == "published" else name, *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}", r"\par\medskip\begin{minipage}{\linewidth}\scriptsize"]
    lines += [rf"{escaped(note)}\par" for note in footnotes(found)]
    return "\n".join([*lines, r"\end{minipage}", r"\end{table}"])


_ESCAPES = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--",
    "≥": r"$\geq$", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "…": r"\dots{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}  # fmt: skip


def escaped(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return re.sub("|".join(map(re.escape, _ESCAPES)), lambda match: _ESCAPES[match[0]], harmless(text))


def comma_separated(found: Results) -> str:
    """A line per row: values and their ends in per cent, empty where unknown."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    ends = [f"{column.key}{end}" for column in found.columns for end in ("", "_low", "_high")]
    writer.writerow(["model", "kind", "base", "scoring", "source", *ends, "remarks"])
    for row in found.rows:
        values: list[str] = []
        for column in found.columns:
            cell = row.cells.get(column.key)
            numbers = (cell.value, cell.low, cell.high) if cell else (None, None, None)
            values += ["" if x is None else f"{100 * x:.4f}" for x in numbers]
        source = found.sources[row.source - 1] if row.source else ""
        scoring = SCORING_NAMES[row.scoring] if row.scoring else ""
        remarks = "; ".join(f"{key}: {', '.join(cell.remarks)}" for key, cell in row.cells.items() if cell.remarks)
        writer.writerow([row.name, row.kind, BASES[row.base] if row.base else "", scoring, source, *values, remarks])
    return sink.getvalue().rstrip("\n")


def footnotes(found: Results) -> list[str]:
    """Remarks by letter, sources by number, then the notes on the whole table."""
    remarks = [f"({mark(number)}) {remark}" for number, remark in enumerate(found.remarks)]
    sources = [f"[{number}] published: {source}." for number, source in enumerate(found.sources, start=1)]
    return [*remarks, *sources, *found.notes]


def percent(cell: Cell, kind: Kind) -> str:
    """In per cent with one decimal, or of a published row with both that were printed (6.15)."""
    number = round(100 * cell.value, 2)
    return f"{number:.1f}" if kind == "measured" or round(number, 1) == number else f"{number:.2f}"


def half_width(cell: Cell) -> str:
    """Half the interval in points; empty where it is unknown."""
    return "" if cell.low is None or cell.high is None else f"{50 * (cell.high - cell.low):.1f}"


def _in_line(row: Row, found: Results, column: Column, between: str, superscript: str) -> str:
    cell = row.cells.get(column.key)
    if cell is None:
        return "--" if "$" in superscript else _NOTHING
    half, marks = half_width(cell), found.marks(cell)
    return percent(cell, row.kind) + (f"{between}{half}" if half else "") + (superscript.format(marks) if marks else "")


def _name(row: Row) -> str:
    if row.source:
        return f"{row.name} [{row.source}]"
    return f"{row.name} ({SCORING_NAMES[row.scoring]})" if row.scoring else row.name


def _json(found: Results) -> str:
    return json.dumps(found.as_json())
