"""Trajectories survive the Parquet file without loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from coevolve.config import Config
from coevolve.runs.store import RunFolder
from coevolve.runs.trajectories import trajectories_from_rows, trajectory_rows
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
        policy_version=4,
        contract="c0ffee",
    )


def test_what_was_stored_comes_back_exactly(tmp_path: Path) -> None:
    call = ToolCall(code="print(1)", observation="1", status="ok")
    stored = [trajectory(1, (call, call), "7"), trajectory(2, (), None), trajectory(0, (), None)]
    rows = trajectory_rows(stored, iteration=1, phase="iteration-1/pool", set="pool", questions={"t1": "Find c."})
    folder = RunFolder.create(tmp_path, Config())
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
