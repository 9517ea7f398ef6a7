"""The benchmarks of storing count what they wrote, and judge by the numbers that they print."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def printed(script: str, *arguments: str) -> object:
    command = [sys.executable, str(BENCHMARKS / script), "--json", *arguments]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout)


def test_many_trajectories_are_written_and_counted() -> None:
    rows = printed("many_trajectories.py", "--trajectories", "300", "--tokens", "20", "--pool", "0")
    assert isinstance(rows, list)
    assert [row["what"] for row in rows] == ["write", "summary"]
    assert all(row["trajectories"] == 300 and row["peak_mb"] > 10 and row["cpu_s"] > 0 for row in rows)


@pytest.mark.slow
def test_the_share_of_storing_is_that_of_the_runs_timings(finished: Path) -> None:
    content = printed("store.py", "--run", str(finished), "--rows", "5")
    assert isinstance(content, dict)
    timings = [json.loads(line) for line in (finished / "timings.jsonl").read_text().splitlines()]
    stored, wall = (sum(row[key] for row in timings) for key in ("store_s", "wall_s"))
    assert abs(content["share"]["share"] - stored / wall) < 1e-3
    assert content["share"]["kept"] is (content["share"]["share"] <= 0.05)
    assert {row["tracker"] for row in content["trackers"]} == {"tensorboard", "wandb", "trackio"}
    assert all(row["wall_ms"] > 0 for row in content["writes"])
