"""A run on true labels, as a study makes it: what it trains on, and that it can be taken for no result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coevolve.monitor.summary import summarise
from coevolve.report.build import page_data
from coevolve.store import manifest
from coevolve.store.records import RunRecords

Cli = Callable[..., Any]
Tiny = Callable[..., list[str]]
SHORT = ("iterations=1", "evaluation.forced_fence=false", "health.probe=0")


@pytest.fixture(scope="module")
def oracle(cli: Cli, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run on true labels that was killed after its pool and went on."""
    run = tmp_path_factory.mktemp("oracle") / "run"
    command = [*tiny(run, "solver.labels=truth", *SHORT), "--oracle"]
    fault = {"method": "finish", "phase": "iteration-1/pool", "when": "after", "kind": "kill"}
    assert cli(*command, fault=fault).code == -9
    ended = cli("resume", str(run), "--quiet")
    assert ended.code == 0, ended.stderr
    return run


def test_only_the_labels_of_kept_tasks_differ_from_those_of_a_run_on_votes(oracle: Path, finished: Path) -> None:
    truths = {row["task_id"]: row["truth"] for row in RunRecords.open(oracle).read_table("meter/tasks-1.parquet")}
    given, by_vote = (RunRecords.open(run).read_table("tasks/iteration-1.parquet") for run in (oracle, finished))
    kept = [row for row in given if row["kept"]]
    assert kept
    assert all(row["label"] == truths[row["task_id"]] for row in kept)
    for one, other in zip(given, by_vote, strict=True):
        if one["kept"]:
            assert {**one, "label": None} == {**other, "label": None}
        elif one["reason"] != "refused":  # its question has no true answer
            assert one == other


def test_it_is_marked_everywhere(oracle: Path, finished: Path) -> None:
    records = RunRecords.open(oracle)
    assert manifest.read(oracle).model_dump()["oracle"] is True
    assert "oracle" not in RunRecords.open(finished).facts
    assert (summarise(oracle)["oracle"], summarise(finished)["oracle"]) == (True, False)
    assert page_data(records)["oracle"].startswith("Oracle: ")
    assert page_data(RunRecords.open(finished))["oracle"] == ""
    (pool,) = [row for row in records.metrics() if row["event"] == "pool"]
    assert pool["label_accuracy_kept"] == 1.0


def test_it_is_not_exported(oracle: Path, cli: Cli, tmp_path: Path) -> None:
    cli("export", str(oracle), "--to", str(tmp_path / "out")).assert_clear("true labels", str(oracle))
    assert not (tmp_path / "out").exists()


def test_nobody_but_a_study_starts_one(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    cli(*tiny(tmp_path / "run", "solver.labels=truth")).assert_clear("coevolve study oracle-gap", code=2)
    assert not (tmp_path / "run").exists()


def test_a_world_that_knows_no_truth_refuses_at_the_start(cli: Cli, tmp_path: Path) -> None:
    settings = ("--set=world=open", "--set=solver.labels=truth", f"--set=run.dir={tmp_path / 'run'}")
    ended = cli("run", "agent0", "--preset", "smoke-hf", *settings, "--oracle", "--quiet")
    ended.assert_clear("does not know the true answers", code=2)
    assert not (tmp_path / "run").exists()
