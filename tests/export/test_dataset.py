"""The exported data set is loaded with ``datasets`` and compared with the run's own tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard

from coevolve.export.folders import export
from coevolve.store import tables
from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords

HOSTILE = (
    "---\nlicense: mit\n---\n# Mine </script> | x | ```\n<img src=x onerror=alert(1)>\u202e\x00\x1b[31m" + "y" * 9999
)


@pytest.fixture(scope="module")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(finished, tmp_path_factory.mktemp("export") / "out", ["dataset"]).folders["dataset"]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, str], Any]:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    return lambda path, name: datasets.load_dataset(str(path), name, cache_dir=str(tmp_path / "cache"))


def rows_of(folder: RunRecords, *prefixes: str) -> list[dict[str, object]]:
    return [row for prefix in prefixes for name in folder.recorded(prefix) for row in folder.read_table(name)]


def test_every_configuration_loads_and_holds_the_rows_of_the_run(
    exported: Path, finished: Path, load: Callable[[Path, str], Any]
) -> None:
    folder = RunRecords.open(finished)
    tasks = load(exported, "tasks")
    assert list(tasks) == ["train"]
    assert tasks["train"].to_list() == rows_of(folder, "tasks/")
    trajectories = load(exported, "trajectories")
    assert trajectories["train"].to_list() == rows_of(folder, "trajectories/pool-")
    assert trajectories["test"].to_list() == rows_of(folder, "trajectories/held-out-", "trajectories/transfer-")
    meter = load(exported, "meter")["pool"]
    assert [dict(row, iteration=None) for row in meter] == [
        dict(row, iteration=None) for row in rows_of(folder, "meter/tasks-")
    ]
    assert set(meter["iteration"]) == {1, 2}
    measured = load(exported, "meter_evaluation")["test"]
    assert measured.num_rows == len(rows_of(folder, "meter/evaluation-"))
    assert set(measured["iteration"]) == {0, 1, 2}


def test_true_answers_stand_only_where_nothing_can_be_trained_on(exported: Path) -> None:
    card = DatasetCard.load(exported / "README.md").data
    true_answers = {"truth", "label_right", "samples_right", "majority_right", "greedy_right"}
    named = {one["config_name"]: one["data_files"] for one in card.configs}
    assert set(named) == {"tasks", "trajectories", "meter", "meter_evaluation"}
    for name, files in named.items():
        for one in files:
            columns = set(pq.read_schema(exported / one["path"]).names)
            assert not (columns & true_answers) or one["split"] != "train", name


def test_the_hubs_own_reader_finds_the_configurations_and_every_column_is_explained(exported: Path) -> None:
    card = DatasetCard.load(exported / "README.md")
    assert card.data.annotations_creators == ["machine-generated"]
    assert card.data.configs[0]["config_name"] == "tasks"
    assert "pseudo-labelled" in card.text
    for kind in ("tasks/iteration", "trajectories/pool", "meter/tasks-1", "meter/evaluation-1"):
        for name in tables.columns_of(kind):
            lines = [line for line in card.text.splitlines() if line.startswith(f"| `{name}` |")]
            assert lines, name
            assert all(len(line.split("|")[3].strip()) > 3 for line in lines), name


def test_hostile_text_stays_data(
    make_run: Callable[..., Path], tmp_path: Path, load: Callable[[Path, str], Any]
) -> None:
    runs = [make_run(name, "curriculum", "pool", text=text) for name, text in (("a", HOSTILE), ("b", "Find a."))]
    hostile, plain = (export(run, tmp_path / f"out-{run.name}", ["dataset"]).folders["dataset"] for run in runs)
    row = load(hostile, "tasks")["train"][0]
    assert row["question"] == row["label"] == HOSTILE
    assert load(hostile, "trajectories")["train"][0]["tool_calls"] == [
        {"code": HOSTILE, "observation": HOSTILE, "status": "ok"}
    ]
    assert (hostile / "README.md").read_bytes() == (plain / "README.md").read_bytes()


def test_large_tables_are_joined_part_by_part(
    make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("run", "curriculum", "pool")
    folder = RunFolder.open(run)
    folder.begin("iteration-2/pool")
    monkeypatch.setattr(tables, "GROUP_ROWS", 10)
    rows = [{"iteration": 2, "task_id": str(n), "question": f"q{n}"} for n in range(95)]
    folder.finish("iteration-2/pool", [folder.write_table("tasks/iteration-2.parquet", iter(rows))])
    folder.close()
    written = export(run, tmp_path / "out", ["dataset"]).folders["dataset"]
    found = tables.read(written / "tasks/train.parquet")
    assert [row["task_id"] for row in found] == ["p1-0000", *(str(n) for n in range(95))]
    until = export(run, tmp_path / "first", ["dataset"], iteration=1).folders["dataset"]
    assert [row["task_id"] for row in tables.read(until / "tasks/train.parquet")] == ["p1-0000"]
