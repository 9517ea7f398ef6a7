"""The passes that CUDA records, step by step on CPU: equal to those over a growing cache, few in kind, never stale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from coevolve.config import LoraSection
from coevolve.engine.base import Completion, Pause, SampleRequest, Sampling
from coevolve.engine.local.decoding import StaticPasses, static_attention
from coevolve.engine.local.portions import length_bucket, row_bucket
from coevolve.engine.local.sampler import LocalSampler


def story(sampler: LocalSampler) -> list[Completion]:
    """More sequences than rows, equal prompts, pauses with appended tokens, and a long one that comes late."""
    rng = np.random.default_rng(3)
    prompts = [rng.integers(0, 38, n).astype(np.int32) for n in (5, 5, 17, 1, 9)]
    prompts[1] = prompts[0]
    out: list[Completion] = []
    for i, prompt in enumerate(prompts):
        sampler.submit(SampleRequest(i, prompt, Sampling(max_tokens=22 + i, stop=("a", "7", "k", "0")), seed=i))
    late, extended = True, 0
    while sampler.active:
        for c in sampler.step():
            out.append(c)
            if c.pause is Pause.STOP:
                extended += 1
                if extended % 5 and sum(len(d.tokens) + 4 for d in out if d.id == c.id) < 22:
                    sampler.extend(c.id, rng.integers(0, 38, 1 + extended % 4).astype(np.int32))
                else:
                    sampler.release(c.id)
        if late and extended > 2:
            late = False
            sampler.submit(SampleRequest(9, rng.integers(0, 38, 262).astype(np.int32), Sampling(max_tokens=5), seed=9))
    assert extended > 4
    assert not late
    return out


def test_a_static_cache_gives_the_texts_and_numbers_of_a_growing_one(tiny_folder: Path) -> None:
    ours, theirs = (story(LocalSampler(tiny_folder, max_rows=4, static=static)) for static in (True, False))
    assert [(c.id, c.pause, c.tokens.tolist()) for c in ours] == [(c.id, c.pause, c.tokens.tolist()) for c in theirs]
    np.testing.assert_allclose(
        np.concatenate([c.logprobs for c in ours]), np.concatenate([c.logprobs for c in theirs]), atol=1e-5
    )


class Recorder:
    """Stands where CUDA records graphs: remembers what was recorded, and replays by computing on the same tensors."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, passes: StaticPasses, compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.recorded += 1
        compute()  # as the warm-up does: it writes to the cache of living sequences

        def replay() -> Tensor:
            self.replayed += 1
            return compute()

        return replay


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    monkeypatch.setattr(StaticPasses, "_recorded", lambda passes, compute: made(passes, compute))
    return made


def test_steps_are_recorded_once_per_kind_and_again_when_the_cache_has_moved(
    tiny_folder: Path, recorder: Recorder
) -> None:
    sampler = LocalSampler(tiny_folder, max_rows=4, static=True)
    sampler._passes = StaticPasses(sampler.model, sampler._cache, graphs=True)  # type: ignore[arg-type]
    expected = story(LocalSampler(tiny_folder, max_rows=4, static=True))
    told = story(sampler)
    assert [c.tokens.tolist() for c in told] == [c.tokens.tolist() for c in expected]
    np.testing.assert_array_equal([c.logprobs.sum() for c in told], [c.logprobs.sum() for c in expected])
    # Windows of 256 and 512 positions, of 1, 2 and 4 rows, and those of 256 anew after the long prompt moved the cache.
    assert recorder.recorded <= 9
    assert recorder.replayed > 5 * recorder.recorded
    assert sum(x.numel() for x in (*sampler._cache.keys, *sampler._cache.values)) == 0  # given back for the trainer
    again = story(sampler)
    assert [c.tokens.tolist() for c in again] == [c.tokens.tolist() for c in expected]


class Operations(TorchDispatchMode):
    """The names of all operations inside the block."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket._qualified_op_name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("lora", [None, LoraSection(enabled=True, rank=4)])
def test_a_recorded_step_reads_no_number_and_brings_none_along(tiny_folder: Path, lora: LoraSection | None) -> None:
    """While CUDA records, nothing may wait for a result or copy from main memory."""
    sampler = LocalSampler(tiny_folder, max_rows=4, static=True, lora=lora)
    told: list[set[str]] = []

    def recorded(compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
        with Operations() as operations:
            compute()
        told.append(operations.names)
        return compute

    sampler._passes = StaticPasses(sampler.model, sampler._cache, graphs=True)  # type: ignore[arg-type]
    sampler._passes._recorded = recorded  # type: ignore[method-assign]
    sampler.submit(SampleRequest(0, np.arange(3, dtype=np.int32), Sampling(max_tokens=3), seed=0))
    while sampler.active:
        sampler.step()
    assert len(told) == 1
    assert {"aten::scatter_", "aten::linear", "aten::copy_"} <= told[0]
    waits = {"aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::equal", "aten::is_nonzero"}
    assert not told[0] & (waits | {"aten::lift_fresh", "aten::masked_select", "aten::unique_consecutive"})


def test_fused_attention_equals_the_sum_over_the_past() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 6, 5, 8), torch.randn(2, 2, 5, 8), torch.randn(2, 2, 5, 8)
    later = torch.ones(5, 5, dtype=torch.bool).triu(1)
    scores = (q @ k.repeat_interleave(3, 1).transpose(-1, -2) * 0.3).masked_fill(later, float("-inf"))
    expected = (scores.softmax(-1) @ v.repeat_interleave(3, 1)).transpose(1, 2)
    mask = torch.zeros(2, 1, 5, 5).masked_fill(later, -1e9)
    layer = torch.nn.Identity()
    for given in (None, mask):
        torch.testing.assert_close(static_attention(layer, q, k, v, given, scaling=0.3)[0], expected)
    one = static_attention(layer, q[:, :, -1:], k, v, mask[:, :, -1:], scaling=0.3)[0]
    torch.testing.assert_close(one, expected[:, -1:])


def test_buckets_hold_what_they_are_for_and_are_few() -> None:
    rows, lengths = [row_bucket(n) for n in range(1, 513)], [length_bucket(n) for n in range(1, 4097)]
    assert all(n <= bucket <= max(n * 2, 1) for n, bucket in enumerate(rows, 1))
    assert all(bucket <= n * 1.5 for n, bucket in enumerate(rows, 1) if n > 16)
    assert len(set(rows)) == 15  # 1 2 4 8 16 24 32 48 64 96 128 192 256 384 512
    assert rows == sorted(rows)
    assert all(n <= bucket < n + 256 for n, bucket in enumerate(lengths, 1))
    assert len(set(lengths)) == 16
