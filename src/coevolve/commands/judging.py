"""``coevolve summary RUN --tasks N``: kept tasks to judge by eye, as text, CSV or JSON."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.text import Text

from coevolve.commands.markdown import harmless
from coevolve.report.judging import Counted, ToJudge, sample_of_kept
from coevolve.report.task_index import read_index
from coevolve.store.records import RunRecords

_COLUMNS = ("iteration", "task_id", "question", "label", "p_hat", "votes", "outputs", "truth", "right", "judged")
_FORMULA = re.compile(r"[=+@\t\r]|-(?![0-9.]+$)")  # what a spreadsheet would compute with


def print_tasks(run: Path, n: int, *, as_csv: bool, as_json: bool) -> None:
    """The sample that the page of a run shows, of another size.

    Raises:
        RunError: the folder holds no run, or a damaged one.
    """
    folder = RunRecords.open(run)
    tasks = sample_of_kept(folder, read_index(folder), n)
    if as_csv:
        _write_csv(tasks)
    elif as_json:
        print(json.dumps([asdict(task) for task in tasks]))
    else:
        _print(Console(soft_wrap=True, highlight=False), tasks)


def _print(console: Console, tasks: Sequence[ToJudge]) -> None:
    for iteration, mine in groupby(tasks, key=lambda task: task.iteration):
        group = list(mine)
        checked = [task for task in group if task.right is not None]
        told = f"{sum(bool(task.right) for task in checked)} of {len(checked)} checked are right"
        console.print(Text(f"iteration {iteration}: {len(group)} kept tasks, labels: {told}", style="bold"))
        for task in group:
            console.print(Text(harmless(" ".join(task.question.split()))))
            parts = [f"label {task.label}", f"votes {counted(task.votes)}"]
            parts += [f"programs showed {counted(task.outputs)}"] if task.outputs else []
            console.print(Text(harmless(f"    {' · '.join(parts)}")), Text(*_verdict(task)))
    if not tasks:
        console.print("no task was kept yet")


def _verdict(task: ToJudge) -> tuple[str, str]:
    """Words and their colour; no colour where the truth is not known."""
    if task.right is None:
        return "· not checked", ""
    return (f"· right ({task.truth})", "green") if task.right else (f"· wrong: {task.truth}", "red")


def _write_csv(tasks: Sequence[ToJudge]) -> None:
    """With an empty column for whoever judges."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for task in tasks:
        right = "" if task.right is None else "yes" if task.right else "no"
        texts = (task.question, task.label, f"{task.p_hat:.3f}", counted(task.votes), counted(task.outputs))
        writer.writerow([task.iteration, task.task_id, *map(_cell, texts), _cell(task.truth or ""), right, ""])


def counted(texts: Counted) -> str:
    """``56 ×4, 57 ×2``."""
    return ", ".join(f"{text} ×{n}" for text, n in texts)


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    plain = harmless(text)
    return f"'{plain}" if _FORMULA.match(plain) else plain
