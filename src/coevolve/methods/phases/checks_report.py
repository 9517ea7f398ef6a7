"""What the checks of a pool show: a table in plain words, and a finding where majorities contradict their programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from coevolve.curriculum.checks import CHECKS, Check
from coevolve.methods.figures import RunView, TableFigure
from coevolve.methods.reporting import (
    ABSENT,
    Finding,
    Row,
    Summary,
    at,
    iterations,
    listed,
    number,
    number_at,
    percent,
)

CONTRADICTED = 0.05  # share of a pool's tasks above which contradicted majorities are worth a word

_WORDS: Mapping[Check, tuple[str, str]] = {
    "output": ("printed", "most programs behind the label printed it last"),
    "programs": ("computed in {} ways", "programs of different shape lead to the label"),
    "numbers": ("numbers used", "these programs hold {} of the numbers in the question"),
    "refusals": ("answerable", "{} of the answers say that it cannot be answered, at most"),
    "own_answer": ("the writer's own answer", "who wrote the question gave the same answer"),
}
_NOTE = (
    "what can be known of a question without its true answer, for the tasks that nothing else at the gate turns away: "
    "the share that passes each check and, where the meter knows labels, how many labels are true among those that "
    "pass and among those that fail; a check in brackets turns nothing away"
)


def checks_table(run: RunView, part: str) -> Iterator[TableFigure]:
    """One row per check, one column per iteration.

    Args:
        part: of an iteration's summary, in which the facts of its pool stand.
    """
    pools = [(t, pool["checks"]) for t, pool in run.with_part(part) if pool.get("checks")]
    if pools:
        head = ("", *(f"iteration {t}" for t, _ in pools))
        rows = tuple((_named(check, pools[-1][1]), *(_cell(table, check) for _, table in pools)) for check in CHECKS)
        yield TableFigure("Questions that mean something", _NOTE, "health", head, rows)


def _named(check: Check, table: Mapping[str, Row]) -> tuple[str, str]:
    entry, (name, meaning) = table.get(check, {}), _WORDS[check]
    limit = number(entry, "limit")
    said = f"{limit:.0f}" if check == "programs" else percent(limit)
    name, meaning = name.format(said), meaning.format(said)
    return (name if entry.get("gated") else f"({name})"), meaning


def _cell(table: Mapping[str, Row], check: Check) -> str | tuple[str, str]:
    entry = table.get(check, {})
    passing, failing = number(entry, "passing"), number(entry, "failing")
    if not passing + failing:
        return ABSENT
    share = f"{percent(passing / (passing + failing))} of {passing + failing:.0f}"
    right = [entry.get(name) for name in ("right_passing", "right_failing")]
    if right == [None, None]:
        return share
    return share, f"true: {percent(right[0])} with, {percent(right[1])} without"


def contradicted_labels(part: str, summary: Summary, rows: Sequence[Row]) -> Finding | None:
    """Majorities that most of the programs behind them contradict; nothing to say where there are few or none."""
    shares = []
    for t, row in enumerate(iterations(summary)):
        asked, found = number_at(row, part, "asked"), number_at(row, part, "contradicted")
        if asked and found is not None:
            shares.append((t, found / asked))
    if not shares or shares[-1][1] <= CONTRADICTED:
        return None
    last = iterations(summary)[shares[-1][0]]
    text = (
        "Tasks whose majority answer is not what most of the programs behind it printed last, by iteration: "
        f"{listed(shares)}."
    )
    if at(last, part, "checks", "output", "gated"):
        return Finding("watch", "Programs contradict their answers", f"{text} The gate turns them away.")
    return Finding("bad", "Programs contradict their answers", f"{text} gate.output=true turns such tasks away.")
