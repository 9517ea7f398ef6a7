"""R-Zero (arXiv 2508.05004): a challenger and a solver from one base model, without a tool.

In every iteration the challenger learns, by GRPO, to write questions that the frozen solver is divided on; the frozen
challenger writes a pool, the solver's votes label it, a gate keeps what it is divided on; the solver learns, by GRPO,
to agree with its votes. So its phases are those of Agent0, which came later and added the tool, its reward and ADPO.
What differs otherwise are keys: presets ``r-zero`` (the paper) and ``r-zero-code`` (its published code).
"""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from coevolve.methods.agents import proposer, solver
from coevolve.methods.base import Paper, Phase
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.phases.fill_pool import FillPool
from coevolve.methods.phases.pool_report import pool_report
from coevolve.methods.phases.proposer_report import proposer_report
from coevolve.methods.phases.solver_report import solver_report
from coevolve.methods.phases.train_proposer import TrainProposer
from coevolve.methods.phases.train_solver import TrainSolver
from coevolve.types import PROPOSER, SOLVER, AgentSpec

LABELS = {PROPOSER: "challenger", SOLVER: "solver"}


class RZeroConfig(CoevolutionConfig):
    """The keys of Agent0 without what Agent0 added: with it this would be Agent0 by another name."""

    @model_validator(mode="after")
    def _without_additions(self) -> Self:
        if self.tool.enabled or self.reward.lambda_tool > 0:
            raise ValueError("R-Zero has no tool: tool.enabled is false and reward.lambda_tool is 0")
        if self.objective != "grpo":
            raise ValueError("the solver of R-Zero learns by plain GRPO: objective is grpo")
        return self


class RZero:
    """Challenger and solver; implements :class:`coevolve.methods.base.Method`."""

    name = "r-zero"
    paper = Paper("R-Zero", "2508.05004")
    default_preset = "r-zero"
    answerer = SOLVER
    reports = (proposer_report(LABELS), pool_report(LABELS), solver_report(LABELS))
    config = RZeroConfig

    def agents(self, config: RZeroConfig) -> tuple[AgentSpec, ...]:
        """Both agents are always trained."""
        return proposer(LABELS, trained=True, for_tool=False), solver(LABELS, trained=True, tool=False)

    def phases(self, config: RZeroConfig, iteration: int) -> list[Phase]:
        """The phases of one iteration, in order."""
        return [
            TrainProposer(config, iteration, LABELS),
            FillPool(config, iteration, LABELS),
            TrainSolver(config, iteration, LABELS),
        ]
