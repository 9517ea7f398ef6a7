"""The sampler over vLLM against transformers' forward pass and our own sampler."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coevolve.engine.base import Completion, Pause, Sampler, SampleRequest, Sampling
from coevolve.engine.local.sampler import LocalSampler
from coevolve.engine.vllm.sampler import VllmSampler
from coevolve.errors import EngineError
from coevolve.types import Ints

from .tiny import finish, forward, prompt, vllm_config

pytestmark = pytest.mark.vllm
STOPS = ("stop", "w1", "w7", "c", "lt")


@pytest.fixture(scope="module")
def sampler(untied: Path) -> Iterator[VllmSampler]:
    sampler = VllmSampler(vllm_config(), untied)
    yield sampler
    sampler.close()


def test_logprobs_equal_a_full_forward_pass_for_ragged_prompts(sampler: VllmSampler, untied: Path) -> None:
    prompts = {i: prompt(*(1 + (np.arange(3 + 5 * (i % 4)) * (i + 3)) % 60)) for i in range(40)}
    for i, p in prompts.items():
        sampler.submit(SampleRequest(i, p, Sampling(max_tokens=20 + i), seed=i))
    done = finish(sampler)
    assert set(done) == set(prompts)
    for i, c in done.items():
        expected = forward(untied, np.concatenate([prompts[i], c.tokens]))[len(prompts[i]) - 1 :]
        np.testing.assert_allclose(c.logprobs, expected, atol=1e-4)
        assert c.pause is (Pause.EOS if c.tokens[-1] == 0 else Pause.LENGTH)
        assert len(c.tokens) == 20 + i or c.tokens[-1] == 0


def test_prompts_may_be_more_than_the_engine_takes_in_one_step(sampler: VllmSampler, untied: Path) -> None:
    # 32 rows of 480 tokens: more than any default of vLLM for one step on a CPU.
    prompts = {i: prompt(*(1 + (np.arange(480) * (i + 3) + i) % 60)) for i in range(40)}
    for i, p in prompts.items():
        sampler.submit(SampleRequest(i, p, Sampling(max_tokens=6), seed=i))
    for i, c in finish(sampler).items():
        expected = forward(untied, np.concatenate([prompts[i], c.tokens]))[len(prompts[i]) - 1 :]
        np.testing.assert_allclose(c.logprobs, expected, atol=1e-4)


@pytest.mark.parametrize("temperature", [0.6, 1.7])
def test_logprobs_are_those_at_the_sampling_temperature(sampler: VllmSampler, untied: Path, temperature: float) -> None:
    p = prompt(5, 6, 7)
    for i in range(8):
        sampler.submit(SampleRequest(i, p, Sampling(temperature, max_tokens=30), seed=i))
    for c in finish(sampler).values():
        expected = forward(untied, np.concatenate([p, c.tokens]), temperature=temperature)[2:]
        np.testing.assert_allclose(c.logprobs, expected, atol=1e-4)


def test_logprobs_under_top_p_are_those_of_the_tokens_that_are_left(sampler: VllmSampler, untied: Path) -> None:
    p = prompt(9, 3)
    for i in range(8):
        sampler.submit(SampleRequest(i, p, Sampling(top_p=0.7, max_tokens=25), seed=i))
    full, renormalised = [], []
    for c in finish(sampler).values():
        full.append(forward(untied, np.concatenate([p, c.tokens]))[1:])
        renormalised.append(c.logprobs)
    gain = np.concatenate(renormalised) - np.concatenate(full)
    assert gain.min() > -1e-4  # the mass of the others is shared out ...
    assert gain.max() < -np.log(0.7) + 1e-4  # ... and that is less than three tenths
    assert gain.max() > 0.05


def test_top_k_leaves_the_most_probable_tokens_with_their_log_probabilities(sampler: VllmSampler, untied: Path) -> None:
    p = prompt(9, 3)
    everything = np.array([forward(untied, prompt(9, 3, t))[-1] for t in range(64)])
    best = np.argsort(-everything)[:3]
    expected = everything[best] - np.log(np.exp(everything[best]).sum())
    for i in range(200):
        sampler.submit(SampleRequest(i, p, Sampling(top_k=3, max_tokens=1), seed=i))
    for c in finish(sampler).values():
        assert c.tokens[0] in best
        np.testing.assert_allclose(c.logprobs[0], expected[list(best).index(c.tokens[0])], atol=1e-4)


def test_draws_follow_the_distribution(sampler: VllmSampler, untied: Path) -> None:
    p, n = prompt(11, 12, 13), 4000
    for i in range(n):
        sampler.submit(SampleRequest(i, p, Sampling(max_tokens=1), seed=1000 + i))
    first = np.array([c.tokens[0] for c in finish(sampler).values()])
    expected = np.exp([forward(untied, prompt(11, 12, 13, t))[-1] for t in range(64)])
    share = np.bincount(first, minlength=64) / n
    np.testing.assert_allclose(share, expected, atol=4.5 * np.sqrt(0.25 / n))


def play(sampler: Sampler, prompts: dict[int, Ints], temperature: float) -> dict[int, list[Completion]]:
    """Several turns: whoever pauses at a stop string is told something and goes on, until 100 tokens are near."""
    for i, p in prompts.items():
        sampler.submit(SampleRequest(i, p, Sampling(temperature, max_tokens=100, stop=STOPS), seed=i))
    turns: dict[int, list[Completion]] = {i: [] for i in prompts}
    told = dict.fromkeys(prompts, 0)
    while sampler.active:
        for c in sampler.step():
            turns[c.id].append(c)
            if c.pause is not Pause.STOP:
                continue
            observation = prompt(*(8 + np.arange(1 + c.id % 5 + len(turns[c.id]))))
            told[c.id] += len(observation)
            if told[c.id] + sum(len(x.tokens) for x in turns[c.id]) < 95:
                sampler.extend(c.id, observation)
            else:
                sampler.release(c.id)
    return turns


def history(p: Ints, turns: list[Completion], id: int) -> tuple[Ints, np.ndarray]:
    """All tokens of a trajectory, and which of them were sampled."""
    tokens, mask = [p], [np.zeros(len(p), bool)]
    for k, c in enumerate(turns):
        tokens.append(c.tokens)
        mask.append(np.ones(len(c.tokens), bool))
        if k + 1 < len(turns):
            observation = prompt(*(8 + np.arange(1 + id % 5 + k + 1)))
            tokens.append(observation)
            mask.append(np.zeros(len(observation), bool))
    return np.concatenate(tokens), np.concatenate(mask)


def test_three_ways_to_the_logprobs_of_trajectories_with_observations_agree(sampler: VllmSampler, untied: Path) -> None:
    prompts = {i: prompt(*(1 + np.arange(2 + i) * 7 % 60)) for i in range(12)}
    local = LocalSampler(untied)
    theirs, ours = play(sampler, prompts, 0.0), play(local, prompts, 0.0)
    observed = 0
    for i, turns in theirs.items():
        assert [c.pause for c in turns] == [c.pause for c in ours[i]]
        for a, b in zip(turns, ours[i], strict=True):
            np.testing.assert_array_equal(a.tokens, b.tokens)
            np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)
        tokens, mask = history(prompts[i], turns, i)
        expected = forward(untied, tokens)[mask[1:]]
        np.testing.assert_allclose(np.concatenate([c.logprobs for c in turns]), expected, atol=1e-4)
        observed += len(turns) - 1
    assert observed > 8


def test_sampled_turns_have_the_logprobs_of_the_forward_pass_as_well(sampler: VllmSampler, untied: Path) -> None:
    prompts = {i: prompt(4, 5, 6, 7) for i in range(24)}
    played = play(sampler, prompts, 1.0)
    assert sum(len(turns) for turns in played.values()) > 40
    for i, turns in played.items():
        tokens, mask = history(prompts[i], turns, i)
        got = np.concatenate([c.logprobs for c in turns])
        np.testing.assert_allclose(got, forward(untied, tokens)[mask[1:]], atol=1e-4)


def test_a_stop_string_within_a_token_and_over_tokens_pauses_at_the_same_token(
    sampler: VllmSampler, untied: Path
) -> None:
    local = LocalSampler(untied)
    found: set[str] = set()
    for stop in ("st", "op", "w2", "alt", "dst", "w5w", "0w"):  # "dst": the end of a word and the next
        for s in (sampler, local):
            for i in range(6):
                s.submit(SampleRequest(i, prompt(3 + i, 9), Sampling(0.0, max_tokens=80, stop=(stop,)), seed=0))
        a, b = paused(sampler), paused(local)
        assert a == b
        found |= {stop for _, pause in a.values() if pause is Pause.STOP}
    assert len(found) >= 3


def paused(sampler: Sampler) -> dict[int, tuple[list[int], Pause]]:
    done = finish(sampler)
    for c in done.values():
        if c.pause is Pause.STOP:
            sampler.release(c.id)
    return {i: (c.tokens.tolist(), c.pause) for i, c in sorted(done.items())}


def drawn(sampler: VllmSampler, n: int = 12) -> list[bytes]:
    for i in range(n):
        sampler.submit(SampleRequest(i, prompt(4, 5, 6), Sampling(max_tokens=40), seed=100 + i))
    return [c.tokens.tobytes() + c.logprobs.tobytes() for _, c in sorted(finish(sampler).items())]


def test_equal_seeds_give_equal_bits_whatever_was_decoded_before(sampler: VllmSampler) -> None:
    first = drawn(sampler)
    for length in (3, 150, 40):
        sampler.submit(SampleRequest(9, prompt(*(1 + np.arange(length) % 60)), Sampling(max_tokens=50), seed=length))
        finish(sampler)
    assert first == drawn(sampler)
    assert len(set(first)) == len(first)


def test_a_turn_does_not_repeat_the_random_numbers_of_the_one_before(sampler: VllmSampler) -> None:
    n, p = 200, prompt(*(1 + np.arange(40) % 60))
    for i in range(n):
        sampler.submit(SampleRequest(i, p, Sampling(max_tokens=90, stop=("w", "a", "b", "c", "d", "st", "op")), seed=i))
    first = finish(sampler)
    second: dict[int, Completion] = {}
    for id, c in first.items():
        if c.pause is Pause.STOP:  # the same text again, so the same distribution but for what is before it
            sampler.extend(id, p)
    second = finish(sampler)
    assert len(second) > n / 2
    same = np.mean([int(second[i].tokens[0]) == int(first[i].tokens[0]) for i in second])
    chances = np.bincount([int(c.tokens[0]) for c in first.values()], minlength=64) / len(first)
    others = np.bincount([int(c.tokens[0]) for c in second.values()], minlength=64) / len(second)
    assert same < float(chances @ others) + 4 * np.sqrt(0.25 / len(second))  # what independent draws have in common
    for id, c in second.items():
        if c.pause is Pause.STOP:
            sampler.release(id)
    assert not sampler._living


def test_the_past_of_an_extended_sequence_and_equal_prompts_come_from_the_cache(
    sampler: VllmSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs: list[Any] = []
    step = sampler._engine.step
    monkeypatch.setattr(sampler._engine, "step", lambda: outputs.extend(got := step()) or got)
    long = prompt(*(1 + np.arange(200) % 60))
    for i in range(4):
        sampler.submit(SampleRequest(i, long, Sampling(1.0, max_tokens=200, stop=("w",)), seed=i))
    done: list[Completion] = []
    while len(done) < 4:
        done += sampler.step()
    assert sorted(o.num_cached_tokens for o in outputs if o.outputs[0].token_ids)[0] == 0
    assert sum(o.num_cached_tokens >= 192 for o in outputs) >= 3  # of 200: the blocks that are full
    outputs.clear()
    for c in done:
        if c.pause is Pause.STOP:
            sampler.extend(c.id, prompt(5, 5))
    sampler.step()
    assert outputs
    assert all(o.num_cached_tokens >= 192 for o in outputs)
    for id in list(sampler._living):
        sampler.release(id)


def test_a_sequence_that_is_given_up_leaves_the_engine(sampler: VllmSampler) -> None:
    for i in range(50):
        sampler.submit(SampleRequest(i, prompt(4, 5), Sampling(max_tokens=400), seed=i))
    sampler.step()
    for i in range(50):
        if i in sampler._living:
            sampler.release(i)
    assert sampler.active == 0
    assert sampler.step() == []
    assert not sampler._engine.has_unfinished_requests()
    assert drawn(sampler) == drawn(sampler)


def test_thousands_in_flight_all_come_back(sampler: VllmSampler) -> None:
    n = 3000
    for i in range(n):
        sampler.submit(SampleRequest(i, prompt(1 + i % 60), Sampling(max_tokens=3), seed=i))
    assert sampler.active == n
    done = finish(sampler)
    assert sorted(done) == list(range(n))
    assert not sampler._living


def test_a_sequence_that_may_become_too_long_is_refused_with_the_key(sampler: VllmSampler) -> None:
    with pytest.raises(EngineError, match="512") as refused:
        sampler.submit(SampleRequest(0, prompt(1, 2, 3), Sampling(max_tokens=510), seed=0))
    assert "vllm.max_length" in str(refused.value)
    with pytest.raises(EngineError, match="prompt token"):
        sampler.submit(SampleRequest(0, prompt(), Sampling(), seed=0))
    assert sampler.active == 0


def test_an_extension_needs_room_for_another_token(sampler: VllmSampler) -> None:
    sampler.submit(SampleRequest(0, prompt(4), Sampling(1.0, max_tokens=30, stop=("w", "a", "b")), seed=1))
    done = finish(sampler)
    assert done[0].pause is Pause.STOP
    with pytest.raises(EngineError, match="room"):
        sampler.extend(0, prompt(*([1] * (30 - len(done[0].tokens)))))
    sampler.release(0)


def test_a_sampler_that_slept_decodes_as_before(sampler: VllmSampler) -> None:
    before = drawn(sampler)
    sampler.release_memory()
    sampler.release_memory()
    assert sampler._engine.is_sleeping()
    assert drawn(sampler) == before
    sampler.submit(SampleRequest(0, prompt(4), Sampling(max_tokens=5), seed=1))
    with pytest.raises(EngineError, match="still decodes"):
        sampler.release_memory()
    finish(sampler)
