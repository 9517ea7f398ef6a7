"""``coevolve compare``: runs side by side, in tables, words and a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coevolve.commands.markdown import markdown_table, write_between
from coevolve.config.keys import shown
from coevolve.evaluation.meters import open_meter
from coevolve.methods.reporting import ABSENT, Span
from coevolve.store.records import RunRecords
from coevolve.studies.comparison import Difference, Runs, last_common_iteration, read_runs
from coevolve.studies.on_suites import SuiteResult, suite_results
from coevolve.studies.quantities import cell as quantity_cell
from coevolve.studies.side_by_side import SettingResult, config_differences, notes, side_by_side

PAGE = "comparison.html"
_BARS = "▁▂▃▄▅▆▇█"
_WIDE = 240
QUANTITIES_NOTE = (
    "By iteration from the base model on, or by pool from the first on. Rates in %; ± is half the 95 % t-interval"
    " over seeds of the last number."
)


def compare(folders: Sequence[Path], *, as_json: bool, html: Path | None, into: Path | None) -> None:
    """Print the comparison, and write its page and its tables where asked.

    Raises:
        RunError: a run is missing, damaged or not evaluated, labels mix settings, or a file cannot be written.
    """
    runs = read_runs(folders)
    results = side_by_side(runs)
    if into:
        write_between(into, comparison_markdown(results, runs))
    if as_json:
        print(json.dumps(comparison_json(results, runs)))
    else:
        print_comparison(Console(), results, runs)
    if html:
        from coevolve.report.compared import write_comparison

        path = write_comparison(comparison_json(results, runs), html)
        if not as_json:
            print(f"page: {path}")


def compare_page(folders: Sequence[Path]) -> Path:
    """Write the page of several runs next to the first of them; returns its path."""
    from coevolve.report.compared import write_comparison

    runs = read_runs(folders)
    target = folders[0].resolve().parent / PAGE
    return write_comparison(comparison_json(side_by_side(runs), runs), target)


def print_set(console: Console, folders: Sequence[Path]) -> None:
    """The accuracy of a set of seeds as one setting; nothing where its world knows no answers."""
    runs = _comparable(folders)
    if runs:
        wide = console_for_tables(console)
        for note in notes(runs):
            wide.print(Text(f"note: {note}", style="yellow"), soft_wrap=True)
        rows = [row[:-2] for row in held_out_rows(side_by_side(runs), bars=True)]
        print_table(wide, rows, _title(runs))
        _print_suites(wide, runs)


def comparison_of(folders: Sequence[Path]) -> dict[str, object] | None:
    """The same for programs."""
    runs = _comparable(folders)
    return comparison_json(side_by_side(runs), runs) if runs else None


def _comparable(folders: Sequence[Path]) -> Runs | None:
    settings = [RunRecords.open(folder).config for folder in folders]
    meters = [(open_meter(config.world, config.dialogue), config.evaluation) for config in settings]
    measured = [
        bool(section.suites) or meter.has_held_out(section) or meter.has_contests(section) for meter, section in meters
    ]
    return read_runs(folders) if all(measured) else None


def _title(runs: Runs) -> str:
    problems = {run.problems for mine in runs.values() for run in mine}
    if "play" in problems:
        return "matches not lost to fixed players (in %, by iteration)"
    on_suites = "suites" in problems
    return f"{'accuracy on all suites together' if on_suites else 'held-out accuracy'} (mean@k in %, by iteration)"


def _print_suites(console: Console, runs: Runs) -> None:
    """Accuracy on each chosen suite; nothing where none was chosen."""
    results, remarks = suite_results(runs)
    if not results:
        return
    console.print()
    print_table(console, suite_rows(results), "accuracy on suites (mean@k in %, by iteration)")
    for remark in remarks:
        console.print(Text(f"note: {remark}", style="yellow"), soft_wrap=True)


def suite_rows(results: Sequence[SuiteResult]) -> list[list[str]]:
    """Heading and a row per suite and setting; differences are to the first setting on the same problems.

    The last two columns are empty, and left out, where there is one setting alone.
    """
    head = ["suite", "problems", "setting", "seeds", "mean@k", "95 % interval", "since base", "difference", ""]
    rows = []
    for result in results:
        last, means = result.curve[-1], [found.mean for found in result.curve]
        row = [result.suite, str(result.n), result.label, seeds_text(result.seeds)]
        row += [" → ".join(f"{100 * mean:.1f}" for mean in means), f"{100 * last.low:.1f} to {100 * last.high:.1f}"]
        row.append(difference_cells(result.gain)[0])
        rows.append(row + difference_cells(result.difference))
    alone = all(result.difference is None for result in results)
    return [row[:-2] if alone else row for row in (head, *rows)]


def print_comparison(console: Console, results: Sequence[SettingResult], runs: Runs) -> None:
    """Held-out accuracy, what the differences say, all quantities, and what differs in the configurations."""
    wide = console_for_tables(console)
    for note in notes(runs):
        wide.print(Text(f"note: {note}", style="yellow"), soft_wrap=True)
    print_table(wide, held_out_rows(results, bars=True), _title(runs))
    for words in _sentences(results):
        wide.print(Text(f"  {words}"), soft_wrap=True)
    _print_suites(wide, runs)
    wide.print()
    columns = list(zip(*quantity_rows(results), strict=True))  # settings as columns: a terminal is not wide
    print_table(wide, columns, "all quantities")
    wide.print(Text(QUANTITIES_NOTE, style="dim"), soft_wrap=True)
    different = config_differences(runs)
    if different:
        wide.print()
        rows = [[key, *(shown(value) for value in values)] for key, values in different.items()]
        print_table(wide, [["key", *runs], *rows], "what differs in the configurations")
    elif len(runs) > 1:
        wide.print("\nthe configurations do not differ", highlight=False)


def comparison_json(results: Sequence[SettingResult], runs: Runs) -> dict[str, object]:
    """Everything for programs, and for the page; rates are fractions, differences are to the first setting."""
    first = results[0]
    suites, remarks = suite_results(runs)
    return {
        "iteration": last_common_iteration(runs),
        "notes": [*notes(runs), *remarks],
        "outcome": _title(runs).partition(" (")[0],
        "suites": [result.as_json() for result in suites],
        "settings": [result.as_json() for result in results],
        "sentences": _sentences(results),
        "headings": {key: q.heading for key, q in first.known.items() if key in first.quantities},
        "figures": _figures(first),
        "config": {key: dict(zip(runs, values, strict=True)) for key, values in config_differences(runs).items()},
    }


def _figures(first: SettingResult) -> list[dict[str, object]]:
    """Quantities that the page draws over iterations: all but the outcome, which has a figure of its own."""
    found = {key: q for key, q in first.known.items() if key in first.quantities}
    return [
        {"key": key, "heading": q.heading, "meaning": q.meaning, "unit": q.unit, "first": q.first}
        for key, q in found.items()
        if q.default and q.span is Span.ITERATIONS and not q.interval
    ]


def comparison_markdown(results: Sequence[SettingResult], runs: Runs) -> str:
    """Held-out accuracy, then all quantities, each with what its numbers are."""
    gaps = [f"{words}." for words in gap_sentences(results)]
    on_suites = suite_results(runs)[0]
    suites = [markdown_table(suite_rows(on_suites))] if on_suites else []
    parts = [markdown_table(held_out_rows(results)), _held_out_note(runs), *gaps, *suites, quantities_markdown(results)]
    return "\n\n".join(parts)


def quantities_markdown(results: Sequence[SettingResult]) -> str:
    """The table of all quantities with its note."""
    rows = quantity_rows(results)
    body = [[f"`{row[0]}`", *row[1:]] for row in rows[1:]]
    return f"{markdown_table([rows[0], *body])}\n\n{QUANTITIES_NOTE}"


def held_out_rows(results: Sequence[SettingResult], *, bars: bool = False) -> list[list[str]]:
    """Heading and a row per setting: accuracy by iteration, its last interval, and the difference to the first."""
    head = ["setting", "seeds", "mean@k", *([""] if bars else []), "95 % interval", f"to {results[0].label}", ""]
    rows = []
    for result in results:
        means = [found.mean for found in result.curve]
        row = [result.label, seeds_text(result.seeds), " → ".join(f"{100 * mean:.1f}" for mean in means)]
        row += [bar_line(means)] if bars else []
        row.append(f"{100 * result.mean.low:.1f} to {100 * result.mean.high:.1f}")
        rows.append(row + difference_cells(result.difference))
    return [head, *rows]


def quantity_rows(results: Sequence[SettingResult]) -> list[list[str]]:
    """Heading and a row per setting with all quantities that can be compared and that some setting has."""
    asked = [q for key, q in results[0].known.items() if q.default and key in results[0].quantities]
    present = [q for q in asked if any(_says_something(quantity_cell(r.quantities[q.key], q)) for r in results)]
    head = ["setting", "seeds", *(quantity.heading for quantity in present)]
    return [
        head,
        *(
            [result.label, seeds_text(result.seeds), *(quantity_cell(result.quantities[q.key], q) for q in present)]
            for result in results
        ),
    ]


def _says_something(cell: str) -> bool:
    return bool(cell.strip(f"{ABSENT} →"))


def difference_cells(difference: Difference | None) -> list[str]:
    """``+1.2 [-0.3, +2.7]`` in points, and the verdict; two empty cells for the reference."""
    if difference is None:
        return ["", ""]
    found = difference.estimate
    return [f"{points(found.mean)} [{points(found.low)}, {points(found.high)}]", difference.verdict]


def sentence(result: SettingResult, reference: str) -> str:
    """What a difference says in words, with how it was paired."""
    difference = result.difference
    if difference is None:
        return ""
    size = _size(difference)
    if difference.verdict == "not told apart":
        return f"{result.label} and {reference} are not told apart, the interval includes 0: {size}"
    if difference.verdict == "no verdict":
        return (
            f"no verdict on {result.label} against {reference}, which takes two seeds or more of each: {size}; another"
            " seed may differ by more"
        )
    return f"{result.label} is {difference.verdict} than {reference}, the interval excludes 0: {size}"


def gap_sentences(results: Sequence[SettingResult]) -> list[str]:
    """What labels by vote cost, in words, where a setting tells it."""
    ends = {
        "higher": "the interval excludes 0",
        "lower": "the interval excludes 0, and labels by vote did better",
        "not told apart": "the interval includes 0",
        "no verdict": "no verdict, which takes two seeds or more of each",
    }
    return [
        f"Oracle gap: true labels instead of those by vote, everything else equal, change accuracy by"
        f" {_size(result.difference)}; {ends[result.difference.verdict]} ({result.label} against {results[0].label})"
        for result in results
        if result.gap and result.difference
    ]


def _sentences(results: Sequence[SettingResult]) -> list[str]:
    return [sentence(result, results[0].label) for result in results[1:]] + gap_sentences(results)


def _size(difference: Difference) -> str:
    """A difference with its interval and how it was paired."""
    pairs = [f"{difference.estimate.n} problems"] if difference.same_problems else []
    pairs += (
        [f"seed{'s' if len(difference.seeds) > 1 else ''} {seeds_text(difference.seeds)}"] if difference.seeds else []
    )
    over = "problems and seeds" if difference.over_seeds else "problems only"
    paired = f"paired by {' and '.join(pairs)}, " if pairs else "not paired, "
    found = difference.estimate
    interval = f"{points(found.low)} to {points(found.high)}"
    return f"{points(found.mean)} points (95 % interval {interval}, {paired}over {over})"


def points(share: float) -> str:
    """A difference of shares in points: one decimal, more where a number would seem to be 0 and is not."""
    shown = f"{100 * share:+.1f}"
    return f"{100 * share:+.1g}" if share and not float(shown) else shown


def seeds_text(seeds: Sequence[int]) -> str:
    """``0, 1, 2``."""
    return ", ".join(map(str, seeds))


def bar_line(shares: Sequence[float]) -> str:
    """One bar per share from 0 to 1: a curve of a few characters."""
    return "".join(_BARS[min(int(share * len(_BARS)), len(_BARS) - 1)] for share in shares)


def _held_out_note(runs: Runs) -> str:
    words = (
        "Held-out accuracy in %, by iteration from the base model on; differences in points. Intervals (95 %) are over"
        " problems and, where there are several, seeds; not told apart: the interval includes 0; no verdict: of one"
        " seed."
    )
    return words + "".join(f" Note: {note}." for note in notes(runs))


def console_for_tables(console: Console) -> Console:
    """The console itself, or a wide one for a pipe, which has no width to keep."""
    return console if console.is_terminal else Console(file=console.file, width=_WIDE)


def print_table(console: Console, rows: Sequence[Sequence[str]], title: str) -> None:
    """The first row is the heading."""
    console.print(Text(title, style="bold"), soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for number, heading in enumerate(rows[0]):
        table.add_column(heading, justify="left" if number == 0 else "right")
    for row in rows[1:]:
        table.add_row(*(Text(text) for text in row))
    console.print(table)
