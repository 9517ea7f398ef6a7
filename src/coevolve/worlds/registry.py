"""The world that a configuration names: the one place where a name becomes a world."""

from __future__ import annotations

from coevolve.config import Config
from coevolve.engine.hub import model_folder
from coevolve.types import PROPOSER
from coevolve.worlds.base import World
from coevolve.worlds.miniature.learner import BASES, MiniatureWorld
from coevolve.worlds.open.learner import OpenWorld

EXAMPLES = {
    "miniature": "Let a = 43 * 80. Let b = the digit sum of a. Find b.",
    "open": "What is the sum of the first 100 odd numbers?",
}  # a question of each world, for whoever wants to ask one
PROMPT_TOKENS = {"miniature": 64, "open": 512}  # an allowance for framing and question, for plans of memory


def open_world(config: Config) -> World:
    """The learner's view of ``config.world`` with the base model that ``model.path`` names, or with its own."""
    path = config.model.path
    if config.world == "open":
        return OpenWorld(
            path,
            config.model.contract,
            turns=config.dialogue.turns,
            composing=config.has_tool(PROPOSER),
            state=config.tool.state,
        )
    if path is None:
        return MiniatureWorld()
    return MiniatureWorld(BASES[path] if path in BASES else model_folder(path))
