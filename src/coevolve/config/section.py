"""What all sections are made of: strict, frozen models, and values that may differ by iteration."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Scalar = TypeVar("Scalar", int, float)
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Voter = Literal["current", "previous", "middle", "first", "base"]
Positive = Annotated[int, Field(ge=1)]
# One value for all iterations, or a list: one per iteration, the last one repeated.
StepsPerIteration = Positive | Annotated[list[Positive], Field(min_length=1)]
ProbabilityPerIteration = Probability | Annotated[list[Probability], Field(min_length=1)]


def at_iteration(value: Scalar | list[Scalar], iteration: int) -> Scalar:
    """The value that holds in an iteration (counted from 1); a short list repeats its last entry."""
    return value[min(iteration, len(value)) - 1] if isinstance(value, list) else value


class Section(BaseModel):
    """Base of all sections: unknown keys, infinities and NaN are errors, values are fixed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class OptimizerSection(Section):
    """How the weights of one agent are moved."""

    lr: float = Field(4e-4, gt=0, description="learning rate of AdamW")
    weight_decay: float = Field(0.0, ge=0, description="weight decay of AdamW")
    beta1: float = Field(0.9, ge=0, lt=1, description="decay of AdamW's mean of gradients")
    beta2: float = Field(0.99, ge=0, lt=1, description="decay of AdamW's mean of squared gradients")
    warmup: int = Field(0, ge=0, description="optimiser steps of linear warm-up after the optimiser was new")
    max_grad_norm: float = Field(1.0, gt=0, description="gradient clip")


class TrainingSection(OptimizerSection):
    """How one agent learns from its rollout batches."""

    minibatches: int = Field(2, ge=1, description="optimiser steps per rollout batch; with 1 no clip bound can act")
    clip_low: float = Field(0.2, gt=0, lt=1.0, description="lower clip bound")
    clip_high: float = Field(0.2, gt=0, description="upper clip bound; ADPO widens it for ambiguous tasks")
