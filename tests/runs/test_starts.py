"""A start that fails leaves nothing behind, and what a killed one leaves is in nobody's way."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coevolve.commands import running
from coevolve.errors import RunError
from coevolve.methods.config import CoevolutionConfig
from coevolve.store import places
from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords

Cli = Callable[..., Any]
Tiny = Callable[..., list[str]]


def stub(path: Path) -> Path:
    """A run that was killed in its first phase before anything of it was kept."""
    folder = RunFolder.create(path, CoevolutionConfig(seed=5))
    folder.begin("iteration-0/evaluate")
    folder.log({"event": "one"})
    folder.close()
    return path


def with_a_batch(path: Path) -> Path:
    """A run that was killed in its first phase when a batch of it was kept."""
    folder = RunFolder.create(path, CoevolutionConfig(seed=5))
    folder.begin("iteration-0/evaluate")
    folder.save_batch("texts-1", [{"task_id": "a"}], dict)
    folder.close()
    return path


@pytest.mark.parametrize(
    ("overrides", "environment", "words"),
    [
        (["sandbox.environment={tmp}/absent"], {}, ["packages for snippets does not exist", "absent"]),
        (["sandbox.preload=[no_such_package]"], {}, ["no_such_package"]),
        (["sandbox.preload=[numpy]"], {"XDG_CACHE_HOME": "/proc/nowhere"}, ["XDG_CACHE_HOME"]),
        (["model.path={tmp}/absent"], {}, ["absent"]),
        (["world=open"], {"XDG_CACHE_HOME": "/proc/nowhere"}, ["/proc/nowhere"]),
        (["run.dir=/proc/nowhere/run"], {}, ["run.dir"]),
        (["sandbox.backend=remote", "sandbox.url=http://127.0.0.1:9"], {}, ["127.0.0.1:9"]),
        (["sandbox.backend=remote", "sandbox.url=http://127.0.0.1:9", "engine.workers=2"], {}, ["127.0.0.1:9"]),
    ],
)
def test_a_start_that_fails_leaves_nothing(
    overrides: list[str], environment: dict[str, str], words: list[str], cli: Cli, tmp_path: Path
) -> None:
    settings = [f"--set={one.format(tmp=tmp_path)}" for one in overrides]
    ended = cli("run", "agent0", "--preset", "nano", *settings, cwd=tmp_path, environment=environment)
    assert ended.code in (1, 2), ended.stderr
    assert "Traceback" not in ended.stderr
    for word in words:
        assert word in ended.stderr
    assert list(tmp_path.iterdir()) == []
    assert not ended.left


def test_a_fault_between_the_folder_and_the_first_phase_leaves_nothing(cli: Cli, tmp_path: Path) -> None:
    fault = {"method": "set_status", "phase": None, "when": "after", "kind": "bug"}
    ended = cli("run", "agent0", "--preset", "nano", "--set", "run.dir=one/two", cwd=tmp_path, fault=fault)
    assert ended.code == 1
    assert "a defect of ours" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_stays_when_a_start_fails(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    fault = {"method": "set_status", "phase": None, "when": "after", "kind": "bug"}
    assert cli("run", "--preset", "nano", "--set", "run.dir=mine", cwd=tmp_path, fault=fault).code == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


@pytest.mark.parametrize("full", ["config.yaml", "manifest.json", "manifest.copy.json", ".lock"])
def test_a_disk_that_is_full_at_the_start_leaves_nothing(
    full: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def opened(path: Any, *arguments: Any, **named: Any) -> int:
        if Path(os.fsdecode(path)).name in (full, f".{full}.partial"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return real(path, *arguments, **named)

    (tmp_path / "there").mkdir()
    monkeypatch.setattr(os, "open", opened)
    for run in (tmp_path / "one" / "two", tmp_path / "there"):
        with pytest.raises(RunError, match="disk is full"):
            RunFolder.create(run, CoevolutionConfig())
    monkeypatch.undo()
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]


def test_a_killed_start_does_not_block_its_name(cli: Cli, tmp_path: Path) -> None:
    command = ["run", "--preset", "nano", "--quiet"]
    kill = {"method": "begin", "phase": None, "when": "after", "kind": "kill"}
    for _ in range(2):
        assert cli(*command, cwd=tmp_path, fault=kill).code == -signal.SIGKILL
        assert [path.name for path in (tmp_path / "runs").iterdir()] == ["agent0-nano-0"]
    cli("resume", cwd=tmp_path).assert_clear("there is no unfinished run")


def test_a_run_begins_anew_over_a_stub(tmp_path: Path) -> None:
    run = stub(tmp_path / "run")
    (run / "track").mkdir()
    (run / "track" / "wandb.json").write_text("{}")
    assert places.is_stub(run)
    assert places.is_free(run)
    RunFolder.create(run, CoevolutionConfig(seed=6)).close()
    assert sorted(path.name for path in run.iterdir()) == [
        ".lock",
        "config.yaml",
        "manifest.copy.json",
        "manifest.json",
    ]
    assert RunRecords.open(run).config.seed == 6


def test_what_holds_anything_that_counts_is_no_stub(tmp_path: Path) -> None:
    kept = with_a_batch(tmp_path / "kept")
    repaired = stub(tmp_path / "repaired")  # a repair has moved what it had done away
    (repaired / "damaged" / "1").mkdir(parents=True)
    noted = stub(tmp_path / "noted")
    (noted / "notes.txt").write_text("mine")
    for run in (kept, repaired, noted):
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        assert not places.is_stub(run)
        assert not places.is_free(run)
        with pytest.raises(RunError, match="already holds a run"):
            RunFolder.create(run, CoevolutionConfig())
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"} == {
            path: data for path, data in before.items() if path.name != ".lock"
        }


def test_a_stub_whose_process_lives_is_left_alone(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", CoevolutionConfig())
    with pytest.raises(RunError, match=f"process {os.getpid()}"):
        places.require_place(tmp_path / "run")
    with pytest.raises(RunError, match=f"process {os.getpid()}"):
        RunFolder.create(tmp_path / "run", CoevolutionConfig())
    assert not places.is_free(tmp_path / "run")
    folder.close()


def test_a_plain_resume_picks_no_stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with_a_batch(Path("runs/kept"))
    stub(Path("runs/newer"))
    os.utime("runs/kept/manifest.json", (1, 1))
    assert running.unfinished_runs() == [Path("runs/kept")]


def test_a_stub_can_be_resumed_by_its_name(cli: Cli, tiny: Tiny, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fault = {"method": "begin", "phase": None, "when": "after", "kind": "kill"}
    assert cli(*tiny(run), fault=fault).code == -signal.SIGKILL
    stop = {"method": "finish", "phase": "iteration-0/evaluate", "when": "after", "kind": "kill"}
    assert cli("resume", str(run), "--quiet", fault=stop).code == -signal.SIGKILL
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert lines == (finished / "metrics.jsonl").read_text().splitlines()[: len(lines)]
    assert json.loads(lines[0])["iteration"] == 0
