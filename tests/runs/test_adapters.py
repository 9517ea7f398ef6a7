"""A run whose agents are adapters: what it leaves, and that a kill leaves no trace in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
Tiny = Callable[..., list[str]]

LORA = ("iterations=1", "lora.enabled=true", "lora.rank=4", "lora.alpha=8", "solver.kl=0.01", "proposer.kl=0.01")
OF_OTHERS = {".lock", "timings.jsonl", "manifest.json", "manifest.copy.json", "config.yaml"}  # clock, folder, process


def contents(run: Path) -> dict[str, str]:
    files = [f for f in run.rglob("*") if f.is_file() and f.name not in OF_OTHERS]
    files = [f for f in files if not {"report", "provenance"} & set(f.parts)]
    return {f.relative_to(run).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(files)}


@pytest.fixture(scope="module")
def adapters(cli: Cli, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("adapters") / "run"
    ended = cli(*tiny(path, *LORA))
    assert ended.code == 0, ended.stderr
    return path


def test_checkpoints_are_adapters_and_both_agents_were_trained(adapters: Path) -> None:
    for role, optimizer in (("proposer", {"optimizer.pt"}), ("solver", set())):
        folder = adapters / "checkpoints/iteration-1" / role
        names = {file.name for file in folder.iterdir()}
        assert names == optimizer | {
            "adapter_model.safetensors",
            "adapter_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
        }
    rows = [json.loads(line) for line in (adapters / "metrics.jsonl").read_text().splitlines()]
    steps = {row["event"]: row for row in rows if row["event"] in ("curriculum_step", "executor_step")}
    assert len(steps) == 2
    for row in steps.values():
        assert row["grad_norm"] > 0
        assert row["kl"] is not None
        assert "micro_batch_halvings" not in row


def test_doctor_and_solve_read_such_a_run(cli: Cli, adapters: Path) -> None:
    checked = cli("doctor", str(adapters))
    assert checked.code == 0, checked.stdout + checked.stderr
    answered = cli("solve", str(adapters), "Let a = 43 * 80. Let b = the digit sum of a. Find b.")
    assert answered.code == 0, answered.stderr
    assert "answer" in answered.stdout


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(cli: Cli, tiny: Tiny, adapters: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = tiny(run, *LORA)
    for phase, method in (("iteration-1/curriculum", "save_folder"), ("iteration-1/executor", "save_point")):
        fault = {"method": method, "phase": phase, "when": "after", "kind": "kill"}
        assert cli(*command, fault=fault).code == -9
        command = ["resume", str(run), "--quiet"]
    assert cli(*command).code == 0
    assert contents(run) == contents(adapters)


def test_a_sampler_that_keeps_its_old_adapter_ends_the_run(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    fault = {"method": "begin", "phase": None, "when": "before", "kind": "stale"}
    lines = (*LORA, "proposer.steps=2", "proposer.lr=0.01")
    ended = cli(*tiny(tmp_path / "run", *lines), fault=fault)
    assert ended.code == 1
    assert "sampler and trainer disagree" in ended.stderr
    assert "Traceback" not in ended.stderr
