"""The methods by name. A new one is a module with ``phases``, a name in ``Config.method`` and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from coevolve.config import Config
from coevolve.methods import agent0, r_zero
from coevolve.methods.base import Phase

_METHODS: Mapping[str, Callable[[Config, int], list[Phase]]] = {"agent0": agent0.phases, "r-zero": r_zero.phases}


def phases_of(config: Config, iteration: int) -> list[Phase]:
    """The phases of one iteration of ``config.method``, in order."""
    return _METHODS[config.method](config, iteration)
