"""The methods by name, and the configuration of a run, whose keys depend on its method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from coevolve.config import Config
from coevolve.config.dotted import functions_named, is_dotted, load_object
from coevolve.config.keys import config_keys, unknown, values_by_key
from coevolve.config.loading import Layer, expanded, file_layer, override_layer, preset_layer, preset_names, resolved
from coevolve.errors import ConfigError
from coevolve.methods.absolute_zero import AbsoluteZero
from coevolve.methods.agent0 import Agent0
from coevolve.methods.base import Method
from coevolve.methods.r_zero import RZero
from coevolve.methods.socratic_zero import SocraticZero
from coevolve.methods.spiral import Spiral
from coevolve.worlds.registry import world_named

METHODS: Mapping[str, Method] = {
    method.name: method for method in (Agent0(), RZero(), AbsoluteZero(), Spiral(), SocraticZero())
}
DEFAULT_METHOD = Agent0.name
# Without them a real model is trained whole, in float32, on the CPU.
_DECIDING = ("engine.device", "model.dtype", "lora.enabled")
KEYS_OF_A_REAL_MODEL = "the three keys that matter: engine.device=cuda, model.dtype=bfloat16, lora.enabled=true"


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
        preset: a packaged preset; without it the one that ``file`` names, else the one that was made for the model of
            ``model.path`` and one GPU, else the method's own.
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
    name, overrides = preset or in_file.get("preset"), list(overrides)
    if not name:
        given = _written_values([*written, *layers], overrides)
        name = _preset_of(given.get("model.path"), asked)
        _refuse_untold_model(given, asked, name)
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


def changed_config(config: Config, overrides: Iterable[str] = (), *, layers: Sequence[Layer] = ()) -> Config:
    """A configuration that is resolved already with other values: those of the layers, then ``key=value`` overrides.

    Raises:
        ConfigError: as of ``load_config``.
    """
    schema = type(config)
    so_far = Layer("the configuration so far", values_by_key(config))
    return resolved(schema, [so_far, *layers, override_layer(schema, overrides)], check_names)


def presets_for(method: str, model: object = None) -> list[str]:
    """The packaged presets of a method that were made for a real model and at most one GPU, the plainest name first.

    Args:
        model: ``model.path``; None: any that needs a GPU.
    """
    found = []
    for name in preset_names():
        values = preset_layer(name).values
        path, gpus = values.get("model.path"), values.get("engine.gpus", 1)
        meant = path == model if model else values.get("engine.device") == "cuda"
        real = values.get("world") == "open" and path is not None and meant
        if real and gpus == 1 and values.get("method") == method:
            found.append(name)
    return sorted(found, key=lambda name: (len(name), name))


def _preset_of(model: object, method: str) -> str:
    """The preset of a run that names none."""
    made = presets_for(method, model) if model else []
    return made[0] if made else method_named(method).default_preset


def _written_values(layers: Sequence[Layer], overrides: Iterable[str]) -> dict[str, object]:
    """What was written besides a preset, later layers over earlier ones; faults in it are told where it is read."""
    values = {key: value for layer in layers for key, value in layer.values.items()}
    pairs = (override.partition("=") for override in overrides)
    return values | {key.strip(): text.strip() for key, _, text in pairs}


def _refuse_untold_model(given: Mapping[str, object], method: str, preset: str) -> None:
    """Do not run a model of the user's own with numbers that were chosen for the embedded one.

    Raises:
        ConfigError: a model is named for the open world, no preset was made for it, and nothing says how to run it.
    """
    model = given.get("model.path")
    untold = given.get("world") == "open" and model not in (None, "null") and preset not in presets_for(method, model)
    if not (untold and preset) or all(key in given for key in _DECIDING):
        return
    like = [f"--preset {name} --set model.path={model}   or " for name in presets_for(method)[:1]]
    raise ConfigError(
        f"nothing says how to run {model}: preset {preset} was made for the embedded model, and would train all "
        "weights of this one in float32 on the CPU",
        where=f"model.path={model}",
        fix=f"{''.join(like)}say {KEYS_OF_A_REAL_MODEL} (or other values)",
    )


def check_names(config: Config) -> None:
    """See that the world, and everything of one's own that a configuration names, can be loaded and used.

    Raises:
        ConfigError: something cannot.
        ValueError: sections do not fit the world.
    """
    world_named(config.world).check(config.world_settings)
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
