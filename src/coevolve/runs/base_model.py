"""The base model that a run began with, and whether it still is the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

from coevolve.config import Config
from coevolve.engine.hub import fetch_model
from coevolve.errors import RunError
from coevolve.store.manifest import Manifest
from coevolve.types import PROPOSER, SOLVER
from coevolve.worlds.base import World
from coevolve.worlds.registry import open_world, world_named


def base_model(world: World) -> Path:
    """The checked folder of the base model.

    Raises:
        ModelError: it is missing, damaged, or its tokenizer does not know the world's texts.
    """
    from coevolve.engine.local.models import check_base_model, check_files

    path = world.base_model()
    check_files(path)  # before the world reads its tokenizer
    contract = world.contract
    stops = (*contract.stops(PROPOSER), *contract.stops(SOLVER))
    parts = (contract.prompt(PROPOSER), *stops, contract.tool_opening)
    texts = "".join(parts) + "0123456789 \\boxed{}"
    check_base_model(path, required_text=texts)
    return path


def ready_world(config: Config) -> World:
    """The world of a run, with its base model on this machine: a hub id that the cache lacks is downloaded, the open
    world's own model made.

    Raises:
        ModelError: it cannot be.
    """
    if config.model.path:
        fetch_model(config.model.path)
    elif make := world_named(config.world).make_model:
        make()
    return open_world(config)


def base_digest(base: Path) -> str:
    """Twelve hex digits over the base model's weights."""
    sha = hashlib.sha256()
    for file in sorted(base.glob("*.safetensors")):
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                sha.update(chunk)
    return sha.hexdigest()[:12]


def check_same_base(known: object, base: Path) -> None:
    """Refuse a base model other than the one whose digest is known, if one is.

    Raises:
        RunError: it is another.
    """
    if known is not None and known != base_digest(base):
        raise RunError(
            "the base model is not the one this run began with",
            where=str(base),
            fix="put the old base model back, or start a new run",
        )


def base_fault(config: Config, state: Manifest) -> str | None:
    """What is wrong with the base model of a run, None where it is the one that it began with."""
    base = open_world(config).base_model()
    if not any(base.glob("*.safetensors")):
        return f"there are no weights in {base}"
    try:
        check_same_base((state.model_extra or {}).get("base"), base)
    except RunError as error:
        return f"{error.what}: {base}"
    return None
