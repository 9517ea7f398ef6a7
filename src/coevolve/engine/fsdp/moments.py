"""The optimiser's state on the disk, a part by each process, as torch's distributed checkpoints: any number reads it.

torch writes what the parts are as a pickle. Here it may name what such a description is made of and
nothing else, so that a run folder from elsewhere can run no code.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from coevolve.errors import EngineError

FOLDER = "optimizer"  # in that of the weights
_MOMENTS = ("exp_avg", "exp_avg_sq")
_PARTS = "torch.distributed.checkpoint"
_DESCRIPTION = ("Metadata", "TensorStorageMetadata", "TensorProperties", "ChunkStorageMetadata", "MetadataIndex")
_NAMES = {
    *((f"{_PARTS}.metadata", name) for name in (*_DESCRIPTION, "StorageMeta", "_MEM_FORMAT_ENCODING")),
    (f"{_PARTS}.filesystem", "_StorageInfo"),
    ("torch.serialization", "_get_layout"),
    ("torch", "Size"),
    ("pathlib", "PosixPath"),
}


def save_moments(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], folder: Path) -> None:
    """Write moments and steps of every parameter that has moved; called in all processes at once.

    Args:
        parameters: those that are trained, by the names of their files.
        folder: of the weights.
    """
    state = {
        f"{name}.{key}": optimizer.state[parameter][key]
        for name, parameter in parameters.items()
        if parameter in optimizer.state
        for key in (*_MOMENTS, "step")
    }
    save(state, storage_writer=_Writer(folder / FOLDER, sync_files=False))


def load_moments(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], folder: Path) -> None:
    """Restore what ``save_moments`` wrote, with however many processes; called in all of them at once.

    Raises:
        EngineError: the state is missing or damaged, or that of another model.
    """
    place = folder / FOLDER
    if not (place / ".metadata").is_file():
        raise EngineError(f"{FOLDER}/.metadata is missing", where=str(folder), fix="resume from another checkpoint")
    reader = _Reader(place)
    known = {name: getattr(entry, "size", None) for name, entry in reader.read_metadata().state_dict_metadata.items()}
    state: dict[str, dict[str, Tensor]] = {}
    for name, parameter in parameters.items():
        if f"{name}.step" not in known:
            continue  # it has not moved yet
        if any(known.pop(f"{name}.{key}", None) != parameter.shape for key in _MOMENTS):
            raise EngineError("The optimiser state is that of another model", where=str(place))
        del known[f"{name}.step"]
        step = torch.zeros((), device=parameter.device)
        state[name] = {key: torch.zeros_like(parameter.detach()) for key in _MOMENTS} | {"step": step}
    if known:
        raise EngineError("The optimiser state is that of another model", where=str(place))
    flat = {f"{name}.{key}": value for name, own in state.items() for key, value in own.items()}
    if flat:
        try:
            load(flat, storage_reader=reader)
        except CheckpointException as error:
            raise EngineError(f"The optimiser state cannot be read: {error}", where=str(place)) from error
    for name, parameter in parameters.items():
        optimizer.state.pop(parameter, None)
        if name in state:
            optimizer.state[parameter] = state[name]


class _Writer(FileSystemWriter):
    def storage_meta(self) -> StorageMeta | None:
        """Nothing: a path and a random number would make equal states unequal files."""
        return None


class _Reader(FileSystemReader):
    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """The description of the parts.

        Raises:
            EngineError: it is damaged, or names what does not belong into it.
        """
        file = Path(self.path) / ".metadata"
        try:
            metadata = _Description(io.BytesIO(file.read_bytes())).load()
        except (OSError, ValueError, EOFError, AttributeError, pickle.UnpicklingError) as error:
            raise EngineError(f"The optimiser state cannot be read: {error}", where=str(file)) from error
        if not isinstance(metadata, Metadata):
            raise EngineError("The optimiser state cannot be read: it is none", where=str(file))
        metadata.storage_meta = metadata.storage_meta or StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata


class _Description(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NAMES and not (
            module == "torch" and isinstance(getattr(torch, name, 0), torch.dtype)
        ):
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)
