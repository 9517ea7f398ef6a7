"""What goes wrong with vLLM, and what is said then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from coevolve.engine.base import SampleRequest, Sampling
from coevolve.engine.vllm.sampler import VllmSampler
from coevolve.errors import ConfigError, EngineError

from .tiny import prompt

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
