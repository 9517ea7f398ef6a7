"""The folder of one agent: a checkpoint without what only training needs, and its card."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import yaml

from coevolve.config import Config
from coevolve.runs.export.cards import Licence, model_card
from coevolve.types import Role
from coevolve.worlds.choose import open_world

ROLES = {Role.PROPOSER: "curriculum agent", Role.SOLVER: "executor"}
_PARTS = {".json", ".safetensors", ".txt", ".model", ".jinja"}  # the optimiser's state is no part of a model
_HEADER = re.compile(r"\A---\s*\n(.*?)\n---\s*$", re.DOTALL | re.MULTILINE)


def write_model(
    path: Path, source: Path, config: Config, summary: dict[str, object], role: Role, iteration: int
) -> None:
    """Fill a new folder with an agent's weights, tokenizer and card.

    Args:
        path: the folder to make.
        source: the checkpoint, checked against its hashes.
        config: configuration of the run.
        summary: what :func:`coevolve.runs.summary.summarise` says of it.
        role: which agent.
        iteration: after which iteration.

    Raises:
        OSError: the disk refuses.
    """
    path.mkdir(parents=True)
    for file in sorted(source.iterdir()):
        if file.suffix in _PARTS:
            shutil.copyfile(file, path / file.name)
    base = open_world(config).base_model()
    for file in sorted(base.glob("LICEN[CS]E*")):
        shutil.copyfile(file, path / file.name)
    card = model_card(config, summary, role, iteration, base=base.name if config.model.path else "", licence=_of(base))
    (path / "README.md").write_text(card, encoding="utf-8")


def _of(base: Path) -> Licence:
    """The licence that the base model's card states; unknown where it states none."""
    try:
        header = _HEADER.search((base / "README.md").read_text(encoding="utf-8"))
        stated = yaml.safe_load(header[1]) if header else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        stated = None
    keys = ("license", "license_name", "license_link")
    return {key: str(stated[key]) for key in keys if stated.get(key)} if isinstance(stated, dict) else {}
