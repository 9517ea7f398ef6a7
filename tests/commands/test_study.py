"""A real study that is killed, interrupted and hindered, and what has become of it in the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import coevolve
from coevolve.cli import app
from coevolve.errors import RunError
from coevolve.methods.registry import load_config
from coevolve.monitor.progress import duration
from coevolve.runs import speed
from coevolve.runs.plan import Needs, Speed, planned
from coevolve.store import manifest
from coevolve.store.folder import RunFolder
from coevolve.worlds.miniature.learner import ASSETS

ROWS = {
    "full": {},
    "no-tool": {"title": "no tool", "set": {"tool.enabled": False, "reward.lambda_code": 0}},
    "blocked": {},  # something else lies in its folder
}
GOOD = ("full-s1", "no-tool-s1")
ITERATIONS = 2  # long enough that the signals, sent after one of the first phases, come before the end
PHASES = ["evaluate", *["curriculum", "pool", "executor", "evaluate"] * ITERATIONS]


@dataclass(frozen=True)
class Life:
    """One call of the command, and the finished phases of the good cells when it had ended."""

    code: int
    stdout: str
    stderr: str
    phases: dict[str, list[str]]
    locked: list[str]  # cells that somebody still wrote to


def phases(cell: Path) -> list[str]:
    if not (cell / manifest.NAME).exists():
        return []
    return [phase.name.rpartition("/")[2] for phase in manifest.read(cell).phases]


def locked(cell: Path) -> bool:
    try:
        RunFolder.open(cell).close()
    except RunError:
        return True
    return False


def live(file: Path, *more: str, end: int | None = None, when: Callable[[], bool] = lambda: True) -> Life:
    """``coevolve study``, ended by a signal as soon as ``when`` holds."""
    folder = file.parent / "cells"
    arguments = ["study", str(file), "--dir", str(folder), "--jobs", "2", *more]
    process = subprocess.Popen(
        [sys.executable, "-m", "coevolve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(coevolve.__file__).parents[1])},
    )
    if end is not None:
        deadline = time.monotonic() + 300
        while not when():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(end)
    out, err = process.communicate(timeout=600)
    if end == signal.SIGKILL:
        time.sleep(0.5)  # the system ends the cells of a killed study a moment later
    found = {name: phases(folder / name) for name in GOOD}
    return Life(process.returncode, out, err, found, [name for name in GOOD if locked(folder / name)])


@pytest.fixture(scope="module")
def settings(tiny: Callable[..., list[str]]) -> list[str]:
    """What makes a cell small, as overrides."""
    given = [argument.removeprefix("--set=") for argument in tiny(Path("x")) if argument.startswith("--set=")]
    return [*(one for one in given if not one.startswith("run.dir")), f"iterations={ITERATIONS}"]


@pytest.fixture(scope="module")
def file(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "tiny.yaml"
    common = {key: yaml.safe_load(value) for key, _, value in (one.partition("=") for one in settings)}
    content = {"title": "a tiny study", "preset": "nano", "seeds": [1], "set": common, "rows": ROWS}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def lives(file: Path) -> dict[str, Life]:
    """The same command four times: killed, interrupted, hindered, and let go to its end."""
    cells = file.parent / "cells"
    (cells / "blocked-s1").mkdir(parents=True)  # before the first: a signal that comes late lets the study get to it
    (cells / "blocked-s1/mine").write_text("not a run")
    begun = [cells / name for name in GOOD]
    out = {"killed": live(file, end=signal.SIGKILL, when=lambda: all(phases(cell) for cell in begun))}
    before = sum(map(len, out["killed"].phases.values()))
    out["interrupted"] = live(file, end=signal.SIGINT, when=lambda: sum(len(phases(cell)) for cell in begun) > before)
    out["hindered"] = live(file)
    out["finished"] = live(file, "--only", "full,no-tool", "--json")
    return out


def test_cells_end_with_a_study_that_is_killed(lives: dict[str, Life]) -> None:
    assert lives["killed"].code == -signal.SIGKILL
    assert not lives["killed"].locked
    assert all(1 <= len(found) < len(PHASES) for found in lives["killed"].phases.values())


def test_an_interrupted_study_stops_its_cells_and_says_how_to_go_on(lives: dict[str, Life]) -> None:
    life = lives["interrupted"]
    assert life.code == 130
    assert "go on with the same command" in life.stderr
    assert "Traceback" not in life.stderr + life.stdout
    assert not life.locked
    assert "goes on" in life.stdout
    assert all(len(life.phases[name]) >= len(lives["killed"].phases[name]) for name in GOOD)


def test_a_cell_that_fails_is_reported_and_stops_no_other(lives: dict[str, Life]) -> None:
    life = lives["hindered"]
    assert life.code == 1
    assert "1 of 3 cells are not finished" in life.stderr
    assert "blocked-s1: the folder is not empty" in life.stderr
    assert life.phases == dict.fromkeys(GOOD, PHASES)


def test_finished_cells_are_left_alone(lives: dict[str, Life], file: Path) -> None:
    assert lives["finished"].code == 0
    logs = [(file.parent / f"cells/cells/{name}.log").read_text() for name in GOOD]
    assert not any("is finished already" in log for log in logs)  # what a run says that is resumed for nothing


def test_a_cell_that_was_killed_and_interrupted_has_the_bytes_of_an_unbroken_run(
    lives: dict[str, Life], file: Path, settings: list[str], cli: Callable[..., object], tmp_path: Path
) -> None:
    of_the_cell = ("seed=1", f"run.dir={tmp_path / 'run'}", "tool.enabled=false", "reward.lambda_code=0")
    overrides = [f"--set={one}" for one in (*settings, *of_the_cell)]
    ended = cli("run", "agent0", "--preset", "nano", "--quiet", *overrides)
    assert ended.code == 0, ended.stderr  # type: ignore[attr-defined]
    cell = file.parent / "cells/no-tool-s1"
    assert (cell / "metrics.jsonl").read_bytes() == (tmp_path / "run/metrics.jsonl").read_bytes()


def test_the_table_holds_what_the_runs_have_measured(lives: dict[str, Life], file: Path) -> None:
    answer = json.loads(lives["finished"].stdout)
    means = {}
    for name in GOOD:
        lines = (file.parent / f"cells/{name}/metrics.jsonl").read_text().splitlines()
        last = [row for row in map(json.loads, lines) if row["event"] == "evaluation"][-1]
        means[name.removesuffix("-s1")] = last["held_out"]
    full, no_tool = answer["table"]
    assert [row["label"] for row in answer["table"]] == ["full", "no-tool"]
    for row in (full, no_tool):
        expected = means[row["label"]]
        assert row["mean"]["mean"] == pytest.approx(expected["mean_at_8"], abs=1e-6)
        assert [row["mean"]["low"], row["mean"]["high"]] == pytest.approx(expected["ci95"], abs=1e-6)  # one seed
        assert {level: found["mean"] for level, found in row["levels"].items()} == pytest.approx(expected["by_level"])
        assert row["quantities"]["calls"][-1]["mean"] == pytest.approx(expected["tool_calls"], abs=1e-6)
    difference = means["no-tool"]["mean_at_8"] - means["full"]["mean_at_8"]
    assert full["difference"] is None
    assert no_tool["difference"]["mean"] == pytest.approx(difference, abs=1e-6)
    assert no_tool["difference"]["over_seeds"] is False
    assert no_tool["quantities"]["calls"][-1]["mean"] == 0


def test_a_study_that_finds_other_runs_in_its_folder_starts_nothing(lives: dict[str, Life], file: Path) -> None:
    life = live(file, "--set", "pool.size=9", "--only", "full,no-tool")
    assert life.code == 1
    assert "pool.size is 8, not 9" in life.stderr
    assert "begins" not in life.stdout + life.stderr
    assert "goes on" not in life.stdout + life.stderr


def test_a_dry_run_starts_nothing_and_says_how_far_each_cell_is(lives: dict[str, Life], file: Path) -> None:
    life = live(file, "--dry-run", "--json", "--seeds", "1,2", "--only", "full")
    listing = json.loads(life.stdout)["cells"]
    assert [(cell["row"], cell["seed"], cell["state"]) for cell in listing] == [
        ("full", 1, "finished"),
        ("full", 2, "missing"),
    ]
    assert not (file.parent / "cells/full-s2").exists()


def test_a_plan_names_its_cells_whole_however_long_the_settings_of_a_row_are(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "coevolve", "study", "stability", "--dry-run", "--seeds", "0"]
    env = {**os.environ, "COLUMNS": "80"}
    out = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout
    assert all(name in out for name in ("paper-s0", "r-zero-s0", "stable-s0", "strict-s0"))


def test_the_plan_of_one_cell_is_no_shorter_than_that_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one.yaml").write_text(yaml.safe_dump({"title": "one", "preset": "nano", "rows": {"a": {}, "b": {}}}))

    def last_line(*more: str) -> str:
        command = ["study", "one.yaml", "--dry-run", "--jobs", "4", *more]
        return CliRunner().invoke(app, command, catch_exceptions=False).output.splitlines()[-1]

    whole = duration(sum(phase.cpu_s for phase in planned(load_config("nano"))))
    alone = last_line("--seeds", "0", "--only", "a")
    assert alone.startswith(f"about {whole} of CPU time left: {whole} at best with 1 at once")
    assert f": {whole} at best with 2 at once" in last_line("--seeds", "0")
    assert "at best with 4 at once" in last_line("--seeds", "0,1,2")


def test_the_speed_of_a_real_model_is_measured_once_for_all_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = {"model.path": str(ASSETS)}
    study = {"title": "own", "preset": "nano", "set": model, "rows": {"a": {}, "b": {"set": {"proposer.train": False}}}}
    Path("own.yaml").write_text(yaml.safe_dump(study))
    asked: list[str] = []

    def measured(needs: Needs) -> Speed:
        asked.append(needs.model)
        return Speed(sampled=0.5, read=50.0, trained=5.0)

    monkeypatch.setattr(speed, "measured_speed", measured)
    command = ["study", "own.yaml", "--dry-run", "--json", "--seeds", "0,1"]
    cells = json.loads(CliRunner().invoke(app, command, catch_exceptions=False).stdout)["cells"]
    assert len(asked) == 1
    config = load_config("nano", None, [*(f"{key}={value}" for key, value in model.items())])
    whole = sum(phase.cpu_s for phase in planned(config, None, Speed(0.5, 50.0, 5.0)))
    assert [cell["cpu_s"] for cell in cells if cell["row"] == "a"] == [pytest.approx(whole)] * 2
