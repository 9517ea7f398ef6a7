"""The suites that a run was told to measure: found by name, kept in its folder, and read from there ever after."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from coevolve.config import EvaluationSection
from coevolve.errors import ConfigError, RunError
from coevolve.grading.grade import Kind
from coevolve.store import atomic
from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords
from coevolve.suites.base import ORIGIN, Loaded, Source, subset
from coevolve.suites.registry import find
from coevolve.types import Task
from coevolve.worlds.base import Problem

FACTS = "suites"  # of the manifest: what each suite was when the run began, by name
_FOLDER = "meter/suites"


@dataclass(frozen=True, slots=True)
class Kept:
    """What a run remembers of a suite."""

    copy: str
    digest: str  # ``content_digest`` of the whole source
    n: int  # problems that are measured
    size: int  # problems of the source
    licence: str
    sha256: str  # of the table in the run folder
    notes: tuple[str, ...] = ()


def chosen(section: EvaluationSection) -> tuple[Source, ...]:
    """The sources of ``evaluation.suites``, none of them loaded yet; each is loaded once, however often it is asked.

    Raises:
        ConfigError: one does not exist, or two have the same name.
    """
    folder = Path(section.suite_data) if section.suite_data else None
    sources = [find(spec, folder) for spec in section.suites]
    names = Counter(source.name for source in sources)
    for spec, source in zip(section.suites, sources, strict=True):
        if names[source.name] > 1:
            raise ConfigError(
                f"two suites are called {source.name}",
                where=f"evaluation.suites: {spec}",
                fix="name each once; of two files with the same name rename one",
            )
    return tuple(_loaded_once(source) for source in sources)


def keep(folder: RunFolder, sources: Sequence[Source], limit: int) -> dict[str, dict[str, Any]]:
    """Write the problems that will be measured into a run folder, where they are not there yet.

    Returns:
        the facts of the suites for the manifest.

    Raises:
        CoevolveError: a source cannot be loaded, or the disk refuses.
    """
    known, facts = facts_of(folder.records) or {}, {}
    for source in sources:
        kept, path = known.get(source.name), folder.path / table_of(source.name)
        if kept is None or not _is_intact(path, kept.sha256):
            loaded = source.load()
            problems = subset(loaded.problems, limit)
            folder.write_table(table_of(source.name), map(_row, problems))
            size = kept.size if kept else len(loaded.problems)
            n, digest = len(problems), atomic.digest(path)
            kept = Kept(loaded.copy, loaded.digest, n, size, source.licence, digest, loaded.notes)
        facts[source.name] = asdict(kept) | {"notes": list(kept.notes)}
    return facts


def kept_sources(folder: RunRecords, section: EvaluationSection) -> tuple[Source, ...] | None:
    """The sources of a run that has kept its suites, read from its own tables; None where it has kept none yet.

    Where a table is gone, or a source scores answers itself, the source is loaded once more and has to be what it was.
    """
    facts = facts_of(folder)
    if facts is None:
        return None
    return tuple(_loaded_once(_kept_source(folder, section, name, kept)) for name, kept in facts.items())


def facts_of(folder: RunRecords) -> dict[str, Kept] | None:
    """What the manifest says of the suites of a run, by name; None where it says nothing."""
    found = folder.facts.get(FACTS)
    if not isinstance(found, Mapping):
        return None
    return {name: Kept(**{**of, "notes": tuple(of["notes"])}) for name, of in found.items()}


def kept_files(folder: RunRecords) -> list[Path]:
    """The tables of a run's suites that no finished phase has listed in the manifest yet."""
    names = [table_of(name) for name in facts_of(folder) or ()]
    return [folder.path / name for name in names if name not in set(folder.recorded(_FOLDER))]


def changes(folder: RunRecords, section: EvaluationSection) -> Iterator[str]:
    """A sentence for every file of questions that is no longer what the run has kept of it; that harms no run."""
    facts = facts_of(folder) or {}
    for spec in filter(os.path.isabs, section.suites if facts else ()):
        try:
            source = find(spec)
            kept, now = facts.get(source.name), source.load().digest
        except ConfigError as error:
            yield f"{spec} can no longer be read ({error.what}): the run goes on with its own copy"
            continue
        if kept and now != kept.digest:
            yield (
                f"{spec} has changed since the run began (digest {kept.digest[:12]}, now {now[:12]}): the run goes on "
                "with its own copy"
            )


def table_of(name: str) -> str:
    """Where the problems of a suite stand in a run folder."""
    return f"{_FOLDER}/{name}.parquet"


def _kept_source(folder: RunRecords, section: EvaluationSection, name: str, kept: Kept) -> Source:
    path = folder.path / table_of(name)

    def load() -> Loaded:
        rows = folder.read_table(table_of(name)) if _is_intact(path, kept.sha256) else None
        if rows is not None and not any(row["scored"] for row in rows):
            return Loaded(tuple(map(_problem, rows)), kept.copy, kept.digest, kept.notes)
        return Loaded(subset(_again(path, section, name, kept), kept.n), kept.copy, kept.digest, kept.notes)

    return Source(name, kept.n, kept.licence, load)


def _again(path: Path, section: EvaluationSection, name: str, kept: Kept) -> tuple[Problem, ...]:
    """The problems of the source, which has to be what it was when the run began.

    Raises:
        RunError: it is another one now, or gone.
    """
    try:
        (source,) = [source for source in chosen(section) if source.name == name]
        loaded = source.load()
    except (ConfigError, ValueError) as error:
        raise RunError(
            f"the run needs the suite {name} once more, and it cannot be read any more: {error}",
            where=str(path),
            fix=f"bring back {kept.copy} (digest {kept.digest})",
        ) from error
    if loaded.digest != kept.digest:
        raise RunError(
            f"the suite {name} is not what it was when the run began: its digest was {kept.digest} and is "
            f"{loaded.digest} now",
            where=loaded.copy,
            fix=f"bring back {kept.copy}, or measure the new one in a new run",
        )
    return loaded.problems


def _is_intact(path: Path, sha256: str) -> bool:
    return path.is_file() and atomic.digest(path) == sha256


def _loaded_once(source: Source) -> Source:
    return replace(source, load=cache(source.load))


def _row(problem: Problem) -> dict[str, object]:
    return {
        "task_id": problem.task.id,
        "question": problem.task.question,
        "truth": problem.truth,
        "kind": problem.kind.value,
        "options": list(problem.options),
        "level": problem.level,
        "topic": problem.topic,
        "family": problem.task.kind,
        "scored": problem.scorer is not None,
    }


def _problem(row: Mapping[str, Any]) -> Problem:
    task = Task(row["task_id"], (row["question"],), row["family"], ORIGIN, measuring_only=True)
    return Problem(task, row["truth"], Kind(row["kind"]), tuple(row["options"]), row["level"], row["topic"])
