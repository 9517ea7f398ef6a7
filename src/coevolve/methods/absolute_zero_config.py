"""The keys of Absolute Zero: what is proposed and solved in a step, what it earns, how the policy learns from it."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from coevolve.config import Config, Section
from coevolve.config.dotted import is_dotted
from coevolve.config.section import StepsPerIteration
from coevolve.methods.base import State
from coevolve.methods.config import LearnerSection
from coevolve.types import PROPOSER, SOLVER


class ProposeSection(Section):
    texts: int = Field(16, ge=2, description="tasks proposed in one step, of each type")
    shown: int = Field(6, ge=0, description="earlier tasks that a proposal is shown, at most (paper: K = 6)")
    samples: int = Field(8, ge=2, description="answers to a proposed task, whose mean success is its learnability")
    unlearnable: float = Field(
        0.0, le=0, description="reward of a task that all answers solve, or none (paper: 0; code: -0.5)"
    )


class SolveSection(Section):
    tasks: int = Field(16, ge=2, description="tasks solved in one step, of each type, once each")
    wrong: float = Field(
        -0.5, le=0, description="reward of a wrong answer, and of a proposed program that does not run (paper: -0.5)"
    )
    ill_formed: float = Field(-1.0, le=0, description="reward of a text without the required form (paper: -1)")


class PolicySection(LearnerSection):
    steps: StepsPerIteration = Field(20, description="steps of one iteration, in both roles")


class BufferSection(Section):
    capacity: int = Field(16_384, ge=1, description="tasks that are kept of each type, the newest ones")


class AbsoluteZeroConfig(Config):
    """The shared keys, and those of one policy in two roles."""

    world: str = Field("code", description="where tasks and base model come from; programs run in its sandbox")
    propose: ProposeSection = ProposeSection()
    solve: SolveSection = SolveSection()
    policy: PolicySection = PolicySection()
    buffer: BufferSection = BufferSection()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.world != "code" and not is_dotted(self.world):
            raise ValueError(f"Absolute Zero needs a world whose programs can be run: world is code, not {self.world}")
        if self.tool.enabled:
            raise ValueError("Absolute Zero answers without a tool: tool.enabled is false; programs run to judge them")
        if self.dialogue.turns > 1:
            raise ValueError("the tasks of Absolute Zero have one user turn: dialogue.turns is 1")
        if self.sampling.of(PROPOSER) != self.sampling.of(SOLVER):
            raise ValueError("one policy writes tasks and answers: sampling.proposer and sampling.solver must agree")
        if self.policy.minibatches > 3 * (self.propose.texts + self.solve.tasks):
            raise ValueError("policy.minibatches is larger than 3 * (propose.texts + solve.tasks)")
        if self.policy.micro_batch and self.policy.loss != "token":
            raise ValueError(f"policy.micro_batch divides a mean over tokens, but policy.loss is {self.policy.loss}")
        return self


AbsoluteZeroState = State[AbsoluteZeroConfig]
