"""What goes wrong or becomes short with vLLM, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coevolve.engine.base import SampleRequest, Sampling
from coevolve.engine.vllm.sampler import VllmSampler
from coevolve.errors import ConfigError, EngineError

from .tiny import finish, forward, prompt, weights_of

pytestmark = pytest.mark.vllm
Opened = Callable[..., VllmSampler]


def test_memory_that_is_not_there_is_told_with_what_to_lower(opened: Opened, untied: Path) -> None:
    with pytest.raises(EngineError, match="does not start") as refused:
        opened(untied, vllm={"cache_gb": 1e6})
    for key in ("vllm.memory", "vllm.max_length", "engine.max_rows"):
        assert key in refused.value.fix


def test_a_length_beyond_the_model_is_refused(opened: Opened, untied: Path) -> None:
    with pytest.raises(EngineError, match="does not start"):
        opened(untied, vllm={"max_length": 100_000})


def test_another_device_than_that_of_this_vllm_is_refused(opened: Opened, untied: Path) -> None:
    with pytest.raises(ConfigError, match="decodes on cpu") as refused:
        opened(untied, engine={"device": "cuda"})
    assert "engine.device=cpu" in refused.value.fix


def test_an_engine_that_fails_says_so_ever_after(opened: Opened, untied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = opened(untied)
    sampler.submit(SampleRequest(0, prompt(4), Sampling(max_tokens=9), seed=0))
    sampler.step()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nand much more")

    worker = sampler._engine.model_executor.driver_worker.worker
    monkeypatch.setattr(worker, "execute_model", fail)
    with pytest.raises(EngineError, match="illegal memory access") as first:
        sampler.step()
    assert "much more" not in str(first.value)
    assert "coevolve resume" in first.value.fix
    monkeypatch.undo()
    for again in (sampler.step, lambda: sampler.submit(SampleRequest(1, prompt(4), Sampling(), seed=0))):
        with pytest.raises(EngineError, match="illegal memory access"):
            again()


def foreign(sampler: VllmSampler, tokens: int) -> None:
    """A request that is none of the sampler's and has begun, as a step that the engine is ahead."""
    from vllm.inputs import tokens_input
    from vllm.sampling_params import SamplingParams

    parameters = SamplingParams(max_tokens=tokens, ignore_eos=True, detokenize=False)
    sampler._engine.add_request("foreign", tokens_input([4] * 70), parameters)
    sampler._engine.step()


def test_nothing_cached_outlives_its_weights_even_when_the_engine_is_ahead(opened: Opened, untied: Path) -> None:
    sampler = opened(untied)
    foreign(sampler, 3)
    assert not sampler._engine.reset_prefix_cache()
    sampler.load_weights(weights_of(untied, version=1))
    assert not sampler._engine.has_unfinished_requests()
    foreign(sampler, 100)
    with pytest.raises(EngineError, match="keeps the cache"):
        sampler.load_weights(weights_of(untied, version=2))
    assert sampler.policy_version == 1


def test_a_cache_without_room_for_all_is_slower_and_not_different(opened: Opened, untied: Path) -> None:
    sampler = opened(untied, vllm={"cache_gb": 0.0008, "max_length": 256})  # some 800 tokens for 32 sequences
    scheduler = sampler._engine.engine_core.engine_core.scheduler
    preempted, preempt = [], scheduler._preempt_request
    scheduler._preempt_request = lambda request, *rest, **how: (
        preempted.append(request.request_id),
        preempt(request, *rest, **how),
    )[1]
    prompts = {i: prompt(*(1 + (np.arange(20) * (i + 3)) % 60)) for i in range(40)}
    for i, p in prompts.items():
        sampler.submit(SampleRequest(i, p, Sampling(max_tokens=200), seed=i))
    done = finish(sampler)
    assert len(done) == 40
    assert len(preempted) > 5
    for i, c in done.items():
        expected = forward(untied, np.concatenate([prompts[i], c.tokens]))[len(prompts[i]) - 1 :]
        np.testing.assert_allclose(c.logprobs, expected, atol=1e-4)
