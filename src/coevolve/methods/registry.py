"""The methods by name, and the configuration of a run, whose keys depend on its method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from coevolve.config import Config
from coevolve.config.keys import unknown
from coevolve.config.loading import Layer, file_layer, override_layer, preset_layer, resolved
from coevolve.errors import ConfigError
from coevolve.methods.agent0 import Agent0
from coevolve.methods.base import Method
from coevolve.methods.r_zero import RZero

METHODS: Mapping[str, Method] = {method.name: method for method in (Agent0(), RZero())}
DEFAULT_METHOD = Agent0.name


def method_named(name: str) -> Method:
    """The method of ``coevolve run NAME``.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in METHODS:
        raise unknown("method", name, list(METHODS))
    return METHODS[name]


def trained_agents(config: Config) -> set[str]:
    """Ids of the agents that a run trains."""
    return {agent.id for agent in method_named(config.method).agents(config) if agent.trained}


def load_config(
    preset: str | None = None,
    file: Path | None = None,
    overrides: Iterable[str] = (),
    *,
    method: str | None = None,
    layers: Sequence[Layer] = (),
) -> Config:
    """The configuration of a run: defaults, then the preset, the file, the layers, then ``key=value`` overrides.

    Its class is that of its method: the one asked for, else the one that the file or the preset names.

    Args:
        preset: a packaged preset; without it the one that ``file`` names, else the method's own.
        file: YAML with sections and keys, for example the ``config.yaml`` of a run.
        overrides: ``gate.lower=0.5`` and so on; values are YAML.
        method: what the user asked to run; a preset or file of another method is refused.
        layers: more values, later ones over earlier ones; see :func:`coevolve.config.loading.layer_of`.

    Raises:
        ConfigError: an unknown method, preset, section or key; a value of the wrong type or out of range; an
            impossible combination; a file that cannot be read.
    """
    if method is not None:
        method_named(method)
    written = [file_layer(file)] if file is not None else []
    in_file = written[0].values if written else {}
    asked = str(method or in_file.get("method", DEFAULT_METHOD))
    name = preset or in_file.get("preset") or method_named(asked).default_preset
    stack = [preset_layer(name), *written, *layers]
    meant = method_named(str([layer.values["method"] for layer in stack if "method" in layer.values][-1]))
    for layer in stack:
        _refuse_other_method(layer, method)
    stack += [override_layer(meant.config, overrides), Layer("--preset", {"preset": name})]
    return resolved(meant.config, stack)


def stored_config(values: Mapping[str, object]) -> Config:
    """A configuration as a run folder keeps it.

    Raises:
        ConfigError: its method is not known here.
        ValueError: its values are not those of the method's configuration.
    """
    return method_named(str(values.get("method", DEFAULT_METHOD))).config.model_validate(values)


def _refuse_other_method(layer: Layer, method: str | None) -> None:
    written = layer.values.get("method", method)
    if method is not None and written != method:
        raise ConfigError(
            f"this is a configuration of {written}, not of {method}",
            where=layer.source,
            fix=f"coevolve run {written}",
        )
