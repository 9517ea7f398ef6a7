"""Of a large table only the parts are read that can have rows of the wanted task."""

from pathlib import Path

import pytest

from coevolve.store import atomic, tables


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty tasks with two answers each, eight rows in a row group."""
    monkeypatch.setattr(tables, "GROUP_ROWS", 8)
    rows = [{"task_id": f"i1-{n // 2:04d}", "sample": n % 2, "text": "x"} for n in range(80)]
    path = tmp_path / "pool-1.parquet"
    with atomic.replacing(path) as sink:
        tables.write(sink, "trajectories/pool-1.parquet", rows)
    return path


def test_the_row_groups_of_other_tasks_are_left_out(table: Path) -> None:
    found = [batch.to_pylist() for batch in tables.batches(table, ["task_id", "sample"], "i1-0021")]
    assert len(found) == 1
    assert [row["sample"] for row in found[0] if row["task_id"] == "i1-0021"] == [0, 1]


def test_a_task_that_is_not_there_reads_nothing_of_a_table_that_ends_before_it(table: Path) -> None:
    assert list(tables.batches(table, ["task_id"], "i2-0000")) == []


def test_without_a_task_everything_is_read(table: Path) -> None:
    assert sum(batch.num_rows for batch in tables.batches(table, ["sample"])) == 80


def test_ids_that_are_longer_than_statistics_are_found_all_the_same(tmp_path: Path) -> None:
    names = ["a" * 70_000 + letter for letter in "xyz"]
    path = tmp_path / "pool-1.parquet"
    with atomic.replacing(path) as sink:
        tables.write(sink, "trajectories/pool-1.parquet", [{"task_id": name} for name in names])
    assert any(names[1] in batch["task_id"].to_pylist() for batch in tables.batches(path, ["task_id"], names[1]))
