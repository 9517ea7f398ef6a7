"""The methods by name, and the configuration of a run, whose keys depend on its method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from coevolve.config import Config
from coevolve.config.dotted import functions_named, is_dotted, load_object
from coevolve.config.keys import config_keys, unknown, values_by_key
from coevolve.config.loading import Layer, expanded, file_layer, override_layer, preset_layer, resolved
from coevolve.errors import ConfigError
from coevolve.methods.agent0 import Agent0
from coevolve.methods.base import Method
from coevolve.methods.r_zero import RZero
from coevolve.worlds.registry import world_named

METHODS: Mapping[str, Method] = {method.name: method for method in (Agent0(), RZero())}
DEFAULT_METHOD = Agent0.name


def method_named(name: str) -> Method:
    """The method of ``coevolve run NAME``; ``my_module:MyMethod`` is a class of one's own, or an object of one.

    Raises:
        ConfigError: there is none of this name, or it is no method.
    """
    if name in METHODS:
        return METHODS[name]
    if not is_dotted(name):
        raise unknown("method", name, list(METHODS))
    found = load_object(name, "method", needs=("config", "answerer", "agents", "phases"))
    method: Method = found() if isinstance(found, type) else found
    return method


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
    base = preset_layer(name) if name else Layer("defaults", {})
    schema = method_named(asked).config
    if is_dotted(asked):
        base = _of_another_method(base, schema)
    stack = [base, *written, *layers]
    named = [str(layer.values["method"]) for layer in stack if "method" in layer.values]
    meant = named[-1] if named else asked
    for layer in stack:
        _refuse_other_method(layer, method)
    schema = method_named(meant).config
    stack += [override_layer(schema, overrides), Layer("coevolve run", {"preset": name, "method": meant})]
    return resolved(schema, stack, check_names)


def check_names(config: Config) -> None:
    """See that the world, and everything of one's own that a configuration names, can be loaded and used.

    Raises:
        ConfigError: something cannot.
        ValueError: sections do not fit the world.
    """
    world_named(config.world).check(config.model, config.tool)
    for key, path in functions_named(config_keys(type(config)).values(), values_by_key(config)):
        load_object(path, key)


def own_code(config: Config) -> list[str]:
    """Dotted paths of everything of one's own that a configuration names: method, world and functions."""
    named = [path for _, path in functions_named(config_keys(type(config)).values(), values_by_key(config))]
    return list(dict.fromkeys([name for name in (config.method, config.world) if is_dotted(name)] + named))


def _of_another_method(preset: Layer, schema: type[Config]) -> Layer:
    """What a method of one's own takes over from a packaged preset: the keys that it has."""
    keys = config_keys(schema)
    values = expanded(schema, preset).values
    return Layer(preset.source, {k: v for k, v in values.items() if k in keys and k != "method"})


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
