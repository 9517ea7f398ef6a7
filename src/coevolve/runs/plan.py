"""What each phase of a run will cost."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coevolve.config import Config, SamplingSection
from coevolve.engine.hub import config_before, is_hub_id
from coevolve.engine.planning.budget import Workload, trained_part
from coevolve.engine.planning.memory import trained_numbers
from coevolve.engine.planning.shapes import KINDS, ModelShape
from coevolve.errors import ModelError
from coevolve.evaluation.phase import run_phases
from coevolve.methods.base import Phase
from coevolve.methods.reporting import PhaseCost
from coevolve.suites.base import Source
from coevolve.worlds.registry import TextSizes, open_world, world_named

_SAMPLED_PER_S, _TRAINED_PER_S = 7_000, 12_000  # of the embedded base model on one ordinary core
_FP32 = 4  # bytes


def shape_of(config: Config) -> ModelShape | None:
    """The sizes of the base model, of its folder or, before that is here, of the published one or of a GGUF file.

    Returns:
        None for a model that is not here and none of the published ones, or whose family is not understood.

    Raises:
        ModelError: its config.json, or the GGUF file that it will be made of, cannot be read.
    """
    content, where = _model_config(config)
    known = content is not None and content.get("model_type") in KINDS
    return ModelShape.from_config(content, where=where) if content is not None and known else None


def _model_config(config: Config) -> tuple[Mapping[str, Any] | None, str]:
    """What config.json says of the base model, and which file that is; None for one that is neither here nor known."""
    file = open_world(config.world_settings).base_model() / "config.json"
    if not file.is_file():
        return config_before(config.model.path or ""), ""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"config.json is damaged: {error}", where=str(file), fix="restore the file") from error
    return content if isinstance(content, dict) else None, str(file)


def workload(config: Config) -> Workload:
    """What the memory of a run depends on."""
    return Workload(
        config.engine_settings,
        prompt_tokens=world_named(config.world).prompt_tokens,
        text_tokens=max(config.sampling.max_tokens, config.sampling.question_tokens),
        reference=config.has_reference,
    )


@dataclass(frozen=True, slots=True)
class PlannedPhase:
    """An estimate of one phase; CPU seconds are summed over processes, for the embedded base model."""

    name: str
    trajectories: int
    tokens_sampled: int
    tokens_trained: int
    disk_bytes: int
    prompts: int = 0  # that are computed: equal ones only once

    @property
    def cpu_s(self) -> float:
        """Sampling and training at the speed of one ordinary core."""
        return self.tokens_sampled / _SAMPLED_PER_S + self.tokens_trained / _TRAINED_PER_S


def name_of(phase: Phase) -> str:
    """The phase's name in the manifest."""
    return f"iteration-{phase.iteration}/{phase.report.name}"


def planned(config: Config, sources: Sequence[Source] | None = None) -> list[PlannedPhase]:
    """Cost estimates of all phases, without loading anything.

    Args:
        config: of the run.
        sources: of its suites; None: they are looked for.

    Raises:
        ConfigError: there is no such suite.
        ModelError: the base model's config.json cannot be read.
    """
    shape = shape_of(config)
    saved = trained_numbers(shape, trained_part(config.lora)) * _FP32 if shape else 0
    sizes, kept = _sizes(config.world, config.sampling), config.run.keep_trajectories
    return [
        _planned(name_of(phase), phase.cost(config), sizes, saved, kept=kept) for phase in run_phases(config, sources)
    ]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run asks of a machine.

    Args:
        model: what the base model is called.
        shape: of the base model; None where its sizes are not known.
        load: what its memory depends on.
        positions: tokens of the longest sequence that the base model was made for; None where it does not say.
        stored: bytes that the run will leave in its folder.
        fetched: bytes that will be downloaded.
    """

    model: str
    shape: ModelShape | None
    load: Workload
    positions: int | None
    stored: int
    fetched: int


def needs_of(config: Config, finished: Collection[str] = (), sources: Sequence[Source] | None = None) -> Needs:
    """Read off the configuration and config.json of the base model.

    Args:
        finished: names of phases that are not done again.
        sources: of its suites; None: they are looked for.

    Raises:
        ModelError: that file cannot be read.
        ConfigError: there is no such suite.
    """
    shape, (content, _) = shape_of(config), _model_config(config)
    positions = (content or {}).get("max_position_embeddings")
    name = config.model.path or ""
    missing = is_hub_id(name) and not open_world(config.world_settings).base_model().exists()
    return Needs(
        model=name or "the base model",
        shape=shape,
        load=workload(config),
        positions=positions if isinstance(positions, int) else None,
        stored=sum(phase.disk_bytes for phase in planned(config, sources) if phase.name not in finished),
        fetched=shape.parameters * 2 if shape and missing else 0,  # models are published in bfloat16
    )


def _planned(name: str, cost: PhaseCost, average: TextSizes, saved: int, *, kept: bool) -> PlannedPhase:
    stored = cost.stored if kept else 0
    turns = cost.turns_of_an_answer
    return PlannedPhase(
        name=name,
        trajectories=cost.questions + cost.answers,
        tokens_sampled=cost.questions * average.question + round(cost.answers * turns * average.answer),
        tokens_trained=cost.questions_trained * average.question
        + round(cost.answers_trained * turns * average.trained),
        disk_bytes=round(stored * turns * average.stored_bytes) + saved * cost.checkpoint_copies,
        prompts=cost.prompts,
    )


def _sizes(world: str, sampling: SamplingSection) -> TextSizes:
    """Those of finished runs; where nothing was measured, half of what is allowed."""
    answer = sampling.max_tokens // 2
    allowed = TextSizes(sampling.question_tokens // 2, answer, answer, stored_bytes=3 * answer)
    return world_named(world).sizes or allowed
