"""Whole runs that decode with vLLM: the probe agrees at every step, and a run whose engine failed goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import coevolve
from coevolve.engine.base import Folder, Snapshot
from coevolve.engine.vllm.sampler import VllmSampler
from coevolve.errors import EngineError
from coevolve.methods.registry import load_config
from coevolve.monitor.progress import SilentProgress
from coevolve.rollout.asking import solve
from coevolve.rollout.base import RolloutSettings
from coevolve.rollout.service import LocalRollouts
from coevolve.runs import driver
from coevolve.store.records import RunRecords
from coevolve.types import SOLVER, Origin, Task
from coevolve.worlds.miniature.learner import ASSETS, MiniatureContract

from .tiny import forward

pytestmark = pytest.mark.vllm
OURS = ("engine.sampler=vllm", "vllm.cache_gb=0.05")
QUESTIONS = (
    "Let a = 43 * 80. Find a.",
    "Let a = 12 + 30. Let b = the digit sum of a. Find b.",
    "Let a = 7 xor 12. Find a.",
    "Let a = 90 mod 7. Let b = a * 11. Find b.",
    "Let a = 17 + 5. Let b = a * 3. Let c = b - 9. Find c.",
    "Let a = 250 // 7. Find a.",
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(coevolve.__file__).parents[1])}
    command = [sys.executable, "-m", "coevolve", *arguments]
    return subprocess.run(command, env=environment, text=True, capture_output=True, timeout=900)


def gaps(path: Path) -> list[float]:
    """What the probe found at each training step."""
    rows = map(json.loads, (path / "metrics.jsonl").read_bytes().splitlines())
    return [row["max_logp_gap"] for row in rows if "max_logp_gap" in row]


@pytest.fixture(scope="module")
def finished(tiny: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run of the miniature world, from the command line."""
    path = tmp_path_factory.mktemp("finished") / "run"
    ended = run(*tiny(path, *OURS))
    assert ended.returncode == 0, ended.stderr
    assert "Warning" not in ended.stderr.replace("Warning: NUMA binding", "")  # which torch itself writes
    return path


def test_the_probe_agrees_at_every_step_of_a_run(finished: Path) -> None:
    folder = RunRecords.open(finished)
    assert folder.status == "finished"
    assert folder.config.engine.workers == 1
    assert len(gaps(finished)) >= 4
    assert max(gaps(finished)) < 1e-3


def test_a_run_whose_engine_failed_goes_on_to_the_same_bytes(
    finished: Path, tiny: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [one.removeprefix("--set=") for one in tiny(tmp_path / "run", *OURS) if one.startswith("--set=")]
    config = load_config("nano", overrides=settings)
    step, taken = VllmSampler.step, 0

    def failing(self: VllmSampler) -> Any:
        nonlocal taken
        taken += 1
        if taken == 700:
            worker = self._engine.model_executor.driver_worker.worker
            monkeypatch.setattr(worker, "execute_model", lambda *_: 1 / 0)
        return step(self)

    monkeypatch.setattr(VllmSampler, "step", failing)
    with pytest.raises(EngineError, match="division by zero"):
        driver.start(config, SilentProgress())
    monkeypatch.undo()
    broken = RunRecords.open(tmp_path / "run")
    assert broken.status == "failed"
    assert len(broken.metrics()) > 1
    assert driver.resume(tmp_path / "run", SilentProgress()) == tmp_path / "run"
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == (finished / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("lora", ["false", "true"])
def test_an_iteration_with_the_real_vocabulary(lora: str, tmp_path: Path) -> None:
    settings = ("engine.sampler=vllm", "vllm.cache_gb=0.2", f"lora.enabled={lora}", f"run.dir={tmp_path / 'run'}")
    ended = run("run", "agent0", "--preset", "smoke-hf", "--quiet", *(f"--set={one}" for one in settings))
    assert ended.returncode == 0, ended.stderr
    assert len(gaps(tmp_path / "run")) == 4
    assert max(gaps(tmp_path / "run")) < 1e-3


def test_both_samplers_write_the_same_answers_around_real_tool_results() -> None:
    """Greedy, so that no random number differs; the fence is forced, so that the tool is called."""
    tasks = [Task(f"t{i}", (text,), "chain", Origin("test", SOLVER, 0)) for i, text in enumerate(QUESTIONS)]
    written = []
    for sampler in ("vllm", "local"):
        config = load_config("nano", overrides=["engine.workers=1", "vllm.cache_gb=0.05", f"engine.sampler={sampler}"])
        rollouts = LocalRollouts(RolloutSettings.of(config, MiniatureContract()), ASSETS)
        policy = Snapshot("base", -1, Folder(ASSETS))
        groups = solve(rollouts, policy, tasks, 1, seed=3, greedy=True, opening="a:\n```python\n")
        written.append([t for group in groups for t in group])
        rollouts.close()
    called = 0
    for a, b in zip(*written, strict=True):
        np.testing.assert_array_equal(a.tokens, b.tokens)
        np.testing.assert_array_equal(a.mask, b.mask)
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)
        assert (a.stop, a.answer, a.tool_calls) == (b.stop, b.answer, b.tool_calls)
        own = forward(ASSETS, np.concatenate([a.prompt, a.tokens]))[len(a.prompt) - 1 :]
        np.testing.assert_allclose(a.logprobs[a.mask], own[a.mask], atol=1e-4)
        called += len(a.tool_calls)
    assert called > len(tasks) / 2
