"""What is asked of a training server, in plain data: the one interface between our learning and any SDK.

Rows are token ids. Log-probabilities and advantages of a row of L tokens have L - 1 entries, from its second token on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from coevolve.errors import EngineError
from coevolve.types import Floats, Ints


class LostReply(EngineError):
    """The server may have done what it was asked, or not: the answer never came."""


@dataclass(frozen=True, slots=True)
class Adam:
    """The numbers of one step of AdamW."""

    lr: float
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a server wrote behind a prompt."""

    tokens: list[int]  # the token that ended it included
    logprobs: list[float]
    stopped: bool  # by an end token, not by the length


class Server(Protocol):
    """Adapters on one base model. Each call waits until it is done, within a deadline.

    Calls that change weights are sent once. Where their reply does not come they raise ``LostReply``, and whoever asked
    goes back to a saved state. All others may be sent again.
    """

    facts: Mapping[str, str]  # what the server and the SDK call themselves, for the record

    def open(self, rank: int, seed: int) -> str:
        """A new adapter, equal to the base model; returns its id."""

    def reopen(self, state: str, *, optimizer: bool) -> str:
        """A new adapter with the weights of a saved state, and its optimiser if asked; returns its id."""

    def rank(self, state: str) -> int | None:
        """The rank that the server tells of a saved state; None where it tells none."""

    def forward(self, adapter: str, rows: Sequence[Ints]) -> list[Floats]:
        """Log-probabilities [L - 1] of each row at temperature 1."""

    def backward(
        self, adapter: str, rows: Sequence[Ints], logprobs: Sequence[Floats], advantages: Sequence[Floats]
    ) -> None:
        """Add the gradient of - advantage * exp(logp - logprobs), as the server reduces it, to what there is.

        Raises:
            LostReply: the answer did not come.
        """

    def step(self, adapter: str, adam: Adam) -> float | None:
        """Update and forget the gradient; returns its norm, None where the server does not tell it.

        Raises:
            LostReply: the answer did not come.
        """

    def save(self, adapter: str) -> str:
        """Keep weights and optimiser on the server; returns the name that it gives them, never one given before."""

    def publish(self, adapter: str) -> str:
        """Keep the weights for sampling; returns their name."""

    def sample(
        self, weights: str | None, prompt: Ints, *, limit: int, greedy: bool, seed: int, ends: Sequence[int]
    ) -> Future[Sampled]:
        """Begin to write up to ``limit`` tokens; ``weights`` None is the base model."""

    def release(self, adapter: str) -> None:
        """Give an adapter's place back. What was saved of it stays."""
