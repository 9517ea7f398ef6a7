"""The world that a configuration names: the one place where a name becomes a world."""

from __future__ import annotations

from pathlib import Path

from coevolve.config import Config
from coevolve.worlds.base import World
from coevolve.worlds.miniature.learner import MiniatureWorld


def open_world(config: Config) -> World:
    """The learner's view of ``config.world`` with the base model that ``model.path`` names, or with its own."""
    return MiniatureWorld(Path(config.model.path) if config.model.path else None)
