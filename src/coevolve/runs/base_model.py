"""The base model that a run began with, and whether it still is the same."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from coevolve import permissions
from coevolve.engine.hub import config_before, fetch_model, is_made_here
from coevolve.errors import ModelError, RunError
from coevolve.types import PROPOSER, SOLVER
from coevolve.worlds.base import World
from coevolve.worlds.registry import world_named


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


def fetch_base(world: str, path: str | None) -> None:
    """Put a base model on this machine: a hub id that the cache lacks is downloaded, a GGUF file dequantised, the open
    world's own model made.

    Args:
        world: name of the world.
        path: ``model.path``; None for the world's own.

    Raises:
        ModelError: it cannot be.
    """
    if path:
        fetch_model(path)
    elif make := world_named(world).make_model:
        make()


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


def base_fault(base: Path, known: object, name: str | None = None) -> str | None:
    """What is wrong with the base model of a run, None where it is the one whose digest is known, if one is.

    A folder that is made in our cache need not be there: resuming makes it again, if its file can be read.

    Args:
        base: its folder.
        known: the digest.
        name: ``model.path``.
    """
    if name and not base.exists() and is_made_here(name):
        try:
            config_before(name)
        except ModelError as error:
            return f"{error.what} ({error.fix})"
        return None
    if os.path.isdir(base) and not os.access(base, os.R_OK | os.X_OK, effective_ids=True):
        return f"its folder may not be read: {base}"
    if not any(base.glob("*.safetensors")):
        return f"there are no weights in {base}"
    try:
        check_same_base(known, base)
    except OSError as error:
        return f"{error.filename} {permissions.reading(Path(str(error.filename)), error, base).what}"
    except RunError as error:
        return f"{error.what}: {base}"
    return None
