"""Copies of benchmarks on the Hugging Face hub: which of a repository's files have the rows, and how they get here.

Only data files are read, with our own readers: nothing of a repository is executed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from coevolve.engine.hub import Undownloadable, download
from coevolve.errors import CoevolveError, ConfigError
from coevolve.suites.catalogue import Copy
from coevolve.suites.rows import ENDINGS

NAME_IT = "name that folder (--data, or evaluation.suite_data)"
_SPLITS = ("train", "test", "validation", "valid", "val", "dev")
_NO_ROWS = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json"}


class Unavailable(CoevolveError):
    """A copy cannot be had: another one may be taken in its place."""


@dataclass(frozen=True, slots=True)
class Found:
    """The files of one copy that have the rows."""

    files: tuple[Path, ...]
    copy: str  # with its commit and split


def fetched(copy: Copy) -> Found:
    """A copy from the cache of the hub's own client, and from the hub where the cache lacks it.

    Raises:
        Unavailable: it is not here and cannot be had; says why.
        ConfigError: it is here, and has no such split.
    """
    folder = _cached(copy)
    if folder is None or not _of_split(folder, copy):  # others may have left a part of the files there
        folder = _downloaded(copy)
    return Found(files_of(folder, copy), f"{copy.repo}@{folder.name[:7]} {_part(copy)}")


def in_folder(folder: Path, copy: Copy) -> Found | None:
    """A copy whose repository lies in a folder, by its name, by that of its owner and its own, or as in the cache."""
    owner, name = copy.repo.split("/")
    snapshots = folder / f"datasets--{owner}--{name}" / "snapshots"
    held = sorted(snapshots.iterdir()) if snapshots.is_dir() else []
    for place in (*reversed(held), folder / owner / name, folder / name):
        if place.is_dir() and _data_files(place, copy.config):
            return Found(files_of(place, copy), f"{place} {_part(copy)}")
    return None


def files_of(folder: Path, copy: Copy) -> tuple[Path, ...]:
    """The data files of a split, all of one format.

    Files that name no split at all are taken as they are: a set with a single file has often none.

    Raises:
        ConfigError: there are files, and none of them is of this split.
    """
    of_split = _of_split(folder, copy)
    if not of_split:
        splits = sorted({_split_of(file.relative_to(folder)) for file in _data_files(folder, copy.config)})
        raise ConfigError(
            f"{copy.repo} has no split {copy.split!r} (there is: {', '.join(splits) or 'no file with rows'})",
            where=str(folder),
            fix=f"the copy has changed: put another one, NAME.jsonl, into a folder and {NAME_IT}",
        )
    ending = next(ending for ending in ENDINGS if any(file.suffix.lower() == ending for file in of_split))
    return tuple(file for file in of_split if file.suffix.lower() == ending)


def _of_split(folder: Path, copy: Copy) -> list[Path]:
    found = _data_files(folder, copy.config)
    splits = {file: _split_of(file.relative_to(folder)) for file in found}
    return [file for file in found if splits[file] == copy.split] if any(splits.values()) else found


def _part(copy: Copy) -> str:
    return f"{copy.config}/{copy.split}" if copy.config else copy.split


def _data_files(folder: Path, config: str) -> list[Path]:
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in ENDINGS
        and file.name not in _NO_ROWS
        and config in file.relative_to(folder).as_posix()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def _split_of(path: Path) -> str:
    """The split in a file's name, or in the name of a folder above it."""
    for part in reversed(path.with_suffix("").parts):
        words = re.split(r"[^a-z]+", part.lower())
        for split in _SPLITS:
            if split in words:
                return "validation" if split in ("valid", "val") else split
    return ""


def _patterns(copy: Copy) -> list[str]:
    return [f"*{copy.config}*{ending}" if copy.config else f"*{ending}" for ending in ENDINGS]


def _cached(copy: Copy) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                copy.repo,
                repo_type="dataset",
                revision=copy.revision,
                allow_patterns=_patterns(copy),
                local_files_only=True,
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError):
        return None


def _downloaded(copy: Copy) -> Path:
    try:
        return download(copy.repo, repo_type="dataset", revision=copy.revision, files=_patterns(copy))
    except Undownloadable as refused:
        raise Unavailable(f"{copy.repo}: not in the cache, and {refused.why} ({refused.fix})") from refused
