"""The keys of Socratic-Zero: how the curriculum grows, and how solver and generator learn from it."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from coevolve.config import Config, OptimizerSection, Section
from coevolve.config.section import Probability, StepsPerIteration
from coevolve.config.teaching import TeacherSection
from coevolve.methods.base import State


class CurriculumSection(Section):
    seeds: int = Field(100, ge=1, description="problems of the teacher that the curriculum begins with (paper: 100)")
    answers: int = Field(8, ge=2, description="answers of the solver to each question (paper: k = 8)")
    new: int = Field(100, ge=0, description="failures of a round that the teacher is shown, at most (paper: all)")
    replay: Probability = Field(
        1.0, description="share of the older questions that are asked again in a round, beside the newest (paper: all)"
    )


class PreferenceSection(OptimizerSection):
    """How the solver learns from pairs of a right and a wrong answer, by DPO."""

    steps: StepsPerIteration = Field(20, description="optimiser steps of one iteration, at most (paper: 100)")
    pairs: int = Field(64, ge=1, description="pairs of one optimiser step (code: 128)")
    beta: float = Field(0.1, gt=0, description="how much the log-ratio to last round's solver counts (DPO: 0.1)")
    references: bool = Field(
        True, description="prefer the teacher's solution where no answer of the solver is right (paper: so)"
    )


class GeneratorSection(OptimizerSection):
    """How the generator learns to write the teacher's problems, weighted by their utility."""

    train: bool = Field(True, description="train the generator; false: the solver alone")
    steps: StepsPerIteration = Field(20, description="optimiser steps of one iteration")
    problems: int = Field(16, ge=1, description="problems of the teacher in one optimiser step")
    peak: Probability = Field(0.5, description="success rate of the solver with the largest utility (paper: 0.5)")
    width: float = Field(0.2, gt=0, description="standard deviation of the utility (paper: 0.2)")
    check: int = Field(32, ge=0, description="problems that it writes after its training, to see how many are sound")


class SocraticConfig(Config):
    """The shared keys, and those of a teacher, a solver and a generator."""

    curriculum: CurriculumSection = CurriculumSection()
    solver: PreferenceSection = PreferenceSection()
    generator: GeneratorSection = GeneratorSection()
    teacher: TeacherSection = TeacherSection()

    @property
    def teaching(self) -> TeacherSection:
        """The method asks one."""
        return self.teacher

    @model_validator(mode="after")
    def _one_turn(self) -> Self:
        if self.dialogue.turns != 1:
            raise ValueError("the teacher of socratic-zero writes problems of one turn: dialogue.turns is 1")
        return self


SocraticState = State[SocraticConfig]
