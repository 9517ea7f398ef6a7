"""Suites of this package: sums and word problems with exact answers, made here, without a package or a network.

``sums`` and ``word-problems``; ``:SIZE`` or ``:SIZE:SEED`` may follow. Equal names and seeds give equal problems in
every process, and a longer set begins with the problems of a shorter one.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from coevolve.errors import ConfigError
from coevolve.suites.base import Loaded, Source, content_digest, task_of
from coevolve.suites.questions import Form
from coevolve.suites.scorers import Computed
from coevolve.suites.stories import STORIES
from coevolve.suites.sums import SUMS
from coevolve.worlds.base import Problem

SIZE, MOST = 200, 2000  # problems of a set: by default, and at most
LICENCE = "Apache-2.0 (this package)"
_SPEC = re.compile(r"([a-z-]+)(?::([0-9]{1,9})(?::([0-9]{1,9}))?)?")
_TRIES = 100  # draws of a form for one question that was not asked before


@dataclass(frozen=True, slots=True)
class OwnSet:
    """A set; ``digest`` is that of its problems at the usual size and seed 0, ``about`` a title for a list."""

    forms: Sequence[Form]
    about: str
    digest: str


SETS: Mapping[str, OwnSet] = {
    "sums": OwnSet(
        SUMS, "Arithmetic in words and symbols", "47ec536a59e20a73d86837d85ff74738b4a5e5e681f3a103f6f5cde12f37a948"
    ),
    "word-problems": OwnSet(
        STORIES, "Word problems of grade school", "1820de1decb0f90cba6ddc5436abde46b4a80b30c5bb5316dd3dd952343243e7"
    ),
}


def is_own(spec: str) -> bool:
    """Whether a text begins with the name of one of these sets."""
    return _written(spec).split(":")[0] in SETS


def own_source(spec: str) -> Source:
    """The source of a set; nothing is made before it is loaded.

    Args:
        spec: ``sums``, ``word-problems:500``, ``sums:50:7``; ``_`` counts as ``-``.

    Raises:
        ConfigError: the size or the seed is no number, or out of range.
    """
    found = _SPEC.fullmatch(_written(spec))
    if found is None or found[1] not in SETS:
        fix = "write NAME, NAME:SIZE or NAME:SIZE:SEED, such as word-problems:500:1"
        raise ConfigError(f"{spec} is no name of a set of this package", where="suites", fix=fix)
    key, size, seed = found[1], int(found[2] or SIZE), int(found[3] or 0)
    if not 0 < size <= MOST:
        raise ConfigError(f"{spec} asks for {size} problems", where="suites", fix=f"ask for 1 to {MOST:,}")
    name = f"{key}:{size}:{seed}" if seed else f"{key}:{size}" if size != SIZE else key
    return Source(name, size, LICENCE, partial(_load, name, key, size, seed))


def _written(spec: str) -> str:
    return spec.strip().lower().replace("_", "-")


def _load(name: str, key: str, size: int, seed: int) -> Loaded:
    forms, seen, problems = SETS[key].forms, set[str](), []
    for number in range(size):
        # Problem i has a generator of its own, so that the size of the set does not change what it is.
        draw = random.Random(f"{key}:{seed}:{number}")
        problems.append(_problem(name, number, forms[number % len(forms)], draw, seen))
    return Loaded(tuple(problems), f"made by this package, seed {seed}", content_digest(problems))


def _problem(name: str, number: int, form: Form, draw: random.Random, seen: set[str]) -> Problem:
    """A problem of a form that was not asked before."""
    for _ in range(_TRIES):
        question, answer = form.make(draw)
        if question not in seen:
            seen.add(question)
            task, truth = task_of(name, str(number), question), str(answer)
            # Expressions count by their value elsewhere; here the value itself is asked for.
            return Problem(task, truth, level=form.level, topic=form.topic, scorer=Computed(truth))
    raise AssertionError(f"the form {form.make.__name__} has too few questions for {name}")
