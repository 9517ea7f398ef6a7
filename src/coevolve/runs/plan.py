"""The phases of a run in order, and what each will cost."""

from __future__ import annotations

from dataclasses import dataclass

from coevolve.config import Config
from coevolve.engine.budget import Numbers
from coevolve.engine.memory import trained_numbers
from coevolve.methods.base import Phase
from coevolve.methods.choose import phases_of
from coevolve.methods.polling import voters
from coevolve.runs.evaluate import Evaluate
from coevolve.runs.meters import open_meter
from coevolve.runs.sizes import shape_of

_SAMPLED_PER_S, _TRAINED_PER_S = 7_000, 12_000  # of the embedded base model on one ordinary core
_FP32 = 4  # bytes


@dataclass(frozen=True, slots=True)
class Averages:
    """Tokens of one text, for estimates only."""

    question: int
    answer: int
    trained: int  # of an answer
    stored_bytes: int  # of a trajectory

    @classmethod
    def of(cls, config: Config) -> Averages:
        """Those of finished `mini` runs; outside the miniature nothing was measured: half of what is allowed."""
        if config.world == "miniature":
            return cls(question=25, answer=35, trained=20, stored_bytes=250)
        answer = config.sampling.max_tokens // 2
        return cls(config.sampling.question_tokens // 2, answer, answer, stored_bytes=3 * answer)


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


def phases(config: Config) -> list[Phase | Evaluate]:
    """All phases of a run; iteration 0 measures the base model."""
    out: list[Phase | Evaluate] = [Evaluate(config, 0)]
    for t in range(1, config.iterations + 1):
        out += [*phases_of(config, t), Evaluate(config, t)]
    return out


def name_of(phase: Phase | Evaluate) -> str:
    """The phase's name in the manifest."""
    return f"iteration-{phase.iteration}/{phase.name}"


def planned(config: Config) -> list[PlannedPhase]:
    """Cost estimates of all phases, without loading anything.

    Raises:
        ModelError: the base model's config.json cannot be read.
    """
    shape = shape_of(config)
    trained = Numbers.of(config).trained
    saved = trained_numbers(shape, trained) * _FP32 if shape else 0
    return [_planned(config, phase, saved) for phase in phases(config)]


def _planned(config: Config, phase: Phase | Evaluate, saved: int) -> PlannedPhase:
    average = Averages.of(config)
    questions, answers, trained, prompts = 0, 0, 0, 0
    if phase.name == "curriculum":
        questions = phase.steps * config.curriculum.questions
        prompts = questions * len(voters(config, config.curriculum.voters, phase.iteration))
        answers = prompts * config.curriculum.votes
        trained = questions * average.question
    elif phase.name == "pool":
        questions = config.pool.size
        prompts = questions * len(voters(config, config.pool.voters, phase.iteration))
        answers = prompts * config.pool.votes
    elif phase.name == "executor":
        prompts = phase.steps * config.executor.tasks
        answers = prompts * config.executor.group_size
        trained = answers * average.trained
    else:
        prompts, answers = _measured(config, phase.iteration)
    stored = answers if phase.name in ("pool", "evaluate") and config.run.keep_trajectories else 0
    return PlannedPhase(
        name=name_of(phase),
        trajectories=questions + answers,
        tokens_sampled=questions * average.question + answers * average.answer,
        tokens_trained=trained,
        # The curriculum agent's checkpoint holds AdamW's two moments as well.
        disk_bytes=stored * average.stored_bytes + saved * {"curriculum": 3, "executor": 1}.get(phase.name, 0),
        prompts=prompts,
    )


def _measured(config: Config, iteration: int) -> tuple[int, int]:
    """Prompts and answers of an evaluation; where no answers are known, the newest pool alone is measured."""
    section = config.evaluation
    pool = config.pool.size if iteration and section.pool_samples else 0
    prompts, answers = pool, pool * section.pool_samples
    if open_meter(config).knows_answers:
        problems = section.levels * section.per_level
        control = iteration == 0 and section.forced_fence
        prompts += problems * (2 + control) + 3 * section.transfer_per_set
        answers += problems * (section.samples * (1 + control) + 1)
        answers += 3 * section.transfer_per_set * section.transfer_samples
    return prompts, answers
