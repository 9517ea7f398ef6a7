"""What each phase of a run will cost."""

from __future__ import annotations

import json
from dataclasses import dataclass

from coevolve.config import Config, SamplingSection
from coevolve.engine.hub import published_config
from coevolve.engine.planning.budget import Workload, trained_part
from coevolve.engine.planning.memory import trained_numbers
from coevolve.engine.planning.shapes import KINDS, ModelShape
from coevolve.errors import ModelError
from coevolve.evaluation.phase import run_phases
from coevolve.methods.base import Phase
from coevolve.methods.reporting import PhaseCost
from coevolve.worlds.registry import TextSizes, open_world, world_named

_SAMPLED_PER_S, _TRAINED_PER_S = 7_000, 12_000  # of the embedded base model on one ordinary core
_FP32 = 4  # bytes


def shape_of(config: Config) -> ModelShape | None:
    """The sizes of the base model, of its folder or, before a download, of the published one.

    Returns:
        None for a model that is not here and none of the published ones, or whose family is not understood.

    Raises:
        ModelError: its config.json cannot be read.
    """
    file = open_world(config.world_settings).base_model() / "config.json"
    if file.is_file():
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ModelError(f"config.json is damaged: {error}", where=str(file), fix="restore the file") from error
        known = isinstance(content, dict) and content.get("model_type") in KINDS
        return ModelShape.from_config(content, where=str(file)) if known else None
    published = published_config(config.model.path or "")
    return ModelShape.from_config(published) if published else None


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


def planned(config: Config) -> list[PlannedPhase]:
    """Cost estimates of all phases, without loading anything.

    Raises:
        ModelError: the base model's config.json cannot be read.
    """
    shape = shape_of(config)
    saved = trained_numbers(shape, trained_part(config.lora)) * _FP32 if shape else 0
    sizes, kept = _sizes(config.world, config.sampling), config.run.keep_trajectories
    return [_planned(name_of(phase), phase.cost(config), sizes, saved, kept=kept) for phase in run_phases(config)]


def _planned(name: str, cost: PhaseCost, average: TextSizes, saved: int, *, kept: bool) -> PlannedPhase:
    stored = cost.stored if kept else 0
    return PlannedPhase(
        name=name,
        trajectories=cost.questions + cost.answers,
        tokens_sampled=cost.questions * average.question + cost.answers * average.answer,
        tokens_trained=cost.questions_trained * average.question + cost.answers_trained * average.trained,
        disk_bytes=stored * average.stored_bytes + saved * cost.checkpoint_copies,
        prompts=cost.prompts,
    )


def _sizes(world: str, sampling: SamplingSection) -> TextSizes:
    """Those of finished runs; where nothing was measured, half of what is allowed."""
    answer = sampling.max_tokens // 2
    allowed = TextSizes(sampling.question_tokens // 2, answer, answer, stored_bytes=3 * answer)
    return world_named(world).sizes or allowed
