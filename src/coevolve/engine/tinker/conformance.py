"""What a server really does, found out before it is trusted with a run.

Servers of one API differ in what they do not tell: whether a loss is summed or averaged, which token a log-probability
belongs to, whether a snapshot holds the weights that were just trained. Each question here is answered by a few calls
on an adapter that is thrown away; an answer that is in no known class ends the run before it begins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from coevolve.engine.tinker.gradient import Reduction, advantages
from coevolve.engine.tinker.server import Adam, Server
from coevolve.errors import EngineError
from coevolve.types import Floats, Ints

_SHORT, _LONG = 7, 13  # tokens of the rows of the probe
_CLOSE = 1e-2  # of ratios of gradient norms, which are 1 or 2 or clearly something else
_GAP = 0.05  # nats between the sampler and forward, on average; a run has its own, narrower limit
_SAMPLED = 8


def examine(
    server: Server, *, rank: int, seed: int, vocabulary: int, ends: Sequence[int], expected: str = "auto"
) -> Reduction:
    """Ask a server what it does, on an adapter of its own that is released at the end; returns how it reduces a batch.

    Args:
        server: connected.
        rank: of the adapters of the run.
        seed: of the probe's adapter.
        vocabulary: tokens of the model.
        ends: tokens that end a text.
        expected: reduction of the configuration; ``auto`` takes what is found.

    Raises:
        EngineError: something is in no known class, or is not what the configuration expects.
    """
    adapter = server.open(rank, seed)
    try:
        rows = _rows(vocabulary, ends)
        _check_alignment(server, adapter, rows, vocabulary)
        reduction = _reduction(server, adapter, rows)
        if expected not in ("auto", reduction):
            raise _unlike("the reduction of a batch", f"{expected} (tinker.reduction)", reduction)
        _check_update(server, adapter, rows, reduction)
        _check_rank(server, adapter, rank)
        _check_sampler(server, adapter, rows, ends)
    finally:
        server.release(adapter)
    return reduction


def _rows(vocabulary: int, ends: Sequence[int]) -> list[Ints]:
    """Two rows of plain tokens, the same ones always."""
    rng = np.random.default_rng(0)
    plain = np.setdiff1d(np.arange(vocabulary), np.array(ends))
    return [rng.choice(plain, size).astype(np.int32) for size in (_SHORT, _LONG)]


def _check_alignment(server: Server, adapter: str, rows: Sequence[Ints], vocabulary: int) -> None:
    """The last log-probability, and no other, depends on the last token."""
    found = server.forward(adapter, rows)
    if [len(x) for x in found] != [len(row) - 1 for row in rows]:
        raise _unlike("log-probabilities of a row", "one fewer than its tokens", f"{[len(x) for x in found]}")
    if not all(np.isfinite(x).all() for x in found):
        raise _unlike("log-probabilities of a new adapter", "finite numbers", "some that are not")
    changed = [row.copy() for row in rows]
    for row in changed:
        row[-1] = (row[-1] + 1) % vocabulary
    for before, after in zip(found, server.forward(adapter, changed), strict=True):
        moved = np.abs(before - after) > 1e-3
        if moved[:-1].any() or not moved[-1]:
            raise _unlike(
                "places of log-probabilities where a row's last token changes",
                "the last one alone differs",
                f"{np.flatnonzero(moved).tolist()} of {len(moved)} differ",
            )


def _reduction(server: Server, adapter: str, rows: Sequence[Ints]) -> Reduction:
    """From gradient norms that two reductions change in different ways; the learning rate is 0."""
    short, long = rows
    longer = np.concatenate([short, long])  # the gradient of the short row, behind which tokens without advantage stand
    whole, part = np.ones(len(short) - 1, np.float32), np.zeros(len(longer) - 1, np.float32)
    part[: len(short) - 1] = 1.0
    once = _norm(server, adapter, [[(short, whole)]])
    found = {
        "twice in one batch": _norm(server, adapter, [[(short, whole)] * 2]) / once,
        "in two calls": _norm(server, adapter, [[(short, whole)]] * 2) / once,
        "with more tokens of no advantage": _norm(server, adapter, [[(longer, part)]]) / once,
    }
    share = (len(short) - 1) / (len(longer) - 1)
    known: dict[Reduction, tuple[float, float, float]] = {"sum": (2.0, 2.0, 1.0), "mean": (1.0, 1.0, share)}
    for reduction, ratios in known.items():
        if all(abs(a / b - 1) < _CLOSE for a, b in zip(found.values(), ratios, strict=True)):
            return reduction
    shown = ", ".join(f"{what}: {ratio:.3g}" for what, ratio in found.items())
    expected = " or ".join(f"{name} {tuple(round(x, 3) for x in ratios)}" for name, ratios in known.items())
    raise _unlike("the gradient norm of a row, relative to that of the row alone", expected, shown)


def _norm(server: Server, adapter: str, calls: Sequence[Sequence[tuple[Ints, Floats]]]) -> float:
    for call in calls:
        rows = [row for row, _ in call]
        server.backward(adapter, rows, server.forward(adapter, rows), [gain for _, gain in call])
    norm = server.step(adapter, Adam(0.0))
    if norm is None:
        raise _unlike("what a step tells", "the gradient norm, which max_grad_norm and the update guard need", "none")
    if not math.isfinite(norm) or norm <= 0:
        raise _unlike("the gradient norm of the probe", "a number above 0", f"{norm}")
    return norm


def _check_update(server: Server, adapter: str, rows: Sequence[Ints], reduction: Reduction) -> None:
    """A step moves the weights, and towards what has an advantage."""
    before = server.forward(adapter, rows)
    gains = [np.concatenate([np.zeros(1), np.ones(len(row) - 1)]).astype(np.float32) for row in rows]
    server.backward(adapter, rows, before, advantages(gains, reduction))
    server.step(adapter, Adam(1e-3))
    gained = sum(float((b - a).sum()) for a, b in zip(before, server.forward(adapter, rows), strict=True))
    if not gained > 0:
        raise _unlike("log-probability that a step towards two rows adds to them", "more than 0", f"{gained:.3g}")


def _check_rank(server: Server, adapter: str, rank: int) -> None:
    found = server.rank(server.save(adapter))
    if found not in (None, rank):
        raise _unlike("the rank of a saved adapter", f"{rank} (lora.rank)", f"{found}")


def _check_sampler(server: Server, adapter: str, rows: Sequence[Ints], ends: Sequence[int]) -> None:
    """The sampler has the weights of the update that was just made, and its log-probabilities are those of forward."""
    prompt, weights = rows[0], server.publish(adapter)
    sampled = server.sample(weights, prompt, limit=_SAMPLED, greedy=False, seed=1, ends=ends).result()
    whole = np.concatenate([prompt, np.array(sampled.tokens, np.int32)])
    own = server.forward(adapter, [whole])[0][len(prompt) - 1 :]
    gap = float(np.abs(own - np.array(sampled.logprobs)).mean())
    if not gap <= _GAP:
        raise _unlike(
            "log-probabilities of the sampler after an update", f"those of forward within {_GAP}", f"{gap:.3g} away"
        )


def _unlike(what: str, expected: str, found: str) -> EngineError:
    return EngineError(
        f"the server is in no class that is known here. {what}: expected {expected}; found {found}",
        where="tinker.url",
        fix="a server and an SDK that were tested together (docs/cluster.md)",
    )
