"""The sandbox's benchmark: it prints every goal, and sees the processes that it measures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_every_goal_is_measured_and_judged() -> None:
    """In a process of its own, where every process found below it is the benchmark's."""
    command = [sys.executable, str(BENCHMARKS / "sandbox.py"), "--json", "--snippets", "10"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    content = json.loads(done.stdout)
    goals = {goal["name"]: goal for goal in content["goals"]}
    assert len(goals) == 14
    for goal in goals.values():
        if goal["measured"] is not None:
            kept = goal["measured"] <= goal["bound"] if goal["sign"] == "<=" else goal["measured"] >= goal["bound"]
            assert goal["kept"] is kept
            assert goal["measured"] > -1
    assert goals["sympy, CPU of a fresh interpreter"]["kept"]  # a ratio of CPU times holds on busy machines too
    memory = goals["private memory of an idle session"]["measured"]
    assert memory is None or 0.1 < memory < 5
    assert {row["snippet"] for row in content["ways"]} == {"print", "search", "error", "numpy", "sympy"}
    assert all(row["cpu_ms"] > 0 for row in content["ways"])
