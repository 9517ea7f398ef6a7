"""Keys of the configuration as Python values: ``{"reward.lambda_tool": 0}``, ``run={"dir": path}``, functions."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from coevolve.config.dotted import load_object
from coevolve.config.loading import Layer, layer_of
from coevolve.errors import ConfigError


def layer(keys: Mapping[str, object], source: str) -> Layer:
    """Keys as a layer of the configuration, over preset and file.

    Args:
        keys: dotted names, or sections with their keys.
        source: the call that was given them, for messages.

    Raises:
        ConfigError: a key stands twice, or a function cannot be found again by its name.
    """
    return layer_of({name: _plain(name, value) for name, value in keys.items()}, source)


def overrides(keys: Mapping[str, object], source: str) -> list[str]:
    """The same as ``KEY=VALUE``, where that is what is asked for.

    Raises:
        ConfigError: as of :func:`layer`.
    """
    values = layer(keys, source).values
    return [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()]


def _plain(name: str, value: Any) -> object:
    """A value as it would stand in a YAML file."""
    if isinstance(value, Mapping):
        return {str(key): _plain(f"{name}.{key}", inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, inner) for inner in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return _dotted(name, value) if callable(value) else value


def _dotted(name: str, value: Any) -> str:
    """The dotted path of a function or class: a run stores its configuration as text, and a resume loads it again.

    Raises:
        ConfigError: it has none, as what was written in a notebook or inside a function.
    """
    path = f"{value.__module__}:{value.__qualname__}"
    try:
        found = load_object(path, name) if value.__module__ != "__main__" else None
    except ConfigError:
        found = None
    if found is not value:
        raise ConfigError(
            f"{value.__qualname__} cannot be found again by its name, and a run that is resumed has to load it",
            where=name,
            fix="put it at the top of a file beside your program, such as my_ideas.py, and import it from there",
        )
    return path
