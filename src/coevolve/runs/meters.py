"""The meter of a configuration's world. Here, above all that learns, because a meter knows true answers."""

from __future__ import annotations

from coevolve.config import Config
from coevolve.worlds.base import Meter
from coevolve.worlds.miniature.meter import MiniatureMeter
from coevolve.worlds.open.meter import OpenMeter


def open_meter(config: Config) -> Meter:
    """The meter's view of ``config.world``."""
    return OpenMeter() if config.world == "open" else MiniatureMeter(all_turns=config.dialogue.judged == "all")
