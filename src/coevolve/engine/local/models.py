"""Reading Hugging Face model folders: checked before they are loaded, without network and without noise.

transformers takes seconds to import, so nothing here imports it before a model is really wanted.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coevolve.engine.base import Folder, Handle, Snapshot
from coevolve.engine.vocabulary import read_tokenizer
from coevolve.errors import EngineError, ModelError

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
_INDEX = "model.safetensors.index.json"
_MAX_HEADER = 100_000_000  # bytes; the limit of the safetensors format itself


def load_model(path: Path, *, dtype: str | torch.dtype = "float32") -> PreTrainedModel:
    """The causal language model of a folder, in evaluation mode, with scaled-dot-product attention.

    Args:
        path: a Hugging Face folder; nothing is ever fetched from a network.
        dtype: precision of the weights, a name as in the configuration or a torch type.

    Raises:
        ModelError: the folder is missing, incomplete or damaged, or its weights do not fit its config.json.
    """
    check_files(path)
    import torch
    from transformers import AutoModelForCausalLM

    precision = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    with quiet():
        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                str(path),
                dtype=precision,
                local_files_only=True,
                attn_implementation="sdpa",
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # refused below, with their names
            )
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelError(
                f"The model cannot be loaded: {reason}",
                where=str(path),
                fix="use the folder of a causal language model that the installed transformers knows",
            ) from error
    model: PreTrainedModel = loaded[0]
    _check_weights(path, loaded[1])
    model.eval()
    return model


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder.

    Raises:
        ModelError: the folder is missing or holds no usable tokenizer.
    """
    raw = _read_tokenizer(path)
    from transformers import AutoTokenizer

    with quiet():
        try:
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"The tokenizer cannot be loaded: {error}", where=str(path), fix="restore its tokenizer files"
            ) from error
    # Without a class name in tokenizer_config.json transformers rebuilds the tokenizer by the model's type,
    # and can silently change how text is split.
    if tokenizer.get_vocab() != raw.get_vocab():
        raise ModelError(
            "transformers reads another vocabulary from this folder than tokenizer.json holds",
            where=str(path / "tokenizer_config.json"),
            fix='set "tokenizer_class": "PreTrainedTokenizerFast" there',
        )
    return tokenizer


def check_base_model(path: Path, *, required_text: str = "") -> None:
    """Check a folder before a run depends on it; reads headers only, no weights.

    Args:
        path: a Hugging Face folder.
        required_text: text that the world needs; it must survive encoding and decoding unchanged.

    Raises:
        ModelError: a file is missing or damaged, the vocabularies of model and tokenizer do not fit each
            other, or ``required_text`` does not survive.
    """
    config = check_files(path)
    tokenizer = _read_tokenizer(path)
    rows = config.get("vocab_size", config.get("text_config", {}).get("vocab_size"))
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if not isinstance(rows, int) or largest >= rows:
        raise ModelError(
            f"The tokenizer has token ids up to {largest}, the model's vocab_size is {rows}",
            where=str(path),
            fix="use the tokenizer the model was trained with",
        )
    if required_text:
        _check_round_trip(path, tokenizer, required_text)


def check_files(path: Path) -> dict[str, Any]:
    """Check that a folder holds config.json, tokenizer.json and undamaged weights; returns the config.

    Raises:
        ModelError: naming the first file that is missing or damaged; or it is no causal language model.
    """
    if not path.is_dir():
        raise ModelError("There is no model folder", where=str(path), fix="give the path of a Hugging Face folder")
    config = _read_json(path / "config.json")
    _check_kind(path, config)
    _require(path / "tokenizer.json")
    for file in _weight_files(path):
        check_safetensors(file)
    return config


def _check_kind(path: Path, config: dict[str, Any]) -> None:
    """Refuse what is no causal language model, and models that bring code of their own."""
    names = [str(name) for name in config.get("architectures") or []]
    writes = any(name.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")) for name in names)
    if config.get("is_encoder_decoder") or (names and not writes):
        raise ModelError(
            f"{', '.join(names) or 'This'} is no causal language model: it does not write text from left to right",
            where=str(path / "config.json"),
            fix="use a model such as Qwen3ForCausalLM or LlamaForCausalLM",
        )
    if "auto_map" in config:
        from transformers import CONFIG_MAPPING

        if config.get("model_type") not in CONFIG_MAPPING:
            raise ModelError(
                "The model needs Python code of its own (auto_map), and code that comes with weights is never run here",
                where=str(path / "config.json"),
                fix="use a model of a family that the installed transformers knows",
            )


def check_safetensors(path: Path) -> None:
    """Check header and size of a safetensors file without reading its tensors.

    Raises:
        ModelError: the file is missing, cut off, or no safetensors file.
    """
    _require(path)
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(_MAX_HEADER, size - 8):
            raise _damaged(path, "its header is cut off or is none")
        try:
            header = json.loads(stream.read(length))
            ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise _damaged(path, "its header cannot be read") from error
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise _damaged(path, f"it has {size} bytes, its header speaks of {expected}")


def weight_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a folder's weights, from the headers of its files alone.

    Raises:
        ModelError: a file is missing or damaged.
    """
    from safetensors import safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    for file in _weight_files(path):
        check_safetensors(file)
        with safe_open(file, framework="numpy") as tensors:
            shapes |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    return shapes


def weight_types(path: Path) -> set[str]:
    """Types of a folder's weights as safetensors spells them (F32, BF16), from the headers alone.

    Raises:
        ModelError: a file is missing or damaged.
    """
    from safetensors import safe_open

    types: set[str] = set()
    for file in _weight_files(path):
        check_safetensors(file)
        with safe_open(file, framework="numpy") as tensors:
            types |= {str(tensors.get_slice(name).get_dtype()) for name in tensors.keys()}  # noqa: SIM118
    return types


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a model's or an adapter's folder by name, on CPU and in the precision of the file.

    A matrix that the model has under two names stands in the file under one of them.

    Raises:
        ModelError: there are none, or a file is damaged.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError("the folder holds no safetensors weights", where=str(folder))
    from safetensors.torch import load_file

    for file in files:
        check_safetensors(file)
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def tensors_of(snapshot: Snapshot, base: Path, *, adapter: bool) -> dict[str, torch.Tensor]:
    """The weights of a snapshot, on CPU; none at all where an adapter is wanted and it is the base model itself.

    Args:
        base: folder of the base model.
        adapter: whether the weights must be those of an adapter, or those of a whole model.

    Raises:
        EngineError: they are of the other kind, or on a server.
        ModelError: a folder holds no weights, or damaged ones.
    """
    source = snapshot.source
    if isinstance(source, Handle):
        raise EngineError(
            f"the weights are on a server, under the name {source.name}: this sampler loads arrays and folders",
            where=f"policy {snapshot.name}",
        )
    if isinstance(source, Folder) and adapter and source.path.resolve() == base.resolve():
        return {}
    if source.adapter != adapter:
        kind, way = "an adapter" if source.adapter else "a whole model", "with" if adapter else "without"
        raise EngineError(
            f"pushed weights do not fit the sampler: they are {kind}, it was opened {way} adapters",
            where=f"policy {snapshot.name}",
        )
    if isinstance(source, Folder):
        return read_tensors(source.path)
    import numpy as np
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in source.weights.items()}


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings and progress bars of transformers inside the block; its settings are restored after it."""
    import transformers

    logging: Any = transformers.utils.logging  # its functions carry no types
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _weight_files(path: Path) -> list[Path]:
    if not (path / _INDEX).exists():
        return [path / "model.safetensors"]
    shards = _read_json(path / _INDEX).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise _damaged(path / _INDEX, "it has no weight_map")
    return [path / name for name in sorted(set(map(str, shards.values())))]


def _read_json(path: Path) -> dict[str, Any]:
    _require(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(path, f"it is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise _damaged(path, "it is no JSON object")
    return value


def _read_tokenizer(path: Path) -> Tokenizer:
    file = path / "tokenizer.json"
    _read_json(file)
    return read_tokenizer(file)


def _check_round_trip(path: Path, tokenizer: Tokenizer, text: str) -> None:
    back = tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids, skip_special_tokens=False)
    if back == text:
        return
    at = next((i for i, (a, b) in enumerate(zip(text, back, strict=False)) if a != b), min(len(text), len(back)))
    raise ModelError(
        "The tokenizer does not give back the text of the world: "
        f"{text[at : at + 20]!r} becomes {back[at : at + 20]!r}",
        where=str(path / "tokenizer.json"),
        fix="use a model whose tokenizer knows these characters and does not normalise text",
    )


def _check_weights(path: Path, found: dict[str, Sequence[Any]]) -> None:
    for kind in ("missing_keys", "mismatched_keys"):
        if names := sorted(map(str, found.get(kind, ()))):
            raise ModelError(
                f"The weights do not fit config.json: {kind.replace('_', ' ')} {', '.join(names[:3])}"
                + (f" and {len(names) - 3} more" if len(names) > 3 else ""),
                where=str(path),
                fix="use weights and config.json of the same model",
            )


def _require(path: Path) -> None:
    if not path.is_file():
        raise ModelError(
            f"{path.name} is missing", where=str(path.parent), fix="restore the file or use another folder"
        )


def _damaged(path: Path, why: str) -> ModelError:
    return ModelError(f"{path.name} is damaged: {why}", where=str(path), fix="restore the file from its source")
