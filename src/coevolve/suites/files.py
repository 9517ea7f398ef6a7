"""Questions of a user: a JSONL, JSON, CSV or Parquet file with a question and its answer per row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coevolve.errors import ConfigError
from coevolve.grading.grade import Kind
from coevolve.suites.base import Loaded, Source, content_digest, task_of
from coevolve.suites.catalogue import named
from coevolve.suites.layouts import letter_of, no_answer, options_of, shown, written
from coevolve.suites.own import is_own
from coevolve.suites.rows import Row, as_text, read_rows, what
from coevolve.worlds.base import Problem

COLUMNS: dict[str, tuple[str, ...]] = {  # what a column may be called; capitals and small letters are the same
    "question": ("question", "problem"),
    "answer": ("answer", "final_answer", "gold", "ground_truth"),
    "id": ("id",),
    "level": ("level", "difficulty"),
    "kind": ("kind",),
    "options": ("options", "choices"),
    "topic": ("topic", "subject", "category"),
}
_NEEDED = ("question", "answer")


def file_source(path: Path) -> Source:
    """The suite of a user's own file, which is read and checked at once.

    Raises:
        ConfigError: the file is missing or has another form, or a row cannot be measured; names the row and the fix.
    """
    name = suite_name(path)
    loaded = _load(name, path)
    return Source(name, len(loaded.problems), "not stated (your own file)", lambda: loaded)


def suite_name(path: Path) -> str:
    """The name of the suite of a file: its own without the ending, in the characters that a name may have.

    A file that is called as a benchmark or a set of this package keeps its ending, so that its figures are not taken
    for those.
    """
    stem = path.name if named(path.stem) is not None or is_own(path.stem) else path.stem
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")
    if not name:
        raise ConfigError(
            "a suite is called as its file, and this name has no letter or digit", where=str(path), fix="rename it"
        )
    return name


def _load(name: str, path: Path) -> Loaded:
    rows = read_rows(path)
    columns = _columns(rows, path)
    problems = tuple(_problem(name, number, row, columns) for number, row in enumerate(rows, start=1))
    _refuse_equal_ids(name, problems, rows)
    notes = [*_unused(rows, columns), *_repeated(problems, rows)]
    return Loaded(problems, str(path), content_digest(problems), tuple(notes))


def _columns(rows: list[Row], path: Path) -> dict[str, str]:
    """Which column holds what: the name in the file by our name."""
    present = list(dict.fromkeys(name for row in rows for name in row.fields))
    found = {}
    for field, names in COLUMNS.items():
        fitting = [name for name in present if name.strip().lower() in names]
        if len(fitting) > 1:
            raise ConfigError(
                f"the columns {' and '.join(map(repr, fitting))} may both be the {field}",
                where=str(path),
                fix=f"call one of them {field!r} and rename or remove the other",
            )
        if fitting:
            found[field] = fitting[0]
        elif field in _NEEDED:
            raise ConfigError(
                f"no row has the field {field!r} (there are: {', '.join(present) or 'none'})",
                where=str(path),
                fix=f"call it {' or '.join(map(repr, names))}",
            )
    return found


def _problem(suite: str, number: int, row: Row, columns: Mapping[str, str]) -> Problem:
    values = {field: row.fields.get(column) for field, column in columns.items()}
    question = written(values["question"], columns["question"], row.place)
    options = options_of(values["options"], row.place) if values.get("options") is not None else ()
    kind = _kind(values.get("kind"), options, row.place)
    answer = as_text(values["answer"])
    if answer is None or not answer.strip():
        raise no_answer(values["answer"], row.place)
    if kind is Kind.MATH and "####" in answer:
        raise ConfigError(
            "the answer is a solution with its final answer after ####", where=row.place, fix="leave the final answer"
        )
    truth = letter_of(answer, options, row.place) if kind is Kind.CHOICE else answer.strip()
    id = _label(values, "id", row.place) or str(number)
    task = task_of(suite, id, shown(question, options))
    level, topic = _label(values, "level", row.place), _label(values, "topic", row.place)
    return Problem(task, truth, kind, options, level=level, topic=topic)


def _kind(value: Any, options: tuple[str, ...], place: str) -> Kind:
    kinds = [kind.value for kind in Kind]
    if value is None or value == "":
        return Kind.CHOICE if options else Kind.MATH
    if not isinstance(value, str) or value.strip().lower() not in kinds:
        raise ConfigError(f"no kind of answer: {value!r:.60}", where=place, fix=f"one of {', '.join(kinds)}")
    kind = Kind(value.strip().lower())
    if options and kind is not Kind.CHOICE:
        raise ConfigError(
            f"a row with options has the kind {kind.value!r}", where=place, fix="remove its options, or its kind"
        )
    return kind


def _label(values: Mapping[str, Any], field: str, place: str) -> str:
    """A text or number that need not be there."""
    value = values.get(field)
    if value is None:
        return ""
    text = as_text(value)
    if text is None:
        raise ConfigError(f"{field!r} is {what(value)}, not a text or a number", where=place, fix="write it as a text")
    return text.strip()


def _refuse_equal_ids(suite: str, problems: tuple[Problem, ...], rows: list[Row]) -> None:
    seen: dict[str, str] = {}
    for problem, row in zip(problems, rows, strict=True):
        first = seen.setdefault(problem.task.id, row.place)
        if first is not row.place:
            id = problem.task.id.removeprefix(f"{suite}-")
            raise ConfigError(
                f"two rows have the same id (the other one: {first})",
                where=f"{row.place}, id {id}",
                fix="give each row its own, or none at all",
            )


def _unused(rows: list[Row], columns: Mapping[str, str]) -> list[str]:
    others = dict.fromkeys(name for row in rows for name in row.fields if name not in columns.values())
    return [f"columns that are not used: {', '.join(others)}"] if others else []


def _repeated(problems: tuple[Problem, ...], rows: list[Row]) -> list[str]:
    """What to tell of questions that stand there more than once.

    Raises:
        ConfigError: with another answer: one of them would be measured wrongly.
    """
    seen: dict[str, int] = {}
    places = []
    for i, problem in enumerate(problems):
        first = seen.setdefault(" ".join(problem.task.question.split()), i)
        if first == i:
            continue
        if problem.truth != problems[first].truth or problem.kind is not problems[first].kind:
            raise ConfigError(
                f"the question has another answer than in {rows[first].place}: "
                f"{problem.truth!r:.60}, not {problems[first].truth!r:.60}",
                where=rows[i].place,
                fix="keep the row whose answer is right",
            )
        places.append(rows[i].place.rsplit(", ", 1)[-1])
    if not places:
        return []
    told = ", ".join(places[:5]) + (", ..." if len(places) > 5 else "")
    return [f"{len(places)} rows repeat an earlier question and count as often as they stand there: {told}"]
