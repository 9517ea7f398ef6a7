"""Suites by what a user writes: the name of a benchmark, a set of this package, ``gym:SET``, or a file."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from coevolve.errors import ConfigError
from coevolve.suites.base import Source
from coevolve.suites.benchmarks import benchmark_source
from coevolve.suites.catalogue import BENCHMARKS, BY_NAME, named
from coevolve.suites.files import file_source
from coevolve.suites.generated import generated_source
from coevolve.suites.generated import names as generated_names
from coevolve.suites.own import SETS, is_own, own_source
from coevolve.suites.rows import ENDINGS, like

GENERATED = "gym:"  # the prefix of generated sets
_A_FILE = f"a file of your own is named by its path ({', '.join(ENDINGS)})"


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of ``coevolve eval --list``."""

    name: str
    title: str
    size: int
    licence: str
    origin: str  # the ids on the hub in order of preference, or the generator
    other_names: tuple[str, ...] = ()


def find(spec: str, folder: Path | None = None, *, any_copy: bool = False) -> Source:
    """The source that a user means.

    Args:
        spec: a benchmark ("gsm8k"), a set of this package ("sums", "word-problems:500:1"), one of reasoning-gym
            ("gym:word-problems"), or a file (.jsonl, .json, .parquet, .csv).
        folder: with copies of benchmarks, for machines without a network.
        any_copy: take a copy of a benchmark also where its content is not the one that is known.

    Raises:
        ConfigError: there is none; says what exists.
    """
    text = spec.strip()
    if text.lower().startswith(GENERATED):
        return generated_source(text[len(GENERATED) :])
    if is_own(text) and not _is_file(text):
        return own_source(text)
    benchmark = named(text)
    if benchmark is not None and not _is_file(text):
        return benchmark_source(benchmark.name, folder, any_copy=any_copy)
    if _is_file(text) or "/" in text or Path(text).suffix.lower() in ENDINGS:
        return file_source(Path(text).expanduser())
    raise ConfigError(f"no suite named {spec!r}", where=f"suite={text}", fix=_nearest(text))


def names() -> tuple[str, ...]:
    """All names that stand for a suite; of a benchmark the one that metrics and tables use."""
    return (*(benchmark.name for benchmark in BENCHMARKS), *SETS, *_generated_names())


def listing() -> tuple[Listed, ...]:
    """All suites that have a name, the benchmarks first, for a person to choose from."""
    benchmarks = tuple(
        Listed(b.name, b.title, b.rows, b.licence, ", ".join(copy.repo for copy in b.copies), b.other_names)
        for b in BENCHMARKS
    )
    own = tuple(
        Listed(source.name, SETS[name].about, source.size, source.licence, "this package")
        for name, source in ((name, own_source(name)) for name in SETS)
    )
    generated = tuple(
        Listed(source.name, "generated", source.size, source.licence, "reasoning-gym")
        for source in map(generated_source, generated_names())
    )
    return benchmarks + own + generated


def _generated_names() -> tuple[str, ...]:
    return tuple(f"{GENERATED}{name}" for name in generated_names())


def _is_file(text: str) -> bool:
    return bool(text) and Path(text).expanduser().is_file()


def _nearest(text: str) -> str:
    every = (*BY_NAME, *SETS, *_generated_names())
    near = difflib.get_close_matches(text.lower().replace("_", "-"), every, n=3)
    told = [*like(Path(text).expanduser()), *(getattr(BY_NAME.get(name), "name", name) for name in near)]
    if told:
        return f"did you mean {' or '.join(dict.fromkeys(told))}? {_A_FILE}"
    return f"one of {', '.join(names())}; {_A_FILE}"
