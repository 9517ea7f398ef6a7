"""Which rows run together, and which of their tokens need to be computed only once. Pure numpy.

The answers to one question share its prompt and often their first words. Under causal attention tokens with the
same past have the same hidden state, so a micro-batch is a tree of tokens: each is computed once, in however many
rows it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coevolve.engine.local.portions import SLACK
from coevolve.types import Ints, TrainRow

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """A tree of N tokens in B rows, and the M positions whose next token is scored.

    For attention the rows stand in blocks of similar length, right-padded: padding follows the real tokens, so
    under causal attention no real token sees it.
    """

    rows: Index  # [B] positions of the rows in the caller's sequence
    inputs: Index  # [N] token ids, every shared one once
    depth: Index  # [N] position of each token in its rows
    blocks: tuple[tuple[int, int], ...]  # (rows, length) of each block
    spread: Index  # [P] the token of the tree at each place of the blocks, 0 where padded
    collect: Index  # [N] one of the places of each token
    position: Index  # [M] token of the tree whose logits predict ``target``
    target: Index  # [M] token ids
    token: Index  # [M] index of the target within its row
    row_tokens: int  # inputs of all rows, shared ones counted in each
    bounds: Index  # [B + 1] row b owns the scored positions bounds[b] : bounds[b + 1]

    def split(self, values: NDArray[np.generic]) -> Iterator[tuple[int, Index, NDArray[np.generic]]]:
        """Take [M] values apart: row number, target indices and values of every row."""
        for slot, i in enumerate(self.rows):
            part = slice(self.bounds[slot], self.bounds[slot + 1])
            yield int(i), self.token[part], values[part]


def scored_tokens(row: TrainRow) -> Index:
    """Indices of the tokens of a row that teach: weight above 0."""
    return np.flatnonzero(row.weight > 0)


def pack(tokens: Sequence[Ints], scored: Sequence[Index], budget: int) -> list[MicroBatch]:
    """Cut rows after their last scored token and pack them into micro-batches.

    Args:
        tokens: token ids [L_i] of each row.
        scored: for each row the token indices, ascending and at least 1, whose log-probability is wanted; a row
            without any is left out.
        budget: tokens of the rows of one micro-batch, shared ones counted in each; a longer row stands alone.

    Returns:
        Micro-batches, together holding every row once.
    """
    # The last scored token is predicted, never read, so a row has as many inputs as the index of that token.
    inputs = {i: tokens[i][: where[-1]] for i, where in enumerate(scored) if len(where)}
    prompts = {i: tokens[i][: scored[i][0]].tobytes() for i in inputs}
    groups = _groups(_order(inputs, prompts), inputs, budget)
    return [_assemble(group, inputs, tokens, scored) for group in groups]


def _order(inputs: dict[int, Ints], prompts: dict[int, bytes]) -> list[int]:
    """Rows of one prompt together, prompts with the longest row first, rows with a common past side by side."""
    longest: dict[bytes, int] = {}
    for i, prompt in prompts.items():
        longest[prompt] = max(longest.get(prompt, 0), len(inputs[i]))
    return sorted(inputs, key=lambda i: (-longest[prompts[i]], prompts[i], inputs[i].tobytes()))


def _groups(order: list[int], inputs: dict[int, Ints], budget: int) -> list[list[int]]:
    """Cut the order where the next row would break the budget."""
    groups: list[list[int]] = []
    used = budget
    for i in order:
        used += len(inputs[i])
        if used > budget:
            groups.append([])
            used = len(inputs[i])
        groups[-1].append(i)
    return groups


def _assemble(group: list[int], inputs: dict[int, Ints], tokens: Sequence[Ints], scored: Sequence[Index]) -> MicroBatch:
    """Grow the tree row by row: what a row shares with the one before is there already."""
    paths: list[Index] = []  # the tokens of the tree that make up each row
    fresh: list[tuple[Ints, int]] = []  # each row and how much of it was there before
    size = 0
    for slot, i in enumerate(group):
        shared = _common(inputs[i], inputs[group[slot - 1]]) if slot else 0
        path = np.arange(size - shared, size + len(inputs[i]) - shared)
        path[:shared] = paths[-1][:shared] if slot else 0
        paths.append(path)
        fresh.append((inputs[i], shared))
        size += len(inputs[i]) - shared
    blocks, spread, collect = _blocks(paths, size)
    return MicroBatch(
        rows=np.asarray(group),
        inputs=np.concatenate([row[shared:] for row, shared in fresh]).astype(np.int64),
        depth=np.concatenate([np.arange(shared, len(row)) for row, shared in fresh]),
        blocks=blocks,
        spread=spread,
        collect=collect,
        position=np.concatenate([path[scored[i] - 1] for path, i in zip(paths, group, strict=True)]),
        target=np.concatenate([tokens[i][scored[i]] for i in group]).astype(np.int64),
        token=np.concatenate([scored[i] for i in group]),
        row_tokens=sum(len(inputs[i]) for i in group),
        bounds=np.cumsum([0, *(len(scored[i]) for i in group)]),
    )


def _blocks(paths: list[Index], size: int) -> tuple[tuple[tuple[int, int], ...], Index, Index]:
    """Put rows of similar length into padded blocks; returns ``blocks``, ``spread`` and ``collect``."""
    blocks: list[list[Index]] = []
    for path in sorted(paths, key=len, reverse=True):
        if not blocks or len(path) < SLACK * len(blocks[-1][0]):
            blocks.append([])
        blocks[-1].append(path)
    shapes = tuple((len(block), len(block[0])) for block in blocks)
    spread = np.zeros(sum(count * length for count, length in shapes), dtype=np.int64)
    collect = np.zeros(size, dtype=np.int64)
    at = 0
    for block in blocks:
        for path in block:
            spread[at : at + len(path)] = path
            collect[path] = np.arange(at, at + len(path))
            at += len(block[0])
    return shapes, spread, collect


def _common(a: Ints, b: Ints) -> int:
    """Length of the common beginning of two rows."""
    size = min(len(a), len(b))
    different = np.flatnonzero(a[:size] != b[:size])
    return int(different[0]) if len(different) else size
