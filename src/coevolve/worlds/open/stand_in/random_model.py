"""Weights of a stand-in model: random, except for a table in the last layer that says which token follows which.

Embeddings of the chain's tokens are orthonormal directions. One neuron of the last MLP fires for each of them and
replaces it by a mixture of the directions of what may follow, so long that every other token is improbable. All
else is small noise, so that the same token is followed a little differently in every text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

_ABOVE = 18.0  # nats by which the tokens of the chain stand above each single other one
_NOISE = 0.3  # size of what the layers add at random, relative to a token's own embedding
_FIRED = 8.0


@torch.no_grad()
def weave(model: nn.Module, table: Mapping[int, Mapping[int, float]], seed: int) -> None:
    """Fill a Qwen3 or Llama model in place.

    Args:
        model: a causal model of transformers.
        table: probabilities of the next token by token.
        seed: of everything random.

    Raises:
        ValueError: the model is narrower than the chain has tokens.
    """
    config: Any = model.config
    hidden, generator = config.hidden_size, torch.Generator().manual_seed(seed)
    members = sorted(set(table) | {after for row in table.values() for after in row})
    if len(members) >= hidden:
        raise ValueError(f"the chain has {len(members)} tokens, which need a model wider than {hidden}")
    place = {token: i for i, token in enumerate(members)}
    directions = torch.linalg.qr(torch.randn(hidden, len(members) + 1, generator=generator))[0].T  # [n + 1, H]
    decoder: Any = model.base_model
    _fill(decoder, config, generator)
    head: Any = model.get_output_embeddings()  # type: ignore[operator]
    for matrix in {id(m): m for m in (decoder.embed_tokens.weight, head.weight)}.values():
        matrix.normal_(std=0.02, generator=generator)
        matrix[members] = (math.sqrt(hidden) * directions[:-1]).to(matrix.dtype)
    goals = torch.zeros(len(members), hidden)
    for token, row in table.items():
        for after, share in row.items():
            goals[place[token]] += (_ABOVE + math.log(share)) * directions[place[after]]
    norm = 1.05 * float(goals.norm(dim=1).max())
    goals += (norm**2 - goals.norm(dim=1, keepdim=True) ** 2).sqrt() * directions[-1]  # all of one length
    decoder.norm.weight.fill_(norm / hidden)
    rows = [place[token] for token in table]
    _write_table(decoder.layers[-1].mlp, directions[rows], goals[rows] - math.sqrt(hidden) * directions[rows])


def _write_table(mlp: Any, given: Tensor, change: Tensor) -> None:
    """Neuron i turns direction i [n, H], at the length of a normalised token, into the change [n, H]."""
    count, hidden = given.shape
    gain = _FIRED / (1 + math.exp(-_FIRED))  # silu
    mlp.gate_proj.weight[:count] = (given * _FIRED / math.sqrt(hidden)).to(mlp.gate_proj.weight.dtype)
    mlp.up_proj.weight[:count] = (given / math.sqrt(hidden)).to(mlp.up_proj.weight.dtype)
    mlp.down_proj.weight[:, :count] = (change.T / gain).to(mlp.down_proj.weight.dtype)


def _fill(decoder: Any, config: Any, generator: torch.Generator) -> None:
    """Random matrices whose outputs have about the norm of their inputs; the residual updates stay small."""
    quiet = _NOISE / math.sqrt(2 * config.num_hidden_layers)
    for layer in decoder.layers:
        for name, matrix in layer.named_parameters():
            if matrix.ndim < 2:
                matrix.fill_(1.0)
                continue
            scale = quiet if name.startswith(("self_attn.o_proj", "mlp.down_proj")) else 1.0
            matrix.normal_(std=scale / math.sqrt(matrix.shape[1]), generator=generator)
