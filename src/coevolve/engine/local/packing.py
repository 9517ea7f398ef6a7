"""Which rows run together, and which of their tokens need to be computed only once. Pure numpy.

The answers to one question share its prompt and often their first words, and all prompts may share their examples.
Under causal attention tokens with the same past have the same hidden state, so a micro-batch is a tree of tokens: each
is computed once, in however many rows it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coevolve.engine.local.portions import SLACK
from coevolve.types import Ints, TrainRow

Index = NDArray[np.int64]


class Segment(NamedTuple):
    """Tokens ``start`` to ``end`` of the tree that follow each other in the same rows.

    The tokens ``end`` to ``stop`` go on from them, in one or several rows: they see the whole segment.
    """

    start: int
    end: int
    stop: int


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """A tree of N tokens in B rows, and the M positions whose next token is scored.

    The tokens stand in depth-first order. For attention there are two views of them: segments without any padding, and
    blocks of whole rows of similar length, right-padded: padding follows the real tokens, so under causal attention no
    real token sees it.
    """

    rows: Index  # [B] positions of the rows in the caller's sequence
    inputs: Index  # [N] token ids, every shared one once
    depth: Index  # [N] position of each token in its rows
    segments: tuple[Segment, ...]
    blocks: tuple[tuple[int, int], ...]  # (rows, length) of each block
    spread: Index  # [P] the token of the tree at each place of the blocks, 0 where padded
    collect: Index  # [N] one of the places of each token
    states: Index  # [U] tokens of the tree whose logits are needed, ascending
    owner: Index  # [M] which of ``states`` predicts ``target``
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


def pack(
    tokens: Sequence[Ints], scored: Sequence[Index], budget: int, *, once: bool = False, least: int = 1
) -> list[MicroBatch]:
    """Cut rows after their last scored token and pack them into micro-batches.

    Args:
        tokens: token ids [L_i] of each row.
        scored: for each row the token indices, ascending and at least 1, whose log-probability is wanted; a row
            without any is left out.
        budget: tokens of the rows of one micro-batch; a longer row stands alone.
        once: count shared tokens once, for attention by segments; else in each row, as they stand in the blocks.
        least: beginnings are shared from this many tokens on (beyond those that are shared anyway).

    Returns:
        Micro-batches, together holding every row once.
    """
    # The last scored token is predicted, never read, so a row has as many inputs as the index of that token.
    inputs = {i: tokens[i][: where[-1]] for i, where in enumerate(scored) if len(where)}
    order, shared = _order(inputs, least)
    groups = _groups(order, shared, inputs, budget, once=once)
    known = dict(zip(order, shared, strict=True))
    return [_assemble(group, known, inputs, tokens, scored) for group in groups]


def _order(inputs: dict[int, Ints], least: int) -> tuple[list[int], list[int]]:
    """Rows in depth-first order of their tree, at each fork the branch with the longest row first.

    Returns:
        The rows, and how many of its first tokens each has in common with the one before it.
    """
    # Sorted by their bytes, rows with a common beginning stand side by side.
    rows = sorted(inputs, key=lambda i: inputs[i].tobytes())
    common = [0] + [_common(inputs[a], inputs[b]) for a, b in pairwise(rows)]
    order: list[int] = []
    shared: list[int] = []
    # Ranges of ``rows`` that are still to be laid out, and what each shares with what is laid out before it.
    ranges = [(0, len(rows), 0)] if rows else []
    while ranges:
        first, last, depth = ranges.pop()
        if last - first == 1:
            order.append(rows[first])
            shared.append(depth)
            continue
        fork = min(common[first + 1 : last])
        cuts = [first, *(n for n in range(first + 1, last) if common[n] == fork), last]
        parts = sorted(pairwise(cuts), key=lambda x: (-max(len(inputs[i]) for i in rows[x[0] : x[1]]), x))
        fork = fork if fork >= depth + least else depth
        ranges += [(a, b, fork) for a, b in reversed(parts[1:])] + [(*parts[0], depth)]
    return order, shared


def _groups(
    order: list[int], shared: list[int], inputs: dict[int, Ints], budget: int, *, once: bool
) -> list[list[int]]:
    """Cut the order where the next row would break the budget."""
    groups: list[list[int]] = []
    used = budget
    for i, known in zip(order, shared, strict=True):
        used += len(inputs[i]) - (known if once else 0)
        if used > budget:
            groups.append([])
            used = len(inputs[i])
        groups[-1].append(i)
    return groups


def _assemble(
    group: list[int], known: dict[int, int], inputs: dict[int, Ints], tokens: Sequence[Ints], scored: Sequence[Index]
) -> MicroBatch:
    """Grow the tree row by row: what a row shares with the one before is there already."""
    paths: list[Index] = []  # the tokens of the tree that make up each row
    shares = [known[i] if slot else 0 for slot, i in enumerate(group)]
    size = 0
    for i, shared in zip(group, shares, strict=True):
        path = np.arange(size - shared, size + len(inputs[i]) - shared)
        path[:shared] = paths[-1][:shared] if shared else 0
        paths.append(path)
        size += len(inputs[i]) - shared
    blocks, spread, collect = _blocks(paths, size)
    position = np.concatenate([path[scored[i] - 1] for path, i in zip(paths, group, strict=True)])
    states, owner = np.unique(position, return_inverse=True)
    return MicroBatch(
        rows=np.asarray(group),
        inputs=np.concatenate([inputs[i][shared:] for i, shared in zip(group, shares, strict=True)]).astype(np.int64),
        depth=np.concatenate([np.arange(shared, len(inputs[i])) for i, shared in zip(group, shares, strict=True)]),
        segments=_segments([len(inputs[i]) for i in group], shares),
        blocks=blocks,
        spread=spread,
        collect=collect,
        states=states,
        owner=owner.reshape(-1),
        target=np.concatenate([tokens[i][scored[i]] for i in group]).astype(np.int64),
        token=np.concatenate([scored[i] for i in group]),
        row_tokens=sum(len(inputs[i]) for i in group),
        bounds=np.cumsum([0, *(len(scored[i]) for i in group)]),
    )


def _segments(lengths: list[int], shares: list[int]) -> tuple[Segment, ...]:
    """The segments of a tree, in the order of its tokens.

    Args:
        lengths: inputs of each row, in depth-first order.
        shares: how many of them each row shares with the one before.
    """
    done: list[Segment] = []
    path: list[tuple[int, int, int]] = []  # depth, start and end of the segments of the present row
    size = 0

    def close(depth: int) -> None:
        """End the segments that begin at or behind a depth; one that goes across it forks there."""
        while path and path[-1][0] >= depth:
            _, start, end = path.pop()
            done.append(Segment(start, end, size))
        if path and path[-1][0] + path[-1][2] - path[-1][1] > depth:
            begin, start, end = path.pop()
            fork = start + depth - begin
            done.append(Segment(fork, end, size))
            path.append((begin, start, fork))

    for length, shared in zip(lengths, shares, strict=True):
        if length == shared:  # a beginning of the row before
            continue
        close(shared)
        path.append((shared, size, size + length - shared))
        size += length - shared
    close(0)
    return tuple(sorted(done))


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
