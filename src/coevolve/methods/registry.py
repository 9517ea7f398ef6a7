"""The methods by name: the only list of them."""

from __future__ import annotations

from collections.abc import Mapping

from coevolve.methods.agent0 import Agent0
from coevolve.methods.base import Method
from coevolve.methods.r_zero import RZero

METHODS: Mapping[str, Method] = {method.name: method for method in (Agent0(), RZero())}


def method_named(name: str) -> Method:
    """The method of ``coevolve run NAME``."""
    return METHODS[name]
