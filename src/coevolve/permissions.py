"""Modes of files: who may read and write them, said in words, and what the umask asks for.

A file that this user may not read is neither damaged nor missing; whoever may can say what it holds.
"""

from __future__ import annotations

import errno
import os
import pwd
import shlex
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_DENIED = {errno.EACCES, errno.EPERM}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a file cannot be read or written, and what to do about it."""

    what: str
    fix: str


def is_denied(error: OSError) -> bool:
    """Whether an error is about permissions, and nothing else is known to be wrong."""
    return error.errno in _DENIED


def may_read(path: Path) -> bool:
    """Whether nothing keeps this user from reading a file, which need not exist."""
    if _closed(path) is not None:
        return False
    return not os.path.lexists(path) or os.access(path, os.R_OK, effective_ids=True)


def reading(path: Path, error: OSError, whole: Path) -> Refusal:
    """Why a file that is there could not be read.

    Args:
        path: the file.
        error: what the system said.
        whole: what it is a part of, and should be readable together with it, such as a run folder.
    """
    if not is_denied(error):
        return Refusal(
            f"could not be read: {error.strerror or error}",
            f"look after the disk or its connection, then try again; move what is lost out of {whole} yourself",
        )
    place = _closed(path) or path.absolute()
    what = f"may not be read by {_me()}: {_belonging(place, path)}"
    who = "u" if _is_mine(place) else "go"
    inside = place.is_relative_to(whole.absolute())
    command = f"chmod -R {who}+rX {shlex.quote(str(whole))}" if inside else f"chmod {who}+x {shlex.quote(str(place))}"
    if _is_mine(place):
        return Refusal(what, f"let yourself read it: {command}")
    return Refusal(what, f"work as {_owner(place)}, or have {_owner(place)} let you read it: {command}")


def writing(path: Path) -> Refusal:
    """Why this user may not write a file or folder."""
    place = _closed(path) or _locked(path.absolute())
    what = f"may not be written by {_me()}: {_belonging(place, path)}"
    if _is_mine(place):
        return Refusal(what, f"let yourself write there: chmod u+w {shlex.quote(str(place))}")
    return Refusal(what, f"work as {_owner(place)}")


def _closed(path: Path) -> Path | None:
    """The outermost folder on the way to a path that this user may not pass."""
    above = (folder for folder in reversed(path.absolute().parents) if os.path.lexists(folder))
    return next((folder for folder in above if not os.access(folder, os.X_OK, effective_ids=True)), None)


def _locked(path: Path) -> Path:
    """What has to be writable for a path to be written: the nearest folder that is there, else the file itself."""
    folder = next(folder for folder in path.parents if folder.exists())
    return path if path.exists() and os.access(folder, os.W_OK, effective_ids=True) else folder


def _belonging(place: Path, path: Path) -> str:
    name = "it" if place == path.absolute() else str(place)
    try:
        return f"{name} belongs to {_owner(place)} (mode {stat.S_IMODE(place.stat().st_mode):03o})"
    except OSError:
        return f"{name} belongs to {_owner(place)}"


def _is_mine(path: Path) -> bool:
    with suppress(OSError):
        return path.stat().st_uid == os.geteuid()
    return False


def _owner(path: Path) -> str:
    try:
        return _name(path.stat().st_uid)
    except OSError:
        return "its owner"


def _me() -> str:
    return _name(os.geteuid())


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def umask() -> int:
    """The bits that this process leaves out of the modes of new files."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)  # a system that does not tell: another thread's new file may be private for this instant
    os.umask(mask)
    return mask


def follow_umask(path: Path) -> None:
    """Give a file, or a folder with everything in it, the modes that the umask asks for.

    Some libraries write their files for the owner only, through a temporary file, whatever the umask says.
    """
    mask = umask()
    for one in (path, *path.rglob("*")):
        if not one.is_symlink():
            known = stat.S_IMODE(one.stat().st_mode)
            wanted = (known & 0o7000) | ((0o777 if one.is_dir() else 0o666) & ~mask)
            if wanted != known:
                with suppress(PermissionError):  # a file system without modes
                    one.chmod(wanted)
