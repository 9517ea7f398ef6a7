"""The phases of a run in order, and what each will cost."""

from __future__ import annotations

from dataclasses import dataclass

from coevolve.config import Config
from coevolve.methods.base import Phase
from coevolve.methods.choose import phases_of
from coevolve.methods.polling import voters
from coevolve.runs.evaluate import Evaluate
from coevolve.worlds.choose import open_world

# Averages of finished `mini` runs on the miniature, for estimates only.
_QUESTION_TOKENS, _ANSWER_TOKENS, _TRAINED_PER_ANSWER = 25, 35, 20
_SAMPLED_PER_S, _TRAINED_PER_S, _BYTES_PER_TEXT = 7_000, 12_000, 250


@dataclass(frozen=True, slots=True)
class PlannedPhase:
    """An estimate of one phase; CPU seconds are summed over processes, for the embedded base model."""

    name: str
    trajectories: int
    tokens_sampled: int
    tokens_trained: int
    disk_bytes: int

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
    """Cost estimates of all phases, without loading anything."""
    base = open_world(config).base_model()
    weights = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    return [_planned(config, phase, weights) for phase in phases(config)]


def _planned(config: Config, phase: Phase | Evaluate, weights: int) -> PlannedPhase:
    questions, answers, trained = 0, 0, 0
    if phase.name == "curriculum":
        questions = phase.steps * config.curriculum.questions
        answers = questions * config.curriculum.votes
        trained = questions * _QUESTION_TOKENS
    elif phase.name == "pool":
        questions = config.pool.size
        answers = questions * config.pool.votes * len(voters(config, phase.iteration))
    elif phase.name == "executor":
        answers = phase.steps * config.executor.tasks * config.executor.group_size
        trained = answers * _TRAINED_PER_ANSWER
    else:
        section = config.evaluation
        problems = section.levels * section.per_level
        answers = problems * (section.samples + 1) + 3 * section.transfer_per_set * section.transfer_samples
        answers += config.pool.size * section.pool_samples if phase.iteration else 0
        answers += problems * section.samples if phase.iteration == 0 and section.forced_fence else 0
    stored = answers if phase.name in ("pool", "evaluate") and config.run.keep_trajectories else 0
    return PlannedPhase(
        name=name_of(phase),
        trajectories=questions + answers,
        tokens_sampled=questions * _QUESTION_TOKENS + answers * _ANSWER_TOKENS,
        tokens_trained=trained,
        # The curriculum agent's checkpoint holds AdamW's two moments as well.
        disk_bytes=stored * _BYTES_PER_TEXT + weights * {"curriculum": 3, "executor": 1}.get(phase.name, 0),
    )
