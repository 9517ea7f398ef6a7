"""What is wrong with a run folder, what ``coevolve resume`` would do, and the way back to its last good state.

A repair deletes nothing: what is damaged, and what came after it, is moved to ``damaged/`` in the run folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coevolve.errors import CoevolveError, RunError
from coevolve.evaluation.phase import run_phases
from coevolve.methods.base import Phase
from coevolve.runs.base_model import base_fault
from coevolve.runs.plan import name_of
from coevolve.store import atomic, manifest, settings
from coevolve.store.checking import Finding, examine
from coevolve.store.lock import FolderLock, holder_if_known
from coevolve.store.manifest import METRICS, TIMINGS, Manifest
from coevolve.worlds.registry import open_world

DAMAGED = "damaged"
_LOOKS = 3  # at a run that is being written


@dataclass(frozen=True, slots=True)
class Start:
    """Where ``coevolve resume`` would begin; ``phase`` is None where everything is finished."""

    phase: str | None
    step: int = 0  # finished steps of a training phase
    steps: int = 0
    batches: int = 0  # kept batches of trajectories of another phase


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found."""

    run: Path
    status: str | None  # None: no manifest is intact
    older: str | None  # why this version may read the run and not resume it; None where it may
    findings: tuple[Finding, ...]
    writer: int | None  # the process that holds the lock
    free_bytes: int
    base_fault: str | None  # of the base model
    start: Start | None  # as the folder is; None while it has to be repaired first
    repaired: Start | None  # after a repair; None where there is no way back

    @property
    def damage(self) -> list[Finding]:
        """What is not intact."""
        return [one for one in self.findings if one.fault is not None]


def diagnose(path: Path) -> Diagnosis:
    """Look at everything and change nothing.

    Raises:
        RunError: there is no run, or one of another version.
    """
    for _ in range(_LOOKS):
        state, findings = examine(path)
        if all(one.fault is None for one in findings) or holder_if_known(path) is None:
            break  # else what the manifest named may have been replaced meanwhile
    start = repaired = fault = older = None
    if state is not None:
        config = settings.parsed(state.config, state, path / manifest.NAME)
        fault = base_fault(open_world(config.world_settings).base_model(), (state.model_extra or {}).get("base"))
        older = _refusal(path, state)
        repaired = _start(run_phases(config), _stepped_back(state, findings))
        hurt = [one for one in findings if one.fault is not None and one.file != manifest.COPY]
        start = None if hurt else repaired
    return Diagnosis(
        run=path,
        status=state.status if state else None,
        older=older,
        findings=tuple(findings),
        writer=holder_if_known(path),
        free_bytes=shutil.disk_usage(path).free,
        base_fault=fault,
        start=start,
        repaired=repaired,
    )


def repair(path: Path) -> list[Path]:
    """Step back to before the earliest damage, so that ``coevolve resume`` makes the same bytes again.

    Returns:
        what was moved away, as it lies in ``damaged/`` now; empty where all was intact.

    Raises:
        RunError: no way back, a run of another version, or one that a process works on.
    """
    examine(path)  # before the lock file is made
    with atomic.writing(path, "the folder has to be writable"):
        lock = FolderLock(path)
    try:
        state, findings = examine(path)
        if state is None:
            raise _lost(path)
        if all(one.fault is None for one in findings):
            return []
        with atomic.writing(path, f"make room on the disk, then: coevolve doctor {path} --repair"):
            return _repair(path, state, findings)
    finally:
        lock.release()


def _repair(path: Path, state: Manifest, findings: Sequence[Finding]) -> list[Path]:
    """Copies of logs first, the manifest next, the rest last: cut off anywhere, it can be done again."""
    back = _stepped_back(state, findings)
    aside = _free_name(path / DAMAGED)
    moved = []
    hurt = {one.file for one in findings if one.fault is not None}
    ends = {log: back.counted_bytes(log) for log in (METRICS, TIMINGS)}
    for name in (METRICS, TIMINGS, settings.NAME, manifest.NAME, manifest.COPY):
        file = path / name
        if file.exists() and (name in hurt or (name in ends and file.stat().st_size > ends[name])):
            atomic.replace_file(aside / name, file.read_bytes())
            moved.append(aside / name)
    if settings.NAME in hurt:
        atomic.replace_file(path / settings.NAME, settings.to_yaml(state.config))
    manifest.save(path, back)
    counted = {name for phase in back.phases for name in phase.files} | set(back.cursor.files if back.cursor else ())
    for one in findings:
        if one.phase is not None and one.file not in ends and one.file not in counted and (path / one.file).exists():
            (aside / one.file).parent.mkdir(parents=True, exist_ok=True)
            (path / one.file).rename(aside / one.file)
            moved.append(aside / one.file)
    for name, end in ends.items():
        if (path / name).exists():
            atomic.shorten(path / name, end)
    return moved


def _stepped_back(state: Manifest, findings: Sequence[Finding]) -> Manifest:
    """The manifest without the phases from the earliest damaged one on."""
    hurt = [one for one in findings if one.fault is not None and one.phase is not None]
    if not hurt:
        return state
    first = min(one.phase for one in hurt if one.phase is not None)
    changes: dict[str, object] = {"status": "interrupted", "phases": state.phases[:first], "cursor": None}
    cursor = state.cursor
    if first == len(state.phases) and cursor is not None and not cursor.step:
        # Batches of trajectories do not need each other; of a save point every part is needed.
        whole = {name: x for name, x in cursor.files.items() if name not in {one.file for one in hurt}}
        changes["cursor"] = cursor.model_copy(update={"files": whole}) if whole else None
    return state.model_copy(update=changes)


def _start(phases: Sequence[Phase], state: Manifest) -> Start:
    finished = {phase.name for phase in state.phases}
    todo = [phase for phase in phases if name_of(phase) not in finished]
    if not todo:
        return Start(None)
    phase, cursor = todo[0], state.cursor
    if cursor is None:
        return Start(name_of(phase), steps=phase.steps if phase.by_steps else 0)
    if phase.by_steps:
        return Start(name_of(phase), step=cursor.step, steps=phase.steps)
    return Start(name_of(phase), batches=len(cursor.files))


def _refusal(path: Path, state: Manifest) -> str | None:
    try:
        manifest.refuse_older(path, state)
    except RunError as error:
        return f"{error.what}   {error.fix}"
    return None


def _free_name(parent: Path) -> Path:
    n = 1
    while (parent / str(n)).exists():
        n += 1
    return parent / str(n)


def _lost(path: Path) -> CoevolveError:
    return RunError(
        f"{manifest.NAME} and its copy are damaged both: nothing says any more what counts in this run",
        where=str(path),
        fix=f"make the run again with the same result: coevolve run --config {path / settings.NAME} --set run.dir=NEW",
    )
