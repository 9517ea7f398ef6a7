"""What goes into a table of results: the finished evaluations of a folder or a run, and what a run measured itself."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from coevolve import statistics
from coevolve.config import Config
from coevolve.errors import CoevolveError, RunError
from coevolve.evaluation.chosen import Kept, facts_of
from coevolve.evaluation.oracle import refuse_oracle
from coevolve.evaluation.report import EVALUATION
from coevolve.harness import results
from coevolve.harness.published import Size
from coevolve.harness.results import EvalResult, Rates, SuiteResult
from coevolve.statistics import Estimate
from coevolve.store import manifest
from coevolve.store.records import RunRecords
from coevolve.suites.catalogue import BY_NAME
from coevolve.worlds.base import SUITES

EVALS = "evals"  # below a run
IN_THE_RUN = "in the run: measured while it went on, strictly scored"
Scoring = Literal["strict", "paper", "judged"]
SCORINGS: tuple[Scoring, ...] = ("strict", "paper", "judged")
# Small contests, of which the papers give the mean of 32 answers.
SAMPLED = ("amc", "aime24", "aime25", "aime26", "hmmt-feb25", "hmmt-nov25")
_OF_SIZE = re.compile(r"(?<![\d.])([48])b(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Figure:
    """An accuracy as a fraction, with its 95 % interval over problems where that is known."""

    value: float
    low: float | None
    high: float | None
    how: str  # "greedy", or "mean@32"
    remarks: tuple[str, ...] = ()  # what a reader must know of this one figure


@dataclass(frozen=True, slots=True)
class Measured:
    """One suite of one row.

    Args:
        figures: by scoring; those that there are.
        n: problems.
        digest, copy, licence: of its problems; empty where a run did not say.
    """

    figures: Mapping[Scoring, Figure]
    n: int
    digest: str = ""
    copy: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a table before it is laid out: one model or one iteration of a run."""

    name: str
    suites: Mapping[str, Measured]
    size: Size | None = None  # of its base model, where its name says so
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = field(default=())  # what was found and not taken, and why


def read_entries(paths: Sequence[Path]) -> list[Entry]:
    """The rows of several paths, in order, each path once.

    Args:
        paths: folders of evaluations, or of runs: then all finished evaluations below RUN/evals, and where suites were
            chosen for the run (``evaluation.suites``) what it measured on its base model and last.

    Raises:
        RunError: a path is neither, its evaluation is not complete, it has nothing to show, or it was trained on true
            labels.
    """
    different = list({path.resolve(): path for path in paths}.values())
    entries = [entry for path in different for entry in _of_path(path)]
    return [_named_apart(entry, entries) for entry in entries]


def _of_path(path: Path) -> list[Entry]:
    if results.exists(path):
        found = results.read(path)
        if not found.complete:
            what = "the evaluation is not complete: what is missing may be harder than what is there"
            raise RunError(what, where=str(path), fix="repeat the command that made it, which goes on where it stopped")
        return [_of_eval(path, found)]
    if (path / manifest.NAME).exists():
        return _of_run(path)
    below = sorted(folder.parent for folder in path.glob(f"*/{results.NAME}"))
    if below:
        return [entry for folder in below for entry in _of_path(folder)]
    fix = "name folders of coevolve eval, or of runs"
    raise RunError("there is neither an evaluation nor a run in this folder", where=str(path), fix=fix)


def _of_run(path: Path) -> list[Entry]:
    records = RunRecords.open(path)
    if records.config.oracle:
        raise refuse_oracle(path, _DOING)
    entries, left_out = [], []
    for folder in sorted(folder.parent for folder in (path / EVALS).glob(f"*/{results.NAME}")):
        found = results.read(folder)
        if found.complete:
            entries.append(_of_eval(folder, found))
        else:
            left_out.append(f"{folder} is not complete and was left out")
    entries += _measured_in_training(records)
    if not entries:
        why = f" ({'; '.join(left_out)})" if left_out else ""
        fix = f"coevolve eval {path} --suite gsm8k   or set evaluation.suites before a run"
        raise RunError(f"the run has measured no suites{why}", where=str(path), fix=fix)
    last = entries[-1]
    entries[-1] = Entry(last.name, last.suites, last.size, last.notes, tuple(left_out))
    return entries


def _of_eval(folder: Path, found: EvalResult) -> Entry:
    target, config = found.target, _config_of(folder, found)
    if target.facts.get("oracle") or (config is not None and config.oracle):
        raise refuse_oracle(folder, _DOING)
    base = str(config.model.path or "") if config else ""
    suites = {name: _measured(name, suite) for name, suite in found.suites.items()}
    if not suites:
        fix = "measure something: coevolve eval MODEL --suite FILE"
        raise RunError("the evaluation holds no suites", where=str(folder), fix=fix)
    return Entry(
        target.name, suites, size_in(target.name, base, _text(target.facts)), _contamination(folder, target.name)
    )


_DOING = "put into a table of results"


def _config_of(folder: Path, found: EvalResult) -> Config | None:
    """The configuration of the run that was measured; None of another model, or where the run is no longer there."""
    homes = [folder.resolve().parent.parent] if folder.resolve().parent.name == EVALS else []
    homes += [Path(found.target.run)] if found.target.run else []
    for home in homes:
        try:
            return RunRecords.open(home).config
        except CoevolveError:
            continue  # it was moved: what eval.json itself says is all that is known
    return None


def size_in(*texts: str) -> Size | None:
    """The size of a base model that names speak of: 4b or 8b; None where they say nothing, or both."""
    sizes = {match[1] for text in texts for match in _OF_SIZE.finditer(text)}
    return {"4": "4b", "8": "8b"}[sizes.pop()] if len(sizes) == 1 else None  # type: ignore[return-value]


def _text(facts: Mapping[str, Any]) -> str:
    return " ".join(str(value) for value in facts.values() if isinstance(value, str))


def _measured(name: str, suite: SuiteResult) -> Measured:
    rates: dict[Scoring, Rates | None] = {
        "strict": Rates(suite.greedy, suite.mean, suite.majority),
        "paper": suite.paper,
        "judged": Rates(suite.judge.greedy, suite.judge.mean) if suite.judge else None,
    }
    remarks = _remarks(name, suite.n, suite.lost, suite.answers, suite.alarm)
    figures: dict[Scoring, Figure] = {}
    for scoring, rate in rates.items():
        interval = suite.ci95 if scoring == "strict" else None
        figure = _figure(name, rate, suite.k, suite.n, interval, remarks) if rate else None
        if figure:
            figures[scoring] = figure
    return Measured(figures, suite.n, suite.digest, suite.copy, suite.licence, tuple(suite.notes))


def _figure(
    name: str, rates: Rates, k: int, n: int, ci95: Sequence[float] | None, remarks: tuple[str, ...]
) -> Figure | None:
    """The mean of the sampled answers where the papers give that, else the greedy one; the other where it is missing.

    Args:
        ci95: of the mean, or of the greedy answers where nothing was sampled.
    """
    sampled = name in SAMPLED
    takes_mean = rates.mean is not None and (sampled or rates.greedy is None)
    value = rates.mean if takes_mean else rates.greedy
    if value is None:
        return None
    if takes_mean and not sampled and name in BY_NAME:
        remarks = (f"mean@{k}, not greedy", *remarks)
    if sampled and not takes_mean:
        remarks = ("greedy, not a mean of samples", *remarks)
    if ci95 and (takes_mean or rates.mean is None):
        low, high = float(ci95[0]), float(ci95[1])
    elif not takes_mean and n:
        low, high = _ends(statistics.share_of(value * n, n))  # greedy answers are right or wrong
    else:
        return Figure(value, None, None, f"mean@{k}", remarks)
    return Figure(value, low, high, f"mean@{k}" if takes_mean else "greedy", remarks)


def _ends(estimate: Estimate) -> tuple[float, float]:
    return estimate.low, estimate.high


def _remarks(name: str, n: int, lost: int = 0, answers: int = 0, alarm: str = "") -> tuple[str, ...]:
    known = BY_NAME.get(name)
    out = [f"{n:,} of {known.rows:,} problems"] if known and n != known.rows else []
    out += [f"{lost:,} of {answers:,} answers were lost and left out"] if lost else []
    return (*out, *([f"alarm: {alarm}"] if alarm else []))


def _measured_in_training(records: RunRecords) -> list[Entry]:
    """What a run measured on its chosen suites: its base model, and its last evaluation."""
    rows = [row for row in records.metrics() if row.get("event") == EVALUATION and row.get(SUITES)]
    chosen = {int(str(row["iteration"])): row for row in (rows[:1] + rows[-1:])}
    size = size_in(str(records.config.model.path or ""), records.config.preset)
    entries, facts = [], facts_of(records) or {}
    for iteration, row in sorted(chosen.items()):
        suites = row[SUITES]
        assert isinstance(suites, Mapping)
        measured = {name: _in_training(name, found, facts.get(name)) for name, found in suites.items()}
        name = f"{records.path.resolve().name}@{iteration}, in the run"
        entries.append(Entry(name, measured, size, (IN_THE_RUN, *_overlap(records, iteration, name, measured))))
    return entries


def _in_training(name: str, found: Mapping[str, Any], kept: Kept | None) -> Measured:
    n, k = int(found["n"]), int(found["k"])
    rates = Rates(found.get("greedy"), found.get("mean"), found.get("majority"))
    figure = _figure(name, rates, k, n, found.get("ci95"), _remarks(name, n))
    figures: dict[Scoring, Figure] = {"strict": figure} if figure else {}
    if kept is None:
        return Measured(figures, n)
    return Measured(figures, n, kept.digest, kept.copy, kept.licence, kept.notes)


def _overlap(records: RunRecords, iteration: int, name: str, suites: Container[str]) -> tuple[str, ...]:
    from coevolve.harness.contamination import footnote, measured_by, overlaps, questions_of

    if not iteration:
        return ()
    problems = {suite: questions for suite, questions in measured_by(records).items() if suite in suites}
    words = footnote(overlaps(problems, questions_of(records, iteration)))
    return (f"{name}: {words}",) if words else ()


def _contamination(folder: Path, name: str) -> tuple[str, ...]:
    """What the evaluation of a run found in common between its training tasks and the suites."""
    from coevolve.harness.contamination import footnote, from_json

    content = json.loads((folder / results.NAME).read_bytes())
    words = footnote(from_json(content.get("contamination") or {}))
    return (f"{name}: {words}",) if words else ()


def _named_apart(entry: Entry, every: Sequence[Entry]) -> Entry:
    """Rows of the same name are numbered."""
    same = [other for other in every if other.name == entry.name]
    if len(same) == 1:
        return entry
    number = next(i for i, other in enumerate(same, start=1) if other is entry)
    return Entry(f"{entry.name} ({number})", entry.suites, entry.size, entry.notes, entry.left_out)
