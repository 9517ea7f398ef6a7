"""Which runs are seeds of one setting: those whose configurations say the same but for the seed.

A folder's name may say so too: ``<label>-s<seed>``. Runs of different labels are never put together, so that code that
was edited between two sets of runs can be compared under two names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from coevolve.config import Config
from coevolve.config.keys import shown, values_by_key
from coevolve.errors import RunError

_SEEDED = re.compile(r"(?P<label>.+)-s[0-9]+")
# What says where a run was, on which machine and how fast, but not what it computes. Workers share out the random
# numbers in other ways, which is another draw and not another setting.
_OF_THE_PLACE = {
    "preset", "engine.threads", "engine.workers", "engine.device", "engine.gpus", "engine.max_rows",
    "engine.micro_batch_tokens", "engine.checkpointing", "engine.probe_tolerance", "sandbox.backend", "sandbox.url",
    "sandbox.dialect", "sandbox.requests", "sandbox.patience_s", "sandbox.workers", "sandbox.namespaces", "tool.cache",
    "evaluation.suite_data",
}  # fmt: skip
_SECTIONS_OF_THE_PLACE = ("run.", "track.", "vllm.")


class Seeded(Protocol):
    """What is known of a run that is to be grouped."""

    @property
    def path(self) -> Path:
        """Its folder."""

    @property
    def seed(self) -> int:
        """Its seed."""

    @property
    def config(self) -> Config:
        """Its configuration."""

    @property
    def base(self) -> object:
        """The digest of its base model; None where it was not recorded."""


R = TypeVar("R", bound=Seeded)


def label_of(folder: Path) -> str | None:
    """The label in a name ``<label>-s<seed>``; None of any other name."""
    seeded = _SEEDED.fullmatch(folder.resolve().name)
    return seeded["label"] if seeded else None


def refuse_another(
    folder: Path, found: Mapping[str, object], expected: Mapping[str, object], *, asked: str, fix: str
) -> None:
    """Refuse a folder whose run has other values than the one that is looked for.

    Args:
        found, expected: values by key; one that is missing is null.
        asked: what the run should have been, for the message.
        fix: what to do about it.

    Raises:
        RunError: they differ.
    """
    different = [key for key in {**expected, **found} if expected.get(key) != found.get(key)]
    if different:
        listing = "; ".join(f"{key} is {shown(found.get(key))}, not {shown(expected.get(key))}" for key in different)
        raise RunError(f"the folder holds another run than {asked}: {listing}", where=str(folder), fix=fix)


def setting(values: Mapping[str, object]) -> dict[str, object]:
    """Of the values of all keys, those that make two runs the same setting: not the seed, nor what says where."""
    return {
        key: value
        for key, value in values.items()
        if key != "seed" and key not in _OF_THE_PLACE and not key.startswith(_SECTIONS_OF_THE_PLACE)
    }


def unlike(first: Seeded, second: Seeded) -> list[str]:
    """The keys in which two runs are not the same setting. Base models are compared by their weights, where known."""
    a, b = (setting(values_by_key(run.config)) for run in (first, second))
    if first.base is not None and second.base is not None:
        a["model.path"], b["model.path"] = first.base, second.base
    return [key for key in {**a, **b} if a.get(key) != b.get(key)]


def grouped(runs: Sequence[R]) -> dict[str, list[R]]:
    """Runs by label, in the order given, seeds ascending.

    A run joins the first group of its setting that has no run of its seed and no other label than its own.

    Raises:
        RunError: two runs of a label share their seed or differ in more than their seed.
    """
    groups: list[list[R]] = []
    for run in runs:
        named = [group for group in groups if label_of(run.path) and _label(group) == label_of(run.path)]
        for group in named:
            _refuse_contradiction(str(_label(group)), group, run)
        home = next((group for group in named or groups if _fits(group, run)), None)
        if home is None:
            groups.append([run])
        else:
            home.append(run)
    return {name: sorted(group, key=lambda run: run.seed) for name, group in zip(_names(groups), groups, strict=True)}


def equal_settings(groups: Sequence[Sequence[Seeded]]) -> list[tuple[int, int]]:
    """The pairs of groups, by index, that are one setting under two labels."""
    pairs = [(i, j) for j in range(len(groups)) for i in range(j)]
    return [(i, j) for i, j in pairs if not unlike(groups[i][0], groups[j][0])]


def _label(group: Sequence[Seeded]) -> str | None:
    """What the names of a group's folders say, where any says something."""
    return next((label for run in group if (label := label_of(run.path))), None)


def _fits(group: Sequence[Seeded], run: Seeded) -> bool:
    labels = {_label(group), label_of(run.path)} - {None}
    return len(labels) < 2 and all(run.seed != other.seed for other in group) and not unlike(group[0], run)


def _refuse_contradiction(label: str, group: Sequence[Seeded], run: Seeded) -> None:
    if any(other.seed == run.seed for other in group):
        what = f"both runs of {label} have seed {run.seed}: the same measurement twice"
        raise RunError(what, where=str(run.path), fix="name each seed once")
    different = unlike(group[0], run)
    if different:
        what = f"the runs of {label} differ in more than their seed: {', '.join(different)}"
        raise RunError(what, where=str(run.path), fix="give runs of other settings a name of their own")


def _names(groups: Sequence[Sequence[Seeded]]) -> list[str]:
    """A name per group: its label, else what its folders' names have in common, else the first of them."""
    wanted = [_label(group) or _common(group) for group in groups]
    names: list[str] = []
    for name, group in zip(wanted, groups, strict=True):
        clear = _label(group) is not None or wanted.count(name) == 1
        names.append(name if clear and name not in names else str(group[0].path.resolve()))
    return names


def _common(group: Sequence[Seeded]) -> str:
    """``agent0-mini`` of agent0-mini-0 and agent0-mini-1; of a single run its whole name."""
    first = group[0].path.resolve().name
    if len(group) == 1:
        return first
    stems = {re.sub(rf"-{run.seed}(-[0-9]+)?$", "", run.path.resolve().name) for run in group}
    return stems.pop() if len(stems) == 1 else f"{first} and {len(group) - 1} more"
