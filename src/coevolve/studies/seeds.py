"""A set of runs that differ in their seed alone, each in a folder ``<name>-s<seed>``.

A member's configuration lists all seeds of its set (``run.seeds``), so that any of them can take up the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from coevolve.config import Config
from coevolve.config.keys import values_by_key
from coevolve.errors import ConfigError, RunError
from coevolve.store import manifest, settings
from coevolve.store.places import is_stub
from coevolve.studies.grouping import refuse_another, setting

MemberState = Literal["missing", "unfinished", "finished"]


@dataclass(frozen=True, slots=True)
class Member:
    """One run of a set, as it is to be or as it is."""

    path: Path
    config: Config

    def state(self) -> MemberState:
        """How far it is, after a check that its folder holds a run of this setting and seed.

        A folder without a finished phase counts as missing: a run begins there anew.

        Raises:
            RunError: the folder holds a run of another configuration, or a damaged one.
        """
        if not (self.path / manifest.NAME).exists() or is_stub(self.path):
            return "missing"
        state = manifest.read(self.path)
        found, expected = (values_by_key(c) for c in (settings.read(self.path, state), self.config))
        mine, theirs = ({"seed": x["seed"], **setting(x)} for x in (expected, found))
        fix = "choose another name with --set run.name=NAME, or move this one away"
        refuse_another(self.path, theirs, mine, asked="was asked for", fix=fix)
        return "finished" if state.status == "finished" else "unfinished"


def seeds_of(text: str) -> list[int]:
    """``0,1,2`` as numbers.

    Raises:
        ConfigError: they are none, or a number stands twice.
    """
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = [-1]
    if min(seeds) < 0:
        raise ConfigError(f"seeds are whole numbers from 0 on, not {text!r}", where="--seeds", fix="--seeds 0,1,2")
    if len(set(seeds)) < len(seeds):
        raise ConfigError("seeds must be different numbers", where="--seeds", fix="--seeds 0,1,2")
    return seeds


def member_path(stem: Path, seed: int) -> Path:
    """``<stem>-s<seed>``: ``coevolve compare`` reads such folders as seeds of one label."""
    return stem.with_name(f"{stem.name}-s{seed}")


def stem_of(run: Path, seed: int) -> Path | None:
    """What the folders of a set have in common, from one of them; None where its name does not end with its seed."""
    ending = f"-s{seed}"
    resolved = run if run.name else run.resolve()
    stem = resolved.name.removesuffix(ending)
    return resolved.with_name(stem) if stem and resolved.name.endswith(ending) else None


def waits_for_others(run: Path, values: Mapping[str, object], seed: int) -> bool:
    """Whether a run belongs to a set of which others are not finished.

    Args:
        values: section ``run`` of its configuration.
    """
    seeds, stem = values.get("seeds"), stem_of(run, seed)
    if not isinstance(seeds, Sequence) or stem is None:
        return False
    return not all(_is_finished(member_path(stem, other)) for other in seeds)


def _is_finished(run: Path) -> bool:
    try:
        return manifest.read(run).status == "finished"
    except RunError:
        return False
