"""Runs a method from start to end in a run folder, phase by phase, and can take up any unfinished run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coevolve.config import Config
from coevolve.engine.factory import Trainers
from coevolve.errors import BudgetSpent, EngineError, NothingToLearn, RunError
from coevolve.evaluation.chosen import FACTS, changes, chosen, keep, kept_files, kept_sources
from coevolve.evaluation.meters import open_meter
from coevolve.evaluation.oracle import ORACLE_FACT, TrueLabels
from coevolve.evaluation.phase import labels_of, run_phases, run_reports
from coevolve.evaluation.recorder import Recorder
from coevolve.grading.equivalence import Judge, open_judge
from coevolve.methods.base import Phase, Spent, State
from coevolve.methods.registry import check_names, own_code
from coevolve.monitor.alarms import alarms
from coevolve.monitor.forecast import Stage
from coevolve.monitor.progress import Progress
from coevolve.monitor.tracking.processes import tracking
from coevolve.rollout.base import RolloutSettings
from coevolve.rollout.service import LocalRollouts, worker_count
from coevolve.runs import preflight, provenance
from coevolve.runs.base_model import base_digest, check_same_base
from coevolve.runs.clock import PhaseClock
from coevolve.runs.journal import Journal, RunSavePoints
from coevolve.runs.learnable import require_learning
from coevolve.runs.plan import name_of, needs_of, planned
from coevolve.runs.preflight import Launch
from coevolve.runs.speed import PeakMemory, foretold, outcome_sentence
from coevolve.runs.stopping import StopRequest
from coevolve.runs.teaching import open_teacher
from coevolve.store import manifest, places
from coevolve.store.checkpoints import RunCheckpoints
from coevolve.store.folder import RunFolder
from coevolve.store.prompts import FACT as PROMPTS
from coevolve.store.prompts import changed_prompts, prompts_fact, with_own_prompts
from coevolve.store.records import RunRecords
from coevolve.suites.base import Source
from coevolve.worlds.base import Meter, World
from coevolve.worlds.registry import open_world, world_named


def start(config: Config, progress: Progress, began: Callable[[Path], None] = lambda folder: None) -> Path:
    """A new run in a new folder; returns the folder.

    The folder is made when everything else is ready, so that a start that fails leaves nothing behind.

    Args:
        began: told the folder as soon as there is one.

    Raises:
        CoevolveError: whatever makes the run impossible; what was finished stays in the folder.
    """
    engine = config.engine.model_copy(update={"workers": worker_count(config.engine)})
    config = config.model_copy(update={"engine": engine})
    sources = chosen(config.evaluation)
    preflight.require(Launch(config, _place(config), progress.note, sources=sources))
    needs = needs_of(config, sources=sources)
    expected = foretold(needs, lambda speed: planned(config, sources, speed), progress.note)
    return _execute(config, progress, None, sources, began, expected)


def resume(path: Path, progress: Progress) -> Path:
    """Go on with a run at the phase it was in. A finished run is left as it is."""
    state = manifest.read(path)
    manifest.refuse_older(path, state)
    if state.status == "finished":  # which anybody may be told who may read it
        progress.note(f"{path} is finished already")
        return path
    folder = RunFolder.open(path)
    try:
        config = with_own_prompts(folder.records)
        check_names(config)
        require_learning(folder.records)
        folder.records.verify_all()
        finished = frozenset(folder.records.finished_phases)
        sources = kept_sources(folder.records, folder.config.evaluation)
        if sources is None:  # the process ended before it had kept them
            sources = chosen(folder.config.evaluation)
        for line in (*changes(folder.records, folder.config.evaluation), *changed_prompts(folder.records)):
            progress.note(line)
        preflight.require(Launch(config, path, progress.note, finished, sources))
        return _execute(config, progress, folder, sources)
    finally:
        folder.close()


def _place(config: Config) -> Path:
    """The folder of a new run: the one that was asked for, else the first free one of its name."""
    if config.run.dir:
        return Path(config.run.dir)
    name = config.run.name or f"{config.method.replace(':', '.')}-{config.preset}-{config.seed}"
    path, n = Path("runs") / name, 1
    while not places.is_free(path):
        n += 1
        path = Path("runs") / f"{name}-{n}"
    return path


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a run needs besides its folder."""

    world: World
    meter: Meter
    base: Path
    base_digest: str
    judge: Judge
    rollouts: LocalRollouts


@contextmanager
def _parts(config: Config) -> Iterator[_Parts]:
    """Everything that can fail without a folder, workers with their models and sandboxes included."""
    world, meter = open_world(config.world_settings), open_meter(config.world, config.dialogue, sandbox=config.sandbox)
    base = world.base_model()
    with (
        open_judge(config.grading) as judge,
        closing(LocalRollouts(RolloutSettings.of(config, world.contract, labels_of(config)), base)) as rollouts,
    ):
        digest = base_digest(base)  # while the workers start
        rollouts.wait()
        yield _Parts(world, meter, base, digest, judge, rollouts)


def _execute(
    config: Config,
    progress: Progress,
    folder: RunFolder | None,
    sources: Sequence[Source],
    began: Callable[[Path], None] = lambda folder: None,
    expected: Mapping[str, object] | None = None,
) -> Path:
    """Do the phases that are not finished, in a new folder where none is given."""
    finished = folder.records.finished_phases if folder else []
    todo = [phase for phase in run_phases(config, sources) if name_of(phase) not in finished]
    progress.start(
        _title(config.method, config.preset, config.seed, config.engine.workers), [Stage.of(phase) for phase in todo]
    )
    stop = StopRequest()
    try:
        with stop.active(), _parts(config) as parts:
            if folder is None:
                folder = RunFolder.create(_place(config), config)
                began(folder.path)
            _work(folder, parts, todo, sources, progress, stop, expected or {})
            return folder.path
    except KeyboardInterrupt:
        _leave(folder, "interrupted")
        raise
    except (NothingToLearn, BudgetSpent):
        _leave(folder, "interrupted")
        raise
    except Exception as error:
        _leave(folder, "failed")
        _refuse_shortage(error, folder.path if folder else None)
        raise
    finally:
        if folder:
            folder.close()


def _leave(folder: RunFolder | None, status: str) -> None:
    """Write down how the run ended, and leave nothing of one that never began.

    Where the disk forbids that, the fault that ended it is still the one to tell.
    """
    with suppress(RunError):
        if folder and folder.is_new and not folder.has_begun:
            folder.discard()
        elif folder:
            folder.set_status(status)


def _refuse_shortage(error: Exception, run: Path | None) -> None:
    """
    Raises:
        EngineError: there was no memory where nothing could be done again in smaller parts.
    """
    from coevolve.engine.local.shortage import out_of_memory

    if out_of_memory(error):
        raise EngineError(
            f"memory ran out: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=str(run) if run else "",
            fix=f"where there is more memory: {f'coevolve resume {run}' if run else 'the same command'}   or a new run "
            "with lora.enabled=true, "
            "engine.optimizer=adamw-8bit, engine.checkpointing=true or a smaller engine.max_rows",
        ) from error


def _work(
    folder: RunFolder,
    parts: _Parts,
    todo: Sequence[Phase],
    sources: Sequence[Source],
    progress: Progress,
    stop: StopRequest,
    expected: Mapping[str, object],
) -> None:
    config, rollouts = folder.config, parts.rollouts
    check_same_base(folder.records.facts.get("base"), parts.base)
    with (
        tracking(folder.path, config.track, progress.note) as trackers,
        open_teacher(config.teaching, config.world, folder.path / "teacher") as teacher,
        closing(Trainers(config.engine_settings, parts.base, progress.note)) as trainers,
    ):
        note = world_named(config.world).note
        if note and config.model.path is None:
            progress.note(note)
        suites = keep(folder, sources, config.evaluation.suite_limit)
        folder.set_status(
            "running",
            **({FACTS: suites} if suites else {}),
            **prompts_fact(config.model.prompts, folder.records.facts.get(PROMPTS)),
            **({"planned": expected} if expected else {}),
            contract=rollouts.settings.hash,
            base=parts.base_digest,
            sandbox=rollouts.layers,
            starts=provenance.with_start(
                folder.path, folder.records.facts, *provenance.started(own_code(config), config.engine.device)
            ),
            **(ORACLE_FACT if config.oracle else {}),
        )
        labeller = TrueLabels(parts.meter, config.world) if config.oracle else None
        recorder = Recorder(folder, parts.meter, parts.judge, labeller, kept_files(folder.records))
        checkpoints = RunCheckpoints(folder.records, parts.base)
        spent = Spent()
        clock = PhaseClock(folder, rollouts, spent)
        memory = PeakMemory(os.getpid())

        def after_first_step(records: RunRecords) -> None:
            memory.look()
            require_learning(records)

        save_points = RunSavePoints(folder, clock, stop, after_first_step)
        journal = Journal(rollouts, folder, clock, stop)
        state = State(
            config,
            parts.world,
            rollouts,
            checkpoints,
            trainers.open_trainer,
            folder,
            recorder,
            progress,
            parts.judge,
            save_points,
            spent,
            labeller,
            teacher,
        )
        ends = {later.iteration: later for later in todo}  # the last phase of each iteration
        for phase in todo:
            with stop.working():
                own = state if phase.by_steps else replace(state, rollouts=journal)
                _run_phase(folder, phase, own, recorder, progress, clock, last=phase is ends[phase.iteration])
            trackers.notice()
            stop.check()
        processes = (*rollouts.processes, *trainers.processes)
        folder.set_status("finished", **_taken(folder, memory.bytes(processes), progress))


def _taken(folder: RunFolder, memory: int | None, progress: Progress) -> dict[str, object]:
    """What the run has taken, for its manifest, told beside what was planned.

    Args:
        memory: bytes at its fullest, asked for while all of its processes are still there.
    """
    expected = folder.records.facts.get("planned")
    if not isinstance(expected, Mapping):
        return {}
    cpu_s = sum(float(str(row.get("cpu_s", 0))) for row in folder.records.timings())
    if said := outcome_sentence(expected, memory, cpu_s):
        progress.note(said)
    return {"taken": {"memory_bytes": memory, "cpu_s": cpu_s}}


def _run_phase(
    folder: RunFolder,
    phase: Phase,
    state: State[Any],
    recorder: Recorder,
    progress: Progress,
    clock: PhaseClock,
    *,
    last: bool,
) -> None:
    name = name_of(phase)
    folder.begin(name)
    clock.begin(folder.records.cursor.times if folder.records.cursor else {})
    progress.phase(Stage.of(phase))
    before = state.rollouts.cost
    files = [*phase.run(state), *recorder.take_files()]
    after = state.rollouts.cost
    for sentence in dict.fromkeys(after.told[len(before.told) :]):  # each worker has its own tool
        progress.note(sentence)
    if after.shortages > before.shortages:
        progress.note("memory ran out in rollouts: they go on with fewer sequences at once (engine.max_rows)")
    if last:
        _look_for_alarms(folder, phase.iteration, progress)
    folder.log_timing({"phase": name, "iteration": phase.iteration} | clock.end())
    folder.finish(name, files)
    progress.end_phase(phase.report.line(folder.records.metrics(), phase.iteration))
    require_learning(folder.records)


def _look_for_alarms(folder: RunFolder, iteration: int, progress: Progress) -> None:
    for alarm in alarms(folder.records.metrics(), iteration, run_reports(folder.config), folder.config):
        folder.log(alarm.row(iteration))
        progress.note(f"ALARM in iteration {iteration}: {alarm.text}   (docs/health.md)")


def _title(method: str, preset: str, seed: int, workers: int) -> str:
    shown = f"{workers} rollout worker{'s' if workers > 1 else ''}"
    return f"coevolve run {method}   preset {preset} · seed {seed} · {shown}"
