"""The keys of SPIRAL: which games, against whom, and how what they pay becomes an advantage."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from coevolve.config import Config, TrainingSection
from coevolve.config.section import StepsPerIteration
from coevolve.methods.base import State


class SelfPlaySection(TrainingSection):
    games: list[str] = Field(
        default=["tictactoe", "kuhn", "negotiation"],
        min_length=1,
        description="games of the world that are trained on; the others are only measured",
    )
    matches: int = Field(64, ge=1, description="matches of each game in one step")
    steps: StepsPerIteration = Field(20, description="steps of one iteration")
    opponent: Literal["self", "random", "past"] = Field(
        "self",
        description="who has the other seat: the policy itself, which then learns from both seats (paper); a player "
        "of random legal moves; or the policy after an earlier iteration, the base model among them, drawn anew in "
        "every step",
    )
    alpha: float = Field(
        0.95, ge=0, lt=1, description="share of a baseline that a match keeps: the decay of the moving average"
    )
    illegal: list[float] = Field(
        default=[-1.0, 1.0],
        min_length=2,
        max_length=2,
        description="what an illegal move pays whoever makes it, and the other seat (paper: the move loses; its code: "
        "-1.5 and 0.5)",
    )
    kl: float = Field(0.0, ge=0, description="coefficient of a KL term to the base model (paper: none)")
    loss: Literal["token", "sequence", "fixed"] = Field(
        "fixed", description="mean over tokens, per seat of a match, or over a fixed length (paper)"
    )


class SpiralConfig(Config):
    """The shared keys, and those of self-play. The world is one of games, where no seat has a tool."""

    self_play: SelfPlaySection = SelfPlaySection()

    @property
    def has_reference(self) -> bool:
        """Whether there is a KL term."""
        return self.self_play.kl > 0

    @model_validator(mode="after")
    def _plays(self) -> Self:
        if self.world in ("miniature", "open"):
            raise ValueError(f"SPIRAL plays games, and world {self.world} has none: world=games")
        if self.tool.enabled:
            raise ValueError("SPIRAL has no tool: tool.enabled is false")
        if len(set(self.self_play.games)) < len(self.self_play.games):
            raise ValueError("self_play.games names a game twice")
        return self


SpiralState = State[SpiralConfig]
