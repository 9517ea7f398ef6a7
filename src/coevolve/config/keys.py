"""Every key of the configuration with its allowed values, default and meaning, read off the schema."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any

from coevolve.config import Config, Section
from coevolve.errors import ConfigError

WRITTEN_AS_PATH = "module:name"  # among allowed values: an object of one's own
# Sections by the name that they had up to schema 2 of the run folder.
RENAMED_SECTIONS = {"curriculum": "proposer", "executor": "solver"}
OTHER_NAMES = {"model.contract": "model.prompts"}  # keys by a name that they had before and may still be given


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """One line of ``coevolve config``. ``name`` is dotted: ``reward.lambda_tool``, ``sampling.solver.top_p``."""

    name: str
    allowed: str
    default: object
    description: str
    is_text: bool  # a plain text is among the allowed values

    @property
    def section(self) -> str:
        """The part before the last dot; empty for a key at the top."""
        return self.name.rpartition(".")[0]


@cache
def config_keys(schema: type[Config]) -> dict[str, ConfigKey]:
    """All keys of a method's configuration by dotted name: those at the top first, then section by section."""
    described = schema.model_json_schema()
    return _section_keys("", schema, described, described.get("$defs", {}))


def values_by_key(config: Config) -> dict[str, object]:
    """The value of every key of a configuration, by dotted name."""
    nested = config.model_dump()
    return {name: reduce(dict.__getitem__, name.split("."), nested) for name in config_keys(type(config))}


def section_names(schema: type[Config]) -> list[str]:
    """Sections in the order of the schema, each before those inside it; keys at the top belong to none."""
    return list(dict.fromkeys(key.section for key in config_keys(schema).values() if key.section))


def unknown(what: str, name: object, choices: Sequence[str]) -> ConfigError:
    """The error for a name that is none of the choices; it names the one that was most likely meant."""
    guess = nearest(str(name), list(choices))
    hint = f" (did you mean {guess}?)" if guess else ""
    return ConfigError(f"unknown {what} {name}{hint}", fix=f"{what}s: {', '.join(choices)}")


def nearest(name: str, choices: list[str]) -> str | None:
    """The choice that a mistyped, possibly dotted name most likely meant, or None when nothing is close.

    What stands after the dot says more than the section: first in the section that was named, then in all.
    """
    section, _, leaf = name.rpartition(".")
    for pool in ([choice for choice in choices if choice.rpartition(".")[0] == section], choices):
        leaves = difflib.get_close_matches(leaf, [choice.rpartition(".")[2] for choice in pool], n=1, cutoff=0.7)
        if leaves:
            same = [choice for choice in pool if choice.rpartition(".")[2] == leaves[0]]
            return difflib.get_close_matches(name, same, n=1, cutoff=0.0)[0]
    return next(iter(difflib.get_close_matches(name, choices, n=1)), None)


def shown(value: object) -> str:
    """A value as one would write it in YAML."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _section_keys(
    prefix: str, section: type[Section], described: Mapping[str, Any], definitions: Mapping[str, Any], about: str = ""
) -> dict[str, ConfigKey]:
    """The keys of a section, then those of the sections inside it; ``about`` goes before what is said of each key."""
    own: dict[str, ConfigKey] = {}
    inner: dict[str, ConfigKey] = {}
    for name, field in section.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, Section):
            what = f"{field.description}: " if field.description else ""
            inner |= _section_keys(f"{prefix}{name}.", part, definitions[part.__name__], definitions, what)
            continue
        own[prefix + name] = ConfigKey(
            name=prefix + name,
            allowed=_allowed(described["properties"][name]),
            default=field.get_default(call_default_factory=True),
            description=about + (field.description or ""),
            is_text=field.annotation is str or field.annotation == (str | None),
        )
    return own | inner


def _allowed(schema: Mapping[str, Any]) -> str:
    """The allowed values of one key in words, from its JSON schema."""
    if "anyOf" in schema:
        options = [_allowed(option) for option in schema["anyOf"]]
        one_or_list = len(options) == 2 and options[1] == f"non-empty list of ({options[0]})"
        return f"{options[0]}, or a list of these" if one_or_list else " or ".join(options)
    if "const" in schema:
        return str(schema["const"])
    if "pattern" in schema:
        return WRITTEN_AS_PATH
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if schema["type"] == "array":
        return f"{'non-empty ' if schema.get('minItems') else ''}list of ({_allowed(schema['items'])})"
    words = {"boolean": "true or false", "string": "text", "null": "null"}
    return words.get(schema["type"]) or schema["type"] + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f" from {schema['minimum']:g} to {schema['maximum']:g}"
    wording = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    bounds = [f"{sign} {schema[key]:g}" for key, sign in wording.items() if key in schema]
    return " " + " and ".join(bounds) if bounds else ""
