"""The copy that a run keeps of a prompt file of one's own: what its agents are told stays what it was at the start."""

from __future__ import annotations

import hashlib
from pathlib import Path

from coevolve.config import Config
from coevolve.config.resources import is_prompt_file
from coevolve.errors import ConfigError
from coevolve.store import atomic
from coevolve.store.records import RunRecords
from coevolve.system import cache_folder

FACT = "prompts"  # in the manifest


def prompts_fact(name: str, known: object = None) -> dict[str, dict[str, str]]:
    """What the manifest keeps of the prompts: file and text of one's own, nothing of those of the package.

    Args:
        name: ``model.prompts``.
        known: what it keeps already, which stays.

    Raises:
        ConfigError: the file cannot be read.
    """
    if isinstance(known, dict):
        return {FACT: known}
    if not is_prompt_file(name):
        return {}
    try:
        return {FACT: {"file": name, "text": Path(name).read_bytes().decode()}}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the prompt file: {error}", where=name, fix="bring it back") from error


def with_own_prompts(folder: RunRecords) -> Config:
    """The configuration of a run under the prompts that it began with: where its file is another one now, or gone, a
    copy in the cache stands for it.

    Raises:
        OSError: the cache cannot be written.
    """
    config, kept = folder.config, folder.facts.get(FACT)
    if not isinstance(kept, dict):
        return config
    path, data = Path(kept["file"]), kept["text"].encode()
    if not _is(path, data):
        path = cache_folder("prompts") / hashlib.sha256(data).hexdigest()[:16] / path.name
        if not _is(path, data):
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.replace_file(path, data)
    return config.model_copy(update={"model": config.model.model_copy(update={"prompts": str(path)})})


def changed_prompts(folder: RunRecords) -> list[str]:
    """A sentence where the prompt file is no longer what the run has kept of it; that harms no run."""
    if with_own_prompts(folder) == folder.config:
        return []
    return [f"{folder.config.model.prompts} is not what it was when the run began: the run goes on with its own copy"]


def _is(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False
