"""Runs that were stored with schema 2 (``data/schema-2/README.md``): everything reads them, and only resume refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from coevolve.errors import RunError
from coevolve.report.watched import WatchedRun
from coevolve.runs.doctor import diagnose, repair
from coevolve.store import manifest, settings
from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords
from coevolve.store.trajectories import trajectories_from_rows

Cli = Callable[..., Any]
STORED = Path(__file__).parent / "data" / "schema-2"


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run but what its commands may add."""
    files = (path for path in sorted(run.rglob("*")) if path.is_file())
    names = ((path.relative_to(run).as_posix(), path) for path in files)
    return {name: path.read_bytes() for name, path in names if name != ".lock" and not name.startswith("report/")}


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORED / "finished", tmp_path / "finished"))


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORED / "interrupted", tmp_path / "interrupted"))


def test_the_old_names_of_sections_are_read_as_todays(finished: Path) -> None:
    written = yaml.safe_load((finished / "config.yaml").read_text())
    config = RunRecords.open(finished).config
    for old, new in (("curriculum", "proposer"), ("executor", "solver")):
        assert getattr(config, new).lr == written[old]["lr"]
        assert getattr(config, new).steps == written[old]["steps"]
    assert config.solver.lr == 0.02
    assert config.proposer.lr == 0.01


def test_the_old_name_of_a_key_is_read_in_runs_of_any_schema(finished: Path) -> None:
    assert yaml.safe_load((finished / "config.yaml").read_text())["model"]["contract"] == "agent0"
    assert RunRecords.open(finished).config.model.prompts == "agent0"
    old = {"model": {"path": "x", "contract": "plain", "dtype": "float32"}}
    new = {"model": {"path": "x", "prompts": "plain", "dtype": "float32"}}
    found = [manifest.translated(values, manifest.SCHEMA)["model"] for values in (old, new)]
    assert found == [new["model"], new["model"]]


def test_a_translation_changes_names_and_nothing_else() -> None:
    old = {"seed": 3, "curriculum": {"steps": 1}, "executor": {"lr": 0.1}, "gate": {"lower": 0.4}}
    new = {"seed": 3, "proposer": {"steps": 1}, "solver": {"lr": 0.1}, "gate": {"lower": 0.4}}
    assert manifest.translated(old, 2) == new
    assert manifest.translated(new, manifest.SCHEMA) == new


def test_the_summary_has_all_that_was_in_it(finished: Path, cli: Cli) -> None:
    before = contents(finished)
    shown = json.loads(cli("summary", finished, "--json").stdout)
    recorded = json.loads((STORED / "summary.json").read_text())
    iterations = zip(recorded.pop("iterations"), shown["iterations"], strict=True)
    assert all({key: now[key] for key in old} == old for old, now in iterations)
    assert {key: shown[key] for key in recorded} == recorded
    assert shown["schema"] == 1
    assert cli("summary", finished).code == 0
    assert contents(finished) == before


@pytest.mark.parametrize("command", ["report", "compare", "doctor"])
def test_commands_that_read_leave_every_byte(finished: Path, cli: Cli, command: str) -> None:
    before = contents(finished)
    ended = cli(command, finished)
    assert (ended.code, ended.stderr) == (0, "")
    assert contents(finished) == before
    if command == "report":
        assert "solver:" in (finished / "report" / "index.html").read_text()


def test_it_is_compared_with_another_run(finished: Path, interrupted: Path, cli: Cli) -> None:
    ended = cli("compare", finished, interrupted)
    assert (ended.code, ended.stderr) == (0, "")


def test_its_newest_model_answers_a_question(finished: Path, cli: Cli) -> None:
    ended = cli("solve", finished, "Let a = 43 * 80. Let b = the digit sum of a. Find b.")
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout


def test_it_is_exported(finished: Path, cli: Cli, tmp_path: Path) -> None:
    ended = cli("export", finished, "--to", tmp_path / "exported")
    assert ended.code == 0, ended.stderr
    assert list((tmp_path / "exported").rglob("adapter_model.safetensors"))
    answers = pq.read_table(tmp_path / "exported" / "dataset" / "trajectories" / "train.parquet").to_pylist()
    stored = [
        row
        for iteration in (1, 2)
        for row in pq.read_table(finished / "trajectories" / f"pool-{iteration}.parquet").to_pylist()
    ]
    assert [row["policy_versions"] for row in answers] == [[row["policy_version"]] for row in stored]
    assert [row["tokens"] for row in answers] == [row["tokens"] for row in stored]


def test_its_page_can_be_watched(finished: Path, interrupted: Path) -> None:
    assert WatchedRun(finished).news()["state"] == "finished"
    assert WatchedRun(interrupted).news()["state"] == "interrupted"
    assert "Agent0" in WatchedRun(interrupted).page() or "agent0" in WatchedRun(interrupted).page()


def test_its_trajectories_come_back(finished: Path) -> None:
    folder = RunRecords.open(finished)
    read = trajectories_from_rows(folder.read_table("trajectories/pool-1.parquet"))
    recorded = json.loads((STORED / "summary.json").read_text())["trajectories"]["by_phase"]["iteration-1/pool"]
    assert len(read) == recorded["trajectories"]
    assert sum(int(one.mask.sum()) for one in read) == recorded["tokens"]["sampled"]
    assert sum(one.answer is not None for one in read) == recorded["answered"]


def test_every_hash_of_both_runs_is_checked_as_it_was_written(finished: Path, interrupted: Path) -> None:
    for run in (finished, interrupted):
        found = diagnose(run)
        assert not found.damage
        assert not found.base_fault
        RunRecords.open(run).verify_all()


def test_resume_alone_refuses_and_names_the_schema_and_the_ways_out(interrupted: Path, cli: Cli) -> None:
    before = contents(interrupted)
    cli("resume", interrupted).assert_clear("schema 2", "coevolve 0.1.0", "curriculum to proposer", "run.dir=NEW")
    assert contents(interrupted) == before
    assert not (interrupted / ".lock").exists()
    with pytest.raises(RunError, match="schema 2"):
        RunFolder.open(interrupted)


def test_resume_without_a_name_does_not_choose_it(interrupted: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    interrupted.rename(tmp_path / "runs" / "interrupted")
    cli("resume", cwd=tmp_path).assert_clear("there is no unfinished run")


def test_the_doctor_says_that_it_cannot_be_resumed(interrupted: Path, cli: Cli) -> None:
    ended = cli("doctor", interrupted)
    assert ended.code == 0
    assert "resume    refused: this run has schema 2" in ended.stdout
    assert json.loads(cli("doctor", interrupted, "--json").stdout)["resume"] is None


def test_a_repair_writes_the_configuration_under_its_own_names_again(interrupted: Path) -> None:
    before = (interrupted / settings.NAME).read_bytes()
    (interrupted / settings.NAME).write_bytes(before.replace(b"executor", b"solver"))
    with pytest.raises(RunError, match="was changed"):
        RunRecords.open(interrupted)
    repair(interrupted)
    assert (interrupted / settings.NAME).read_bytes() == before
    assert not diagnose(interrupted).damage
