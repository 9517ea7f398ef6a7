"""The folder of one agent: a checkpoint without what only training needs, and its card."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import yaml

from coevolve.config import Config
from coevolve.engine.base import ADAPTER_CONFIG, ADAPTER_FILE
from coevolve.export.cards import Licence, model_card
from coevolve.types import PROPOSER, SOLVER
from coevolve.worlds.registry import open_world

ROLES = {PROPOSER: "curriculum agent", SOLVER: "executor"}
_PARTS = {".json", ".safetensors", ".txt", ".model", ".jinja"}  # the optimiser's state is no part of a model
_HEADER = re.compile(r"\A---\s*\n(.*?)\n---\s*$", re.DOTALL | re.MULTILINE)


def write_model(
    path: Path, source: Path, config: Config, summary: dict[str, object], agent: str, iteration: int, *, merge: bool
) -> None:
    """Fill a new folder with an agent's weights, tokenizer and card.

    Args:
        path: the folder to make.
        source: the checkpoint, checked against its hashes.
        config: configuration of the run.
        summary: what :func:`coevolve.monitor.summary.summarise` says of it.
        agent: which agent.
        iteration: after which iteration.
        merge: write an adapter and its base model as one model.

    Raises:
        OSError: the disk refuses.
        CoevolveError: the base model cannot be used, to merge.
    """
    path.mkdir(parents=True)
    base = open_world(config).base_model()
    given = config.model.path or ""
    named = base.name if Path(given).is_dir() and given else given  # a folder by its name, a model of a hub as it is
    for file in sorted(source.iterdir()):
        if file.suffix in _PARTS and not (merge and file.name in (ADAPTER_FILE, ADAPTER_CONFIG)):
            shutil.copyfile(file, path / file.name)
    if merge:
        from coevolve.engine.local.lora import merge_adapter

        merge_adapter(base, source, path, dtype=config.model.dtype)
    elif config.lora.enabled:
        settings = json.loads((path / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        settings["base_model_name_or_path"] = named or None  # no folder of this machine
        (path / ADAPTER_CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    for file in sorted(base.glob("LICEN[CS]E*")):
        shutil.copyfile(file, path / file.name)
    card = model_card(
        config,
        summary,
        agent,
        iteration,
        base=named,
        licence=_of(base),
        adapter=config.lora.enabled and not merge,
    )
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
