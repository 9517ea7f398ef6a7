"""The local trainer against finite differences and itself: how gradients add up, what a step does, what is refused."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from coevolve.config.acting import Distribution
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.errors import EngineError
from coevolve.types import Batch

from .plain_loss import (
    gradients,
    near_policy,
    plain_logp,
    plain_loss,
    plain_model,
    set_weights,
    some_rows,
    weights_of,
)

Make = Callable[..., LocalTrainer]


@pytest.fixture
def make(tiny_folder: Path) -> Make:
    return lambda **options: LocalTrainer(tiny_folder, **options)


def test_gradient_equals_finite_differences(make: Make) -> None:
    trainer = make(dtype="float64")
    trainer.set_reference()
    batch = Batch(near_policy(trainer, some_rows(4), spread=0.1), kl=0.3)
    set_weights(trainer, {n: w * 1.02 for n, w in weights_of(trainer).items()})
    trainer.forward_backward(batch)
    found = gradients(trainer)
    step = 1e-3  # Qwen3 computes its norms in float32: a smaller step meets their rounding
    for name in (
        "lm_head.weight",
        "model.layers.1.self_attn.k_proj.weight",
        "model.layers.0.input_layernorm.weight",
    ):
        flat = dict(trainer.model.named_parameters())[name].data.view(-1)
        at = int(found[name].abs().argmax())
        centre = float(flat[at])
        sides = []
        for side in (centre + step, centre - step):
            flat[at] = side
            sides.append(trainer.forward_backward(batch).loss)
        flat[at] = centre
        assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(float(found[name].view(-1)[at]), rel=2e-3)


def test_statistics_are_sums_over_the_trained_tokens(make: Make, tiny_folder: Path) -> None:
    trainer = make(dtype="float64", micro_batch_tokens=40)
    rows = near_policy(trainer, some_rows())
    batch = Batch(tuple(replace(row, bin=i % 2) for i, row in enumerate(rows)), bins=2)
    stats = trainer.forward_backward(batch)
    model = plain_model(tiny_folder, trainer)
    ratio = entropy = gap = 0.0
    tokens = [0, 0]
    clipped = [0, 0]
    for row in batch.rows:
        taught = row.weight[1:] > 0
        logits = model(input_ids=torch.from_numpy(row.tokens.astype(np.int64))[None]).logits[0, :-1]
        p = torch.softmax(logits.detach(), -1)
        entropy += float(torch.special.entr(p).sum(-1)[torch.from_numpy(taught)].sum())
        logp = plain_logp(model, row, 1.0).detach().numpy()
        r = np.exp(logp - row.old_logp[1:])
        ratio += r[taught].sum()
        gap = max(gap, np.abs(logp - row.old_logp[1:])[taught].max())
        cut = np.where(row.advantage[1:] < 0, r < 1 - row.clip_low[1:], r > 1 + row.clip_high[1:])
        tokens[row.bin] += int(taught.sum())
        clipped[row.bin] += int((cut & taught).sum())
    assert stats.tokens == sum(tokens)
    assert stats.tokens_by_bin == tokens
    assert stats.clipped_by_bin == clipped
    assert stats.clipped_low + stats.clipped_high == sum(clipped)
    assert stats.ratio == pytest.approx(ratio, rel=1e-6)
    assert stats.entropy == pytest.approx(entropy, rel=1e-6)
    assert stats.max_logp_gap == pytest.approx(gap, rel=1e-5)


def test_micro_batch_size_does_not_change_the_gradient(make: Make) -> None:
    found = []
    for budget in (1, 50, 100_000):
        trainer = make(micro_batch_tokens=budget)
        trainer.forward_backward(Batch(near_policy(trainer, some_rows(12))))
        found.append(gradients(trainer))
    for other in found[1:]:
        for name, value in found[0].items():
            torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-5)


def test_chunks_of_logits_do_not_change_the_gradient(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for logits in (1 << 25, 39 * 5):
        monkeypatch.setattr("coevolve.engine.local.trainer.LOGITS", logits)
        trainer = make(dtype="float64")
        stats = trainer.forward_backward(Batch(near_policy(trainer, some_rows())))
        found.append((stats, gradients(trainer)))
    assert found[0][0].loss == pytest.approx(found[1][0].loss, abs=1e-12)
    for name, value in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], value)


def test_two_calls_add_up_like_one(make: Make) -> None:
    together, apart = make(dtype="float64"), make(dtype="float64")
    rows = near_policy(together, some_rows())
    whole = together.forward_backward(Batch(rows))
    parts = [apart.forward_backward(Batch(rows[:3])), apart.forward_backward(Batch(rows[3:]))]
    assert whole.loss == pytest.approx(sum(p.loss for p in parts))
    for name, value in gradients(together).items():
        torch.testing.assert_close(gradients(apart)[name], value)


def test_tokens_without_weight_teach_nothing(make: Make) -> None:
    """What stands in the streams of prompt and observation tokens, even NaN, leaves no trace."""
    clean, dirty = make(), make()
    rows = near_policy(clean, some_rows())
    poisoned = []
    for row in rows:
        off = row.weight == 0
        poisoned.append(
            replace(
                row,
                old_logp=np.where(off, np.nan, row.old_logp).astype(np.float32),
                advantage=np.where(off, np.inf, row.advantage).astype(np.float32),
            )
        )
    silent = replace(rows[0], weight=np.zeros_like(rows[0].weight))
    first = clean.forward_backward(Batch(rows))
    second = dirty.forward_backward(Batch((*poisoned, silent)))
    assert first == second
    for name, value in gradients(clean).items():
        assert torch.equal(gradients(dirty)[name], value)


def test_a_prompt_alone_gives_no_gradient(make: Make) -> None:
    trainer = make()
    rows = [replace(row, weight=np.zeros_like(row.weight)) for row in some_rows()]
    assert trainer.forward_backward(Batch(tuple(rows))).tokens == 0
    assert not gradients(trainer)
    before = weights_of(trainer)
    assert trainer.step(1e-3) == 0.0
    assert all(np.array_equal(before[n], w) for n, w in weights_of(trainer).items())


def test_rows_without_advantage_cost_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, other = make(dtype="float64"), make(dtype="float64")
    rows = near_policy(trainer, some_rows())
    flat = [replace(row, advantage=np.zeros_like(row.advantage)) for row in rows]
    counted = other.forward_backward(Batch(rows))
    assert trainer.forward_backward(Batch((*rows, *flat))) == counted
    for name, value in gradients(other).items():
        assert torch.equal(gradients(trainer)[name], value)
    trainer.discard()
    monkeypatch.setattr("coevolve.engine.local.trainer.hidden_states", None)
    nothing = trainer.forward_backward(Batch(tuple(flat)))
    assert not gradients(trainer)
    assert (nothing.loss, nothing.tokens, nothing.entropy) == (0.0, 0, 0.0)


def test_weight_on_the_first_token_is_an_error(make: Make) -> None:
    row = some_rows(1)[0]
    with pytest.raises(EngineError, match="first token"):
        make().forward_backward(Batch((replace(row, weight=np.ones_like(row.weight)),)))


def test_kl_is_zero_at_the_reference_and_pulls_back_to_it(make: Make) -> None:
    trainer = make()
    trainer.set_reference()
    rows = tuple(replace(row, advantage=np.zeros_like(row.advantage)) for row in some_rows())
    at_reference = trainer.forward_backward(Batch(rows, kl=1.0))
    assert at_reference.kl == pytest.approx(0.0, abs=1e-6)
    assert all(float(g.abs().max()) < 1e-6 for g in gradients(trainer).values())
    trainer.step(0.0)

    random = np.random.default_rng(3)
    away = {n: w + random.normal(0, 0.05, w.shape) for n, w in weights_of(trainer).items()}
    set_weights(trainer, {n: w.astype(np.float32) for n, w in away.items()})
    distances = []
    for _ in range(4):
        distances.append(trainer.forward_backward(Batch(rows, kl=1.0)).kl)
        trainer.step(1e-3)
    assert distances[0] > 0
    assert distances == sorted(distances, reverse=True)


def test_reference_is_that_of_the_last_call_and_never_moves(make: Make) -> None:
    trainer = make()
    trainer.set_reference()
    rows = near_policy(trainer, some_rows())
    for _ in range(2):
        trainer.forward_backward(Batch(rows, kl=0.1))
        trainer.step(1e-2)
    assert trainer.forward_backward(Batch(rows, kl=0.1)).kl > 0
    trainer.set_reference()
    assert trainer.forward_backward(Batch(rows, kl=0.1)).kl == pytest.approx(0.0, abs=1e-6)


def test_bin_beyond_those_of_the_batch_is_an_error(make: Make) -> None:
    row = replace(some_rows(1)[0], bin=1)
    with pytest.raises(EngineError, match="bin"):
        make().forward_backward(Batch((row,), bins=1))


def test_kl_without_a_reference_is_an_error(make: Make) -> None:
    with pytest.raises(EngineError, match="reference"):
        make().forward_backward(Batch(some_rows(), kl=0.1))


def test_rising_advantage_raises_the_probability(make: Make) -> None:
    trainer = make()
    rows = tuple(
        replace(row, advantage=np.ones_like(row.advantage), old_logp=p)
        for row, p in zip(some_rows(), trainer.logprobs(some_rows()), strict=True)
    )
    before = trainer.logprobs(rows)
    assert trainer.forward_backward(Batch(rows)).max_logp_gap < 1e-5
    trainer.step(1e-3)
    after = trainer.logprobs(rows)
    assert sum(float((a - b) @ row.weight) for a, b, row in zip(after, before, rows, strict=True)) > 0


def test_logprobs_are_those_of_the_whole_row(make: Make, tiny_folder: Path) -> None:
    trainer = make(dtype="float64", drawn=Distribution(0.8), micro_batch_tokens=64)
    rows = (*some_rows(), replace(some_rows(1)[0], tokens=np.array([3], np.int32)))
    model = plain_model(tiny_folder, trainer)
    for row, found in zip(rows, trainer.logprobs(rows), strict=True):
        assert found.dtype == np.float32
        assert found[0] == 0.0
        if len(row.tokens) > 1:
            np.testing.assert_allclose(found[1:], plain_logp(model, row, 0.8).detach(), atol=1e-6)


def test_equal_batches_give_equal_bits_and_the_frozen_one_stays(make: Make) -> None:
    first, second, frozen = make(), make(), make()
    start = weights_of(frozen)
    for seed in range(3):
        rows = near_policy(first, some_rows(20, seed))
        for trainer in (first, second):
            trainer.forward_backward(Batch(rows))
            trainer.step(1e-2)
        frozen.logprobs(rows)
    ours, theirs, still = (weights_of(t) for t in (first, second, frozen))
    assert all(np.array_equal(ours[n], theirs[n]) for n in ours)
    assert all(np.array_equal(start[n], still[n]) for n in start)
    assert not any(np.array_equal(ours[n], start[n]) for n in ours)


def test_step_clips_and_follows_adamw(make: Make, tiny_folder: Path) -> None:
    trainer = make(max_grad_norm=0.01, weight_decay=0.1)
    oracle = plain_model(tiny_folder, trainer)
    matrices = [p for p in oracle.parameters() if p.ndim > 1]
    norms = [p for p in oracle.parameters() if p.ndim < 2]
    plain = torch.optim.AdamW(
        [{"params": matrices}, {"params": norms, "weight_decay": 0.0}],
        lr=2e-3,
        betas=(0.9, 0.99),
        weight_decay=0.1,
    )
    rows = near_policy(trainer, some_rows())
    for _ in range(2):
        plain_loss(oracle, Batch(rows)).backward()
        expected = torch.nn.utils.clip_grad_norm_(oracle.parameters(), 0.01)
        plain.step()
        plain.zero_grad()
        trainer.forward_backward(Batch(rows))
        assert trainer.step(2e-3) == pytest.approx(float(expected), rel=1e-4)
    assert float(expected) > 0.01
    found = weights_of(trainer)
    for name, parameter in oracle.named_parameters():
        np.testing.assert_allclose(found[name], parameter.detach().numpy(), atol=2e-5)


def test_a_gradient_that_is_not_finite_moves_nothing(make: Make) -> None:
    trainer = make()
    before = weights_of(trainer)
    rows = some_rows(2)
    broken = replace(rows[0], advantage=np.full_like(rows[0].advantage, np.nan))
    trainer.forward_backward(Batch((broken, rows[1])))
    assert not math.isfinite(trainer.step(1e-2))
    assert all(np.array_equal(before[n], w) for n, w in weights_of(trainer).items())
    trainer.forward_backward(Batch(near_policy(trainer, rows)))
    assert math.isfinite(trainer.step(1e-2))
    assert not all(np.array_equal(before[n], w) for n, w in weights_of(trainer).items())


def test_a_norm_above_the_limit_moves_nothing_and_leaves_no_gradient_behind(make: Make) -> None:
    limited, other = make(), make()
    rows = near_policy(limited, some_rows())
    for trainer in (limited, other):
        trainer.forward_backward(Batch(rows))
        norm = trainer.step(1e-2)
    before = weights_of(limited)
    limited.forward_backward(Batch(rows))
    assert limited.step(1e-2, limit=0.1 * norm) > 0.1 * norm
    assert all(np.array_equal(before[n], w) for n, w in weights_of(limited).items())
    limited.forward_backward(Batch(rows[:2]))
    limited.discard()
    for trainer in (limited, other):
        trainer.forward_backward(Batch(rows))
        trainer.step(1e-2, limit=1e9)
    ours, theirs = weights_of(limited), weights_of(other)
    assert all(np.array_equal(ours[n], theirs[n]) for n in ours)


def test_autocast_stays_close(make: Make) -> None:
    exact, fast = make(), make(autocast="bfloat16")
    rows = near_policy(exact, some_rows(), spread=0.05)
    assert fast.forward_backward(Batch(rows)).loss == pytest.approx(exact.forward_backward(Batch(rows)).loss, abs=0.05)
    ours, theirs = gradients(exact)["lm_head.weight"], gradients(fast)["lm_head.weight"]
    assert torch.nn.functional.cosine_similarity(ours.view(1, -1), theirs.view(1, -1)) > 0.99


def test_model_that_scales_its_logits_is_refused(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import Qwen3ForCausalLM

    plain = Qwen3ForCausalLM.forward

    def doubled(self, *args, **kwargs):
        output = plain(self, *args, **kwargs)
        output.logits = output.logits * 2
        return output

    monkeypatch.setattr(Qwen3ForCausalLM, "forward", doubled)
    with pytest.raises(EngineError, match="does not compute its logits"):
        LocalTrainer(tiny_folder)
