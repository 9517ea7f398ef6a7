"""``coevolve grade``: are these answers the same, and how is that known?"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, perf_counter

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from coevolve.commands.grade_pairs import Pair, read_pairs
from coevolve.errors import ConfigError
from coevolve.grading.equivalence import Judge
from coevolve.grading.grade import Referee
from coevolve.grading.pairs import parsed
from coevolve.grading.verdict import Stage, Verdict
from coevolve.monitor.progress import time_left

QUIET_S = 3.0  # no progress is shown before, and not more often than
_WIDEST = 60
_ROWS_SHOWN = 200
_NO_SYMBOLIC = "math-verify is not installed, so the symbolic stage is absent: pip install 'coevolve[math]'"


@dataclass(frozen=True, slots=True)
class Row:
    """One graded pair; ``ms`` is the time that its verdict took."""

    gold: str
    pred: str
    same: bool
    stage: str
    ms: float
    expected: bool | None
    line: int

    @property
    def misjudged(self) -> bool:
        """Whether the file says otherwise."""
        return self.expected is not None and self.expected != self.same


@dataclass(frozen=True, slots=True)
class Summary:
    """Over all rows.

    Args:
        agreement: share of the rows with an expected verdict that got it; None without such rows.
        false_positives: called the same, expected to differ.
        false_negatives: called different, expected to be the same.
        timeouts: pairs that the symbolic stage gave up; they count as different.
        pairs_per_s: pairs by wall-clock time, the start of the worker included.
        pairs: how many rows.
    """

    agreement: float | None
    false_positives: int
    false_negatives: int
    timeouts: int
    pairs_per_s: float
    pairs: int


def run(gold: str | None, pred: str | None, file: Path | None, *, symbolic: bool, explain: bool, as_json: bool) -> None:
    """Grade two answers, or all pairs of a file, and print what comes of it.

    Raises:
        ConfigError: neither or both are given, or the file does not hold pairs.
    """
    usage = "coevolve grade GOLD PRED, or coevolve grade --pairs FILE"
    if file is not None:
        if gold is not None or explain:
            raise ConfigError("--pairs goes with neither answers nor --explain", fix=usage)
        pairs = read_pairs(file)
    elif gold is None or pred is None:
        raise ConfigError("two answers are needed", fix=usage)
    with closing(Judge(symbolic=symbolic)) as judge:
        if symbolic and not judge.symbolic_stage:
            print(_NO_SYMBOLIC, file=sys.stderr)
        if file is not None:
            began = perf_counter()
            rows = grade_pairs(judge, pairs)
            summary = summarise(rows, perf_counter() - began)
            _print_json(rows, summary, symbolic=judge.symbolic_stage) if as_json else _print_rows(
                Console(), rows, summary
            )
        elif gold is not None and pred is not None:
            began = perf_counter()
            verdict = judge.same(gold, pred)
            ms = (perf_counter() - began) * 1e3
            if as_json:
                print(
                    json.dumps({"gold": gold, "pred": pred, **asdict(verdict), "ms": round(ms, 3)} | _keys(gold, pred))
                )
            else:
                _print_verdict(Console(), gold, pred, verdict, explain=explain)


def grade_pairs(judge: Referee, pairs: Sequence[Pair]) -> list[Row]:
    """Grade pairs one after the other; says how far it is on standard error when it takes long."""
    rows = []
    began = shown = monotonic()
    for number, pair in enumerate(pairs):
        if number and monotonic() - shown > QUIET_S:
            shown = monotonic()
            left = time_left((shown - began) / number * (len(pairs) - number))
            print(f"graded {number:,} of {len(pairs):,}, {left}", file=sys.stderr, flush=True)
        before = perf_counter()
        verdict = judge.same(*pair.answers)
        ms = (perf_counter() - before) * 1e3
        row = Row(pair.gold, pair.pred, verdict.same, str(verdict.stage), round(ms, 3), pair.expected, pair.line)
        rows.append(row)
    return rows


def summarise(rows: Sequence[Row], seconds: float) -> Summary:
    """Counts over all rows."""
    told = [row for row in rows if row.expected is not None]
    wrong = [row for row in told if row.misjudged]
    return Summary(
        agreement=1 - len(wrong) / len(told) if told else None,
        false_positives=sum(row.same for row in wrong),
        false_negatives=sum(not row.same for row in wrong),
        timeouts=sum(row.stage == Stage.TIMEOUT for row in rows),
        pairs_per_s=round(len(rows) / max(seconds, 1e-9), 1),
        pairs=len(rows),
    )


def _print_json(rows: Sequence[Row], summary: Summary, *, symbolic: bool) -> None:
    data = [{key: value for key, value in asdict(row).items() if value is not None} for row in rows]
    print(json.dumps({"rows": data, **asdict(summary), "symbolic": symbolic}))


def _print_rows(console: Console, rows: Sequence[Row], summary: Summary) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading, width in (("line", 4), ("gold", 0), ("pred", 0), ("verdict", 19), ("stage", 11), ("ms", 6)):
        justify: JustifyMethod = "right" if heading in ("line", "ms") else "left"
        table.add_column(heading, justify=justify, no_wrap=True, min_width=width or None)
    ordered = sorted(rows, key=lambda row: not row.misjudged)
    for row in ordered[:_ROWS_SHOWN]:
        says = Text("same" if row.same else "different")
        if row.misjudged:
            says = Text(f"{says.plain}, not {'same' if row.expected else 'different'}", style="red")
        cells = [Text(visible(text)) for text in (row.gold, row.pred)]
        table.add_row(str(row.line), *cells, says, row.stage, f"{row.ms:.1f}")
    console.print(table)
    if len(rows) > _ROWS_SHOWN:
        console.print(f"... and {len(rows) - _ROWS_SHOWN:,} more; --json prints all")
    console.print()
    if summary.agreement is not None:
        told = sum(row.expected is not None for row in rows)
        console.print(
            f"agreement {summary.agreement:.1%} of {told:,}: {summary.false_positives} wrongly called the same, "
            f"{summary.false_negatives} wrongly called different"
        )
    console.print(f"{summary.pairs:,} pairs, {summary.pairs_per_s:,.0f} per second, {summary.timeouts} timed out")


def _print_verdict(console: Console, gold: str, pred: str, verdict: Verdict, *, explain: bool) -> None:
    console.print("same" if verdict.same else "different")
    if not explain:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_row("why", Text(visible(verdict.why, 400)))
    table.add_row("stage", str(verdict.stage))
    for name, values in _keys(gold, pred).items():
        for side, value in zip(("gold", "pred"), values, strict=True):
            label = {"keys": "key", "classes": "class", "forms": "parsed form"}[name]
            table.add_row(f"{label} of {side}", Text("none" if value is None else visible(value, 200)))
    console.print(table)


def _keys(gold: str, pred: str) -> dict[str, list[str | None]]:
    """What our own rules make of both answers; None where there is no answer, or no such form of it."""
    both = [parsed(gold), parsed(pred)]
    return {
        "keys": [one.key for one in both],
        "classes": [one.class_key for one in both],
        "forms": [one.latex for one in both],
    }


def visible(text: str, most: int = _WIDEST) -> str:
    """A text in one line: control characters as escapes, the middle left out where it is long."""
    if len(text) > most:
        text = f"{text[: most // 2]} ... {text[len(text) - most // 2 :]}"
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
