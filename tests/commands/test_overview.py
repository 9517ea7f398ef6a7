"""Commands that take the newest run where none is named, the list of runs, and a whole run as CSV."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from coevolve.cli import app

Fabricated = Callable[..., Path]


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


@pytest.fixture
def two(fabricated: Fabricated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished run, and a newer one that was killed."""
    monkeypatch.chdir(tmp_path)
    for age, (name, finished) in enumerate((("newer", False), ("older", True))):
        fabricated(Path("runs") / name, seed=age, finished=finished)
        os.utime(Path("runs") / name / "manifest.json", (1000 - age, 1000 - age))


@pytest.mark.usefixtures("two")
def test_the_list_has_a_line_per_run_the_newest_first() -> None:
    found = json.loads(call("list", "--json").output)
    assert [(one["run"], one["status"], one["seed"], one["held_out"]) for one in found] == [
        ("runs/newer", "stopped", 0, 0.7),
        ("runs/older", "finished", 1, 0.7),
    ]
    lines = call("list").output.splitlines()
    assert lines[1].split() == ["runs/newer", "stopped", "mini", "0", "3/evaluate", "of", "3", "70.0", "%"]


@pytest.mark.usefixtures("two")
def test_a_damaged_run_is_listed_as_that() -> None:
    Path("runs/older/manifest.json").write_text("{")
    assert {one["run"]: one["status"] for one in json.loads(call("list", "--json").output)}["runs/older"] == "damaged"


@pytest.mark.usefixtures("two")
def test_without_a_run_the_newest_is_meant() -> None:
    assert json.loads(call("summary", "--json").output)["seed"] == 0
    assert call("metrics").output == call("metrics", "runs/newer").output


@pytest.mark.usefixtures("two")
def test_a_whole_run_as_csv_has_a_line_per_row_of_its_metrics() -> None:
    rows = list(csv.DictReader(io.StringIO(call("metrics").output)))
    stored = [json.loads(line) for line in Path("runs/newer/metrics.jsonl").read_text().splitlines()]
    assert [row["event"] for row in rows] == [row["event"] for row in stored]
    assert [float(row["held_out.mean_at_8"]) for row in rows if row["held_out.mean_at_8"]] == [0.12, 0.5, 0.6, 0.7]


def test_without_any_run_every_such_command_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in (("list",), ("summary",), ("metrics",), ("report",), ("compare",), ("solve", "1 + 1?")):
        result = call(*arguments)
        assert result.exit_code == 1
        assert "there is no run here" in result.stderr
        assert "coevolve run" in result.stderr


def test_a_mistyped_command_says_which_was_meant_and_h_is_help() -> None:
    assert "Did you mean 'resume'?" in call("resum").stderr
    assert call("summary", "-h").output == call("summary", "--help").output


@pytest.mark.usefixtures("two")
def test_a_run_without_a_question_is_no_question() -> None:
    result = call("solve", "runs/older")
    assert result.exit_code == 2
    assert "no question is given" in result.stderr
