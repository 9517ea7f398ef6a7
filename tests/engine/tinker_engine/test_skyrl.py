"""A real server of the Tinker API: SkyRL's JAX backend on loopback, through the SDK (make test-cluster)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from coevolve.config import Config, LoraSection, TrainingSection
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.engine.tinker.connection import connect
from coevolve.engine.tinker.trainer import TinkerTrainer
from coevolve.types import Batch
from coevolve.worlds.miniature.learner import MiniatureWorld

from ..plain_loss import near_policy, some_rows
from .skyrl import ENVIRONMENT, SkyRL

pytestmark = pytest.mark.cluster
LORA = LoraSection(enabled=True, rank=8, alpha=32)
SECTION = TrainingSection(max_grad_norm=1000.0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SkyRL]:
    if not (ENVIRONMENT / "bin" / "uv").exists():  # asked for, and not there: nothing here may pass for tested
        pytest.fail("SkyRL is not installed: make test-cluster", pytrace=False)
    folder = tmp_path / "server"
    folder.mkdir()
    made = SkyRL(folder, MiniatureWorld().base_model())
    made.start()
    yield made
    made.kill()


def command(server: SkyRL, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "coevolve", *arguments]


def a_run(server: SkyRL, folder: Path) -> list[str]:
    keys = {
        "engine.backend": "tinker",
        "tinker.url": server.url,
        "lora.enabled": "true",
        "lora.rank": "8",
        "lora.alpha": "32",
        "iterations": "1",
        "solver.steps": "3",
        "solver.tasks": "2",
        "pool.size": "12",
        "proposer.questions": "8",
        "proposer.group_size": "8",
        "evaluation.per_level": "1",
        "health.probe": "0",
        "run.dir": str(folder),
    }
    sets = [x for key, value in keys.items() for x in ("--set", f"{key}={value}")]
    return command(server, "run", "agent0", "--preset", "nano", *sets)


def adapter_of(server: SkyRL, path: str, folder: Path) -> dict[str, torch.Tensor]:
    """The matrices that the server published under a name, from its own files."""
    name = path.rsplit("/", 1)[1]
    (archive,) = server.log.parent.glob(f"saved/**/sampler_weights/{name}.tar.gz")
    subprocess.run(["tar", "xzf", str(archive), "-C", str(folder)], check=True)
    (file,) = folder.glob("**/adapter_model.safetensors")
    return load_file(file)


def test_gradient_norms_of_batches_and_of_their_sums_are_those_of_the_local_engine(
    server: SkyRL, tmp_path: Path
) -> None:
    """The norms of a, b and a + b fix the angle between a and b as well."""
    base = MiniatureWorld().base_model()
    settings = Config(
        engine={"backend": "tinker"},  # type: ignore[arg-type]
        lora=LORA,
        tinker={"url": server.url},  # type: ignore[arg-type]
    ).engine_settings
    connection = connect(settings, base)
    assert connection.reduction == "mean"
    remote, local = TinkerTrainer(connection, SECTION), LocalTrainer(base, lora=LORA, max_grad_norm=1000.0)
    matrices = adapter_of(server, connection.server.publish(remote._adapter), tmp_path)
    assert set(matrices) == set(local._trained.parameters)
    local._trained.load(matrices)
    rows = near_policy(local, tuple(replace(x, tokens=(x.tokens + 3).astype(np.int32)) for x in some_rows(8)))
    first, second, both = Batch(rows[:3]), Batch(rows[3:]), Batch(rows)
    for batch in (first, second, both):
        expected, found = local.forward_backward(batch), remote.forward_backward(batch)
        assert found.loss == pytest.approx(expected.loss, rel=1e-4, abs=1e-6)
        assert remote.step(1e-12) == pytest.approx(local.step(1e-12), rel=1e-4)


def test_a_run_whose_server_is_killed_goes_on_with_another_and_makes_no_update_twice(
    server: SkyRL, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    run = subprocess.Popen(a_run(server, folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    metrics = folder / "metrics.jsonl"
    deadline = time.monotonic() + 1500
    while time.monotonic() < deadline and run.poll() is None:
        if metrics.exists() and steps_of(metrics):
            break
        time.sleep(0.2)
    assert run.poll() is None, run.communicate()[0]
    server.kill()
    said, _ = run.communicate(timeout=900)
    assert run.returncode == 1, said
    assert "error:" in said
    assert "Traceback" not in said
    server.start()
    again = subprocess.run(command(server, "resume", str(folder)), capture_output=True, text=True, timeout=1500)
    assert again.returncode == 0, again.stdout + again.stderr
    assert steps_of(metrics) == [1, 2, 3]
    assert json.loads((folder / "manifest.json").read_text())["status"] == "finished"
    assert "updated the weights with no gradient" not in said + again.stdout


def steps_of(metrics: Path) -> list[object]:
    """The solver's steps that are written down, in order."""
    rows = [json.loads(line) for line in metrics.read_text().splitlines() if line.endswith("}")]
    return [row["step"] for row in rows if row.get("event") == "executor_step"]
