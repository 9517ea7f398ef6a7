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
import torch
from torch.utils.flop_counter import FlopCounterMode

from coevolve.engine.hub import FAMILIES
from coevolve.engine.planning.budget import memory_plan
from coevolve.engine.planning.shapes import ModelShape
from coevolve.methods.registry import load_config
from coevolve.runs.plan import shape_of, workload

SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
TOKENS = 40
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def run(*arguments: str) -> str:
    """Its output, in a process that sees no GPU."""
    command = [sys.executable, str(SCRIPT), *arguments]
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=600, env=hidden).stdout


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    return importlib.import_module("gpu_parts")


def counted(frozen: bool, backward: bool) -> int:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model("qwen3", **SIZES)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").requires_grad_(not frozen)
    states = torch.randn(1, TOKENS, 48, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        logits = model(inputs_embeds=states).logits
        if backward:
            logits.sum().backward()
    return int(counter.get_total_flops())


def test_operations_are_those_that_torch_counts(parts: Any) -> None:
    shape = ModelShape.from_config({"model_type": "qwen3", **SIZES})
    unmasked = 2 * 3 * 64 * TOKENS**2  # eager attention computes the upper half of its square, too
    # torch does not count the small product that makes the angles of the rotations the same way on all versions
    forward = counted(frozen=False, backward=False)
    assert forward == pytest.approx(TOKENS * parts.forward_flops(shape, TOKENS) + unmasked, rel=0.01)
    whole, adapter = (
        parts.training_flops(shape, TOKENS, adapter=a) / parts.forward_flops(shape, TOKENS) for a in (0, 1)
    )
    assert counted(frozen=False, backward=True) == pytest.approx(whole * forward, rel=0.02)
    # without gradients of the weights, but attention's two products have both gradients all the same
    assert counted(frozen=True, backward=True) == pytest.approx(adapter * forward + 2 * unmasked, rel=0.02)


def test_a_step_reads_all_matrices_once_and_the_past_of_every_row(parts: Any) -> None:
    shape = ModelShape.from_config(FAMILIES["qwen3-4b"].config)
    # 4.02 billion numbers without norms; 73,728 numbers of past per token: 36 layers x 2 x 8 heads x 128
    assert parts.matrix_numbers(shape) == pytest.approx(4.02e9, rel=0.001)
    assert parts.step_bytes(shape, 128, 1000, 2) == 2 * (parts.matrix_numbers(shape) + 128 * 1000 * 73_728)


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
        assert row["peak_bytes"] is None  # torch counts the bytes of GPUs only
    assert all(0 < row["mfu"] < 1 for row in rows["training"])
    assert all(0 < row["share"] < 1 for row in rows["sampling"])
    *timed, whole = rows["iteration"]
    assert whole["wall_s"] >= sum(row["wall_s"] for row in timed)
    assert whole["planned_bytes"] > 0
    phases = {row["what"]: row for row in timed}
    assert list(phases) == [f"iteration-{n}" for n in ("0/evaluate", *(f"1/{p}" for p in PHASES))]
    assert phases["iteration-1/executor"]["train_s"] > 0
    assert phases["iteration-1/pool"]["tokens_sampled"] > 0
    assert sum(row["tool_calls"] for row in timed) > 0


@pytest.mark.slow
def test_the_real_sizes_fit_a_card_of_eighty_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    gpu = importlib.import_module("gpu")
    config = load_config("qwen3-4b-1gpu", None, gpu.FULL.run.split())
    shape = shape_of(config)
    assert shape is not None
    assert memory_plan(shape, workload(config)).peak < 84.9e9
    for lora in (True, False):
        plan = memory_plan(shape, workload(gpu.with_engine(config, lora=lora, checkpointing=not lora)))
        assert gpu.handed_out(plan, "training", without=("sampler's model",)) < 84.9e9


PHASES = ("curriculum", "pool", "executor", "evaluate")
