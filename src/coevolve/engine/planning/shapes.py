"""The sizes of a causal language model, read off its config.json: what it weighs without loading it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from coevolve.errors import ModelError

# The matrices of one layer that an adapter may stand beside, by the names that Qwen3 and Llama give them.
ATTENTION, MLP = ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")
MATRICES = (*ATTENTION, *MLP)
KINDS = ("qwen3", "llama")  # model types whose sizes are understood


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A decoder of the Llama family: grouped queries, gated MLP, RMS norms, no biases."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied: bool  # input embedding and output matrix are one
    head_norms: bool  # each head's queries and keys are normalised, as in Qwen3

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, where: str = "") -> Self:
        """Read the content of a config.json.

        Raises:
            ModelError: a size is missing, or it is a model of another family.
        """
        kind = config.get("model_type")
        if kind not in KINDS:
            raise ModelError(
                f"the sizes of a model of type {kind} are not known here",
                where=where,
                fix="use a Qwen3 or Llama model (OctoThinker is a Llama)",
            )
        try:
            heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
            return cls(
                layers=int(config["num_hidden_layers"]),
                hidden=hidden,
                heads=heads,
                kv_heads=int(config.get("num_key_value_heads") or heads),
                head_dim=int(config.get("head_dim") or hidden // heads),
                intermediate=int(config["intermediate_size"]),
                vocab=int(config["vocab_size"]),
                tied=bool(config.get("tie_word_embeddings", False)),
                head_norms=kind == "qwen3",
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"config.json says no usable {error}", where=where, fix="restore config.json") from error

    def matrix(self, name: str) -> tuple[int, int]:
        """(outputs, inputs) of one of ``MATRICES``."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q_proj": (queries, self.hidden),
            "k_proj": (keys, self.hidden),
            "v_proj": (keys, self.hidden),
            "o_proj": (self.hidden, queries),
            "gate_proj": (self.intermediate, self.hidden),
            "up_proj": (self.intermediate, self.hidden),
            "down_proj": (self.hidden, self.intermediate),
        }[name]

    @property
    def layer_parameters(self) -> int:
        """Numbers in one layer."""
        norms = 2 * self.hidden + (2 * self.head_dim if self.head_norms else 0)
        return norms + sum(rows * columns for rows, columns in map(self.matrix, MATRICES))

    @property
    def parameters(self) -> int:
        """Numbers in the whole model; a matrix with two names counts once."""
        embeddings = self.vocab * self.hidden * (1 if self.tied else 2)
        return embeddings + self.layers * self.layer_parameters + self.hidden

    def adapter_parameters(self, rank: int, targets: Iterable[str] = MATRICES) -> int:
        """Numbers in one LoRA adapter: rank x (inputs + outputs) for every target matrix of every layer."""
        return self.layers * sum(rank * sum(self.matrix(name)) for name in targets)

    def cache_numbers(self) -> int:
        """Numbers that one token leaves in the key-value cache."""
        return 2 * self.layers * self.kv_heads * self.head_dim
