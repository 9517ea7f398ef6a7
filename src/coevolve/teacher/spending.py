"""What a teacher costs: requests, tokens and dollars, and the most that one start of a run may spend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CHARACTERS = 4  # of a token, about, where a server does not count


@dataclass(frozen=True, slots=True)
class Usage:
    """Requests that were answered, tokens of their prompts and of the replies."""

    requests: int = 0
    read: int = 0
    written: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.requests + other.requests, self.read + other.read, self.written + other.written)


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars per million tokens."""

    read: float
    written: float

    def cost(self, usage: Usage) -> float:
        """Dollars."""
        return (self.read * usage.read + self.written * usage.written) / 1e6


@dataclass(slots=True)
class Budget:
    """What may be spent, and what was spent since this process began; a limit of None limits nothing."""

    prices: Prices
    usd: float | None = None
    tokens: int | None = None
    spent: Usage = Usage()

    def take(self, usage: Usage) -> None:
        """Count a reply."""
        self.spent = self.spent + usage

    @property
    def used_up(self) -> str:
        """Which limit is reached and by what; empty while there is something left."""
        tokens, cost = self.spent.read + self.spent.written, self.prices.cost(self.spent)
        if self.tokens is not None and tokens >= self.tokens:
            return f"teacher.budget_tokens={self.tokens} is used up: {tokens} tokens in {self.spent.requests} requests"
        if self.usd is not None and cost >= self.usd:
            return f"teacher.budget_usd={self.usd:g} is used up: {cost:.2f} dollars in {self.spent.requests} requests"
        return ""


def usage_of(message: Mapping[str, Any], prompt: int, text: str) -> Usage:
    """The usage of one response; where it tells none, a fourth of the characters.

    Args:
        message: the response.
        prompt: characters of the request.
        text: what the reply says.
    """
    told = message.get("usage")
    numbers = [told.get(name) if isinstance(told, Mapping) else None for name in ("prompt_tokens", "completion_tokens")]
    read, written = (x if isinstance(x, int) and x >= 0 else None for x in numbers)
    return Usage(
        1,
        prompt // _CHARACTERS if read is None else read,
        len(text) // _CHARACTERS if written is None else written,
    )
