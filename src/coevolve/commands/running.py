"""``coevolve run`` and ``coevolve resume``: start the driver, then say what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from coevolve.api.running import shown
from coevolve.commands import faults
from coevolve.commands.compare import comparison_of, print_set
from coevolve.commands.plan import (
    plan_json,
    print_costs,
    print_memory,
    print_settings,
    print_shortages,
    print_suites,
    suites_json,
)
from coevolve.commands.results import print_ending
from coevolve.commands.supervising import tell_folder
from coevolve.config import Config
from coevolve.errors import ConfigError, RunError
from coevolve.runs.existing import RUNS, runs_below
from coevolve.store import manifest, settings
from coevolve.store.lock import is_held
from coevolve.store.places import is_stub
from coevolve.studies.seeds import Member, member_path, seeds_of, stem_of, waits_for_others
from coevolve.system import usable_cores


def show_plan(config: Config, *, as_json: bool) -> None:
    """``--dry-run``: the plan, and the first thing that keeps it from this machine as an error.

    Raises:
        CoevolveError: the device is here, but memory or disk is short, or texts are longer than the model allows; or
            a suite cannot be read.
    """
    from coevolve.evaluation.chosen import chosen
    from coevolve.runs.estimate import fit_here
    from coevolve.runs.plan import needs_of, planned
    from coevolve.runs.room import shortages_here
    from coevolve.runs.speed import is_timed, measured_speed
    from coevolve.worlds.registry import world_named

    sources = chosen(config.evaluation)
    needs = needs_of(config, sources=sources)
    fit, short = fit_here(needs.shape, needs.load), shortages_here(needs, _stem(config))
    speed = measured_speed(needs) if is_timed(needs) and not short else None
    phases = planned(config, sources, speed)
    if as_json:
        print(plan_json(config.model_dump(), phases, fit, short, suites_json(sources, config.evaluation)))
    else:
        console, engine = Console(), config.engine
        embedded = engine.device == "cpu" and world_named(config.world).sizes is not None
        print_settings(console, config.model_dump())
        print_suites(console, sources, config.evaluation)
        print_costs(console, phases, usable_cores(), timed=embedded or speed is not None, speed=speed)
        if speed is not None or not embedded:
            print_memory(console, engine, needs.model, fit, timed=speed is not None)
        if config.run.seeds:
            folders = ", ".join(str(member.path) for member in _members(config, _stem(config)))
            many = f"{len(config.run.seeds)} such runs, one after the other: {folders}"
            console.print(many, highlight=False, markup=False, soft_wrap=True)
        print_shortages(console, short)
    if short:
        raise short[0]


def refuse_oracle(config: Config, *, of_a_study: bool) -> None:
    """Let only a study train on true labels.

    Raises:
        ConfigError: the configuration asks for them by itself.
    """
    if config.oracle and not of_a_study:
        raise ConfigError(
            "true labels are for rows of a study: a run on them is no result of a method",
            where="solver.labels = truth",
            fix="leave it out; what labels by vote cost: coevolve study oracle-gap",
        )


def seeds_as_override(seed: int | None, seeds: str | None, overrides: Sequence[str]) -> list[str]:
    """``--seed 1`` and ``--seeds 0,1,2`` as the keys that they stand for.

    Raises:
        ConfigError: they are no seeds, or another seed is asked for as well.
    """
    given = {"--seed": seed, "--seeds": seeds}
    named = [name for name, value in given.items() if value is not None]
    if named and any(override.partition("=")[0].strip() == "seed" for override in overrides):
        named.append("the key seed")
    if len(named) > 1:
        raise ConfigError(f"both {named[0]} and {named[1]} are given", where=named[0], fix="leave one of them out")
    if seed is not None:
        return [f"seed={seed}"]
    return [] if seeds is None else [f"run.seeds={seeds_of(seeds)}"]


def gpus_as_overrides(gpus: int | None) -> list[str]:
    """``--gpus 8`` as the keys that it stands for; what ``--set`` says of them comes later and counts."""
    if gpus is None:
        return []
    return [f"engine.gpus={gpus}", *(["engine.backend=fsdp"] if gpus > 1 else [])]


def start_run(config: Config, *, quiet: bool, as_json: bool, folder_to: int | None = None) -> None:
    """A new run, from nothing to its report; with ``run.seeds`` all runs of the set that are not finished.

    Args:
        config: of the run.
        quiet: show no progress.
        as_json: print what comes of it as one JSON object.
        folder_to: the descriptor that a supervising parent reads the run's folder from.

    Raises:
        CoevolveError: whatever makes a run impossible.
    """
    if config.run.seeds:
        _bring_set(_members(config, _stem(config)), quiet=quiet, as_json=as_json)
        return
    run = _start(config, quiet=quiet or as_json, folder_to=folder_to)
    _tell(run, quiet=quiet, as_json=as_json)


def resume_run(run: Path | None, *, quiet: bool, as_json: bool, folder_to: int | None = None) -> None:
    """Go on with a run, or with the newest one that is not finished; then with the other seeds of its set.

    The arguments are those of :func:`start_run`.

    Raises:
        RunError: no run was named and none is unfinished.
    """
    if run is None:
        candidates = unfinished_runs()
        idle = [path for path in candidates if not is_held(path)]
        if not idle:
            busy = f" but those in progress: {', '.join(map(str, candidates))}" if candidates else ""
            raise RunError(f"there is no unfinished run{busy}", where=str(RUNS), fix="name one: coevolve resume RUN")
        run = idle[0]
    if folder_to is not None:
        tell_folder(folder_to, run)
    state = manifest.read(run)  # a wrong name should not wait for the imports below
    if waits_for_others(run, state.config.get("run", {}), state.seed):
        config, stem = settings.read(run, state), stem_of(run, state.seed)
        assert stem is not None
        _bring_set(_members(config, stem), quiet=quiet, as_json=as_json)
        return
    _resume(run, quiet=quiet or as_json)
    _tell(run, quiet=quiet, as_json=as_json)


def unfinished_runs() -> list[Path]:
    """Runs under ``runs/`` that can go on, the one that was written to last first; no starts that came to nothing.

    A finished run of a set of seeds is among them while others of its set are not finished.
    """
    found = []
    for run in runs_below():
        try:
            state = manifest.read(run)
            if state.schema_ != manifest.SCHEMA or is_stub(run):
                continue
            if state.status != "finished" or waits_for_others(run, state.config.get("run", {}), state.seed):
                found.append(run)
        except RunError:
            continue  # a damaged run cannot go on; naming it says why
    return found


def _stem(config: Config) -> Path:
    """What the folders of a set are called before ``-s<seed>``."""
    name = config.run.name or f"{config.method.replace(':', '.')}-{config.preset}"
    return Path(config.run.dir) if config.run.dir else RUNS / name


def _members(config: Config, stem: Path) -> list[Member]:
    """The runs of a set, in the order of its seeds."""
    found = []
    for seed in config.run.seeds:
        path = member_path(stem, seed)
        run = config.run.model_copy(update={"dir": str(path)})
        found.append(Member(path, config.model_copy(update={"seed": seed, "run": run})))
    return found


def _bring_set(members: Sequence[Member], *, quiet: bool, as_json: bool) -> None:
    """Bring all runs of a set to their ends, then say what they are together.

    Raises:
        RunError: a folder holds another run; nothing was started.
    """
    states = [member.state() for member in members]
    outcomes = []
    for member, state in zip(members, states, strict=True):
        if state == "unfinished":
            _resume(member.path, quiet=quiet or as_json)
        elif state == "missing":
            _start(member.config, quiet=quiet or as_json)
        elif not (quiet or as_json):
            Console().print(f"{member.path} is finished already", highlight=False, markup=False, soft_wrap=True)
        if state != "finished" or as_json:
            outcomes.append(_outcome(member.path))
            if not (quiet or as_json):
                _print_outcome(outcomes[-1])
    folders = [member.path for member in members]
    if as_json:
        print(json.dumps({"runs": outcomes, "comparison": comparison_of(folders)}))
    elif not quiet:
        print_set(Console(), folders)


def _start(config: Config, *, quiet: bool, folder_to: int | None = None) -> Path:
    from coevolve.runs import driver

    def began(run: Path) -> None:
        faults.working_on(run)
        if folder_to is not None:
            tell_folder(folder_to, run)

    with shown(quiet=quiet) as progress:
        return driver.start(config, progress, began)


def _resume(run: Path, *, quiet: bool) -> None:
    from coevolve.runs import driver

    faults.working_on(run)
    with shown(quiet=quiet) as progress:
        driver.resume(run, progress)


def _tell(run: Path, *, quiet: bool, as_json: bool) -> None:
    outcome = _outcome(run)
    if as_json:
        print(json.dumps(outcome))
    elif not quiet:
        _print_outcome(outcome)


def _outcome(run: Path) -> dict[str, Any]:
    """What came of a run, with its page written."""
    from coevolve.monitor.summary import summarise
    from coevolve.report.build import build_report

    report = build_report(run)
    return {"run": str(run), "report": str(report), "summary": summarise(run)}


def _print_outcome(outcome: Mapping[str, Any]) -> None:
    from coevolve.runs.ask import example_for

    run = Path(outcome["run"])
    print_ending(Console(), run, Path(outcome["report"]), outcome["summary"], example_for(run))
