"""``coevolve export``: the folders of a run's agents and of its data set, whole or not there at all."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from coevolve.engine.hub import fetch_model, is_made_here
from coevolve.errors import ConfigError, RunError
from coevolve.evaluation.oracle import refuse_oracle
from coevolve.export.cards import RunFacts, shown
from coevolve.export.dataset import write_dataset
from coevolve.export.models import Origin, write_model
from coevolve.methods.figures import taught_by
from coevolve.methods.registry import method_named, trained_agents
from coevolve.methods.reporting import Summary
from coevolve.monitor.summary import summarise
from coevolve.store import atomic
from coevolve.store.prompts import with_own_prompts
from coevolve.store.records import RunRecords
from coevolve.worlds.registry import open_world, world_named

MODELS, DATASET = "models", "dataset"
KINDS = (MODELS, DATASET)


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and what one should know about it."""

    folders: dict[str, Path]  # "dataset", and the ids of the agents that there are
    iteration: int | None  # of the agents; None when none was asked for
    notes: tuple[str, ...]  # what is missing or not final
    commands: tuple[str, ...]  # that push each folder; nothing is pushed here


def export(
    run: Path, to: Path, what: Sequence[str] = KINDS, iteration: int | None = None, *, merge: bool = False
) -> Exported:
    """Write the folders of a run, finished or not, into a new folder.

    Args:
        run: folder of the run.
        to: the folder to make; it must not exist.
        what: of KINDS, at least one.
        iteration: the agents of this iteration and the data up to it; default: the newest with all agents.
        merge: the agents of a run with LoRA as whole models instead of adapters.

    Raises:
        ConfigError: ``what`` names something else, ``to`` exists, or there is nothing to merge.
        RunError: the run has nothing of what is asked for, a file of it is damaged, or the disk refuses.
    """
    unknown = [kind for kind in what if kind not in KINDS]
    if unknown or not what:
        named = f"{unknown[0]!r} cannot be exported" if unknown else "nothing is asked for"
        raise ConfigError(named, where="--what", fix=f"--what {','.join(KINDS)}, or one of them")
    if to.exists():
        raise ConfigError("the folder exists already; nothing is overwritten", where=str(to), fix="name a new folder")
    folder = RunRecords.open(run)
    if folder.config.oracle:
        raise refuse_oracle(run, "exported")
    facts = _facts(folder, summarise(run))
    if merge and not (folder.config.lora.enabled and MODELS in what):
        raise ConfigError(
            "there is no adapter to merge: the agents of this run are whole models"
            if MODELS in what
            else "there is nothing to merge: no agents are asked for",
            where="--merge",
            fix="leave it out",
        )
    notes = [] if folder.status == "finished" else [f"the run is not finished ({folder.status})"]
    writers: dict[str, Callable[[Path], None]] = {}
    chosen = None
    if MODELS in what:
        chosen = _chosen(folder, iteration)
        if chosen < folder.config.iterations:
            notes.append(f"the agents are those of iteration {chosen} of {folder.config.iterations}")
        writers |= _model_writers(folder, facts, chosen, notes, merge=merge)
    if DATASET in what and writers and folder.status == "finished" and not folder.recorded("tasks/"):
        notes.append("this method writes no pools of tasks, so there is no data set")
    elif DATASET in what:
        writers[DATASET] = _dataset_writer(folder, facts, chosen if iteration is None else iteration, notes)

    def write_all(path: Path) -> None:
        for name, write in writers.items():
            write(path / name)

    again = "make room on the disk or name another folder, then run the same command again"
    with atomic.writing(to, again, "name another folder: --to DIR"):
        atomic.replace_folder(to, write_all)
    folders = {name: to / name for name in writers}
    return Exported(folders, chosen, tuple(notes), tuple(_push(run, name, path) for name, path in folders.items()))


def _chosen(folder: RunRecords, asked: int | None) -> int:
    """The iteration whose agents are taken: all trained agents have a finished checkpoint there.

    Raises:
        RunError: there is none, or not the one that was asked for.
    """
    trained = trained_agents(folder.config)
    if not trained:
        raise RunError("this run trains no agent", where=str(folder.path), fix=f"export its data: --what {DATASET}")
    whole = [
        t
        for t in range(1, folder.config.iterations + 1)
        if all(folder.recorded(f"checkpoints/iteration-{t}/{agent}/") for agent in trained)
    ]
    if not whole:
        go_on = f"coevolve resume {folder.path}   or export its data: --what {DATASET}"
        raise RunError("no iteration of this run has finished training", where=str(folder.path), fix=go_on)
    if asked is not None and asked not in whole:
        there = ", ".join(map(str, whole))
        raise RunError(
            f"iteration {asked} has no trained agents (yet)", where=str(folder.path), fix=f"--iteration one of: {there}"
        )
    return whole[-1] if asked is None else asked


def _facts(folder: RunRecords, summary: Summary) -> RunFacts:
    config, method = folder.config, method_named(folder.config.method)
    return RunFacts(
        method=config.method,
        world=config.world,
        preset=config.preset,
        seed=config.seed,
        paper=method.paper,
        agents=method.agents(config),
        answerer=method.answerer,
        tool=config.tool.enabled,
        taught_by=taught_by(teacher=config.teaching is not None),
        settings=shown(config.model_dump()),
        summary=summary,
    )


def _model_writers(
    folder: RunRecords, facts: RunFacts, iteration: int, notes: list[str], *, merge: bool
) -> dict[str, Callable[[Path], None]]:
    """By agent, the one that answers first."""
    config = with_own_prompts(folder)
    if config.model.path and is_made_here(config.model.path):
        fetch_model(config.model.path)  # no download, and the cache may have been emptied since
    world, example = open_world(config.world_settings), world_named(config.world).example
    calls = ("```output", *(("\n```\n",) if config.tool.call_at == "fence" else ())) if config.tool.enabled else ()
    origin = Origin(facts, world.contract, example, world.base_model(), config.model, config.lora.enabled, calls)
    writers: dict[str, Callable[[Path], None]] = {}
    for agent in sorted(facts.agents, key=lambda agent: agent.id != facts.answerer):
        if agent.trained:
            source = folder.checkpoint(iteration, agent.id)
            writers[agent.id] = lambda path, source=source, agent=agent: write_model(  # type: ignore[misc]
                path, source, origin, agent, iteration, merge=merge
            )
        else:
            notes.append(f"the {agent.label} was not trained: it is the base model and has no folder here")
    return writers


def _dataset_writer(folder: RunRecords, facts: RunFacts, until: int | None, notes: list[str]) -> Callable[[Path], None]:
    """Checked before anything is written.

    Raises:
        RunError: no pool is finished, or a table is damaged.
    """
    if not folder.recorded("tasks/"):
        fix = f"coevolve resume {folder.path}   or export its agents: --what {MODELS}"
        raise RunError("this run has no finished pool, so there is no data", where=str(folder.path), fix=fix)
    for prefix in ("tasks/", "trajectories/", "meter/"):
        folder.verify(prefix)
    if not folder.recorded("trajectories/"):
        notes.append("the run did not keep its trajectories (run.keep_trajectories): the data set has tasks only")
    return lambda path: write_dataset(path, folder, facts, until)


def _push(run: Path, name: str, folder: Path) -> str:
    """The command that one may give; the hub makes the repository."""
    kind = " --repo-type dataset" if name == DATASET else ""
    return f"hf upload {shlex.quote(f'{run.resolve().name}-{name}')} {shlex.quote(str(folder))} . --private{kind}"
