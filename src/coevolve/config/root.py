"""All sections together."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from coevolve.config.acting import DialogueSection, SamplingSection, SandboxSection, ToolSection
from coevolve.config.learning import (
    AdpoSection,
    GateSection,
    PoolSection,
    ProposerSection,
    RewardSection,
    SolverSection,
)
from coevolve.config.measuring import EvaluationSection, GradingSection, HealthSection
from coevolve.config.resources import (
    EngineSection,
    EngineSettings,
    LoraSection,
    ModelSection,
    RunSection,
    TrackSection,
    VllmSection,
)
from coevolve.config.section import Section
from coevolve.config.validation import check


class Config(Section):
    """Everything a run depends on."""

    method: Literal["agent0", "r-zero"] = Field("agent0", description="what coevolves: the phases and rewards")
    preset: str = Field("mini", description="name of the preset this configuration started from")
    seed: int = Field(0, ge=0, description="one seed for everything")
    iterations: int = Field(3, ge=1, description="rounds of curriculum and executor training")
    objective: Literal["adpo", "grpo"] = Field("adpo", description="objective of the executor")
    world: Literal["miniature", "open"] = Field(
        "miniature",
        description="where tasks, base model and truth come from; open: questions in words for any model, no truth",
    )
    run: RunSection = RunSection()
    track: TrackSection = TrackSection()
    model: ModelSection = ModelSection()
    lora: LoraSection = LoraSection()
    engine: EngineSection = EngineSection()
    vllm: VllmSection = VllmSection()
    tool: ToolSection = ToolSection()
    dialogue: DialogueSection = DialogueSection()
    sandbox: SandboxSection = SandboxSection()
    sampling: SamplingSection = SamplingSection()
    reward: RewardSection = RewardSection()
    proposer: ProposerSection = ProposerSection()
    pool: PoolSection = PoolSection()
    gate: GateSection = GateSection()
    solver: SolverSection = SolverSection()
    adpo: AdpoSection = AdpoSection()
    grading: GradingSection = GradingSection()
    evaluation: EvaluationSection = EvaluationSection()
    health: HealthSection = HealthSection()

    @property
    def engine_settings(self) -> EngineSettings:
        """What samplers and trainers need."""
        return EngineSettings(
            self.model, self.engine, self.lora, self.vllm, temperature=self.sampling.temperature, seed=self.seed
        )

    @property
    def probe_tolerance(self) -> float:
        """``engine.probe_tolerance``, or what the precision of the weights allows."""
        return self.engine.probe_tolerance or {"float32": 1e-5, "bfloat16": 0.03}[self.model.dtype]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check(self)
        return self
