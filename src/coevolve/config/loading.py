"""From a preset, a file and ``--set`` overrides to one configuration; faults name their key and source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from coevolve.config import Config
from coevolve.config.keys import OTHER_NAMES, RENAMED_SECTIONS, config_keys, nearest, section_names, shown, unknown
from coevolve.errors import ConfigError

C = TypeVar("C", bound=Config)


@dataclass(frozen=True, slots=True)
class Layer:
    """Values by dotted key, and where they were written."""

    source: str
    values: Mapping[str, object]


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: ``1e-4`` is a number, and a key that stands twice is an error.

    ``<<: *name`` takes over the keys of another mapping; those written beside it win.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            merge = key_node.tag == "tag:yaml.org,2002:merge"
            key = "<<" if merge else self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f"the key {key} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def preset_names() -> list[str]:
    """The presets that ship with the package."""
    folder = resources.files("coevolve.presets")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def resolved(schema: type[C], stack: Sequence[Layer], check: Callable[[C], None]) -> C:
    """The configuration of a run: defaults, then the values of the layers, later ones over earlier ones.

    Args:
        schema: the configuration of the method that is meant.
        check: raises ValueError with the keys in its words where valid values do not fit together.

    Raises:
        ConfigError: an unknown section or key; a value of the wrong type or out of range; an impossible combination.
    """
    sections, stack = section_names(schema), [expanded(schema, layer) for layer in stack]
    for layer in stack:
        _check_keys(schema, layer)
    merged = {
        key: (value, layer.source)
        for layer in stack
        for key, value in layer.values.items()
        if key not in sections  # one without a key in it
    }
    config = _validated(schema, merged)
    try:
        check(config)
    except ValueError as error:
        raise _impossible(schema, str(error), merged) from error
    return config


def preset_layer(name: object) -> Layer:
    """The values of a packaged preset.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in preset_names():
        raise unknown("preset", name, preset_names())
    text = resources.files("coevolve.presets").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return _layer_of_text(text, f"preset {name}")


def file_layer(path: Path) -> Layer:
    """The values of a YAML file with sections and keys, such as the ``config.yaml`` of a run.

    Raises:
        ConfigError: it cannot be read, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"cannot read the configuration file: {reason}",
            where=str(path),
            fix="name a YAML file with --config",
        ) from error
    return _layer_of_text(text, str(path))


def layer_of(content: object, source: str) -> Layer:
    """A layer from what stands in a YAML file: sections with their keys, or dotted keys.

    Raises:
        ConfigError: it is no mapping, or a key stands twice.
    """
    if content is None:
        return Layer(source, {})
    if not isinstance(content, dict):
        raise ConfigError("the configuration is not a mapping of keys to values", where=source, fix="write: seed: 1")
    return Layer(source, _flat(content, source))


def expanded(schema: type[Config], layer: Layer) -> Layer:
    """The layer with every key of a section inside a section by its own dotted name, and under its present name.

    Raises:
        ConfigError: a key stands twice.
    """
    sections = set(section_names(schema))
    values: dict[str, object] = {}
    for name, value in layer.values.items():
        inner = value if name in sections and isinstance(value, dict) and value else None
        pairs = {name: value} if inner is None else {f"{name}.{key}": one for key, one in inner.items()}
        for key, one in pairs.items():
            present = OTHER_NAMES.get(key, key)
            if present in values:
                raise _twice(present, layer.source)
            values[present] = one
    return Layer(layer.source, values)


def _twice(key: str, source: str) -> ConfigError:
    return ConfigError(f"the key {key} stands twice", where=source, fix="keep one of the two")


def _layer_of_text(text: str, source: str) -> Layer:
    return layer_of(parse_yaml(text, source), source)


def override_layer(schema: type[Config], overrides: Iterable[str]) -> Layer:
    """The values of ``gate.lower=0.5`` and so on; they are YAML.

    Raises:
        ConfigError: one has no key or no value, or cannot be set in this way.
    """
    values: dict[str, object] = {}
    for override in overrides:
        name, equals, text = override.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ConfigError(
                f"an override without a key and a value: {override!r}",
                where="--set",
                fix="--set gate.lower=0.5",
            )
        if name in ("preset", "method"):
            option = "--preset NAME" if name == "preset" else "coevolve run METHOD"
            raise ConfigError(f"{name} cannot be set as a key", where=f"--set {override}", fix=f"use {option}")
        name = OTHER_NAMES.get(name, name)
        key = config_keys(schema).get(name)
        value = parse_yaml(text, f"--set {override}")
        as_written = key is not None and key.is_text and value is not None
        values[name] = text.strip() if as_written else value
    return Layer("--set", values)


def parse_yaml(text: str, source: str) -> object:
    """What stands in a YAML text.

    Raises:
        ConfigError: it is no YAML, or a key stands twice in a mapping.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{source}, line {mark.line + 1}" if mark is not None and "\n" in text else source
        raise ConfigError(f"not valid YAML: {error.problem}", where=place, fix="correct the syntax there") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"not valid YAML: {error}", where=source, fix="correct the syntax there") from error


def _flat(content: Mapping[object, object], source: str) -> dict[str, object]:
    """Dotted keys of two levels; the schema says later which mapping below them is a section (``expanded``)."""
    flat: dict[str, object] = {}
    for name, value in content.items():
        pairs = {f"{name}.{inner}": one for inner, one in value.items()} if isinstance(value, dict) else {name: value}
        for key, one in pairs.items():
            if key in flat:
                raise _twice(key, source)
            flat[str(key)] = one
    return flat


def _check_keys(schema: type[Config], layer: Layer) -> None:
    keys, sections = config_keys(schema), section_names(schema)
    for name, value in layer.values.items():
        if name in keys or (name in sections and value is None):
            continue
        section, dot, leaf = name.partition(".")
        if section in RENAMED_SECTIONS:
            new = RENAMED_SECTIONS[section]
            raise ConfigError(
                f"{name} is now {new}{dot}{leaf}",
                where=layer.source,
                fix=f"write {new} in place of {section}; its keys: coevolve config {new}",
            )
        if name in sections:
            raise ConfigError(
                f"{name} is a section, not a value",
                where=layer.source,
                fix=f"keys in it: coevolve config {name}",
            )
        guess = nearest(name, list(keys)) or nearest(name, sections)
        hint = f" (did you mean {guess}?)" if guess else ""
        listing = f"coevolve config {section}" if section in sections else "coevolve config"
        raise ConfigError(f"unknown key {name}{hint}", where=layer.source, fix=f"all keys: {listing}")


def _validated(schema: type[C], merged: Mapping[str, tuple[object, str]]) -> C:
    nested: dict[str, Any] = {}
    for name, (value, _) in merged.items():
        *sections, leaf = name.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[leaf] = value
    try:
        return schema.model_validate(nested)
    except ValidationError as error:
        raise _explained(schema, error, merged) from error


def _explained(schema: type[Config], error: ValidationError, merged: Mapping[str, tuple[object, str]]) -> ConfigError:
    problems = error.errors()
    # A list or a choice of types makes the location longer than the key.
    names = list(dict.fromkeys(_key_at(schema, problem["loc"]) for problem in problems))
    if not names[0]:
        return _impossible(schema, problems[0]["msg"].removeprefix("Value error, "), merged)
    value, source = merged[names[0]]
    more = f" (nor are {', '.join(names[1:])})" if names[1:] else ""
    return ConfigError(
        f"{names[0]} = {shown(value)} is not allowed{more}",
        where=source,
        fix=f"allowed: {config_keys(schema)[names[0]].allowed}",
    )


def _impossible(schema: type[Config], message: str, merged: Mapping[str, tuple[object, str]]) -> ConfigError:
    """A combination that the schema rejects; its message names the keys."""
    named = []
    for name, key in config_keys(schema).items():
        if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", message):
            value, source = merged.get(name, (key.default, "default"))
            named.append(f"{name} = {shown(value)} ({source})")
    return ConfigError(message, where=", ".join(named), fix="change one of them")


def _key_at(schema: type[Config], loc: tuple[int | str, ...]) -> str:
    """The key that a location of pydantic lies in; empty for the configuration as a whole."""
    dotted = [".".join(map(str, loc[:parts])) for parts in (3, 2, 1)]
    return next((name for name in dotted if name in config_keys(schema)), "")
