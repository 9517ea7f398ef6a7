"""The keys that all methods share. A method adds its own in a subclass, see ``coevolve.methods``."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from coevolve.config.acting import DialogueSection, SamplingSection, SandboxSection, ToolSection, WorldSettings
from coevolve.config.measuring import EvaluationSection, GradingSection, HealthSection
from coevolve.config.resources import (
    EngineSection,
    EngineSettings,
    LoraSection,
    ModelSection,
    RunSection,
    TinkerSection,
    TrackSection,
    VllmSection,
)
from coevolve.config.section import Section
from coevolve.config.teaching import TeacherSection
from coevolve.config.validation import check_engine, check_lora, check_sandbox, check_server
from coevolve.types import PROPOSER


class Config(Section):
    """Everything a run depends on, besides the keys of its method."""

    method: str = Field("agent0", description="what coevolves: agents, phases and rewards")
    preset: str = Field("mini", description="name of the preset this configuration started from")
    seed: int = Field(0, ge=0, description="one seed for everything")
    iterations: int = Field(3, ge=1, description="rounds of curriculum and executor training")
    world: str = Field(
        "miniature",
        description="where tasks, base model and truth come from; open: questions in words for any model, no truth; "
        "code: small programs, for absolute-zero",
    )
    run: RunSection = RunSection()
    track: TrackSection = TrackSection()
    model: ModelSection = ModelSection()
    lora: LoraSection = LoraSection()
    engine: EngineSection = EngineSection()
    vllm: VllmSection = VllmSection()
    tinker: TinkerSection = TinkerSection()
    tool: ToolSection = ToolSection()
    dialogue: DialogueSection = DialogueSection()
    sandbox: SandboxSection = SandboxSection()
    sampling: SamplingSection = SamplingSection()
    grading: GradingSection = GradingSection()
    evaluation: EvaluationSection = EvaluationSection()
    health: HealthSection = HealthSection()

    @property
    def engine_settings(self) -> EngineSettings:
        """What samplers and trainers need."""
        return EngineSettings(self.model, self.engine, self.lora, self.vllm, self.tinker, seed=self.seed)

    @property
    def world_settings(self) -> WorldSettings:
        """What the learner's view of the world needs."""
        return WorldSettings(self.world, self.model, self.dialogue, self.tool, self.has_tool(PROPOSER), self.sandbox)

    @property
    def probe_tolerance(self) -> float:
        """``engine.probe_tolerance``, or what the precision of the weights allows.

        With equal weights in float32, vLLM was seen 7e-5 away from our trainer on a CPU with AVX-512. A server samples
        and trains with programs of its own as well.
        """
        in_float32 = 3e-4 if self.engine.sampler == "vllm" or self.engine.backend == "tinker" else 1e-5
        return self.engine.probe_tolerance or {"float32": in_float32, "bfloat16": 0.03}[self.model.dtype]

    @property
    def oracle(self) -> bool:
        """Whether a learner is given true labels, as one row of a study is: no result of the method."""
        return False

    @property
    def teaching(self) -> TeacherSection | None:
        """Keys of the teacher that the method asks while it trains; None: it asks none."""
        return None

    @property
    def has_reference(self) -> bool:
        """Whether training compares with a second model, as a KL term does; plans of memory ask."""
        return False

    @property
    def has_trial(self) -> bool:
        """Whether a run looks at what its model writes before it trains, and stops where nothing can be learned."""
        return self.world == "open" and self.health.trial > 0

    def has_tool(self, agent: str) -> bool:
        """Whether an agent may call the Python tool: all may but the proposer."""
        return self.tool.enabled and agent != PROPOSER

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_engine(self.engine, self.sampling)
        check_lora(self.engine, self.lora)
        check_server(self.engine, self.lora, self.sampling, self.tinker)
        check_sandbox(self.sandbox, self.tool)
        return self
