"""Weights on their way into vLLM's engine: whole models, adapters, and rows that are no tokens."""

from __future__ import annotations

import math
import re
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from coevolve.config import Config
from coevolve.engine.base import PolicyWeights
from coevolve.engine.local.models import weight_shapes
from coevolve.errors import EngineError

if TYPE_CHECKING:
    from vllm.v1.engine.llm_engine import LLMEngine

_MATRIX = re.compile(r"\.lora_(?P<side>[AB])\.weight$")  # A [rank, inputs], B [outputs, rank]
_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


class EngineWeights:
    """Replaces what an engine decodes with. Whoever calls it drops what was cached under the weights before."""

    def __init__(self, engine: LLMEngine, config: Config, model_path: Path) -> None:
        self._engine, self._lora, self._path = engine, config.lora, model_path
        self._tied = bool(engine.model_config.hf_text_config.tie_word_embeddings)
        self._numbers = count(1)  # no adapter has the name of another
        self.adapter: Any = None  # that requests name; None: the engine's own weights

    def load(self, policy: PolicyWeights) -> None:
        """Decode with another policy from now on.

        Raises:
            EngineError: a name or shape does not fit the model, or the engine was opened for the other kind.
        """
        if policy.adapter != self._lora.enabled:
            raise EngineError(
                f"the weights of {policy.name} are {'' if policy.adapter else 'not '}those of an adapter, "
                f"the engine was opened {'with' if self._lora.enabled else 'without'} adapters"
            )
        if policy.adapter:
            self._load_adapter(policy)
        else:
            self._load_whole(policy)

    def _load_whole(self, policy: PolicyWeights) -> None:
        import torch

        weights = dict(policy.weights)
        if self._tied and _EMBEDDING in weights:
            # vLLM keeps the head of a tied model as it is unless it is named.
            weights.setdefault(_HEAD, weights[_EMBEDDING])
        expected = weight_shapes(self._path)
        if self._tied and _EMBEDDING in expected:
            expected.setdefault(_HEAD, expected[_EMBEDDING])
        shapes = {name: tuple(value.shape) for name, value in weights.items()}
        if odd := sorted(name for name in shapes.keys() | expected.keys() if shapes.get(name) != expected.get(name)):
            raise EngineError("pushed weights do not fit the sampler's model", where=", ".join(odd[:3]))
        tensors = ((name, torch.from_numpy(np.asarray(value))) for name, value in weights.items())
        self._engine.collective_rpc("reload_weights", kwargs={"weights_iterator": tensors})

    def _load_adapter(self, policy: PolicyWeights) -> None:
        from vllm.lora.request import LoRARequest

        from coevolve.engine.local.lora import write_adapter

        for name, value in policy.weights.items():
            found = _MATRIX.search(name)
            if found is None or value.shape[found["side"] == "B"] != self._lora.rank:
                raise EngineError(f"an adapter of rank {self._lora.rank} holds no such tensor", where=name)
        if self.adapter is not None:
            self._engine.remove_lora(self.adapter.lora_int_id)
            self.adapter = None
        if not policy.weights:  # the base model itself
            return
        number = next(self._numbers)
        with TemporaryDirectory(prefix="coevolve-adapter-") as folder:
            write_adapter(Path(folder), policy.weights, self._lora, base=str(self._path))
            adapter = LoRARequest(f"{policy.name}-{policy.version}-{number}", number, folder)
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
