"""GGUF files of the Llama and Qwen families, dequantised once into an ordinary Hugging Face folder in our cache.

Everything else sees that folder only. Needs the package gguf, the extra ``gguf``.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coevolve.engine.gguf_tokenizer import write_tokenizer
from coevolve.errors import ModelError
from coevolve.permissions import follow_umask
from coevolve.system import cache_folder

if TYPE_CHECKING:
    from gguf import GGUFReader
    from numpy.typing import NDArray
    from torch import Tensor

SUFFIX = ".gguf"
INSTALL = "pip install 'coevolve[gguf]'"
_FORMAT = 1  # of the folders made here: one more whenever the same file gives another folder
_SHARD = 4 << 30  # bytes of a file of weights at most, and of memory at once
_KINDS = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
_REFUSED = (  # what a file may say that changes the arithmetic of these classes
    "expert_count",
    "attention.sliding_window",
    "attention.clamp_kqv",
    "attention.scale",
    "attention.temperature_scale",
    "logit_scale",
    "residual_scale",
    "embedding_scale",
)
_ROPE_FACTORS = "rope_freqs.weight"
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


def is_gguf(path: Path) -> bool:
    """Whether this is a GGUF file, by its name or its first bytes."""
    if not path.is_file():
        return False
    if path.suffix == SUFFIX:
        return True
    with path.open("rb") as stream:
        return stream.read(4) == b"GGUF"


def is_installed() -> bool:
    """Whether the package that reads such files is here."""
    return importlib.util.find_spec("gguf") is not None


def digest_of(file: Path) -> str:
    """SHA-256 of a file, in hex digits; read once a process unless the file changes."""
    return _digest(*_state(file))


def _state(file: Path) -> tuple[Path, int, int]:
    """What changes with a file's content."""
    stat = file.stat()
    return file.resolve(), stat.st_size, stat.st_mtime_ns


@functools.lru_cache(maxsize=64)
def _digest(path: Path, size: int, changed_ns: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_of(digest: str) -> Path:
    """Where the dequantised model of the file with this SHA-256 is, or will be."""
    return cache_folder("models") / f"gguf-{digest[:16]}-{_FORMAT}"


def dequantised(file: Path, *, about: Mapping[str, str] | None = None) -> Path:
    """The folder of a file's model; made when it is not there. Safe to call from several processes at once.

    A folder that is there is whole: it is made under another name and renamed. Weights are stored in float32, the type
    in which files are dequantised: a value of 4 or 8 bits is a product, and often a sum, of halves, which bfloat16
    would round. Only a file that holds nothing but bfloat16 values is stored in bfloat16.

    Args:
        about: what its card says besides, such as the licence; wins over what the file says.

    Raises:
        ModelError: it is damaged or not understood, the package gguf is missing, or the cache cannot be written to.
    """
    final = folder_of(digest_of(file))
    if final.is_dir():
        return final
    reader = opened(file)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _alone(final):
            if not final.is_dir():  # another process has made it meanwhile
                _make(reader, file, final, about or {})
    except OSError as error:
        raise ModelError(
            f"the model of {file.name} cannot be written: {error}",
            where=str(final),
            fix="make room there, or name another place by XDG_CACHE_HOME",
        ) from error
    return final


@contextmanager
def _alone(final: Path) -> Iterator[None]:
    """Wait until no other process makes this folder; what a killed one has left is removed. A kill ends the wait."""
    with final.with_name(f".{final.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in final.parent.glob(f".unfinished-{final.name}-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _make(reader: GGUFReader, file: Path, final: Path, about: Mapping[str, str]) -> None:
    needed, free = sum(4 * int(tensor.n_elements) for tensor in reader.tensors), shutil.disk_usage(final.parent).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"it needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free")
    with tempfile.TemporaryDirectory(prefix=f".unfinished-{final.name}-", dir=final.parent) as place:
        made = Path(place) / "model"
        made.mkdir()
        _write(reader, file, made, about)
        os.rename(made, final)


def config_of(file: Path) -> dict[str, Any]:
    """What config.json will say of a file's model; reads no weights. The file is read once a process.

    Raises:
        ModelError: as ``dequantised``.
    """
    return dict(_config_of(*_state(file)))


@functools.lru_cache(maxsize=8)
def _config_of(path: Path, size: int, changed_ns: int) -> dict[str, Any]:
    return _config(opened(path), path)


def opened(file: Path) -> GGUFReader:
    """A reader of a file of a family that is known here.

    Raises:
        ModelError: there is no such file, it is damaged or of another family, or the package gguf is missing.
    """
    if not is_installed():
        raise ModelError("reading a GGUF file needs the package gguf", where=str(file), fix=INSTALL)
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)
        kind = _metadata(reader).get("general.architecture")
    except (OSError, ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{file.name} cannot be read as a GGUF file: {error}", where=str(file), fix="restore it from its source"
        ) from error
    if kind not in _KINDS:
        raise ModelError(
            f"models of the architecture {kind} are not made from GGUF files here",
            where=str(file),
            fix=f"use one of: {', '.join(_KINDS)}, or the model's Hugging Face folder",
        )
    if int(_metadata(reader).get("split.count", 1)) > 1:
        raise ModelError(
            f"{file.name} is one part of a model in several files",
            where=str(file),
            fix="join them with llama-gguf-split --merge, and name the whole file",
        )
    return reader


def _metadata(reader: GGUFReader) -> dict[str, Any]:
    """The values of a file that are no lists."""
    return {name: field.contents() for name, field in reader.fields.items() if len(field.data) == 1}


def _config(reader: GGUFReader, file: Path) -> dict[str, Any]:
    said = _metadata(reader)
    kind = said["general.architecture"]
    here = {key.removeprefix(f"{kind}."): value for key, value in said.items() if key.startswith(f"{kind}.")}
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    for key in _REFUSED:
        longest = here.get("context_length") if key == "attention.sliding_window" else 0
        if here.get(key) and not (longest and here[key] >= longest):
            raise _not_understood(file, f"it sets {kind}.{key}")
    try:
        hidden, heads = int(here["embedding_length"]), int(here["attention.head_count"])
        width = int(here.get("attention.key_length") or here.get("rope.dimension_count") or hidden // heads)
        content: dict[str, Any] = {
            "architectures": [_KINDS[kind]],
            "model_type": kind,
            "hidden_size": hidden,
            "intermediate_size": int(here["feed_forward_length"]),
            "num_hidden_layers": int(here["block_count"]),
            "num_attention_heads": heads,
            "num_key_value_heads": int(here.get("attention.head_count_kv", heads)),
            "head_dim": width,
            "max_position_embeddings": int(here["context_length"]),
            "rms_norm_eps": _decimal(here["attention.layer_norm_rms_epsilon"]),
            "vocab_size": int(tensors["token_embd.weight"].shape[1]),
            "tie_word_embeddings": "output.weight" not in tensors,
        }
    except (KeyError, TypeError) as error:
        raise _not_understood(file, f"it says no usable {error}") from error
    if int(here.get("rope.dimension_count", width)) != width or int(here.get("attention.value_length", width)) != width:
        raise _not_understood(file, "its heads are rotated in part, or keys and values differ in width")
    if kind == "llama":
        content |= {
            "attention_bias": "blk.0.attn_q.bias" in tensors,
            "mlp_bias": "blk.0.ffn_down.bias" in tensors,
        }
    content |= {f"{name}_token_id": said.get(f"tokenizer.ggml.{key}_token_id") for name, key in _SPECIAL_IDS}
    return content | _rope(here, tensors, content, file)


_SPECIAL_IDS = (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))


def _rope(
    here: Mapping[str, Any], tensors: Mapping[str, Any], content: Mapping[str, Any], file: Path
) -> dict[str, Any]:
    """``rope_theta``, and ``rope_scaling`` where positions are stretched."""
    theta = {"rope_theta": _decimal(here.get("rope.freq_base", 10_000.0))}
    kind = here.get("rope.scaling.type", "none")
    if kind in ("linear", "yarn"):
        scaling = {"rope_type": kind, "factor": _decimal(here["rope.scaling.factor"])}
        if kind == "yarn":
            scaling["original_max_position_embeddings"] = int(here["rope.scaling.original_context_length"])
        return theta | {"rope_scaling": scaling}
    if kind != "none":
        raise _not_understood(file, f"it stretches positions by {kind}")
    if _ROPE_FACTORS not in tensors:
        return theta
    # Llama 3.1 and later: the file holds a factor for every frequency, config.json what they are made from.
    factors = np.asarray(tensors[_ROPE_FACTORS].data, dtype=np.float64)
    scaling = {"rope_type": "llama3", "factor": _decimal(factors.max()), **_LLAMA3}
    if not np.allclose(factors, _llama3_factors(theta["rope_theta"], content["head_dim"], scaling), rtol=1e-4):
        raise _not_understood(file, "it stretches positions in another way than Llama 3")
    return theta | {"rope_scaling": scaling}


def _llama3_factors(theta: float, width: int, scaling: Mapping[str, Any]) -> NDArray[np.float64]:
    """By how much Llama 3 divides each of its ``width / 2`` frequencies."""
    wavelengths = 2 * np.pi * theta ** (np.arange(0, width, 2) / width)
    turns = scaling["original_max_position_embeddings"] / wavelengths
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    return np.asarray(1 / ((1 - smooth) / scaling["factor"] + smooth))


def _decimal(value: float) -> float:
    """The shortest decimal that is this value in float32, the type of numbers in such files: 1e-5, not 9.99...e-6."""
    return float(str(np.float32(value)))


def _write(reader: GGUFReader, file: Path, folder: Path, about: Mapping[str, str]) -> None:
    """Fill a folder: weights, configuration, tokenizer, card."""
    from transformers import AutoConfig, GenerationConfig

    from coevolve.engine.local.models import quiet

    said, content = _metadata(reader), _config(reader, file)
    dtype = "bfloat16" if _is_bfloat16(reader) else "float32"
    with quiet():
        config = AutoConfig.for_model(**content)
        config.architectures, config.dtype = content["architectures"], dtype
        _write_weights(reader, file, folder, config)
        config.save_pretrained(folder)
        ends = [said[key] for key in ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id") if key in said]
        ends = list(dict.fromkeys(ends))
        GenerationConfig(
            bos_token_id=content["bos_token_id"],
            eos_token_id=ends[0] if len(ends) == 1 else ends or None,
            pad_token_id=content["pad_token_id"],
        ).save_pretrained(folder)
    write_tokenizer(reader, file, folder, longest=content["max_position_embeddings"])
    (folder / "README.md").write_text(_card(said, file, about), encoding="utf-8")


def _is_bfloat16(reader: GGUFReader) -> bool:
    """Whether every number of the file is one of bfloat16; norms are stored in float32 whatever the model's type."""
    return all(
        tensor.tensor_type.name == "BF16"
        or (tensor.tensor_type.name == "F32" and not (np.asarray(tensor.data).view(np.uint32) & 0xFFFF).any())
        for tensor in reader.tensors
        if tensor.name != _ROPE_FACTORS
    )


def _write_weights(reader: GGUFReader, file: Path, folder: Path, config: Any) -> None:
    """The weights under the names that transformers gives them, in files of ``_SHARD`` bytes at most."""
    import torch
    from safetensors.torch import save_file

    def save(tensors: dict[str, Tensor]) -> None:
        path = folder / f"shard-{len(shards)}.safetensors"
        save_file(tensors, path, metadata={"format": "pt"})
        follow_umask(path)
        shards[path] = list(tensors)

    precision = getattr(torch, config.dtype) if isinstance(config.dtype, str) else config.dtype
    shards: dict[Path, list[str]] = {}
    held: dict[str, Tensor] = {}
    size = total = 0
    for name, values in _weights(reader, file, config):
        tensor = torch.from_numpy(np.array(values, order="C")).to(precision)
        if held and size + tensor.nbytes > _SHARD:
            save(held)
            held, size = {}, 0
        held[name] = tensor
        size, total = size + tensor.nbytes, total + tensor.nbytes
    save(held)
    if len(shards) == 1:
        os.rename(next(iter(shards)), folder / "model.safetensors")
        return
    index: dict[str, Any] = {"metadata": {"total_size": total}, "weight_map": {}}
    for number, (path, names) in enumerate(shards.items(), start=1):
        final = f"model-{number:05}-of-{len(shards):05}.safetensors"
        os.rename(path, folder / final)
        index["weight_map"] |= dict.fromkeys(names, final)
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _weights(reader: GGUFReader, file: Path, config: Any) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Every weight by its name in transformers, dequantised.

    Raises:
        ModelError: one is missing, left over, of another shape, or in a format that is not known.
    """
    import torch
    from gguf import MODEL_ARCH_NAMES, dequantize, get_tensor_name_map
    from transformers import AutoModelForCausalLM

    arch = next(arch for arch, name in MODEL_ARCH_NAMES.items() if name == config.model_type)
    names = get_tensor_name_map(arch, config.num_hidden_layers)
    with torch.device("meta"):
        wanted = {
            name: tuple(value.shape) for name, value in AutoModelForCausalLM.from_config(config).state_dict().items()
        }
    if config.tie_word_embeddings:
        wanted.pop("lm_head.weight", None)
    stored = {tensor.name: tensor for tensor in reader.tensors if tensor.name != _ROPE_FACTORS}
    for name, shape in wanted.items():
        stem, _, kind = name.rpartition(".")
        tensor = stored.pop(f"{names.get_name(stem)}.{kind}", None)
        if tensor is None:
            raise _not_understood(file, f"it has no tensor for {name}")
        try:
            values = np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        except (NotImplementedError, ValueError) as error:
            raise _not_understood(file, f"{tensor.name} is stored as {tensor.tensor_type.name}: {error}") from error
        if values.shape != shape:
            raise _not_understood(file, f"{tensor.name} has the shape {values.shape}, {name} needs {shape}")
        yield name, _unrotated(values, stem, config) if config.model_type == "llama" else values
    if stored:
        raise _not_understood(file, f"the class has no place for its tensor {min(stored)}")


def _unrotated(values: NDArray[np.float32], stem: str, config: Any) -> NDArray[np.float32]:
    """Rows of Llama's query and key matrices in the order of transformers.

    llama.cpp rotates neighbouring rows of a head, transformers row i and row i + width / 2.
    """
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(stem.rpartition(".")[2])
    if heads is None:
        return values
    return values.reshape(heads, -1, 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def _card(said: Mapping[str, Any], file: Path, about: Mapping[str, str]) -> str:
    """The head of a model card that whoever passes the model on needs: its licence and where it comes from."""
    source = said.get("general.source.huggingface.repository") or said.get("general.source.repo_url")
    stated = {
        "license": said.get("general.license"),
        "license_name": said.get("general.license.name"),
        "license_link": said.get("general.license.link"),
        "base_model": source,
        "library_name": "transformers",
    }
    head = {key: value for key, value in {**stated, **about}.items() if value}
    name = said.get("general.name", file.stem)
    lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in head.items())
    return f"---\n{lines}---\n# {name}\n\nDequantised from `{file.name}` (SHA-256 {digest_of(file)}) by coevolve.\n"


def _not_understood(file: Path, why: str) -> ModelError:
    return ModelError(
        f"{file.name} cannot be made into a Hugging Face folder: {why}",
        where=str(file),
        fix="use the model's own Hugging Face folder",
    )
