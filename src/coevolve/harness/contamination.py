"""How much of what a run is measured on it has trained on: its tasks against the problems of suites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coevolve.evaluation.overlap import ALIKE, RUN, Matches, equal, matches
from coevolve.evaluation.suites import part_and_key
from coevolve.methods.figures import TableFigure
from coevolve.methods.reporting import Finding, percent
from coevolve.store.records import RunRecords
from coevolve.worlds.base import HELD_OUT, SUITES

MOST_SHOWN = 5  # pairs of a suite
LONGEST_SHOWN = 300  # characters of a question in a pair
RULE = (
    f"equal after normalisation; {RUN} words in a row in common (GPT-3, arXiv 2005.14165), or all of a shorter "
    f"question; BLEU of {ALIKE:g} or more"
)


@dataclass(frozen=True, slots=True)
class Questions:
    """What the proposers of a run wrote.

    Args:
        trained: the tasks that entered training.
        written: all tasks of all pools, those that were refused included.
    """

    trained: tuple[str, ...]
    written: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """A problem and the training task that is nearest to it; ``how`` is "exact", "run" or "BLEU"."""

    problem: str
    trained: str
    how: str
    bleu: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """How many of a suite's problems have a near-duplicate among the tasks that a run trained on.

    Args:
        n: problems of the suite.
        trained: different tasks that it was held against.
        exact: problems that equal a task.
        run: that share a run of words with one; those that are equal are among them.
        alike: that are alike to one by BLEU.
        any: that do at least one of these.
        written: that equal a question which a proposer wrote, whether it was trained on or not.
        pairs: the nearest pairs, at most MOST_SHOWN.
    """

    n: int
    trained: int
    exact: int
    run: int
    alike: int
    any: int
    written: int
    pairs: tuple[Pair, ...] = ()


Overlaps = Mapping[str, Overlap]  # by suite


def overlaps(suites: Mapping[str, Sequence[str]], questions: Questions) -> dict[str, Overlap]:
    """Hold the questions of suites against those of a run.

    Args:
        suites: the questions of each suite, by its name.
        questions: of the run.
    """
    trained = sorted(set(questions.trained))
    refused = sorted(set(questions.written) - set(trained))
    found = {}
    for name, problems in suites.items():
        match = matches(problems, trained)
        written = (match.exact >= 0) | (equal(problems, refused) >= 0)
        found[name] = Overlap(
            n=len(problems),
            trained=len(trained),
            exact=_count(match.exact >= 0),
            run=_count(match.shared >= 0),
            alike=_count(match.alike >= 0),
            any=_count((match.shared >= 0) | (match.alike >= 0)),
            written=_count(written),
            pairs=tuple(_pairs(match, problems, trained)),
        )
    return found


def _count(which: NDArray[np.bool_]) -> int:
    return int(which.sum())


def _pairs(match: Matches, problems: Sequence[str], trained: Sequence[str]) -> Iterator[Pair]:
    """The nearest pairs: equal ones, then by BLEU, then those that only share a run of words."""
    for i in np.lexsort((match.shared < 0, -match.bleu, match.exact < 0))[:MOST_SHOWN]:
        ways = (("exact", match.exact[i]), ("BLEU", match.alike[i]), ("run", match.shared[i]))
        how, at = next(((how, at) for how, at in ways if at >= 0), ("", -1))
        if at >= 0:
            bleu = 1.0 if how == "exact" else round(float(match.bleu[i]), 4) if how == "BLEU" else 0.0
            yield Pair(problems[i][:LONGEST_SHOWN], trained[at][:LONGEST_SHOWN], how, bleu)


def questions_of(folder: RunRecords, iteration: int | None = None) -> Questions:
    """The questions that a run wrote and trained on, in the finished pools of iterations up to this one (None: all).

    Texts that proposers wrote while they themselves were trained are not kept by a run and not among them.

    Raises:
        RunError: a table is missing or damaged.
    """
    trained: list[str] = []
    written: list[str] = []
    for name in folder.recorded("tasks/"):
        for batch in folder.scan(name, ("iteration", "question", "kept")):
            for row in batch.to_pylist():
                if iteration is None or row["iteration"] <= iteration:
                    written.append(row["question"])
                    if row["kept"]:
                        trained.append(row["question"])
    return Questions(tuple(trained), tuple(written))


def measured_by(folder: RunRecords) -> dict[str, list[str]]:
    """The questions that a run itself was measured on, by set; the levels of its held-out problems are one.

    Raises:
        RunError: a table is missing or damaged.
    """
    found: dict[str, dict[str, None]] = {}
    for name in folder.recorded("meter/evaluation-"):
        for batch in folder.scan(name, ("set", "question")):
            for row in batch.to_pylist():
                found.setdefault(_shown(row["set"]), {})[row["question"]] = None
    return {name: list(questions) for name, questions in found.items()}


def of_run(folder: RunRecords) -> dict[str, Overlap]:
    """All that a run was measured on against all that it trained on; empty where one of them is.

    Raises:
        RunError: a table is missing or damaged.
    """
    questions = questions_of(folder)
    return overlaps(measured_by(folder), questions) if questions.trained else {}


def _shown(table: str) -> str:
    part, key = part_and_key(table)
    return {HELD_OUT: "held-out", SUITES: key}.get(part, f"{part} {key}")


def as_json(found: Overlaps) -> dict[str, Any]:
    """As it stands in ``eval.json`` under "contamination"."""
    suites = {name: {**asdict(one), "pairs": [asdict(pair) for pair in one.pairs]} for name, one in found.items()}
    return {"rule": RULE, "suites": suites}


def from_json(data: Mapping[str, Any]) -> dict[str, Overlap]:
    """What ``as_json`` gave; empty where nothing was held against anything."""
    suites = data.get("suites") or {}
    return {
        name: Overlap(**{**one, "pairs": tuple(Pair(**pair) for pair in one["pairs"])}) for name, one in suites.items()
    }


def footnote(found: Overlaps) -> str:
    """One sentence for below a table; empty where nothing was held against anything."""
    if not found:
        return ""
    tasks = max(one.trained for one in found.values())
    touched = {name: one for name, one in found.items() if one.any}
    begin = f"Contamination: held against {tasks:,} training tasks ({RULE}), "
    if not touched:
        return f"{begin}no problem of {', '.join(found)} has a near-duplicate."
    listed = (f"{name} {one.any} of {one.n} ({one.exact} exact)" for name, one in touched.items())
    clean = [name for name in found if name not in touched]
    return f"{begin}near-duplicates: {'; '.join(listed)}" + (f"; none in {', '.join(clean)}." if clean else ".")


def finding(found: Overlaps) -> Finding | None:
    """The judgement for a run's page; None where nothing was held against anything."""
    if not found:
        return None
    exact, n = (sum(getattr(one, name) for one in found.values()) for name in ("exact", "n"))
    near = sum(one.any for one in found.values())
    text = f"{n:,} problems against {max(one.trained for one in found.values()):,} training tasks: "
    text += f"{exact} equal one, {near} ({percent(near / n, 1) if n else '-'}) have a near-duplicate among them."
    if exact:
        return Finding("bad", "The solver trained on problems that it is measured on", text)
    if near:
        text += " Questions of one template resemble each other whatever their numbers: the pairs below tell."
        return Finding("watch", "Some problems resemble training tasks", text)
    return Finding("good", "No problem resembles a training task", text)


def table(found: Overlaps) -> TableFigure:
    """The figure of a run's page."""
    head = ("suite", "problems", "equal", f"{RUN} words", f"BLEU ≥ {ALIKE:g}", "any", "written", "nearest task")
    rows = tuple(
        (name, *(f"{x:,}" for x in (one.n, one.exact, one.run, one.alike, one.any, one.written)), _nearest(one))
        for name, one in found.items()
    )
    note = (
        "problems with a near-duplicate among the tasks that were trained on: "
        f"{RULE}; written: equal to a question of a pool, trained on or not"
    )
    return TableFigure("Problems that resemble training tasks", note, "health", head, rows)


def _nearest(one: Overlap) -> str | tuple[str, str]:
    return (one.pairs[0].trained, f"problem: {one.pairs[0].problem}") if one.pairs else "–"
