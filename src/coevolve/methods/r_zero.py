"""R-Zero (arXiv 2508.05004): a challenger and a solver from one base model, without a tool.

In every iteration the challenger learns, by GRPO, to write questions that the frozen solver is divided on; the frozen
challenger writes a pool, the solver's votes label it, a gate keeps what it is divided on; the solver learns, by GRPO,
to agree with its votes. So its phases are those of Agent0, which came later and added the tool, its reward and ADPO.
What differs otherwise are keys: presets ``r-zero`` (the paper) and ``r-zero-code`` (its published code).
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import model_validator

from coevolve.methods.agent0 import Agent0
from coevolve.methods.base import Paper
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.reporting import Labels
from coevolve.types import PROPOSER, SOLVER


class RZeroConfig(CoevolutionConfig):
    """The keys of Agent0 without what Agent0 added: with it this would be Agent0 by another name."""

    @model_validator(mode="after")
    def _without_additions(self) -> Self:
        if self.tool.enabled or self.reward.lambda_tool > 0:
            raise ValueError("R-Zero has no tool: tool.enabled is false and reward.lambda_tool is 0")
        if self.objective != "grpo":
            raise ValueError("the solver of R-Zero learns by plain GRPO: objective is grpo")
        return self


class RZero(Agent0):
    """Challenger and solver; implements :class:`coevolve.methods.base.Method`."""

    name = "r-zero"
    paper = Paper("R-Zero", "2508.05004")
    default_preset = "r-zero"
    config = RZeroConfig
    labels: ClassVar[Labels] = {PROPOSER: "challenger", SOLVER: "solver"}
