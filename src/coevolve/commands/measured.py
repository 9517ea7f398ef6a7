"""What ``coevolve eval`` shows: its progress, the suites it knows, and the figures."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coevolve.commands.markdown import harmless
from coevolve.harness.board import Board
from coevolve.harness.contamination import footnote, from_json
from coevolve.harness.results import EvalResult, PartResult, SuiteResult
from coevolve.harness.scoring import averages
from coevolve.monitor.forecast import Stage
from coevolve.monitor.progress import duration, progress_for
from coevolve.suites.registry import Listed

_PARTS_SHOWN = 16  # levels or topics of a suite


class Watching:
    """Implements ``coevolve.harness.session.Watcher``: live on a terminal, complete lines in a pipe.

    Args:
        console: where it is shown.
        quiet: nothing but alarms.
        mute: not even these.
    """

    def __init__(self, console: Console, *, quiet: bool, mute: bool) -> None:
        self._console, self._quiet, self._mute = console, quiet, mute
        self._progress = progress_for(console, quiet=quiet or mute)
        self._stages: dict[str, Stage] = {}
        self._suite = ""
        self._alarmed: set[str] = set()

    def start(self, title: str, missing: Mapping[str, int]) -> None:
        """What is to come.

        Args:
            title: of the target.
            missing: answers that are still to be asked for, by suite.
        """
        self._stages = {
            name: Stage(-1, name, max(count, 1), name, share=float(count), unit="answer")
            for name, count in missing.items()
        }
        self._progress.start(title, list(self._stages.values()))

    def begin(self, suite: str, known: int, missing: int) -> None:
        self._suite = suite
        if known:
            rest = f"{missing:,} are still asked for" if missing else "nothing is asked again"
            self._progress.note(f"{suite}: {known:,} answers are known already, {rest}")
        self._progress.phase(self._stages[suite])

    def step(self, done: int, board: Board) -> None:
        right = f"{100 * board.right / board.answered:.1f} %" if board.answered else None
        self._progress.step(done, {"right": right, "without an answer": board.unparsed or None})

    def alarm(self, text: str, samples: Sequence[str]) -> None:
        if self._mute or self._suite in self._alarmed:
            return
        self._alarmed.add(self._suite)
        shown = "\n".join(harmless(sample) for sample in samples)
        note = f"ALARM in {self._suite}: {text}\n{shown}"
        if self._quiet:
            self._console.print(Text(note, style="yellow"), soft_wrap=True)
        else:
            self._progress.note(note)

    def end(self, suite: str, result: SuiteResult) -> None:
        lost = f", {result.lost:,} lost" if result.lost else ""
        self._progress.end_phase(f"{_percent(result.accuracy)} % right of {result.answers:,} answers{lost}")

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._progress.close()


def print_listing(console: Console, suites: Sequence[Listed]) -> None:
    """A line per suite that has a name."""
    lines = [("suite", "problems", "what", "licence")]
    lines += [(one.name, f"{one.size:,}", one.title, one.licence) for one in suites]
    name, size, title = (max(len(line[i]) for line in lines) for i in range(3))
    for n, cells in enumerate(lines):
        text = f"{cells[0]:<{name}}  {cells[1]:>{size}}  {cells[2]:<{title}}  {cells[3]}"
        console.print(Text(text, style="" if n else "bold"), soft_wrap=True)
    for line in (
        "held-out, transfer: the problems of the target's own world (miniature)",
        "a file of your own: .jsonl, .json, .csv or .parquet with a question and an answer per row",
    ):
        console.print(Text(line), soft_wrap=True)


def print_result(console: Console, result: EvalResult, names: Sequence[str], folder: Path) -> None:
    """The figures of the suites that were asked for, what they rest on, and where they are."""
    suites = {name: result.suites[name] for name in names}
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", title=result.target.name, title_justify="left")
    table.add_column("suite", no_wrap=True)
    cells = {name: _cells(suite) for name, suite in suites.items()}
    columns = [heading for heading in _COLUMNS if any(heading in row for row in cells.values())]
    for heading in columns:
        table.add_column(heading.replace(" ", "\n"), justify="right", no_wrap=True)
    for name, row in cells.items():
        table.add_row(name, *(row.get(heading, "-") for heading in columns))
    console.print(table)
    means = averages({name: suite.accuracy for name, suite in result.suites.items()})
    if means:
        console.print("averages: " + " · ".join(f"{name} {_percent(mean)}" for name, mean in means.items()))
    for name, suite in suites.items():
        for line in _lines(name, suite):
            console.print(Text(line), soft_wrap=True)
        if suite.alarm:
            console.print(Text(f"ALARM in {name}: {suite.alarm}", style="yellow"), soft_wrap=True)
    trained_on = footnote({name: one for name, one in from_json(result.contamination).items() if name in suites})
    if trained_on:
        console.print(Text(trained_on), soft_wrap=True)
    legend = "rates in %; n problems, k sampled answers to each; interval over problems; paper: scored as published"
    console.print(legend, style="dim", highlight=False, soft_wrap=True)
    console.print(f"every answer: {shlex.quote(str(folder))}/answers", highlight=False, markup=False, soft_wrap=True)


_COLUMNS = (
    "n", "k", "greedy", "mean @k", "95%\u00a0interval", "maj @k", "pass @k", "paper greedy", "paper mean",
    "judge greedy", "judge mean",
)  # fmt: skip


def _cells(suite: SuiteResult) -> dict[str, str]:
    """Figures by the heading of their column; a column that no suite has is left out."""
    cells = {"n": f"{suite.n:,}", "greedy": _percent(suite.greedy), "paper greedy": _percent(suite.paper.greedy)}
    cells["95%\u00a0interval"] = "-" if suite.ci95 is None else " to ".join(_percent(end) for end in suite.ci95)
    if suite.k:
        cells |= {"k": str(suite.k), "mean @k": _percent(suite.mean), "maj @k": _percent(suite.majority)}
        cells["paper mean"] = _percent(suite.paper.mean)
        if str(suite.k) in suite.pass_at:
            cells["pass @k"] = _percent(suite.pass_at[str(suite.k)])
    if suite.judge is not None:
        cells["judge greedy"] = _percent(suite.judge.greedy)
        cells |= {"judge mean": _percent(suite.judge.mean)} if suite.k else {}
    return cells


def _lines(name: str, suite: SuiteResult) -> list[str]:
    """What stands below the table of one suite."""
    counts = [f"{suite.answers:,} answers"]
    for count, what in (
        (suite.unparsed, "without an answer that can be read"),
        (suite.cut_off, "cut off"),
        (suite.lost, "LOST, counted nowhere"),
    ):
        counts += [f"{count:,} {what}"] if count else []
    counts += [f"{suite.tokens:,} tokens", f"{suite.tool_calls:,} tool calls"]
    counts += [f"{suite.tool_timeouts:,} of them too long"] if suite.tool_timeouts else []
    counts += [duration(suite.wall_s)]
    lines = [f"{name}: {' · '.join(counts)}"]
    lines += [f"   lost: {harmless(fault)}" for fault in suite.faults]
    if suite.se is not None:
        lines.append(f"   standard error {_percent(suite.se)}")
    if len(suite.pass_at) > 1:
        lines.append("   pass@k: " + " · ".join(f"{k} {_percent(rate)}" for k, rate in suite.pass_at.items()))
    for what, members in (("level", suite.by_level), ("topic", suite.by_topic)):
        if len(members) > 1:
            lines.append(f"   by {what}: {_by_part(members)}")
    if suite.judge is not None:
        own = suite.judge
        lines.append(
            f"   judge {own.name}: asked about {own.asked:,} answers, turned {own.turned_right:,} right and "
            f"{own.turned_wrong:,} wrong, undecided on {own.undecided:,}"
        )
    lines.append(f"   copy {suite.copy} · licence: {suite.licence}")
    return lines + [f"   note: {note}" for note in suite.notes]


def _by_part(members: Mapping[str, PartResult]) -> str:
    shown = list(members.items())[:_PARTS_SHOWN]
    texts = [f"{name} {_percent(one.greedy if one.mean is None else one.mean)}" for name, one in shown]
    more = len(members) - len(shown)
    return " · ".join(texts) + (f" · and {more} more in eval.json" if more else "")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
