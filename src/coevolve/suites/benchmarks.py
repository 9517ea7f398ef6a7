"""The public benchmarks: found in a folder, in the cache or on the hub, read, and checked to be what they should be."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

from coevolve.errors import ConfigError
from coevolve.suites.base import Loaded, Source, content_digest
from coevolve.suites.catalogue import BY_NAME, Benchmark, Copy
from coevolve.suites.hub import NAME_IT, Found, Unavailable, fetched, in_folder
from coevolve.suites.layouts import LAYOUTS, Layout, answers_digest
from coevolve.suites.rows import ENDINGS, Row, read_rows
from coevolve.worlds.base import Problem

_ANY_COPY = "take another copy; coevolve eval --any-copy accepts this one as it is"


def benchmark_source(name: str, folder: Path | None = None, *, any_copy: bool = False) -> Source:
    """The suite of a benchmark; read when it is loaded, and at once where another number of rows is accepted.

    Args:
        name: of the table in ``catalogue``.
        folder: with NAME.jsonl (.json, .csv, .parquet), or repositories of the hub as they are there; then nothing is
            fetched. None: the cache of the hub, and the hub where it lacks a file.
        any_copy: take also a copy with another number of rows or another content; a note tells of it.
    """
    benchmark = BY_NAME[name]

    @cache
    def load() -> Loaded:
        return _load(benchmark, folder, any_copy)

    size = len(load().problems) if any_copy else benchmark.rows
    return Source(benchmark.name, size, benchmark.licence, load)


def _load(benchmark: Benchmark, folder: Path | None, any_copy: bool) -> Loaded:
    copy, found, notes = _in_folder(benchmark, folder) if folder is not None else _on_the_hub(benchmark)
    rows = [row for file in found.files for row in read_rows(file)]
    layout = _layout(benchmark, copy, rows)
    problems = tuple(layout.problem(benchmark.name, number, row) for number, row in enumerate(rows, start=1))
    digest = content_digest(problems)
    notes += _checked(benchmark, copy, problems, digest, found, any_copy)
    return Loaded(problems, found.copy, digest, tuple(notes))


def _in_folder(benchmark: Benchmark, folder: Path) -> tuple[Copy | None, Found, list[str]]:
    folder = folder.expanduser()
    if not folder.is_dir():
        raise ConfigError("there is no such folder", where=f"data={folder}", fix="name the folder with the benchmarks")
    names = {name.lower() for name in (benchmark.name, *benchmark.other_names)}
    files = [
        file
        for ending in ENDINGS
        for file in sorted(folder.iterdir())
        if file.is_file() and file.suffix.lower() == ending and file.stem.lower().replace("_", "-") in names
    ]
    if files:
        told = [f"{files[0].name} was read, not {', '.join(f.name for f in files[1:])}"] if len(files) > 1 else []
        return None, Found((files[0],), str(files[0])), told
    for copy in benchmark.copies:
        found = in_folder(folder, copy)
        if found is not None:
            return copy, found, []
    raise ConfigError(
        f"{benchmark.name} is not in the folder",
        where=f"data={folder}",
        fix=f"put {benchmark.name}.jsonl there (or .parquet, .csv, .json), or the files of a repository as "
        f"{' or '.join(copy.repo for copy in benchmark.copies)}",
    )


def _on_the_hub(benchmark: Benchmark) -> tuple[Copy, Found, list[str]]:
    refused: list[str] = []
    for copy in benchmark.copies:
        try:
            return (
                copy,
                fetched(copy),
                [f"another copy was taken, {copy.repo}: {'; '.join(refused)}"] if refused else [],
            )
        except Unavailable as error:  # the next copy has the same problems, and the notes say which it was
            refused.append(error.what)
    raise ConfigError(
        f"no copy of {benchmark.name} can be read: {'; '.join(refused)}",
        where=f"suite={benchmark.name}",
        fix=f"put a copy into a folder as {benchmark.name}.jsonl and {NAME_IT}, or fetch it where there is a network: "
        f"hf download --repo-type dataset {benchmark.copies[0].repo}",
    )


def _layout(benchmark: Benchmark, copy: Copy | None, rows: list[Row]) -> Layout:
    """How the rows are read: as the copy is known to be, or a file of a user as any copy of this benchmark is."""
    names = [copy.layout] if copy is not None else list(dict.fromkeys(c.layout for c in benchmark.copies))
    fitting = [name for name in names if not LAYOUTS[name].missing(rows[0].fields)]
    if fitting:
        return LAYOUTS[fitting[0]]
    raise ConfigError(
        f"rows of {benchmark.name} have no field {LAYOUTS[names[0]].missing(rows[0].fields)} "
        f"(there are: {', '.join(rows[0].fields)})",
        where=rows[0].place,
        fix=f"rename it; or the copy has changed: put another one into a folder and {NAME_IT}",
    )


def _checked(
    benchmark: Benchmark, copy: Copy | None, problems: tuple[Problem, ...], digest: str, found: Found, any_copy: bool
) -> list[str]:
    """What to tell of a copy that is not what it should be.

    Raises:
        ConfigError: it is not, and nobody accepted it.
    """
    faults = []
    if len(problems) != benchmark.rows:
        faults.append(f"{benchmark.name} has {benchmark.rows} rows, and this copy {len(problems)}")
    elif benchmark.answers and answers_digest(problems) != benchmark.answers:
        faults.append(f"the answers are not those of {benchmark.name}")
    if copy is not None and copy.digest and digest != copy.digest:
        faults.append(f"the content of {copy.repo} has changed: its digest is {digest[:12]}, not {copy.digest[:12]}")
    if faults and not any_copy:
        raise ConfigError("; ".join(faults), where=found.copy, fix=_ANY_COPY)
    return faults + _repeated(problems)


def _repeated(problems: tuple[Problem, ...]) -> list[str]:
    times = Counter(" ".join(problem.task.question.split()) for problem in problems)
    more = sum(count - 1 for count in times.values())
    return [f"{more} rows repeat an earlier question, as in the set itself"] if more else []
