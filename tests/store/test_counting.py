"""What the stored trajectories come to is what one counts in them one by one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from coevolve.errors import RunError
from coevolve.methods.config import CoevolutionConfig
from coevolve.monitor.summary import summarise
from coevolve.store.folder import RunFolder
from coevolve.store.trajectories import count_trajectories, trajectory_rows
from coevolve.types import StopReason, ToolCall, Trajectory


def drawn(count: int, seed: int) -> list[Trajectory]:
    """Trajectories of every length, with and without answers and tool calls."""
    rng = np.random.default_rng(seed)
    found = []
    for n in range(count):
        length = int(rng.integers(0, 30))
        calls = [ToolCall("print(1)", "1", str(rng.choice(["ok", "error", "timeout"]))) for _ in range(rng.integers(4))]
        found.append(
            Trajectory(
                task_id="t",
                sample=n,
                prompt=np.arange(3, dtype=np.int32),
                tokens=np.arange(length, dtype=np.int32),
                mask=rng.random(length) < 0.5,
                logprobs=np.zeros(length, dtype=np.float32),
                text="",
                tool_calls=tuple(calls),
                answer=str(n) if rng.random() < 0.7 else None,
                stop=StopReason(str(rng.choice(list(StopReason)))),
                policy="solver",
                policy_versions=(1,),
                contract="c",
            )
        )
    return found


def counted(trajectories: list[Trajectory]) -> dict[str, object]:
    sampled = sum(t.sampled for t in trajectories)
    return {
        "trajectories": len(trajectories),
        "answered": sum(t.answer is not None for t in trajectories),
        "lost": sum(t.lost for t in trajectories),
        "stop": dict(sorted(Counter(str(t.stop) for t in trajectories).items())),
        "tool_calls": sum(len(t.tool_calls) for t in trajectories),
        "tool_status": dict(sorted(Counter(call.status for t in trajectories for call in t.tool_calls).items())),
        "tokens": {"sampled": sampled, "observed": sum(len(t.tokens) for t in trajectories) - sampled},
    }


def store(folder: RunFolder, name: str, phases: dict[tuple[int, str], list[Trajectory]]) -> None:
    """One table; the phase that writes it is finished."""
    folder.begin(name)
    rows = (
        row
        for (t, phase), some in phases.items()
        for row in trajectory_rows(some, iteration=t, phase=phase, set="pool", questions={"t": "q"})
    )
    folder.finish(name, [folder.write_table(f"trajectories/{name}.parquet", rows)])


def test_counts_are_those_of_the_trajectories_one_by_one(tmp_path: Path) -> None:
    pool, first, second, nothing = drawn(9_000, 1), drawn(300, 2), drawn(50, 3), list[Trajectory]()
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    store(folder, "a", {(1, "pool"): pool, (1, "evaluate"): first})
    store(folder, "b", {(2, "evaluate"): second})
    store(folder, "c", {(2, "pool"): nothing})
    found = count_trajectories(folder.records)
    assert found == {
        "total": counted(pool + first + second),
        "by_phase": {
            "iteration-1/pool": counted(pool),
            "iteration-1/evaluate": counted(first),
            "iteration-2/evaluate": counted(second),
        },
    }
    folder.close()
    assert summarise(tmp_path)["trajectories"] == found


def test_only_finished_phases_count_and_a_run_that_keeps_none_has_none(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    assert count_trajectories(folder.records) is None
    folder.begin("a")
    folder.write_table(
        "trajectories/a.parquet",
        trajectory_rows(drawn(3, 1), iteration=1, phase="pool", set="pool", questions={"t": "q"}),
    )
    assert count_trajectories(folder.records) is None


def test_a_lost_table_of_trajectories_is_named(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig())
    store(folder, "a", {(1, "pool"): drawn(3, 1)})
    (tmp_path / "trajectories" / "a.parquet").unlink()
    with pytest.raises(RunError, match="missing"):
        count_trajectories(folder.records)
