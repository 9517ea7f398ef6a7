"""config.yaml of a run folder: written once, read back exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from coevolve.config import Config
from coevolve.errors import ConfigError, RunError
from coevolve.methods.registry import stored_config
from coevolve.store import manifest
from coevolve.store.manifest import Manifest

NAME = "config.yaml"


def to_yaml(config: Mapping[str, Any]) -> bytes:
    """The resolved configuration as it is stored."""
    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True).encode()


def parsed(config: Mapping[str, Any], state: Manifest, source: Path) -> Config:
    """A configuration that a run has stored, under the names of today.

    Raises:
        RunError: this version cannot use it.
    """
    values = manifest.translated(config, state.schema_)
    # A run that does not name the first look at its model was begun without one.
    values["health"] = {"trial": 0, **values.get("health", {})}
    try:
        return stored_config(values)
    except ConfigError as error:
        raise RunError(error.what, where=str(source), fix=error.fix) from error
    except ValidationError as error:
        raise RunError(
            f"this version of coevolve cannot use the configuration of the run: {error}",
            where=str(source),
            fix=f"use the version that wrote it: pip install 'coevolve=={state.coevolve}'",
        ) from error


def read(folder: Path, state: Manifest) -> Config:
    """The configuration the run began with; a changed one would mix two experiments in one folder.

    Raises:
        RunError: it is missing, was changed, or this version cannot use it.
    """
    file = folder / NAME
    fix = (
        f"undo the change: coevolve doctor {folder} --repair   or start a new run with it: "
        f"coevolve run --config {file} --set run.dir=NEW"
    )
    try:
        text = file.read_bytes()
    except FileNotFoundError as error:
        what = "the configuration is missing"
        raise RunError(what, where=str(file), fix=f"write it again: coevolve doctor {folder} --repair") from error
    except OSError as error:
        raise manifest.unreadable(file, error, folder) from error
    if hashlib.sha256(text).hexdigest() != state.config_sha256:
        raise RunError("the configuration was changed after the run had begun", where=str(file), fix=fix)
    return parsed(yaml.safe_load(text), state, file)
