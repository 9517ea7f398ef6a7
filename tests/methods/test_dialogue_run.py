"""Dialogues through a whole small run: pool, votes, training, held-out sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

SMALL = [
    "iterations=1", "dialogue.turns=3", "proposer.tool=true",
    "evaluation.dialogues=2", "evaluation.levels=1", "evaluation.per_level=2",
    "gate.lower=0", "gate.upper=1", "solver.steps=1", "health.probe=0",
]  # fmt: skip


def test_the_executor_is_asked_turn_by_turn(cli: Callable[..., Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    sets = [part for key in [f"run.dir={run}", "dialogue.judged=all", *SMALL] for part in ("--set", key)]
    ended = cli("run", "agent0", "--preset", "nano", "--quiet", *sets)
    assert ended.code == 0, ended.stderr
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    measured = [row["transfer"] for row in rows if row["event"] == "evaluation"]
    assert [list(row) for row in measured] == [["dialogue_2", "dialogue_3", "dialogue_4"]] * 2
    pool = pq.read_table(run / "trajectories" / "pool-1.parquet").to_pylist()
    assert any("<question>" in row["text"] for row in pool), "no answer was followed by a further turn"
    for row in pool:
        follow_ups = row["text"].count("<question>")
        assert follow_ups < 3
        if row["answer"] is not None and follow_ups:
            assert row["answer"].count(",") == follow_ups
    truths = {row["task_id"]: row for row in pq.read_table(run / "meter" / "tasks-1.parquet").to_pylist()}
    tasks = {row["task_id"]: row for row in pq.read_table(run / "tasks" / "iteration-1.parquet").to_pylist()}
    steps = {task_id: tasks[task_id]["steps"] for task_id in truths}
    for task_id, row in truths.items():
        assert ("," in row["truth"]) == (steps[task_id] > 1)
