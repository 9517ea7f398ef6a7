"""Runs a method from start to end in a run folder, phase by phase, and can take up any unfinished run."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from coevolve.config import Config
from coevolve.engine.factory import Trainers, require_engine
from coevolve.errors import CoevolveError, EngineError, RunError
from coevolve.evaluation.meters import open_meter
from coevolve.evaluation.phase import labels_of, run_phases, run_reports
from coevolve.evaluation.recorder import Recorder
from coevolve.grading.equivalence import open_judge
from coevolve.grading.symbolic import symbolic_version
from coevolve.methods.base import Phase, Spent, State
from coevolve.methods.registry import check_names
from coevolve.monitor.alarms import alarms
from coevolve.monitor.forecast import Stage
from coevolve.monitor.progress import Progress
from coevolve.monitor.tracking.processes import require_installed, tracking
from coevolve.rollout.base import RolloutSettings
from coevolve.rollout.service import LocalRollouts, worker_count
from coevolve.runs.base_model import base_digest, base_model, check_same_base, fetch_base
from coevolve.runs.clock import PhaseClock
from coevolve.runs.estimate import forewords
from coevolve.runs.journal import Journal, RunSavePoints
from coevolve.runs.plan import name_of, shape_of, workload
from coevolve.runs.stopping import StopRequest
from coevolve.store.checkpoints import RunCheckpoints
from coevolve.store.folder import RunFolder
from coevolve.worlds.registry import open_world, world_named


def start(config: Config, progress: Progress) -> Path:
    """A new run in a new folder; returns the folder.

    Raises:
        CoevolveError: whatever makes the run impossible; what was finished stays in the folder.
    """
    engine = config.engine.model_copy(update={"workers": worker_count(config.engine)})
    config = config.model_copy(update={"engine": engine})
    require_engine(config.engine_settings)
    for line in forewords(shape_of(config), workload(config), config.world):
        progress.note(line)
    fetch_base(config.world, config.model.path)
    base_model(open_world(config.world_settings))  # before a folder is made
    symbolic_version(config.grading.symbolic)
    require_installed(config.track.to)
    name = config.run.name or f"{config.method.replace(':', '.')}-{config.preset}-{config.seed}"
    path = Path(config.run.dir) if config.run.dir else _free_folder(name)
    _execute(RunFolder.create(path, config), progress)
    return path


def resume(path: Path, progress: Progress) -> Path:
    """Go on with a run at the phase it was in. A finished run is left as it is."""
    folder = RunFolder.open(path)
    if folder.records.status == "finished":
        folder.close()
        progress.note(f"{path} is finished already")
        return path
    try:
        check_names(folder.config)
        folder.records.verify_all()
    except CoevolveError:
        folder.close()
        raise
    _execute(folder, progress)
    return path


def _free_folder(name: str) -> Path:
    path, n = Path("runs") / name, 1
    while path.exists():
        n += 1
        path = Path("runs") / f"{name}-{n}"
    return path


def _execute(folder: RunFolder, progress: Progress) -> None:
    stop = StopRequest()
    try:
        with stop.active():
            _work(folder, progress, stop)
    except KeyboardInterrupt:
        _mark(folder, "interrupted")
        raise
    except Exception as error:
        _mark(folder, "failed")
        _refuse_shortage(error, folder.path)
        raise
    finally:
        folder.close()


def _refuse_shortage(error: Exception, run: Path) -> None:
    """
    Raises:
        EngineError: there was no memory where nothing could be done again in smaller parts.
    """
    from coevolve.engine.local.shortage import out_of_memory

    if out_of_memory(error):
        raise EngineError(
            f"memory ran out: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=str(run),
            fix=f"where there is more memory: coevolve resume {run}   or a new run with lora.enabled=true, "
            "engine.optimizer=adamw-8bit, engine.checkpointing=true or a smaller engine.max_rows",
        ) from error


def _work(folder: RunFolder, progress: Progress, stop: StopRequest) -> None:
    config = folder.config
    fetch_base(config.world, config.model.path)
    world, meter = open_world(config.world_settings), open_meter(config.world, config.dialogue)
    base = base_model(world)
    check_same_base(folder.records.facts.get("base"), base)
    with (
        open_judge(config.grading) as judge,
        closing(LocalRollouts(RolloutSettings.of(config, world.contract, labels_of(config)), base)) as rollouts,
        tracking(folder.path, config.track, progress.note) as trackers,
    ):
        todo = [phase for phase in run_phases(config) if not folder.records.is_done(name_of(phase))]
        progress.start(
            _title(config.method, config.preset, config.seed, config.engine.workers),
            [Stage.of(phase) for phase in todo],
        )
        note = world_named(config.world).note
        if note and config.model.path is None:
            progress.note(note)
        folder.set_status("running", contract=rollouts.settings.hash, base=base_digest(base))
        recorder = Recorder(folder, meter, judge)
        checkpoints = RunCheckpoints(folder.records, base)
        open_trainer = Trainers(config.engine_settings, base, progress.note).open_trainer
        folder.set_status("running", sandbox=rollouts.layers)
        spent = Spent()
        clock = PhaseClock(folder, rollouts, spent)
        save_points = RunSavePoints(folder, clock, stop)
        journal = Journal(rollouts, folder, clock, stop)
        state = State(
            config,
            world,
            rollouts,
            checkpoints,
            open_trainer,
            folder,
            recorder,
            progress,
            judge,
            save_points,
            spent,
        )
        ends = {later.iteration: later for later in todo}  # the last phase of each iteration
        for phase in todo:
            with stop.working():
                own = state if phase.by_steps else replace(state, rollouts=journal)
                _run_phase(folder, phase, own, recorder, progress, clock, last=phase is ends[phase.iteration])
            trackers.notice()
            stop.check()
        folder.set_status("finished")


def _mark(folder: RunFolder, status: str) -> None:
    """Write down how the run ended; when the disk forbids that, the fault that ended it is still the one to tell."""
    with suppress(RunError):
        folder.set_status(status)


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
    shortages = state.rollouts.cost.shortages
    files = [*phase.run(state), *recorder.take_files()]
    if state.rollouts.cost.shortages > shortages:
        progress.note("memory ran out in rollouts: they go on with fewer sequences at once (engine.max_rows)")
    if last:
        _look_for_alarms(folder, phase.iteration, progress)
    folder.log_timing({"phase": name, "iteration": phase.iteration} | clock.end())
    folder.finish(name, files)
    progress.end_phase(phase.report.line(folder.records.metrics(), phase.iteration))


def _look_for_alarms(folder: RunFolder, iteration: int, progress: Progress) -> None:
    for alarm in alarms(folder.records.metrics(), iteration, run_reports(folder.config)):
        folder.log(alarm.row(iteration))
        progress.note(f"ALARM in iteration {iteration}: {alarm.text}   (docs/health.md)")


def _title(method: str, preset: str, seed: int, workers: int) -> str:
    shown = f"{workers} rollout worker{'s' if workers > 1 else ''}"
    return f"coevolve run {method}   preset {preset} · seed {seed} · {shown}"
