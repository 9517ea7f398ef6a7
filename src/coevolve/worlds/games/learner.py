"""The learner's view of the world of games: rules, contract and base model, and nobody who plays well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from coevolve.types import Task
from coevolve.worlds.base import NO_CONTEXT, PromptContext, shipped_model
from coevolve.worlds.games.catalogue import GAMES
from coevolve.worlds.play import Rules

TO_MOVE = ">"
ASSETS = Path(__file__).parent / "assets"


class GamesContract:
    """What a seat is shown is one line that ends with ``>``; its move follows, and an end token.

    Implements :class:`coevolve.worlds.base.Contract`."""

    name = "games"
    tool_opening = ""
    proposer_opening = ""
    openings: Mapping[str, Sequence[str]] = {}
    refusal = ""
    topics: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()

    def prompt(self, agent: str, context: PromptContext = NO_CONTEXT) -> str:
        """What the seat is shown, and that it is to move."""
        return f"{context.question}{TO_MOVE}"

    def opening(self, agent: str) -> str:
        """None."""
        return ""

    def stops(self, agent: str) -> tuple[str, ...]:
        """Only an end token ends a move."""
        return ()

    def follow_up(self, turn: str, *, ended: bool) -> str:
        """Every turn looks like the first."""
        return f"{turn}{TO_MOVE}"

    def finished(self, agent: str, text: str) -> str | None:
        """Every pause is an end."""
        return text

    def observation(self, status: str, stdout: str, stderr: str) -> str:
        """No seat has a tool."""
        return ""


class GamesWorld:
    """Games of two seats. Implements :class:`coevolve.worlds.play.WorldOfGames`."""

    name = "games"
    example = "tictactoe x 12o4x6789"

    def __init__(self, model: Path | None = None) -> None:
        """
        Args:
            model: folder of another base model than the shipped one.
        """
        self.contract = GamesContract()
        self._model = model

    @property
    def rules(self) -> Mapping[str, Rules]:
        """All games by name."""
        return GAMES

    def base_model(self) -> Path:
        """The folder shipped with the package, or the one given. Raises ModelError when shipped files are missing."""
        return self._model or shipped_model(ASSETS, self.name)

    def is_well_formed(self, question: str) -> bool:
        """Whether a line begins as that of one of the games does."""
        return question.partition(" ")[0] in GAMES

    def is_reserved(self, question: str) -> bool:
        """Positions are not reserved: some games are, and the method is not given them."""
        return False

    def user_turns(self, question: str, most: int) -> tuple[str, ...]:
        """One."""
        return (question,)

    def describe(self, question: str) -> dict[str, int | str]:
        """``topic``: the game."""
        known = self.is_well_formed(question)
        return {"steps": int(known), "topic": question.partition(" ")[0] if known else "malformed"}

    def check(self, task: Task, answer: str) -> None:
        """None: a move has no truth, a match has a result."""
