"""Trajectories survive the Parquet file without loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from coevolve.errors import RunError
from coevolve.methods.config import CoevolutionConfig
from coevolve.store import tables
from coevolve.store.folder import RunFolder
from coevolve.store.trajectories import trajectories_from_rows, trajectory_rows
from coevolve.types import StopReason, ToolCall, Trajectory


def trajectory(sample: int, calls: tuple[ToolCall, ...], answer: str | None) -> Trajectory:
    return Trajectory(
        task_id="t1",
        sample=sample,
        prompt=np.array([1, 2], dtype=np.int32),
        tokens=np.arange(3 * sample, dtype=np.int32),
        mask=np.arange(3 * sample) % 2 == 0,
        logprobs=np.linspace(-1, 0, 3 * sample, dtype=np.float32),
        text="so \\boxed{7} </script> é",
        tool_calls=calls,
        answer=answer,
        stop=StopReason.EOS if answer else StopReason.LENGTH,
        policy="solver",
        policy_versions=(4,),
        contract="c0ffee",
    )


def test_what_was_stored_comes_back_exactly(tmp_path: Path) -> None:
    call = ToolCall(code="print(1)", observation="1", status="ok")
    stored = [trajectory(1, (call, call), "7"), trajectory(2, (), None), trajectory(0, (), None)]
    stored.append(dataclasses.replace(trajectory(3, (), None), stop=StopReason.EOS, refused="error"))
    rows = trajectory_rows(stored, iteration=1, phase="iteration-1/pool", set="pool", questions={"t1": "Find c."})
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    folder.write_table("trajectories/pool-1.parquet", rows)
    read = folder.read_table("trajectories/pool-1.parquet")
    assert {row["question"] for row in read} == {"Find c."}
    assert {row["set"] for row in read} == {"pool"}
    for before, after in zip(stored, trajectories_from_rows(read), strict=True):
        for name in Trajectory.__dataclass_fields__:
            one, other = getattr(before, name), getattr(after, name)
            if isinstance(one, np.ndarray):
                assert one.dtype == other.dtype, name
                assert np.array_equal(one, other), name
            else:
                assert one == other, name


def test_all_versions_of_the_weights_come_back_and_the_one_of_an_older_table_is_read(tmp_path: Path) -> None:
    stored = [dataclasses.replace(trajectory(1, (), "7"), policy_versions=versions) for versions in ((4,), (4, 5))]
    rows = list(trajectory_rows(stored, iteration=1, phase="pool", set="pool", questions={"t1": "Find c."}))
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    folder.write_table("trajectories/new.parquet", iter(rows))
    read = folder.read_table("trajectories/new.parquet")
    assert [t.policy_versions for t in trajectories_from_rows(read)] == [(4,), (4, 5)]
    older = [{k: v for k, v in row.items() if k != "policy_versions"} | {"policy_version": 4} for row in read]
    pq.write_table(pa.Table.from_pylist(older), tmp_path / "older.parquet")
    again = trajectories_from_rows(folder.read_table("older.parquet"))
    assert [t.policy_versions for t in again] == [(4,), (4,)]


def test_a_table_in_several_row_groups_holds_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = [trajectory(n % 40, (), str(n)) for n in range(500)]
    rows = list(trajectory_rows(stored, iteration=1, phase="pool", set="pool", questions={"t1": "Find c."}))
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    whole = folder.write_table("trajectories/whole.parquet", iter(rows))
    monkeypatch.setattr(tables, "GROUP_BYTES", 10_000)
    parts = folder.write_table("trajectories/parts.parquet", iter(rows))
    monkeypatch.setattr(tables, "GROUP_ROWS", 7)
    few = folder.write_table("trajectories/few.parquet", iter(rows))
    assert [pq.ParquetFile(path).num_row_groups for path in (whole, few)] == [1, 72]
    assert 5 < pq.ParquetFile(parts).num_row_groups < 72
    first, *others = (folder.read_table(f"trajectories/{name}.parquet") for name in ("whole", "parts", "few"))
    assert others == [first, first]
    assert [row["answer"] for row in first] == [str(n) for n in range(500)]


def test_a_column_that_begins_after_the_first_row_group_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "GROUP_ROWS", 2)
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    with pytest.raises(ValueError, match="late begins only after"):
        folder.write_table("meter/tasks-1.parquet", [{"task_id": "a"}] * 2 + [{"task_id": "b", "late": 1}])
    assert not any((tmp_path / "meter").iterdir())


def test_writing_holds_a_small_part_of_a_large_table(tmp_path: Path) -> None:
    """Twenty times as many rows as one row group holds: the Arrow memory is that of a few groups, not of all."""
    tokens = np.arange(20_000, dtype=np.int32)
    one = dataclasses.replace(
        trajectory(0, (), "7"),
        tokens=tokens,
        mask=np.ones(20_000, dtype=np.bool_),
        logprobs=np.zeros(20_000, dtype=np.float32),
    )
    rows = trajectory_rows(repeat(one, 3_500), iteration=1, phase="pool", set="pool", questions={"t1": "q"})
    bytes_of_one = tokens.nbytes * 2 + 20_000
    arrow = pa.default_memory_pool()
    peak = 0
    folder = RunFolder.create(tmp_path, CoevolutionConfig())

    def watched() -> Iterator[dict[str, object]]:
        nonlocal peak
        for row in rows:
            peak = max(peak, arrow.bytes_allocated())
            yield row

    folder.write_table("trajectories/pool-1.parquet", watched())
    assert 3_500 * bytes_of_one > 18 * tables.GROUP_BYTES
    assert peak < 4 * tables.GROUP_BYTES
    assert sum(batch.num_rows for batch in folder.records.scan("trajectories/pool-1.parquet", ["sample"])) == 3_500


def test_damage_is_named_while_a_table_is_scanned(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    stored = [trajectory(3, (), "7")] * 3_000
    path = folder.write_table(
        "trajectories/pool-1.parquet",
        trajectory_rows(stored, iteration=1, phase="pool", set="pool", questions={"t1": "q"}),
    )
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RunError, match="damaged") as caught:
        list(folder.records.scan("trajectories/pool-1.parquet"))
    assert caught.value.where == str(path)
    with pytest.raises(RunError, match="missing"):
        list(folder.records.scan("trajectories/pool-2.parquet"))
