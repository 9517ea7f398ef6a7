"""Where the model is that ``model.path`` names: a folder, or an id of the hub whose files are in its cache."""

from __future__ import annotations

import re
from pathlib import Path

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


def fetch_model(name: str) -> Path:
    """The folder of a model; what the cache lacks is downloaded, unless ``HF_HUB_OFFLINE`` forbids it.

    Raises:
        ModelError: there is no such model, it may not be read, or it cannot be downloaded.
    """
    path = model_folder(name)
    if path.exists() or not is_hub_id(name):
        return path
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if constants.HF_HUB_OFFLINE:
        raise _missing(name, "and HF_HUB_OFFLINE forbids to download it", "download it where there is a network")
    try:
        return Path(snapshot_download(name, allow_patterns=_FILES))
    except GatedRepoError as error:
        what = "and its makers give it only to who accepts their terms"
        raise _missing(name, what, "accept them on its page, then: hf auth login") from error
    except RepositoryNotFoundError as error:
        raise _missing(
            name, "and the hub knows none of this name", "look at the name; private ones need: hf auth login"
        ) from error
    except Exception as error:  # the library lets pass whatever its HTTP client raises, such as that of a proxy
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise _missing(name, f"and it cannot be downloaded: {reason}", "try again, or give a folder") from error


def _missing(name: str, why: str, fix: str) -> ModelError:
    return ModelError(
        f"{name} is no folder here and not in the cache of models, {why}", where=f"model.path={name}", fix=fix
    )
