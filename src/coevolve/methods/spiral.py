"""SPIRAL (arXiv 2506.24119): one model plays both seats of zero-sum games against itself, and nothing else teaches it.

In every step all games are played equally often. What a match pays at its end, less the running baseline of that game
and seat, is the advantage of every turn of the seat. No KL term, no labels, no judge but the rules. Presets ``spiral``
(the paper), ``spiral-code`` (what its published code pays for an illegal move) and ``spiral-stable`` (with a KL term).
"""

from __future__ import annotations

from typing import ClassVar

from coevolve.methods.base import Paper, Phase
from coevolve.methods.phases.self_play import SelfPlay
from coevolve.methods.phases.self_play_report import self_play_report
from coevolve.methods.reporting import Labels, PhaseReport
from coevolve.methods.self_play_config import SpiralConfig
from coevolve.types import SOLVER, AgentSpec


class Spiral:
    """One policy in both seats; implements :class:`coevolve.methods.base.Method`."""

    name = "spiral"
    paper = Paper("SPIRAL", "2506.24119")
    default_preset = "spiral"
    answerer = SOLVER
    config = SpiralConfig
    labels: ClassVar[Labels] = {SOLVER: "player"}

    @property
    def reports(self) -> tuple[PhaseReport, ...]:
        """Of the one phase."""
        return (self_play_report(self.labels),)

    def agents(self, config: SpiralConfig) -> tuple[AgentSpec, ...]:
        """The player."""
        player = AgentSpec(
            SOLVER,
            self.labels[SOLVER],
            trained=True,
            does="plays two-player games. It was rewarded with what matches against itself paid.",
            usage="It is shown a line that ends with `>` and writes a move and an end token.",
            limits=(
                "It was trained against players of its own strength: what they did not punish it has not unlearned.",
                "The numbers are of the games that it was trained and measured on. They say nothing of other tasks.",
            ),
        )
        return (player,)

    def phases(self, config: SpiralConfig, iteration: int) -> list[Phase]:
        """Self-play, then the measuring that every iteration has."""
        return [SelfPlay(config.self_play, iteration, self.labels)]
