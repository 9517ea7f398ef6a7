"""The packages that snippets may import: a folder of their own that contains nothing of the trainer's.

By default it is built, once for each set of versions, from the installed distributions that the preloads need:
hard links where the file system allows them, otherwise copies, with fresh bytecode. It can be replaced by a virtual
environment or a package folder of the user's."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from coevolve.errors import SandboxUnavailable
from coevolve.sandbox.launch import interpreter
from coevolve.system import cache_folder

_MARKER = "complete.json"
_PACKAGES = "packages"
_UNFINISHED = ".building-"
# Other people's absolute paths (of an install from a folder), and lists that no longer fit what is here
_LEFT_OUT = ("direct_url.json", "RECORD", "INSTALLER", "REQUESTED")
_READABLE = 0o644


def folder_for(preload: tuple[str, ...], chosen: str | None) -> Path | None:
    """The folder that snippets import from: the chosen one, or one built for the preloads; None for none.

    Raises:
        SandboxUnavailable: a preload is not installed there, or the folder cannot be used or built.
    """
    wanted = sorted({name.partition(".")[0] for name in preload} - sys.stdlib_module_names)
    if chosen is not None:
        folder = _own(Path(chosen).expanduser().absolute())
        _require(wanted, folder, f"Install it: {_install_command(folder)} NAME")
        return folder
    if not wanted:
        return None
    folder = _built([_distribution_of(name) for name in wanted])
    _require(wanted, folder, f"Delete {folder.parent} to have it built anew.")
    return folder


def importable(folder: Path | None) -> frozenset[str]:
    """The names of the packages and modules at the top of a folder of packages."""
    return frozenset(path.name.partition(".")[0] for path in folder.iterdir()) if folder else frozenset()


def _own(path: Path) -> Path:
    """Where the packages of a virtual environment, or of a plain folder, are."""
    if not path.is_dir():
        raise SandboxUnavailable(
            f"The folder of packages for snippets does not exist: {path}.",
            where="sandbox.environment",
            fix=f"Make it: {interpreter()} -m venv {path}, or leave the key out.",
        )
    if not (path / "pyvenv.cfg").is_file():
        return path
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folder = path / "lib" / f"{version}{sys.abiflags}" / "site-packages"
    if not folder.is_dir():
        made_by = ", ".join(sorted(found.name for found in (path / "lib").glob("python*"))) or "no Python known here"
        raise SandboxUnavailable(
            f"The virtual environment is for {made_by}, snippets run in {version}.",
            where=f"sandbox.environment={path}",
            fix=f"Make it anew: {interpreter()} -m venv --clear {path}",
        )
    return folder


def _install_command(folder: Path) -> str:
    if folder.name == "site-packages" and len(folder.parents) > 2:
        own_python = folder.parents[2] / "bin" / "python"
        if own_python.exists():
            return f"{own_python} -m pip install"
    return f"{sys.executable} -m pip install --target {folder}"


def _require(names: Iterable[str], folder: Path, fix: str) -> None:
    for name in names:
        if PathFinder.find_spec(name, [str(folder)]) is None:
            raise SandboxUnavailable(
                f"The package {name!r}, to be preloaded for snippets, is not in their folder of packages.",
                where=str(folder),
                fix=fix.replace("NAME", name),
            )


def _distribution_of(name: str) -> Distribution:
    """The installed distribution that a top-level module comes from."""
    try:
        return distribution(name)
    except PackageNotFoundError:
        candidates = packages_distributions().get(name, [])
    if not candidates:
        raise SandboxUnavailable(
            f"The package {name!r}, to be preloaded for snippets, is not installed.",
            where="sandbox.preload",
            fix=f"Install {name}, or leave it out of sandbox.preload.",
        )
    return distribution(candidates[0])


def _with_requirements(roots: list[Distribution]) -> list[Distribution]:
    """The distributions and, transitively, those they require, by name. A required one that is not installed is left
    out: importing the preload will show whether it was needed.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, Distribution] = {}
    todo = list(roots)
    while todo:
        this = todo.pop()
        if found.setdefault(canonicalize_name(this.name), this) is not this:
            continue
        for requirement in map(Requirement, this.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                with suppress(PackageNotFoundError):
                    todo.append(distribution(requirement.name))
    return [found[name] for name in sorted(found)]


def _built(roots: list[Distribution]) -> Path:
    """The folder with these distributions and what they require; it is built if it is not there yet."""
    distributions = _with_requirements(roots)
    digest = hashlib.sha256(f"{sys.version} {interpreter()}".encode())
    for one in distributions:
        digest.update(f"{one.name} {one.version} {one.locate_file('')} {one.read_text('RECORD')}".encode())
    cache = cache_folder("sandbox")
    final = cache / digest.hexdigest()[:20]
    if not (final / _MARKER).is_file():
        try:
            with _only_builder(cache):
                if not (final / _MARKER).is_file():  # another process was quicker
                    _build(distributions, cache, final)
        except OSError as error:
            raise SandboxUnavailable(
                f"The folder of packages for snippets cannot be built: {error}.",
                where=str(cache),
                fix="Make room there, name another place by XDG_CACHE_HOME, or set sandbox.environment.",
            ) from error
    return final / _PACKAGES


@contextmanager
def _only_builder(cache: Path) -> Iterator[None]:
    """One process builds at a time; unfinished work, also that of a killed process, is removed."""
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            for unfinished in cache.glob(f"{_UNFINISHED}*"):
                shutil.rmtree(unfinished, ignore_errors=True)


def _build(distributions: list[Distribution], cache: Path, final: Path) -> None:
    """Build elsewhere and move into place, so that the folder is either complete or absent."""
    aside = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=cache))
    packages = aside / _PACKAGES
    packages.mkdir()
    for one in distributions:
        _add(one, packages)
    _compile(packages, final / _PACKAGES)
    for folder, _, _ in os.walk(aside):
        os.chmod(folder, 0o755)  # whatever the umask: snippets of a trainer run by root run as nobody
    content = {"python": sys.version, "packages": [f"{one.name}=={one.version}" for one in distributions]}
    (aside / _MARKER).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if final.exists():  # damaged: its marker is missing
        final.rename(Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=cache)) / "damaged")
    aside.rename(final)


def _add(one: Distribution, packages: Path) -> None:
    files = [f for f in one.files or () if ".." not in f.parts and not f.is_absolute() and f.suffix != ".pyc"]
    if not any(f.suffix in (".py", ".so") for f in files):
        raise SandboxUnavailable(
            f"Which files belong to {one.name} {one.version} is not recorded.",
            where=str(one.locate_file("")),
            fix=f"Install {one.name} with pip, not in editable mode and not by the system's packages, or set "
            "sandbox.environment to a folder of packages.",
        )
    made: set[Path] = set()
    for file in files:
        if file.name in _LEFT_OUT and file.parts[0].endswith(".dist-info"):
            continue
        target = packages / file
        if target.parent not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        _link_or_copy(os.path.realpath(str(one.locate_file(file))), target)


def _link_or_copy(source: str, target: Path) -> None:
    """A file that nobody else may read is copied: its link would be just as unreadable."""
    if os.stat(source).st_mode & _READABLE == _READABLE:
        try:
            os.link(source, target)
            return
        except OSError:  # another file system, or one without links, or not our file: copy
            pass
    shutil.copyfile(source, target)
    os.utime(target, ns=(os.stat(source).st_atime_ns, os.stat(source).st_mtime_ns))
    os.chmod(target, _READABLE)


def _compile(packages: Path, final: Path) -> None:
    """Compile all but tests, which nobody imports, by the interpreter that will load it, for its final place.

    What does not compile (templates, code for other versions) cannot be imported either way.
    """
    command = [interpreter(), "-I", "-m", "compileall", "-qq", "-j0", "-x", r"/tests?/"]
    subprocess.run([*command, "-s", str(packages), "-p", str(final), str(packages)], env={}, umask=0o022, check=False)
