"""What ends a run early, and what it leaves: Ctrl-C, a full disk, stale weights, defects, an empty pool."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
Tiny = Callable[..., list[str]]
ONE = ("iterations=1", "evaluation.forced_fence=false")


def status(run: Path) -> str:
    return str(json.loads((run / "manifest.json").read_text())["status"])


def same_results(run: Path, finished: Path) -> None:
    for name in ("metrics.jsonl", "checkpoints/iteration-2/solver/model.safetensors"):
        digests = {hashlib.sha256((p / name).read_bytes()).hexdigest() for p in (run, finished)}
        assert len(digests) == 1, name


def interrupted(ended: Any, run: Path) -> None:
    assert ended.code == 130, ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    assert f"resume with: coevolve resume {run}" in ended.stderr
    assert "Ctrl-C again to stop now" in ended.stderr
    assert not ended.left
    assert status(run) == "interrupted"


def test_ctrl_c_says_how_to_go_on_and_leaves_nobody(cli: Cli, tiny: Tiny, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = tiny(run)
    for phase in ("iteration-0/evaluate", "iteration-1/executor"):
        fault = {"method": "log", "phase": phase, "when": "before", "kind": "interrupt"}
        interrupted(cli(*command, fault=fault), run)
        command = ["resume", str(run), "--quiet"]
    assert cli(*command).code == 0
    same_results(run, finished)


def test_ctrl_c_while_workers_start_is_quiet_too(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fault = {"method": "set_status", "phase": None, "when": "before", "kind": "interrupt"}
    ended = cli(*tiny(run, "engine.workers=2"), fault=fault)
    assert (ended.code, ended.left) == (130, ())
    assert ended.stderr.splitlines()[0].startswith("interrupted")
    assert len(ended.stderr.splitlines()) == 2, ended.stderr


def test_workers_do_not_outlive_a_killed_run(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fault = {"method": "log", "phase": "iteration-0/evaluate", "when": "after", "kind": "kill"}
    ended = cli(*tiny(run, "engine.workers=2"), fault=fault)
    assert (ended.code, ended.left) == (-9, ())


def test_a_full_disk_is_said_and_nothing_is_lost(cli: Cli, tiny: Tiny, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = tiny(run)
    weights = (finished / "checkpoints/iteration-1/solver/model.safetensors").stat().st_size
    for largest in (weights // 2, weights * 5 // 4):  # no room for the weights; room for them, none for the optimiser
        ended = cli(*command, largest_file=largest)
        ended.assert_clear("disk is full", "make room", f"coevolve resume {run}", "checkpoints/iteration-1/proposer")
        assert not list(run.rglob("*.partial"))
        command = ["resume", str(run), "--quiet"]
    assert cli(*command).code == 0
    same_results(run, finished)


def test_weights_that_were_not_pushed_end_the_run_loudly(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fault = {"method": "log", "phase": "iteration-1/executor", "when": "before", "kind": "stale"}
    ended = cli(*tiny(run, *ONE), fault=fault)
    ended.assert_clear("sampler and trainer disagree", "policy solver-1, version 1")
    assert status(run) == "failed"


def test_a_defect_of_ours_keeps_its_traceback_and_the_run(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fault = {"method": "log", "phase": "iteration-0/evaluate", "when": "before", "kind": "bug"}
    ended = cli(*tiny(run, *ONE), fault=fault)
    assert ended.code == 1
    assert "ZeroDivisionError" in ended.stderr
    assert not ended.left
    assert status(run) == "failed"


@pytest.mark.parametrize(
    "overrides",
    [
        ("gate.lower=0.99", "gate.upper=1.0"),
        ("sampling.question_tokens=8",),  # no question is ever finished
    ],
)
def test_a_gate_that_keeps_nothing_does_not_break_the_run(
    overrides: tuple[str, ...], cli: Cli, tiny: Tiny, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    arguments = [a for a in tiny(run, *ONE, *overrides) if a != "--quiet"]
    ended = cli(*arguments)
    assert ended.code == 0, ended.stderr
    text = (run / "metrics.jsonl").read_text()
    if '"kept":0,' in text.replace(" ", ""):
        assert "executor_skipped" in text
    assert "NaN" not in text


@pytest.mark.parametrize(
    "override",
    [
        "curriculum.train=false",
        "reward.lambda_tool=0",
        "reward.lambda_rep=0",
        "gate.enabled=false",
        "objective=grpo",
        "tool.max_turns=1",
        "tool.enabled=false",
        "executor.train=false",
    ],
)
def test_every_ablation_of_the_paper_is_one_key(override: str, cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = [*ONE, "evaluation.per_level=1", "evaluation.levels=1", "evaluation.pool_samples=0", "executor.steps=1"]
    ended = cli(*tiny(run, *small, override))
    assert ended.code == 0, ended.stderr
    assert status(run) == "finished"
    roles = sorted(p.name for p in (run / "checkpoints/iteration-1").iterdir())
    assert roles == [
        r
        for r in ("proposer", "solver")
        if not override.startswith({"proposer": "curriculum.t", "solver": "executor.t"}[r])
    ]
    calls = [json.loads(line).get("tool_calls") for line in (run / "metrics.jsonl").read_text().splitlines()]
    if override == "tool.enabled=false":
        assert not any(calls)
