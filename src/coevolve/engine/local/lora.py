"""LoRA: small trained matrices beside those of a frozen base model. peft makes the layers and defines the files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from coevolve.config import LoraSection
from coevolve.engine.base import ADAPTER_CONFIG, ADAPTER_FILE
from coevolve.engine.local.full import assign, no_reference, shared_base, tree_of
from coevolve.engine.local.models import load_model, quiet, read_tensors, weight_shapes
from coevolve.errors import ConfigError
from coevolve.types import Floats

_NAME = "default"
_PREFIX = "base_model.model."  # of names in peft's files


class Adapter:
    """LoRA matrices in float32 on a base that the process shares; implements
    :class:`coevolve.engine.local.full.Trained`.

    Several of them may live on one base: each has modules of its own, and nobody writes to the base.
    With a base in bfloat16 the model must run under autocast.

    Args:
        model_path: Hugging Face folder of the base model.
        lora: rank, alpha and targets.
        seed: decides the matrices that a new adapter starts with; it changes nothing until it is trained.
        dtype: precision of the base.
        device: where everything lives, as torch names it.

    Raises:
        ConfigError: peft is not installed, or a target is no matrix of the model.
        ModelError: the folder cannot be used.
    """

    adapter = True

    def __init__(self, model_path: Path, lora: LoraSection, *, seed: int, dtype: str, device: str) -> None:
        self._path, self.lora = model_path, lora
        self._base = shared_base(model_path, dtype=dtype, device=device)  # held for as long as its parameters are used
        self.model = tree_of(self._base)
        self.parameters = add_adapter(self.model, lora, seed=seed, dtype=torch.float32)
        self._reference: dict[str, Tensor] | None = None

    def numpy(self) -> dict[str, Floats]:
        """Copies of the adapter's matrices, under their names in peft's files."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.parameters.items()}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Overwrite the adapter's matrices; none at all gives the base model.

        Raises:
            EngineError: names or shapes are not those of ``numpy``.
        """
        load_adapter(self.parameters, weights)

    def save(self, folder: Path) -> None:
        """Write the two files of an adapter."""
        write_adapter(folder, self.parameters, self.lora, base=str(self._path))

    def set_reference(self, folder: Path | None = None) -> None:
        """Make the present matrices the reference, or those of another adapter's folder, or the base model itself.

        Raises:
            EngineError: names or shapes of the folder's matrices are not those of this adapter.
            ModelError: it holds none.
        """
        self._reference = matrices_of(folder, self._path, self.parameters, load_adapter)

    @contextmanager
    def reference(self) -> Iterator[nn.Module]:
        """The same modules with the reference's matrices in the place of the trained ones.

        Raises:
            EngineError: there is no reference.
        """
        if self._reference is None:
            raise no_reference()
        own = {name: value.data for name, value in self.parameters.items()}
        try:
            for name, value in self.parameters.items():
                value.data = self._reference[name]
            yield self.model
        finally:
            for name, value in self.parameters.items():
                value.data = own[name]


def add_adapter(tree: nn.Module, lora: LoraSection, *, seed: int, dtype: torch.dtype) -> dict[str, nn.Parameter]:
    """Put a new adapter beside the targeted matrices of a model; until it is trained it changes nothing.

    Args:
        tree: a causal model; its modules are replaced in place, its parameters stay.
        lora: rank, alpha and targets.
        seed: of the random half of the matrices.
        dtype: precision of the adapter.

    Returns:
        Its parameters by their names in peft's files: A [rank, inputs], B [outputs, rank].

    Raises:
        ConfigError: peft is not installed, or a target is no matrix of the model.
    """
    _check_targets(tree, lora)
    from peft import inject_adapter_in_model

    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(_peft_config(lora), tree, _NAME)
    layers: list[Any] = [module for module in tree.modules() if hasattr(module, "cast_input_dtype_enabled")]
    for layer in layers:
        layer.cast_input_dtype_enabled = False  # it would copy every input to float32: autocast does without
    found: dict[str, nn.Parameter] = {}
    for name, parameter in tree.named_parameters():
        if f".{_NAME}." in name:
            parameter.data = parameter.data.to(dtype)
            found[_PREFIX + name.replace(f".{_NAME}.", ".")] = parameter
    return found


class MergedAdapter:
    """An adapter added to the weights of a model of one's own: W + alpha / rank * B A in float32, for sampling.

    The model's matrices are then plain ones, without two more products beside each. The base is read again from its
    folder at every change, so that nothing of an earlier adapter is left.

    Args:
        model: its weights are overwritten; on CPU, in float32.
        path: Hugging Face folder that it was loaded from.
        lora: rank, alpha and targets.

    Raises:
        ConfigError: peft is not installed, or a target is no matrix of the model.
    """

    def __init__(self, model: nn.Module, path: Path, lora: LoraSection) -> None:
        _check_targets(model, lora)
        self._path, self._scaling = path, lora.alpha / lora.rank
        self._matrices = {
            name: module
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and name.rpartition(".")[2] in lora.targets
        }
        self.parameters = {
            _PREFIX + f"{name}.lora_{letter}.weight": torch.zeros(shape)
            for name, module in self._matrices.items()
            for letter, shape in (("A", (lora.rank, module.in_features)), ("B", (module.out_features, lora.rank)))
        }

    @property
    def possible(self) -> bool:
        """Whether the folder has the matrices under the names that the model has."""
        stored = weight_shapes(self._path)
        return all(stored.get(f"{name}.weight") == module.weight.shape for name, module in self._matrices.items())

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Make the model the base with these matrices; none at all gives the base model.

        Raises:
            EngineError: names or shapes differ.
            ModelError: the folder of the base is damaged.
        """
        load_adapter(self.parameters, weights)
        base = read_tensors(self._path)
        for name, module in self._matrices.items():
            a, b = (self.parameters[_PREFIX + f"{name}.lora_{letter}.weight"] for letter in "AB")
            module.weight.data.copy_(base[f"{name}.weight"])
            if weights:
                module.weight.data.addmm_(b, a, alpha=self._scaling)


def load_adapter(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Overwrite the matrices of an adapter; none at all gives the base model.

    Raises:
        EngineError: names or shapes differ.
    """
    if weights:
        assign(own, weights)
        return
    with torch.no_grad():
        for value in own.values():
            value.zero_()


def matrices_of(
    folder: Path | None,
    base: Path,
    present: Mapping[str, Tensor],
    load: Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], None],
) -> dict[str, Tensor]:
    """Copies of the present matrices of an adapter, or tensors like them with those of another one.

    Args:
        folder: of the other one; that of the base model stands for no adapter; None: the present ones.
        base: folder of the base model.
        present: matrices by name.
        load: overwrites the first with the second, see ``load_adapter``.

    Raises:
        EngineError: names or shapes of the folder's matrices are other ones.
        ModelError: it holds none.
    """
    matrices = {name: value.detach().clone() for name, value in present.items()}
    if folder is not None:
        load(matrices, {} if folder.resolve() == base.resolve() else read_tensors(folder))
    return matrices


def write_adapter(folder: Path, weights: Mapping[str, Tensor], lora: LoraSection, *, base: str) -> None:
    """Write adapter_model.safetensors and adapter_config.json, which peft, transformers and vLLM read.

    Args:
        folder: exists already.
        weights: its matrices, by their names in peft's files.
        lora: rank, alpha and targets.
        base: folder or name of the base model.
    """
    config = _peft_config(lora).to_dict() | {"base_model_name_or_path": base, "inference_mode": True}
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    (folder / ADAPTER_CONFIG).write_text(json.dumps(plain, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    tensors = {name: value.detach().cpu().contiguous() for name, value in sorted(weights.items())}
    save_file(tensors, folder / ADAPTER_FILE, metadata={"format": "pt"})


def merge_adapter(base: Path, adapter: Path, to: Path, *, dtype: str) -> None:
    """Write base model and adapter as one model: config.json and weights, W + alpha / rank * B A.

    Sums are made in float32 and rounded once, so the memory for the whole model in float32 is needed.

    Args:
        base: Hugging Face folder.
        adapter: folder of an adapter on it.
        to: exists already.
        dtype: precision of the weights that are written.

    Raises:
        ConfigError: peft is not installed.
        ModelError: the base model cannot be used.
    """
    require_peft()
    from peft import PeftModel

    model = load_model(base, dtype="float32")
    with quiet():
        merged: Any = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload(safe_merge=True)
        merged.to(getattr(torch, dtype)).save_pretrained(str(to))


def require_peft() -> None:
    """
    Raises:
        ConfigError: peft is not installed.
    """
    if find_spec("peft") is None:
        raise ConfigError(
            "LoRA needs the package peft", where="lora.enabled", fix="install it: pip install 'coevolve[lora]'"
        )


def _check_targets(tree: nn.Module, lora: LoraSection) -> None:
    require_peft()
    matrices = {name.rpartition(".")[2] for name, module in tree.named_modules() if isinstance(module, nn.Linear)}
    if absent := sorted(set(lora.targets) - matrices):
        raise ConfigError(
            f"the model has no matrix of the name {absent[0]!r}", where="lora.targets", fix=", ".join(sorted(matrices))
        )


def _peft_config(lora: LoraSection) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules=list(lora.targets),
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
    )
