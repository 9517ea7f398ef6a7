"""Models by name: the folder behind ``model.path`` (a folder, or a hub id with its files in the cache), and the sizes
of families known in advance.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coevolve.errors import ModelError

_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "LICENSE*", "README.md"]


def model_folder(name: str) -> Path:
    """The folder of a model that is on this machine; a name that is neither a folder nor cached stays as it is.

    Asks no network. ``HF_HOME`` and ``HF_HUB_CACHE`` say where the cache is.
    """
    path = Path(name).expanduser()
    if path.exists() or not is_hub_id(name):
        return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True, allow_patterns=_FILES))
    except (LocalEntryNotFoundError, HfHubHTTPError):
        return path


def is_hub_id(name: str) -> bool:
    """Whether a name could be ``owner/model``; a folder of that name goes before."""
    return _ID.fullmatch(name) is not None


class Undownloadable(Exception):
    """The hub does not give something; says why and what to do, as parts of a sentence."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.why, self.fix = why, fix


def download(name: str, *, repo_type: str = "model", revision: str = "main", files: list[str]) -> Path:
    """The folder of a repository in the hub's cache, with what the cache lacked; runs nothing of it.

    Args:
        name: owner/name.
        repo_type: model or dataset.
        revision: a commit or a branch.
        files: patterns of their names.

    Raises:
        Undownloadable: it cannot be had.
    """
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if constants.HF_HUB_OFFLINE:
        raise Undownloadable("HF_HUB_OFFLINE forbids to download it", "download it where there is a network")
    try:
        HfApi().repo_info(name, repo_type=repo_type, revision=revision)  # says at once where nobody answers
        return Path(snapshot_download(name, repo_type=repo_type, revision=revision, allow_patterns=files))
    except GatedRepoError as error:
        what = "its makers give it only to who accepts their terms"
        raise Undownloadable(what, "accept them on its page, then: hf auth login") from error
    except RevisionNotFoundError as error:
        raise Undownloadable(f"the revision {revision[:12]} is gone", "name another") from error
    except RepositoryNotFoundError as error:
        fix = "look at the name; private ones need: hf auth login"
        raise Undownloadable("the hub knows none of this name, or it is private", fix) from error
    except Exception as error:  # the library lets pass whatever its HTTP client raises, such as that of a proxy
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Undownloadable(f"it cannot be downloaded: {reason:.200}", "try again, or give a folder") from error


def fetch_model(name: str) -> Path:
    """The folder of a model; what the cache lacks is downloaded, unless ``HF_HUB_OFFLINE`` forbids it.

    Raises:
        ModelError: there is no such model, it may not be read, or it cannot be downloaded.
    """
    path = model_folder(name)
    if path.exists() or not is_hub_id(name):
        return path
    try:
        return download(name, files=_FILES)
    except Undownloadable as refused:
        raise ModelError(
            f"{name} is no folder here and not in the cache of models, and {refused.why}",
            where=f"model.path={name}",
            fix=refused.fix,
        ) from refused


_QWEN3: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151643,
    "head_dim": 128,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "max_position_embeddings": 32768,
    "num_attention_heads": 32,
    "num_hidden_layers": 36,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "vocab_size": 151936,
}
_LLAMA3: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "head_dim": 128,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "vocab_size": 128256,
}
_STRETCH = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


@dataclass(frozen=True, slots=True)
class Family:
    """A published model: its id on the hub and the sizes of its config.json."""

    hub_id: str
    config: Mapping[str, Any]


FAMILIES: Mapping[str, Family] = {
    "qwen3-4b": Family(
        "Qwen/Qwen3-4B-Base",
        _QWEN3 | {"hidden_size": 2560, "intermediate_size": 9728, "tie_word_embeddings": True},
    ),
    "qwen3-8b": Family(
        "Qwen/Qwen3-8B-Base",
        _QWEN3 | {"hidden_size": 4096, "intermediate_size": 12288, "tie_word_embeddings": False},
    ),
    "octothinker-3b": Family(
        "OctoThinker/OctoThinker-3B-Hybrid-Base",
        _LLAMA3
        | {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24}
        | {"tie_word_embeddings": True, "rope_scaling": {"rope_type": "llama3", "factor": 32.0, **_STRETCH}},
    ),
    "octothinker-8b": Family(
        "OctoThinker/OctoThinker-8B-Hybrid-Base",
        _LLAMA3
        | {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32}
        | {"tie_word_embeddings": False, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, **_STRETCH}},
    ),
}


def published_config(hub_id: str) -> Mapping[str, Any] | None:
    """The config.json of a model by its hub id, where it is one of ``FAMILIES``."""
    return next((family.config for family in FAMILIES.values() if family.hub_id == hub_id), None)
