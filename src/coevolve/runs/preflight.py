"""What is asked of this machine before a run begins or goes on, so that a start that fails leaves nothing behind.

Everything that can be known without a run folder is checked here, the cheapest first. A check raises; what it returns
is forgotten. A further one is a function in ``CHECKS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from coevolve.config import Config, EvaluationSection
from coevolve.engine.factory import require_engine
from coevolve.evaluation.examples import examples_of, held_against
from coevolve.evaluation.meters import open_meter
from coevolve.evaluation.oracle import TRAINED_ON_TRUTH, TrueLabels
from coevolve.grading.symbolic import symbolic_version
from coevolve.methods.registry import method_named
from coevolve.monitor.tracking.processes import require_installed
from coevolve.rollout.codec import Codec
from coevolve.runs.base_model import base_model, fetch_base
from coevolve.runs.estimate import forewords
from coevolve.runs.plan import needs_of, shape_of, workload
from coevolve.runs.prompts import Reader, described, require_short_prompts
from coevolve.runs.room import shortages_here
from coevolve.runs.teaching import require_teacher
from coevolve.sandbox.factory import require_tool
from coevolve.store.places import require_place
from coevolve.suites.base import Source, subset
from coevolve.worlds.base import Problem
from coevolve.worlds.registry import open_world


@dataclass(frozen=True, slots=True)
class Launch:
    """A run that is about to begin or to go on.

    Args:
        config: resolved, with the number of rollout workers.
        folder: where the run is, or will be.
        note: told what a person should know before anything is loaded.
        finished: names of the phases that are not done again; None for a new run.
        sources: of the suites that the run measures.
    """

    config: Config
    folder: Path
    note: Callable[[str], None]
    finished: frozenset[str] | None = None
    sources: Sequence[Source] = ()


Check = Callable[[Launch], object]


def require(launch: Launch) -> None:
    """Pass every check.

    Raises:
        CoevolveError: this machine, or what is installed on it, cannot carry the run; no folder was made.
    """
    for check in CHECKS:
        check(launch)


def _place(launch: Launch) -> None:
    if launch.finished is None:
        require_place(launch.folder)


def _foretell(launch: Launch) -> None:
    if launch.finished is None:
        config = launch.config
        for line in forewords(shape_of(config), workload(config), config.world):
            launch.note(line)


def _room(launch: Launch) -> None:
    for shortage in shortages_here(needs_of(launch.config, launch.finished or (), launch.sources), launch.folder):
        raise shortage


def _base(launch: Launch) -> None:
    fetch_base(launch.config.world, launch.config.model.path)
    base_model(open_world(launch.config.world_settings))


def _true_labels(launch: Launch) -> None:
    config = launch.config
    if config.oracle:
        TrueLabels(open_meter(config.world, config.dialogue), config.world)
        launch.note(f"ORACLE: {TRAINED_ON_TRUTH}")


def _suites(launch: Launch) -> None:
    """Every suite can be read; what a person should know of each is said."""
    for source in launch.sources:
        loaded = source.load()
        if launch.finished is None:
            launch.note(described(source, loaded, launch.config.evaluation))
        for note in loaded.notes:
            launch.note(f"{source.name}: {note}")


def _prompts(launch: Launch) -> None:
    """After the model is here: its tokenizer says how long the questions of the suites are."""
    if not launch.sources:
        return
    config, world = launch.config, open_world(launch.config.world_settings)
    needs = needs_of(config, launch.finished or (), launch.sources)
    limits = [needs.positions, config.vllm.max_length if config.engine.sampler == "vllm" else None]
    reader = Reader(
        needs.model,
        world.contract,
        method_named(config.method).answerer,
        Codec(world.base_model()),
        min((x for x in limits if x is not None), default=None),
        config.sampling.max_tokens,
    )
    require_short_prompts(reader, launch.sources, config.evaluation, launch.note)


def _examples(launch: Launch) -> None:
    """No worked example of the prompts may be a problem that is measured; one that is nearly so is told."""
    config = launch.config
    shown = examples_of(config.world_settings)
    if not shown or launch.finished is not None:
        return
    own = open_meter(config.world, config.dialogue).suites(config.evaluation, config.seed)
    asked = {suite.key: suite.load for suite in own} | {
        source.name: partial(_measured, source, config.evaluation) for source in launch.sources
    }
    for name, load in asked.items():
        for line in held_against(shown, name, load(), config.model.prompts):
            launch.note(line)


def _measured(source: Source, section: EvaluationSection) -> Sequence[Problem]:
    return subset(source.load().problems, section.suite_limit)


CHECKS: tuple[Check, ...] = (
    lambda launch: require_engine(launch.config.engine_settings),
    lambda launch: require_teacher(launch.config.teaching, launch.config.world),
    _true_labels,
    _foretell,
    _room,
    lambda launch: symbolic_version(launch.config.grading.symbolic),
    lambda launch: require_installed(launch.config.track.to),
    _place,
    lambda launch: require_tool(launch.config.sandbox),
    _suites,  # may download, a few megabytes
    _examples,
    _base,  # may download: after all that could make it useless
    _room,  # again: a model that was not here has told its sizes now
    _prompts,
)
