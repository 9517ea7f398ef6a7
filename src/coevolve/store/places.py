"""Where a run may begin: in a new or empty folder, or where an earlier start came to nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from coevolve.errors import RunError
from coevolve.store import atomic, manifest, settings
from coevolve.store.lock import holder_if_known, is_held

LOCK = ".lock"
ELSEWHERE = "choose a place that you can write to: --set run.dir=..."
_BEFORE_A_RUN = {LOCK, settings.NAME, f".{settings.NAME}.partial", f".{manifest.NAME}.partial"}
_MANIFESTS = {manifest.NAME, manifest.COPY, f".{manifest.NAME}.partial", f".{manifest.COPY}.partial"}
# What a run has before anything of it counts. Everything else is somebody's work, also what a repair moved away.
_OF_A_STUB = (
    _BEFORE_A_RUN
    | _MANIFESTS
    | {manifest.METRICS, manifest.TIMINGS, "partial", "track", "report", "provenance", "meter"}
)


def is_stub(folder: Path) -> bool:
    """Whether a run began here and came to nothing: no phase of it is finished, and nothing of one is kept."""
    try:
        state = manifest.read(folder)
        names = {entry.name for entry in folder.iterdir()}
    except (RunError, OSError):
        return False
    return not state.phases and state.cursor is None and not names - _OF_A_STUB


def is_free(folder: Path) -> bool:
    """Whether a run may begin in a folder, which need not exist, and no process is beginning one there."""
    try:
        refuse_occupied(folder)
        if folder.exists():
            atomic.require_writable(folder)  # a stub of another user is one to leave alone
    except (RunError, OSError):
        return False
    return not is_held(folder)


def refuse_occupied(folder: Path) -> None:
    """Let a run begin only in a new or empty folder, or in one that a run left before anything of it counted.

    Raises:
        RunError: the folder holds a run or anything else, or a process is beginning a run there.
        OSError: it cannot be looked into.
    """
    if not folder.exists():
        return
    names = {entry.name for entry in folder.iterdir()}
    other = "choose another folder: --set run.dir=NEW"
    if manifest.NAME in names and not is_stub(folder):
        fix = f"go on with it: coevolve resume {folder}   or {other}"
        raise RunError("this folder already holds a run", where=str(folder), fix=fix)
    if manifest.NAME not in names and names and (LOCK not in names or names - _BEFORE_A_RUN):
        raise RunError("the folder is not empty", where=str(folder), fix=other)


def require_place(folder: Path) -> None:
    """See that a run could begin in a folder, which need not exist; nothing is made.

    Raises:
        RunError: it is occupied, in use, or cannot be written.
    """
    with atomic.writing(folder, ELSEWHERE, ELSEWHERE):
        refuse_occupied(folder)
        atomic.require_writable(folder)
    if is_held(folder):
        process = holder_if_known(folder)
        what = "another process is writing to this run" + (f" (process {process})" if process is not None else "")
        raise RunError(what, where=str(folder), fix="wait until it has ended, or choose another folder: run.dir=NEW")


@contextmanager
def undoing(made: Sequence[Path], run: Path | None = None) -> Iterator[None]:
    """Take back what the block, which begins a run, has done when it fails; see ``remove``."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # the fault that ended the block is the one to tell
            remove(made, run)
        raise


def remove(made: Sequence[Path], run: Path | None = None) -> None:
    """Remove a run that has not begun, and the folders that were made for it unless somebody has put something there.

    Args:
        made: these folders, the innermost first.
        run: the folder of the run, whose lock this process holds; None where nothing stands in it yet.

    Raises:
        OSError: the system refused.
    """
    if run is not None:
        clear(run)
        (run / LOCK).unlink(missing_ok=True)
    for folder in made:
        with suppress(OSError):
            folder.rmdir()


def clear(folder: Path) -> None:
    """Remove what a start left that came to nothing; its manifest goes last, so that it can be done again.

    Raises:
        OSError: the system refused.
    """
    names = {entry.name for entry in folder.iterdir()} & _OF_A_STUB - {LOCK}
    for name in sorted(names, key=lambda name: (name in _MANIFESTS, name == manifest.NAME)):
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        else:
            (folder / name).unlink()
