"""Agent0 (arXiv 2511.16043, algorithm 1): two copies of one base model that raise each other.

In every iteration t
1. the curriculum agent learns, by GRPO, to write tasks that the executor of t-1 finds hard and needs the tool for;
2. the frozen curriculum agent writes a pool; the executor votes on each task; tasks at its frontier are kept;
3. the executor learns, by ADPO, to agree with the votes on what was kept.

Every ablation of the paper is one key: ``proposer.train``, ``reward.lambda_tool``, ``reward.lambda_rep``,
``gate.enabled``, ``objective``, ``tool.max_turns``, ``tool.enabled``.
"""

from __future__ import annotations

from typing import ClassVar

from coevolve.methods.agents import proposer, solver
from coevolve.methods.base import Paper, Phase
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.phases.fill_pool import FillPool
from coevolve.methods.phases.pool_report import pool_report
from coevolve.methods.phases.proposer_report import proposer_report
from coevolve.methods.phases.solver_report import solver_report
from coevolve.methods.phases.train_proposer import TrainProposer
from coevolve.methods.phases.train_solver import TrainSolver
from coevolve.methods.reporting import Labels, PhaseReport
from coevolve.types import PROPOSER, SOLVER, AgentSpec


class Agent0:
    """Algorithm 1 of the paper; implements :class:`coevolve.methods.base.Method`."""

    name = "agent0"
    paper = Paper("Agent0", "2511.16043")
    default_preset = "mini"
    answerer = SOLVER
    config = CoevolutionConfig
    labels: ClassVar[Labels] = {PROPOSER: "curriculum agent", SOLVER: "executor"}

    @property
    def reports(self) -> tuple[PhaseReport, ...]:
        """Of the three phases."""
        return proposer_report(self.labels), pool_report(self.labels), solver_report(self.labels)

    def agents(self, config: CoevolutionConfig) -> tuple[AgentSpec, ...]:
        """The curriculum agent and the executor."""
        tool = config.tool.enabled
        return (
            proposer(self.labels, trained=config.proposer.train, for_tool=tool and config.reward.lambda_tool > 0),
            solver(self.labels, trained=config.solver.train, tool=tool),
        )

    def phases(self, config: CoevolutionConfig, iteration: int) -> list[Phase]:
        """The phases of one iteration, in order."""
        out: list[Phase] = []
        if config.proposer.train:
            out.append(TrainProposer(config, iteration, self.labels))
        out.append(FillPool(config, iteration, self.labels))
        if config.solver.train:
            out.append(TrainSolver(config, iteration, self.labels))
        return out
