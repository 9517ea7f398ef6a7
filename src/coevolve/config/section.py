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
