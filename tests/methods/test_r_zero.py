"""R-Zero end to end on the embedded world, small: no tool, no ADPO, both agents trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from coevolve.engine.local.models import read_tensors

SMALL = [
    "iterations=1", "engine.workers=1", "proposer.steps=1", "proposer.questions=8", "proposer.votes=3",
    "pool.size=16", "gate.lower=0", "gate.upper=1", "solver.steps=1", "solver.tasks=2", "evaluation.levels=1",
    "evaluation.per_level=2", "evaluation.samples=2", "evaluation.transfer_per_set=0", "health.probe=0",
]  # fmt: skip


@pytest.mark.parametrize("preset", ["r-zero", "r-zero-code"])
def test_an_iteration_trains_both_agents_and_calls_no_tool(
    preset: str, cli: Callable[..., Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    sets = [part for key in [f"run.dir={run}", *SMALL] for part in ("--set", key)]
    ended = cli("run", "r-zero", "--preset", preset, "--quiet", *sets)
    assert ended.code == 0, ended.stderr
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    events = {row["event"] for row in rows}
    assert {"curriculum_step", "pool", "executor_step"} <= events
    assert all(row["tool_calls"] == 0 for row in rows if "tool_calls" in row and row["tool_calls"] is not None)
    tasks = pq.read_table(run / "tasks" / "iteration-1.parquet")
    assert sum(tasks.column("kept").to_pylist()) > 0
    first = read_tensors(run / "checkpoints" / "iteration-1" / "proposer")
    second = read_tensors(run / "checkpoints" / "iteration-1" / "solver")
    assert any((first[name] != second[name]).any() for name in first)
