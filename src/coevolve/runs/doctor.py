"""What is wrong with a run folder, what ``coevolve resume`` would do, and the way back to its last good state.

A repair deletes nothing: what is damaged, and what came after it, is moved to ``damaged/`` in the run folder, with the
manifest of before. It is planned first, by what ``diagnose`` shows, and done as planned. What could not be read is not
damaged: nothing is done about it, and nothing is repaired before it can be read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coevolve.errors import CoevolveError, RunError
from coevolve.evaluation.phase import run_phases
from coevolve.methods.base import Phase
from coevolve.runs.base_model import base_fault
from coevolve.runs.plan import name_of
from coevolve.store import atomic, manifest, settings
from coevolve.store.checking import Finding, examine
from coevolve.store.lock import FolderLock, holder_if_known, is_held
from coevolve.store.manifest import METRICS, TIMINGS, Manifest
from coevolve.store.standing import standing
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
class Repair:
    """What ``repair`` does, in this order.

    Args:
        aside: the folder that takes what is moved or replaced; copied back over the run it undoes the repair.
        copied: files that are kept there before they are replaced or cut off.
        moved: files that are moved there.
        shortened: logs that are cut off, with their new lengths.
        rewritten: files that are written anew from what is known of them.
        undone: names of finished phases that do not count any more.
        start: where ``coevolve resume`` begins after it.
    """

    aside: Path
    copied: tuple[str, ...]
    moved: tuple[str, ...]
    shortened: Mapping[str, int]
    rewritten: tuple[str, ...]
    undone: tuple[str, ...]
    start: Start


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found."""

    run: Path
    status: str | None  # None: no manifest is intact
    older: str | None  # why this version may read the run and not resume it; None where it may
    findings: tuple[Finding, ...]
    is_held: bool  # a process holds the lock
    writer: int | None  # that process, where it is one of this machine
    free_bytes: int
    base_fault: str | None  # of the base model
    start: Start | None  # as the folder is; None while it has to be repaired, or made readable, first
    repair: Repair | None  # None where nothing has to be repaired, or there is no way back, or something is unreadable

    @property
    def damage(self) -> list[Finding]:
        """What is not intact."""
        return [one for one in self.findings if one.is_damaged]

    @property
    def unreadable(self) -> list[Finding]:
        """What could not be read, so that nothing says whether it is intact."""
        return [one for one in self.findings if one.access is not None]


def diagnose(path: Path) -> Diagnosis:
    """Look at everything and change nothing.

    Raises:
        RunError: there is no run, or one of another version.
    """
    for _ in range(_LOOKS):
        state, findings = examine(path)
        if all(one.fault is None for one in findings) or not is_held(path):
            break  # else what the manifest named may have been replaced meanwhile
    start = planned = fault = older = None
    if state is not None:
        config = settings.parsed(state.config, state, path / manifest.NAME)
        base, known = open_world(config.world_settings).base_model(), (state.model_extra or {}).get("base")
        fault = base_fault(base, known, config.model.path)
        older = _refusal(path, state)
        planned = _planned(path, state, findings, run_phases(config))
        hurt = [one for one in findings if one.fault is not None and one.file != manifest.COPY]
        start = None if hurt else _start(run_phases(config), state)
    return Diagnosis(
        run=path,
        status=standing(path, state.status) if state else None,
        older=older,
        findings=tuple(findings),
        is_held=is_held(path),
        writer=holder_if_known(path),
        free_bytes=shutil.disk_usage(path).free,
        base_fault=fault,
        start=start,
        repair=planned,
    )


def repair(path: Path, announce: Callable[[Repair], None] = lambda plan: None) -> Repair | None:
    """Step back to before the earliest damage, so that ``coevolve resume`` makes the same bytes again.

    Args:
        announce: told what will be done before anything is.

    Returns:
        what was done; None where all was intact.

    Raises:
        RunError: no way back, something that cannot be read, a run of another version, or one that a process works on.
    """
    state, findings = examine(path)  # before the lock file is made
    _refuse_unreadable(path, findings)
    if state is not None and all(one.fault is None for one in findings):
        return None
    with atomic.writing(path, "the folder has to be writable"):
        lock = FolderLock(path)
    try:
        state, findings = examine(path)
        _refuse_unreadable(path, findings)
        if state is None:
            raise _lost(path)
        config = settings.parsed(state.config, state, path / manifest.NAME)
        plan = _planned(path, state, findings, run_phases(config))
        if plan is not None:
            announce(plan)
            with atomic.writing(path, f"make room on the disk, then: coevolve doctor {path} --repair"):
                _carry_out(path, plan, state, _stepped_back(state, findings))
        return plan
    finally:
        lock.release()


def _refuse_unreadable(path: Path, findings: Sequence[Finding]) -> None:
    """
    Raises:
        RunError: something could not be read.
    """
    unknown = [one for one in findings if one.access is not None]
    if unknown:
        more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
        raise manifest.Unreadable(
            f"nothing was changed: {unknown[0].file} {unknown[0].fault}{more}; whether it is intact is not known",
            where=str(path),
            fix=str(unknown[0].access),
        )


def _planned(path: Path, state: Manifest, findings: Sequence[Finding], phases: Sequence[Phase]) -> Repair | None:
    hurt = {one.file for one in findings if one.is_damaged}
    if not hurt or any(one.access is not None for one in findings):
        return None
    back = _stepped_back(state, findings)
    ends = {log: back.counted_bytes(log) for log in (METRICS, TIMINGS)}
    shortened = {log: end for log, end in ends.items() if _length(path / log) > end}
    rewritten = [settings.NAME] if settings.NAME in hurt else []
    rewritten += [name for name in (manifest.NAME, manifest.COPY) if name in hurt or back is not state]
    counted = {name for phase in back.phases for name in phase.files} | set(back.cursor.files if back.cursor else ())
    moved = dict.fromkeys(one.file for one in findings if one.phase is not None)
    return Repair(
        aside=_free_name(path / DAMAGED),
        copied=tuple(name for name in (*shortened, *rewritten) if (path / name).exists()),
        moved=tuple(
            name for name in moved if name not in ends and name not in counted and os.path.lexists(path / name)
        ),
        shortened=shortened,
        rewritten=tuple(rewritten),
        undone=tuple(phase.name for phase in state.phases[len(back.phases) :]),
        start=_start(phases, back),
    )


def _length(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _carry_out(path: Path, plan: Repair, state: Manifest, back: Manifest) -> None:
    """Copies first, the manifest before logs are cut: cut off anywhere, it can be done again and nothing is lost."""
    for name in plan.copied:
        atomic.replace_file(plan.aside / name, (path / name).read_bytes())
    for name in plan.moved:
        (plan.aside / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).rename(plan.aside / name)
    if settings.NAME in plan.rewritten:
        atomic.replace_file(path / settings.NAME, settings.to_yaml(state.config))
    manifest.save(path, back)
    for name, end in plan.shortened.items():
        atomic.shorten(path / name, end)


def _stepped_back(state: Manifest, findings: Sequence[Finding]) -> Manifest:
    """The manifest without the phases from the earliest damaged one on."""
    hurt = [one for one in findings if one.is_damaged and one.phase is not None]
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
