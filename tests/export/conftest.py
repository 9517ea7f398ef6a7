"""A run that is made by hand, in milliseconds: real base-model weights, a few tasks with any text."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coevolve.methods.config import CoevolutionConfig
from coevolve.store.folder import RunFolder
from coevolve.store.trajectories import trajectory_rows
from coevolve.types import StopReason, ToolCall, Trajectory
from coevolve.worlds.miniature.learner import MiniatureWorld

MakeRun = Callable[..., Path]


def copy_base(path: Path) -> None:
    for file in MiniatureWorld().base_model().iterdir():
        if file.name != "README.md":
            shutil.copyfile(file, path / file.name)
    (path / "optimizer.pt").write_bytes(b"moments")


def answer(task_id: str, text: str) -> Trajectory:
    return Trajectory(
        task_id=task_id,
        sample=0,
        prompt=np.array([1, 2], dtype=np.int32),
        tokens=np.array([3, 4, 5], dtype=np.int32),
        mask=np.array([True, False, True]),
        logprobs=np.array([-0.5, 0.0, -0.25], dtype=np.float32),
        text=text,
        tool_calls=(ToolCall(text, text, "ok"),),
        answer=text,
        stop=StopReason.EOS,
        policy="solver",
        policy_versions=(1,),
        contract="c0ffee",
    )


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """``make_run("name", phases=("curriculum", "pool", "executor", "evaluate"), text="...")``: iteration 1 of 2."""

    def make(
        name: str,
        *phases: str,
        text: str = "Find a.",
        config: CoevolutionConfig | None = None,
        write: Callable[[Path], None] = copy_base,
    ) -> Path:
        folder = RunFolder.create(tmp_path / name, config or CoevolutionConfig(iterations=2))
        for phase in phases:
            folder.begin(f"iteration-1/{phase}")
            files = []
            if phase in ("curriculum", "executor"):
                role = "proposer" if phase == "curriculum" else "solver"
                files.append(folder.save_folder(f"checkpoints/iteration-1/{role}", write))
            if phase == "pool":
                task = {
                    "task_id": "p1-0000",
                    "question": text,
                    "label": text,
                    "topic": text,
                    "kept": True,
                    "p_hat": 0.5,
                }
                files.append(folder.write_table("tasks/iteration-1.parquet", [{"iteration": 1, **task}]))
                rows = trajectory_rows(
                    [answer("p1-0000", text)], iteration=1, phase="pool", set="pool", questions={"p1-0000": text}
                )
                files.append(folder.write_table("trajectories/pool-1.parquet", rows))
                truth = {"task_id": "p1-0000", "truth": text, "label_right": True}
                files.append(folder.write_table("meter/tasks-1.parquet", [truth]))
                folder.log({"event": "pool", "iteration": 1, "size": 1, "kept": 1, "label_accuracy_kept": 1.0})
            folder.log_timing({"wall_s": 1.0})
            folder.finish(f"iteration-1/{phase}", files)
        folder.set_status("interrupted")
        folder.close()
        return tmp_path / name

    return make
