"""Weights on their way into vLLM's engine: whole models, adapters, and rows that are no tokens."""

from __future__ import annotations

import math
import re
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from coevolve.config.resources import EngineSettings
from coevolve.engine.base import Folder, Snapshot
from coevolve.engine.local.models import tensors_of, weight_shapes
from coevolve.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor
    from vllm.v1.engine.llm_engine import LLMEngine

_MATRIX = re.compile(r"\.lora_(?P<side>[AB])\.weight$")  # A [rank, inputs], B [outputs, rank]
_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


class EngineWeights:
    """Replaces what an engine decodes with. Whoever calls it drops what was cached under the weights before."""

    def __init__(self, engine: LLMEngine, settings: EngineSettings, model_path: Path) -> None:
        self._engine, self._lora, self._path = engine, settings.lora, model_path
        self._tied = bool(engine.model_config.hf_text_config.tie_word_embeddings)
        self._numbers = count(1)  # no adapter has the name of another
        self.adapter: Any = None  # that requests name; None: the engine's own weights

    def load(self, snapshot: Snapshot) -> None:
        """Decode with other weights from now on.

        Raises:
            EngineError: a name or shape does not fit the model, the engine was opened for the other kind, or the
                weights are on a server.
            ModelError: a folder holds no weights, or damaged ones.
        """
        weights = tensors_of(snapshot, self._path, adapter=self._lora.enabled)
        if self._lora.enabled:
            self._load_adapter(snapshot, weights)
        else:
            self._load_whole(weights)

    def _load_whole(self, weights: dict[str, Tensor]) -> None:
        if self._tied and _EMBEDDING in weights:
            # vLLM keeps the head of a tied model as it is unless it is named.
            weights.setdefault(_HEAD, weights[_EMBEDDING])
        expected = weight_shapes(self._path)
        if self._tied and _EMBEDDING in expected:
            expected.setdefault(_HEAD, expected[_EMBEDDING])
        shapes = {name: tuple(value.shape) for name, value in weights.items()}
        if odd := sorted(name for name in shapes.keys() | expected.keys() if shapes.get(name) != expected.get(name)):
            raise EngineError("pushed weights do not fit the sampler's model", where=", ".join(odd[:3]))
        self._engine.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(weights.items())})

    def _load_adapter(self, snapshot: Snapshot, weights: dict[str, Tensor]) -> None:
        from coevolve.engine.local.lora import write_adapter

        for name, value in weights.items():
            found = _MATRIX.search(name)
            if found is None or value.shape[found["side"] == "B"] != self._lora.rank:
                raise EngineError(f"an adapter of rank {self._lora.rank} holds no such tensor", where=name)
        if self.adapter is not None:
            self._engine.remove_lora(self.adapter.lora_int_id)
            self.adapter = None
        if not weights:  # the base model itself
            return
        if isinstance(snapshot.source, Folder):
            self._add(snapshot, snapshot.source.path)
            return
        with TemporaryDirectory(prefix="coevolve-adapter-") as folder:
            write_adapter(Path(folder), weights, self._lora, base=str(self._path))
            self._add(snapshot, Path(folder))

    def _add(self, snapshot: Snapshot, folder: Path) -> None:
        from vllm.lora.request import LoRARequest

        number = next(self._numbers)
        adapter = LoRARequest(f"{snapshot.name}-{snapshot.version}-{number}", number, str(folder))
        self._engine.add_lora(adapter)
        self.adapter = adapter


def without_padding(engine: LLMEngine, size: int) -> None:
    """Let rows of the output matrix beyond ``size`` stand for no token, as for our own sampler and trainer."""

    def forbid(_module: object, _inputs: object, logits: Any) -> None:
        if logits is not None:
            logits[:, size:] = -math.inf

    def hook(model: Any) -> None:
        model.logits_processor.register_forward_hook(forbid)

    if size < engine.model_config.get_vocab_size():
        engine.apply_model(hook)
