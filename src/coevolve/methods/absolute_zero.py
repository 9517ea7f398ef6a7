"""Absolute Zero (arXiv 2505.03335): one policy proposes tasks over programs and solves them; the sandbox is the judge.

There are three types of task over a program p, an input i and an output o = p(i): deduction (p, i to o), abduction
(p, o to an input that gives o) and induction (pairs of i and o, and a message, to p). An iteration is one phase of many
steps; in every step the policy proposes tasks of each type, is rewarded for those that it sometimes solves, solves new
and earlier ones, and learns from both roles in one update, with a baseline for each role and type (TRR++).
"""

from __future__ import annotations

from typing import ClassVar

from coevolve.config import at_iteration
from coevolve.methods.absolute_zero_config import AbsoluteZeroConfig
from coevolve.methods.base import Paper, Phase
from coevolve.methods.phases.propose_and_solve import ProposeAndSolve
from coevolve.methods.phases.propose_and_solve_report import propose_and_solve_report
from coevolve.methods.reporting import Labels, PhaseReport
from coevolve.types import SOLVER, AgentSpec


class AbsoluteZero:
    """One agent in two roles; implements :class:`coevolve.methods.base.Method`."""

    name = "absolute-zero"
    paper = Paper("Absolute Zero", "2505.03335")
    default_preset = "absolute-zero"
    answerer = SOLVER
    config = AbsoluteZeroConfig
    labels: ClassVar[Labels] = {SOLVER: "reasoner"}

    @property
    def reports(self) -> tuple[PhaseReport, ...]:
        """Of the one phase."""
        return (propose_and_solve_report(self.labels),)

    def agents(self, config: AbsoluteZeroConfig) -> tuple[AgentSpec, ...]:
        """The one policy."""
        return (
            AgentSpec(
                SOLVER,
                self.labels[SOLVER],
                True,
                does="proposes tasks over small programs and solves them. Its rewards came from running programs: no "
                "label was a vote or was written by anybody.",
                usage="The answer stands in `\\boxed{}`: an output, an input, or a program that defines `f`. Run a "
                "program of it in a sandbox, never in a process of yours.",
                limits=(
                    "It was trained on programs that it wrote itself; nothing keeps it from writing nonsense or "
                    "repeating itself.",
                ),
            ),
        )

    def phases(self, config: AbsoluteZeroConfig, iteration: int) -> list[Phase]:
        """The one phase of an iteration."""
        earlier = [at_iteration(config.policy.steps, t) for t in range(1, iteration)]
        return [ProposeAndSolve(iteration, at_iteration(config.policy.steps, iteration), earlier, self.labels)]
