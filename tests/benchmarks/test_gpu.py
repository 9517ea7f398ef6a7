"""The benchmark of a GPU says that its figures are missing where there is none; every line of it runs on CPU."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from coevolve.config.loading import load_config
from coevolve.engine.planning.budget import memory_plan
from coevolve.runs.plan import shape_of

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def run(*arguments: str) -> str:
    """Its output, in a process that sees no GPU."""
    command = [sys.executable, str(SCRIPT), *arguments]
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=600, env=hidden).stdout


@pytest.mark.slow
def test_without_a_gpu_it_names_no_figure() -> None:
    text = run()
    assert text.startswith("no GPU: ")
    assert "these figures are missing" in text
    assert "tokens/s" not in text


@pytest.mark.slow
def test_every_line_runs_with_tiny_sizes_on_cpu() -> None:
    content: dict[str, Any] = json.loads(run("--tiny", "--json"))
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in content["rows"]:
        rows.setdefault(row["part"], []).append(row)
    assert rows["check"][0]["gap"] < 1e-4
    assert rows["check"][0]["tokens"] > 12 * 3
    assert [row["what"] for row in rows["training"]] == ["adapter", "adapter, checkpoints", "all weights"]
    assert [row["what"] for row in rows["sampling"]] == ["whole model", "with an adapter"]
    for row in [*rows["training"], *rows["sampling"]]:
        assert row["tokens_per_s"] > 0
        assert 0 < row["share"] < 1
        assert row["peak_bytes"] is None  # torch counts the bytes of GPUs only
    assert all(0 < row["mfu"] <= row["share"] for row in rows["training"])
    *timed, whole = rows["iteration"]
    assert whole["wall_s"] >= sum(row["wall_s"] for row in timed)
    assert whole["planned_bytes"] > 0
    phases = {row["what"]: row for row in timed}
    assert list(phases) == [f"iteration-{n}" for n in ("0/evaluate", *(f"1/{p}" for p in PHASES))]
    assert phases["iteration-1/executor"]["train_s"] > 0
    assert phases["iteration-1/pool"]["tokens_sampled"] > 0
    assert sum(row["tool_calls"] for row in timed) > 0
    one, eight = rows["hours"]
    assert one["all"] == pytest.approx(8 * eight["all"])
    assert one["all"] > one["curriculum"] > 0


@pytest.mark.slow
def test_the_real_sizes_fit_a_card_of_eighty_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    gpu = importlib.import_module("gpu")
    config = load_config("qwen3-4b-1gpu", None, gpu.FULL.run.split())
    shape = shape_of(config)
    assert shape is not None
    assert memory_plan(shape, config).peak < 84.9e9
    for lora in (True, False):
        plan = memory_plan(shape, gpu.with_engine(config, lora=lora, checkpointing=not lora))
        assert gpu.handed_out(plan, "training", without=("sampler's model",)) < 84.9e9


PHASES = ("curriculum", "pool", "executor", "evaluate")
