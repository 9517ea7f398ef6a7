"""The tables of finished runs: averages and intervals over seeds against tables, thresholds on both of their sides."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from coevolve.errors import RunError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
Fabricated = Callable[..., Path]


@pytest.fixture(scope="module")
def levers() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("levers")
    sys.path.remove(str(BENCHMARKS))


def test_seeds_of_a_label_are_averaged_and_labels_stay_apart(
    levers: ModuleType, fabricated: Fabricated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [fabricated(tmp_path / f"a-s{seed}", seed=seed, means=(0.1, 0.2, 0.3, 0.4 + 0.2 * seed)) for seed in (1, 0)]
    levers.main([str(run) for run in [*runs, fabricated(tmp_path / "b")]])
    _, _, first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("| `a` | 0, 1 | 10.0 → 20.0 → 30.0 → 50.0 ± 127.1 |")
    assert second.startswith("| `b` | 0 | 12.0 → 50.0 → 60.0 → 70.0 | 70.0 | 80.0 |")
    levers.main([str(tmp_path / "b"), "--json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert row["label"] == "b"
    assert [x["mean"] for x in row["quantities"]["first_executor"]] == pytest.approx([0.8, 0.7, 0.6])
    assert row["quantities"]["wall_s"] == [{"mean": 200.0, "low": None, "high": None, "n": 1}]


def test_what_must_be_so_is_judged_on_both_sides_of_its_bound(
    levers: ModuleType, fabricated: Fabricated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fabricated(tmp_path / "good")
    fabricated(tmp_path / "bad", means=(0.12, 0.5, 0.45, 0.47), labels=0.79)
    verdicts = {}
    for name in ("good", "bad"):
        levers.main(["--must", "--json", str(tmp_path / name)])
        verdicts[name] = [row["verdict"] for row in json.loads(capsys.readouterr().out)]
    must, aim, missed = "must met", "aim met", "**missed**"
    # gain, rising, levels, greedy, calls, first executor, pool calls, labels, well formed, duplicates, wall, control
    assert verdicts["good"] == [aim, aim, must, aim, aim, aim, missed, must, must, must, must, aim]
    assert verdicts["bad"][:4] == [missed, missed, must, missed]
    assert verdicts["bad"][7] == missed


def test_the_table_replaces_what_stands_between_the_markers(
    levers: ModuleType, fabricated: Fabricated, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    run = fabricated(tmp_path / "x")
    for _ in range(2):
        levers.main(["--must", str(run), "--into", str(page)])
    text = page.read_text()
    assert text.startswith("before\n<!-- results -->\n| measure | must |")
    assert text.endswith("<!-- /results -->\nafter\n")
    assert "old" not in text
    assert text.count("wall time") == 1
    assert re.search(r"12\.0 % → 70\.0 % \(95 % intervals: [0-9.]+ to [0-9.]+ % → [0-9.]+ to [0-9.]+ %\)", text)
    assert "seeds 0, held-out problems of set 0; intervals are over problems only." in text


def test_runs_that_cannot_be_compared_are_refused(levers: ModuleType, fabricated: Fabricated, tmp_path: Path) -> None:
    whole = fabricated(tmp_path / "x-s0")
    part = fabricated(tmp_path / "y", finished=False)
    again = fabricated(tmp_path / "x-s1")  # the same seed under another name
    longer = fabricated(tmp_path / "z")
    with pytest.raises(RunError, match="not finished"):
        levers.finished_runs([part])
    with pytest.raises(RunError, match="seed 0"):
        levers.finished_runs([whole, again])
    with pytest.raises(SystemExit, match="one setting"):
        levers.main(["--must", str(whole), str(longer)])
    page = tmp_path / "page.md"
    page.write_text("no markers")
    with pytest.raises(SystemExit, match="one place"):
        levers.main([str(whole), "--into", str(page)])
