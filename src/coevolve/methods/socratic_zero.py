"""Socratic-Zero (arXiv 2509.24726): a solver and a generator that learn from a frozen teacher.

In every iteration t
1. the solver of t-1 answers each question of the curriculum k times; the teacher judges the answers, and writes a new
   problem with a reference solution from each failure it is shown: the curriculum grows by these;
2. the solver learns, by DPO, to prefer its right answers to its wrong ones, with itself as it was as the reference;
3. the generator learns, by supervised training, to write what the teacher wrote from a failure; a problem counts the
   more, the nearer the solver's success rate on it is to one half.

The teacher is any model behind an OpenAI-compatible URL. The default preset asks the miniature world's own.
"""

from __future__ import annotations

from typing import ClassVar

from coevolve.methods.base import Paper, Phase
from coevolve.methods.phases.grow_curriculum import GrowCurriculum
from coevolve.methods.phases.socratic_reports import curriculum_report, generator_report, preference_report
from coevolve.methods.phases.train_generator import TrainGenerator
from coevolve.methods.phases.train_preferences import TrainPreferences
from coevolve.methods.reporting import Labels, PhaseReport
from coevolve.methods.socratic_config import SocraticConfig
from coevolve.types import GENERATOR, SOLVER, AgentSpec


class SocraticZero:
    """Teacher, solver and generator; implements :class:`coevolve.methods.base.Method`."""

    name = "socratic-zero"
    paper = Paper("Socratic-Zero", "2509.24726")
    default_preset = "socratic-zero"
    answerer = SOLVER
    config = SocraticConfig
    labels: ClassVar[Labels] = {SOLVER: "solver", GENERATOR: "generator"}

    @property
    def reports(self) -> tuple[PhaseReport, ...]:
        """Of the three phases."""
        return curriculum_report(self.labels), preference_report(self.labels), generator_report(self.labels)

    def agents(self, config: SocraticConfig) -> tuple[AgentSpec, ...]:
        """The solver and the generator; the teacher is no model of the run."""
        solver = AgentSpec(
            SOLVER,
            self.labels[SOLVER],
            True,
            does="answers questions. It learned to prefer the answers that a teacher called right to those it called "
            "wrong.",
            usage=f"Its answers use the Python tool: {'yes' if config.tool.enabled else 'no'}.",
            limits=("What it learned is as good as its teacher's verdicts and reference solutions.",),
        )
        generator = AgentSpec(
            GENERATOR,
            self.labels[GENERATOR],
            config.generator.train,
            does="writes a problem from another and a wrong answer to it, as a teacher did.",
            usage="Its prompt holds both; a problem ends at its closing tag.",
            limits=("Nobody has checked that what it writes can be answered.",),
        )
        return solver, generator

    def phases(self, config: SocraticConfig, iteration: int) -> list[Phase]:
        """The phases of one iteration, in order."""
        out: list[Phase] = [
            GrowCurriculum(config.curriculum, iteration, self.labels),
            TrainPreferences(config.solver, iteration, self.labels),
        ]
        if config.generator.train:
            out.append(TrainGenerator(config.generator, iteration, self.labels))
        return out
