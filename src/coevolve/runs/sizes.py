"""The sizes of a run's base model, known before it is loaded or even downloaded."""

from __future__ import annotations

import json

from coevolve.config import Config
from coevolve.engine.families import published_config
from coevolve.engine.shapes import KINDS, ModelShape
from coevolve.errors import ModelError
from coevolve.worlds.choose import open_world


def shape_of(config: Config) -> ModelShape | None:
    """The sizes of the base model, of its folder or, before a download, of the published one.

    Returns:
        None for a model that is not here and none of the published ones, or whose family is not understood.

    Raises:
        ModelError: its config.json cannot be read.
    """
    file = open_world(config).base_model() / "config.json"
    if file.is_file():
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ModelError(f"config.json is no JSON: {error}", where=str(file), fix="restore the file") from error
        known = isinstance(content, dict) and content.get("model_type") in KINDS
        return ModelShape.from_config(content, where=str(file)) if known else None
    published = published_config(config.model.path or "")
    return ModelShape.from_config(published) if published else None
