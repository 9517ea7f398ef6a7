"""The real engine over tiny models.

Only where vLLM is installed: `make test-vllm` makes an environment for it and runs what is marked so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from coevolve.engine.local.runtime import use_threads
from coevolve.engine.vllm.sampler import VllmSampler

from .tiny import vllm_config, write_model


@pytest.fixture(scope="session", autouse=True)
def _needs_vllm() -> None:
    if find_spec("vllm") is None:  # asked for, and not there: nothing here may pass for tested
        pytest.fail("vLLM is not installed: make test-vllm", pytrace=False)
    use_threads(1)  # before vLLM takes over: more of them would wait for each other


@pytest.fixture(scope="session")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head of its own."""
    return write_model(tmp_path_factory.mktemp("untied"), tied=False)


@pytest.fixture(scope="session")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One matrix for embedding and head."""
    return write_model(tmp_path_factory.mktemp("tied"), tied=True)


@pytest.fixture
def opened() -> Iterator[Callable[..., VllmSampler]]:
    """``opened(folder, lora={...})``: samplers that are closed after the test."""
    alive: list[VllmSampler] = []

    def open_one(folder: Path, **sections: dict[str, object]) -> VllmSampler:
        alive.append(VllmSampler(vllm_config(**sections).engine_settings, folder))
        return alive[-1]

    yield open_one
    for sampler in alive:
        sampler.close()
