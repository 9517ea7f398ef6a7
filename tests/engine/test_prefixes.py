"""A prefix that prompts share is computed once, and changes no number by having been known before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coevolve.engine.base import Arrays, Completion, Pause, SampleRequest, Sampling, Snapshot
from coevolve.engine.local import fused, growing, prefixes
from coevolve.engine.local.prefixes import common_prefix
from coevolve.engine.local.sampler import LocalSampler
from coevolve.types import Ints

from .test_sampler import reference_logprobs

SHARED = np.random.default_rng(0).integers(0, 38, 45).astype(np.int32)


def prompts(shared: Ints, seed: int, count: int = 5) -> list[Ints]:
    """Some that begin alike, the second like the first to its end."""
    rng = np.random.default_rng(seed)
    made = [np.concatenate([shared, [i], rng.integers(0, 38, 1 + 3 * i)]).astype(np.int32) for i in range(count)]
    return [made[0], *made]


def story(sampler: LocalSampler, asked: list[Ints], late: tuple[Ints, ...] = ()) -> dict[int, tuple[Ints, list[float]]]:
    """Whole texts and the log-probabilities of what was sampled (nan elsewhere), with pauses and latecomers."""
    texts = {i: list(p) for i, p in enumerate(asked)}
    logps = {i: [np.nan] * len(p) for i, p in enumerate(asked)}
    for i, p in enumerate(asked):
        sampler.submit(SampleRequest(i, p, Sampling(max_tokens=24, stop=("a", "7")), seed=i))
    steps = 0
    while sampler.active:
        done: list[Completion] = sampler.step()
        steps += 1
        for c in done:
            texts[c.id] += c.tokens.tolist()
            logps[c.id] += c.logprobs.tolist()
            if c.pause is Pause.STOP and len(c.tokens) % 3:
                seen = SHARED[: 1 + c.id % 4]
                if len(texts[c.id]) + 4 < len(asked[0]) + 20:
                    texts[c.id] += seen.tolist()
                    logps[c.id] += [np.nan] * len(seen)
                    sampler.extend(c.id, seen)
                    continue
            if c.pause is Pause.STOP:
                sampler.release(c.id)
        if steps == 3:
            for i, p in enumerate(late, len(asked)):
                texts[i], logps[i] = list(p), [np.nan] * len(p)
                sampler.submit(SampleRequest(i, p, Sampling(max_tokens=24), seed=i))
    return {i: (np.array(texts[i], np.int32), logps[i]) for i in texts}


@pytest.mark.parametrize("own", [True, False], ids=["fused", "modules"])
def test_texts_that_share_a_prefix_have_the_numbers_of_a_full_forward_pass(
    tiny_folder: Path, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "can_fuse", lambda model: own and fused.can_fuse(model))
    monkeypatch.setattr(prefixes, "PREFIX_BLOCK", 16)
    monkeypatch.setattr(growing, "SCORES", 3000)  # so that rows are computed in several parts
    sampler = LocalSampler(tiny_folder, max_rows=8)
    other = np.arange(50, dtype=np.int32) % 38
    told = story(sampler, prompts(SHARED, 1), (other, other[:3], np.concatenate([SHARED, other[:9]]), SHARED))
    assert sampler._cache.prefix is not None  # type: ignore[union-attr]
    assert len(told) == 10
    for text, logp in told.values():
        expected, sampled = reference_logprobs(tiny_folder, text), ~np.isnan(logp)
        assert sampled.sum() > 1
        np.testing.assert_allclose(np.array(logp)[sampled], np.concatenate([[0.0], expected])[sampled], atol=1e-5)


def test_a_known_prefix_changes_no_bit(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefixes, "PREFIX_BLOCK", 16)
    warm, cold = LocalSampler(tiny_folder), LocalSampler(tiny_folder)
    longer = np.concatenate([SHARED, SHARED[:30]]).astype(np.int32)
    for shared in (SHARED, longer, SHARED[:40], np.concatenate([SHARED[:37], SHARED])):
        story(warm, prompts(shared, 2))
    asked = prompts(SHARED[:42], 3)
    for found, expected in zip(story(warm, asked).values(), story(cold, asked).values(), strict=True):
        assert found[0].tobytes() == expected[0].tobytes()
        assert np.array(found[1]).tobytes() == np.array(expected[1]).tobytes()


def test_other_weights_have_other_prefixes(tiny_folder: Path) -> None:
    sampler, plain = LocalSampler(tiny_folder), LocalSampler(tiny_folder)
    story(sampler, prompts(SHARED, 4))
    weights = {name: 0.5 * value.numpy() for name, value in plain.model.state_dict().items()}
    for one in (sampler, plain):
        one.load_weights(Snapshot("p", 1, Arrays(weights)))
    pairs = zip(story(sampler, prompts(SHARED, 4)).values(), story(plain, prompts(SHARED, 4)).values(), strict=True)
    assert all(a[0].tobytes() == b[0].tobytes() and a[1][-1] == b[1][-1] for a, b in pairs)


def test_a_common_prefix_leaves_every_prompt_a_token_and_is_not_too_short() -> None:
    some = prompts(SHARED, 5)
    np.testing.assert_array_equal(common_prefix(some[1:]), SHARED)
    np.testing.assert_array_equal(common_prefix(some[:0:-1]), SHARED)
    np.testing.assert_array_equal(common_prefix([SHARED, SHARED]), SHARED[:-1])
    assert len(common_prefix(some[:1])) == 0
    assert len(common_prefix([*some, SHARED[:20]])) == 0
    assert len(common_prefix([*some, SHARED[1:]])) == 0
