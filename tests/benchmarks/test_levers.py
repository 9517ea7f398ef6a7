"""The tables of finished runs: averages and intervals over seeds against tables, thresholds on both of their sides."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from coevolve.config import Config
from coevolve.errors import RunError
from coevolve.runs.store import RunFolder

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MEANS = (0.12, 0.5, 0.6, 0.7)


@pytest.fixture(scope="module")
def levers() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("levers")
    sys.path.remove(str(BENCHMARKS))


def finished_run(
    path: Path, *, seed: int = 0, means: tuple[float, ...] = MEANS, labels: float = 0.9, finished: bool = True
) -> Path:
    folder = RunFolder.create(path, Config(seed=seed))
    folder.begin("all")
    folder.log({"event": "control", "name": "fence_forced_base", "mean_at_8": 0.4})
    for t, mean in enumerate(means):
        held_out = {
            "mean_at_8": mean,
            "greedy": mean,
            "by_level": {"1": 0.9, "2": 0.8, "3": 0.7},
            "tool_calls": 1.0 + t,
            "tool_calls_by_level": {str(level): level * 1.1 for level in (1, 2, 3, 4)},
        }
        measured = {"first_executor_pass_rate": {str(t): 0.9 - t / 10}, "fixed_executor_tool_calls": {str(t): t / 10}}
        folder.log({"event": "evaluation", "iteration": t, "held_out": held_out} | (measured if t else {}))
        if t:
            pool = {"label_accuracy_kept": labels, "well_formed": 0.94, "duplicates": 0.01 * t}
            folder.log({"event": "pool", "iteration": t} | pool)
    folder.log_timing({"wall_s": 200.0, "cpu_s": 300.0})
    folder.finish("all", [])
    if finished:
        folder.set_status("finished")
    folder.close()
    return path


def test_the_label_is_the_folder_name_without_its_seed(levers: ModuleType) -> None:
    assert [levers.label_of(Path(name)) for name in ("runs/mini-s12", "no-tool-s0/", "agent0-mini-0")] == [
        "mini",
        "no-tool",
        "agent0-mini-0",
    ]


def test_the_interval_over_seeds_is_that_of_students_table(levers: ModuleType) -> None:
    two, three = levers.estimate([0.4, 0.6]), levers.estimate([1.0, 2.0, 3.0])
    assert two.mean == pytest.approx(0.5)
    assert two.half == pytest.approx(
        12.7062 * 0.1, rel=1e-5
    )  # t = 12.7062 for one degree of freedom, s / sqrt(2) = 0.1
    assert three.half == pytest.approx(4.30265 / 3**0.5, rel=1e-5)
    assert levers.estimate([0.4]).half is None
    assert levers.estimate([0.4, None]).mean is None


def test_seeds_of_a_label_are_averaged_and_labels_stay_apart(
    levers: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [
        finished_run(tmp_path / f"a-s{seed}", seed=seed, means=(0.1, 0.2, 0.3, 0.4 + 0.2 * seed)) for seed in (1, 0)
    ]
    levers.main([str(run) for run in [*runs, finished_run(tmp_path / "b")]])
    _, _, first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("| `a` | 0, 1 | 10.0 → 20.0 → 30.0 → 50.0 ± 127.1 |")
    assert second.startswith("| `b` | 0 | 12.0 → 50.0 → 60.0 → 70.0 | 70.0 | 80.0 |")
    levers.main([str(tmp_path / "b"), "--json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert row["label"] == "b"
    assert [x["mean"] for x in row["first_executor"]] == pytest.approx([0.8, 0.7, 0.6])
    assert row["wall_s"] == [{"mean": 200.0, "half_ci95": None}]


def test_what_must_be_so_is_judged_on_both_sides_of_its_bound(
    levers: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished_run(tmp_path / "good")
    finished_run(tmp_path / "bad", means=(0.12, 0.5, 0.45, 0.47), labels=0.79)
    verdicts = {}
    for name in ("good", "bad"):
        levers.main(["--must", "--json", str(tmp_path / name)])
        verdicts[name] = [row["verdict"] for row in json.loads(capsys.readouterr().out)]
    must, aim, missed = "must met", "aim met", "**missed**"
    # gain, rising, levels, greedy, calls, first executor, pool calls, labels, well formed, duplicates, wall, control
    assert verdicts["good"] == [aim, aim, must, aim, aim, aim, missed, must, must, must, must, aim]
    assert verdicts["bad"][:4] == [missed, missed, must, missed]
    assert verdicts["bad"][7] == missed


def test_the_table_replaces_what_stands_between_the_markers(levers: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    run = finished_run(tmp_path / "x")
    for _ in range(2):
        levers.main(["--must", str(run), "--into", str(page)])
    text = page.read_text()
    assert text.startswith("before\n<!-- results -->\n| measure | must |")
    assert text.endswith("<!-- /results -->\nafter\n")
    assert "old" not in text
    assert text.count("wall time") == 1


def test_runs_that_cannot_be_compared_are_refused(levers: ModuleType, tmp_path: Path) -> None:
    whole = finished_run(tmp_path / "x-s0")
    part = finished_run(tmp_path / "y", finished=False)
    again = finished_run(tmp_path / "x-s1")  # the same seed under another name
    longer = finished_run(tmp_path / "z")
    with pytest.raises(RunError, match="not finished"):
        levers.read_runs([part])
    with pytest.raises(RunError, match="seed 0"):
        levers.read_runs([whole, again])
    with pytest.raises(SystemExit, match="one setting"):
        levers.main(["--must", str(whole), str(longer)])
    page = tmp_path / "page.md"
    page.write_text("no markers")
    with pytest.raises(SystemExit, match="one place"):
        levers.main([str(whole), "--into", str(page)])
