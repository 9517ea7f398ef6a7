"""What ends a run early, and what it leaves: Ctrl-C, a full disk, stale weights, defects, an empty pool."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
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


def may_mount() -> bool:
    """Whether this process may mount a file system; asked of a place that is given back at once."""
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=False, capture_output=True)
        if done.returncode == 0:
            subprocess.run(["umount", place], check=True)
        return done.returncode == 0


def interrupted(ended: Any, run: Path) -> None:
    assert ended.code == 130, ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    assert f"resume with: coevolve resume {run}" in ended.stderr
    assert "a second signal stops at once" in ended.stderr
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


@pytest.mark.parametrize(("kind", "code"), [("interrupt", 130), ("terminate", 143), ("hang up", 129)])
def test_the_first_signal_lets_workers_finish_the_batch(
    kind: str, code: int, cli: Cli, tiny: Tiny, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fault = {"method": "log", "phase": "iteration-1/executor", "when": "before", "kind": kind}
    ended = cli(*tiny(run, "engine.workers=2", "iterations=1"), fault=fault)
    assert (ended.code, ended.left) == (code, ())
    assert "finishing this batch" in ended.stderr
    assert status(run) == "interrupted"
    assert json.loads(cli("doctor", str(run), "--json").stdout)["resume"] == {
        "phase": "iteration-1/executor",
        "step": 1,
        "steps": 2,
        "batches": 0,
    }


def test_the_second_signal_stops_at_once_and_the_run_can_go_on(
    cli: Cli, tiny: Tiny, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fault = {"method": "log", "phase": "iteration-1/executor", "when": "before", "kind": "interrupt twice"}
    interrupted(cli(*tiny(run), fault=fault), run)
    rows = [json.loads(line)["event"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert "executor_step" not in rows
    assert cli("resume", str(run), "--quiet").code == 0
    same_results(run, finished)


def test_ctrl_c_before_the_first_phase_is_quiet_and_leaves_nothing(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fault = {"method": "set_status", "phase": None, "when": "before", "kind": "interrupt"}
    ended = cli(*tiny(run, "engine.workers=2"), fault=fault)
    assert (ended.code, ended.left, ended.stderr) == (130, (), "interrupted\n")
    assert not run.exists()


def test_workers_do_not_outlive_a_killed_run(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fault = {"method": "log", "phase": "iteration-0/evaluate", "when": "after", "kind": "kill"}
    ended = cli(*tiny(run, "engine.workers=2"), fault=fault)
    assert (ended.code, ended.left) == (-9, ())


@pytest.mark.parametrize(
    ("save_every", "parts", "full"),
    [
        (1, (0.5, 2), "partial/step-1"),  # a save point is the weights and twice as much for AdamW
        (
            9,
            (0.5, 1.25),
            "checkpoints/iteration-1/proposer",
        ),  # none for the weights; none for the optimiser
    ],
)
def test_a_full_disk_is_said_and_nothing_is_lost(
    save_every: int, parts: tuple[float, ...], full: str, cli: Cli, tiny: Tiny, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = tiny(run, f"run.save_every={save_every}")
    weights = (finished / "checkpoints/iteration-1/solver/model.safetensors").stat().st_size
    for part in parts:
        ended = cli(*command, largest_file=int(weights * part))
        ended.assert_clear("disk is full", "make room", f"coevolve resume {run}", full)
        assert not list(run.rglob("*.partial"))
        command = ["resume", str(run), "--quiet"]
    assert cli(*command).code == 0
    same_results(run, finished)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """``small_disk("12m")`` is a file system of that size; called again, it gets another size, or is ``"ro"``."""
    place = tmp_path / "disk"

    def mount(size: str) -> Path:
        place.mkdir(exist_ok=True)
        how = "ro" if size == "ro" else f"rw,size={size}"
        again = ["-o", f"remount,{how}"] if place.is_mount() else ["-o", how]
        subprocess.run(["mount", "-t", "tmpfs", *again, "tmpfs", str(place)], check=True, capture_output=True)
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.skipif(not may_mount(), reason="needs the right to mount; the limit of a file's size is tried everywhere")
def test_a_disk_that_is_really_full_or_read_only_is_said_and_nothing_is_lost(
    cli: Cli, tiny: Tiny, finished: Path, small_disk: Callable[[str], Path]
) -> None:
    run = small_disk("60m") / "run"
    fault = {"method": "save_folder", "phase": "iteration-1/curriculum", "when": "before", "kind": "fill the disk"}
    ended = cli(*tiny(run), fault=fault)
    ended.assert_clear("disk is full", f"coevolve resume {run}", "checkpoints/iteration-1/proposer")
    assert status(run) in ("failed", "running")
    found = json.loads(cli("doctor", str(run), "--json").stdout)
    assert found["intact"]
    assert found["resume"] == {"phase": "iteration-1/curriculum", "step": 1, "steps": 1, "batches": 0}
    small_disk("ro")
    cli("resume", str(run), "--quiet").assert_clear("Read-only file system", str(run))
    small_disk("90m")
    (run.parent / "filler").unlink()
    assert cli("resume", str(run), "--quiet").code == 0
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
        "proposer.train=false",
        "reward.lambda_tool=0",
        "reward.lambda_rep=0",
        "gate.enabled=false",
        "objective=grpo",
        "tool.max_turns=1",
        "tool.enabled=false",
        "solver.train=false",
    ],
)
def test_every_ablation_of_the_paper_is_one_key(override: str, cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = [*ONE, "evaluation.per_level=1", "evaluation.levels=1", "evaluation.pool_samples=0", "solver.steps=1"]
    without = ["reward.lambda_code=0"] if override == "tool.enabled=false" else []  # it looks at programs
    ended = cli(*tiny(run, *small, *without, override))
    assert ended.code == 0, ended.stderr
    assert status(run) == "finished"
    roles = sorted(p.name for p in (run / "checkpoints/iteration-1").iterdir())
    assert roles == [r for r in ("proposer", "solver") if not override.startswith(f"{r}.train")]
    calls = [json.loads(line).get("tool_calls") for line in (run / "metrics.jsonl").read_text().splitlines()]
    if override == "tool.enabled=false":
        assert not any(calls)


def test_a_run_without_memory_for_its_batches_goes_on_with_smaller_ones(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    fault = {"method": "begin", "phase": None, "when": "before", "kind": "shortage"}
    command = [word for word in tiny(tmp_path / "run", *ONE) if word != "--quiet"]
    ended = cli(*command, fault=fault)
    assert ended.code == 0, ended.stderr
    assert "memory ran out: from now on micro-batches of" in ended.stdout
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    halved = [row.get("micro_batch_halvings", 0) for row in rows if row["event"] == "curriculum_step"]
    assert sum(halved) > 0
    assert all(row["skipped_updates"] == 0 for row in rows if row["event"] == "curriculum_step")


def test_a_shortage_that_nothing_can_be_done_about_is_named(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    fault = {"method": "save_point", "phase": None, "when": "before", "kind": "full memory"}
    ended = cli(*tiny(tmp_path / "run", *ONE), fault=fault)
    assert ended.code == 1
    assert "memory ran out: CUDA out of memory" in ended.stderr
    assert "coevolve resume" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert status(tmp_path / "run") == "failed"
