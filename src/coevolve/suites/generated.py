"""Generated suites: problems of reasoning-gym with exact answers, as many as one likes, without a network.

``gym:SET`` is one of the sets of ``generators.py``; ``gym:GENERATOR`` any generator by its own name. ``:SIZE`` and
``:SIZE:SEED`` may follow. Equal names, seeds and versions of the package give equal problems in every process.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib import import_module, metadata
from typing import Any

from coevolve.errors import ConfigError
from coevolve.grading.graders import one_line
from coevolve.suites.base import Loaded, Source, content_digest, task_of
from coevolve.suites.generators import ANSWERS, PARAMETERS, REFUSED, SETS, VERSION, How, Part
from coevolve.suites.scorers import ByPackage, Computed, OneOf, Reaches
from coevolve.worlds.base import Problem

PACKAGE, LICENCE = "reasoning-gym", "Apache-2.0"
SIZE_OF_GENERATOR = 200
MOST = 100_000  # problems of a set
_SPEC = re.compile(r"([A-Za-z0-9_-]+)(?::([0-9]{1,9})(?::([0-9]{1,9}))?)?")
_TRIES = 20  # problems made for each one that is wanted, before a generator counts as used up


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: str  # of the source
    parts: tuple[Part, ...]
    size: int
    seed: int
    digest: str = ""  # that is known of VERSION; empty: none


def names() -> tuple[str, ...]:
    """The sets that have a name of their own."""
    return tuple(SETS)


def generated_source(name: str) -> Source:
    """The source of a set or generator; nothing is generated, nor the package imported, before it is loaded.

    Args:
        name: ``arithmetic``, ``gsm_symbolic``, with ``:SIZE`` or ``:SIZE:SEED`` behind it; without the prefix ``gym:``.

    Raises:
        ConfigError: there is no such set or generator, its answers cannot be compared, or a number is out of range.
    """
    wanted = _wanted(name)
    return Source(wanted.name, wanted.size, f"{LICENCE} ({PACKAGE})", partial(_load, wanted))


def _wanted(name: str) -> _Wanted:
    spec = _SPEC.fullmatch(name)
    if spec is None:
        fix = "write gym:NAME, gym:NAME:SIZE or gym:NAME:SIZE:SEED, such as gym:gsm_symbolic:500:1"
        raise ConfigError(f"gym:{name} is no name of a generated suite", where="suites", fix=fix)
    key = _known(spec[1])
    named = SETS.get(key)
    usual = named.size if named else SIZE_OF_GENERATOR
    size, seed = int(spec[2] or usual), int(spec[3] or 0)
    if not 0 < size <= MOST:
        raise ConfigError(f"gym:{name} asks for {size} problems", where="suites", fix=f"ask for 1 to {MOST:,}")
    full = f"gym:{key}:{size}:{seed}" if seed else f"gym:{key}:{size}" if size != usual else f"gym:{key}"
    parts = named.parts if named else (Part(key, 1),)
    return _Wanted(full, parts, size, seed, named.digest if named and size == usual and not seed else "")


def _known(name: str) -> str:
    """The set or generator that is meant; ``-`` and ``_`` count as equal."""
    every = {one.replace("-", "_"): one for one in (*ANSWERS, *REFUSED, *SETS)}
    key = every.get(name.lower().replace("-", "_"))
    if key is None:
        text, usable = name.lower().replace("-", "_"), [one for one in every if every[one] not in REFUSED]
        begun = [one for one in usable if one.startswith(text)]
        near = begun[:3] or difflib.get_close_matches(text, usable, n=3, cutoff=0.5)
        told = f"did you mean {' or '.join(f'gym:{every[one]}' for one in near)}? " if near else ""
        sets = ", ".join(f"gym:{one}" for one in SETS)
        fix = f"{told}the sets are {sets}; docs/suites.md lists the generators"
        raise ConfigError(
            f"{PACKAGE} {VERSION} has no generator {name!r}, and no set is called so", where="suites", fix=fix
        )
    if key in REFUSED:
        fix = "choose another generator; docs/suites.md lists them"
        raise ConfigError(f"gym:{key} cannot be measured: {REFUSED[key]}", where="suites", fix=fix)
    return key


def _load(wanted: _Wanted) -> Loaded:
    try:
        package = import_module("reasoning_gym")
    except ModuleNotFoundError as error:
        if error.name != "reasoning_gym":
            raise
        fix = "pip install 'coevolve[gym]'"
        raise ConfigError(f"{wanted.name} needs the package {PACKAGE}", where="suites", fix=fix) from error
    version = metadata.version(PACKAGE)
    problems: list[Problem] = []
    seen: set[str] = set()
    with redirect_stdout(io.StringIO()):  # some generators print
        for number, (part, size) in enumerate(zip(wanted.parts, _sizes(wanted), strict=True)):
            problems += _of_part(package, wanted, part, number, size, seen)
    digest = content_digest(problems)
    return Loaded(tuple(problems), f"{PACKAGE} {version} seed {wanted.seed}", digest, _notes(wanted, version, digest))


def _notes(wanted: _Wanted, version: str, digest: str) -> tuple[str, ...]:
    if wanted.digest in ("", digest):
        return ()
    what = f"{PACKAGE} {version} does not make the problems that {VERSION} made as {wanted.name}"
    return (f"{what} (digest {digest[:12]}, not {wanted.digest[:12]}): compare only figures of one digest",)


def _sizes(wanted: _Wanted) -> list[int]:
    """Problems of each part, in proportion to the shares; they add up to the size of the set."""
    shares = [part.share for part in wanted.parts]
    ends = [wanted.size * sum(shares[: i + 1]) // sum(shares) for i in range(len(shares))]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _of_part(package: Any, wanted: _Wanted, part: Part, number: int, size: int, seen: set[str]) -> Iterator[Problem]:
    """The first problems of a part that have an answer and that were not asked before."""
    # The package seeds problem i with seed + i, so that neighbouring seeds would have nearly the same problems.
    parameters = {**PARAMETERS.get(part.generator, {}), **part.parameters}
    key = f"{wanted.seed}:{number}:{part.generator}:{json.dumps(parameters, sort_keys=True)}"
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4])
    most = _TRIES * max(size, 1)
    made = package.create_dataset(part.generator, size=most, seed=seed, **parameters)
    found = 0
    for i in range(most):
        if found == size:
            return
        row = made[i]
        question, truth = row["question"].strip(), _truth(part.generator, row)
        if question in seen or not truth:
            continue
        seen.add(question)
        found += 1
        answers = ANSWERS[part.generator]
        yield Problem(
            task_of(wanted.name, f"{part.generator}-{number}-{i}", question),
            truth,
            kind=answers.kind,
            level=part.level,
            topic=part.generator,
            scorer=_scorer(answers.how, part.generator, parameters, row, truth),
        )
    if found < size:
        fewer = max(wanted.size * found // size, 1)
        fix = f"ask for fewer: {':'.join(wanted.name.split(':')[:2])}:{fewer}"
        what = f"{part.generator} made only {found} different problems with an answer where {size} are wanted"
        raise ConfigError(what, where=wanted.name, fix=fix)


def _truth(generator: str, row: Mapping[str, Any]) -> str:
    facts = row["metadata"]
    if generator == "graph_color":  # which states none, but knows one
        return json.dumps({str(vertex): color for vertex, color in facts["possible_answer"].items()})
    if generator == "coin_flip":  # whose decimals are rounded to ten digits
        return f"{facts['rational']['numerator']}/{facts['rational']['denominator']}"
    return str(row["answer"]).strip()


def _scorer(
    how: How, generator: str, parameters: Mapping[str, object], row: Mapping[str, Any], truth: str
) -> Callable[[str], bool] | None:
    facts = row["metadata"]
    match how:
        case How.GRADER:
            return None
        case How.COMPUTED:
            return Computed(truth)
        case How.REACHES:
            return Reaches(tuple(facts["numbers"]), facts.get("target", 24))
        case How.ONE_OF:
            return OneOf(frozenset(map(one_line, facts["valid_answers"])))
        case How.PACKAGE:
            return ByPackage(generator, tuple(sorted(parameters.items())), row)
