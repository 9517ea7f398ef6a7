"""Trajectories as rows of a Parquet table and back, without loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from coevolve.types import StopReason, ToolCall, Trajectory


def trajectory_rows(
    trajectories: Iterable[Trajectory], *, iteration: int, phase: str, set: str, questions: Mapping[str, str]
) -> Iterator[dict[str, object]]:
    """One row per trajectory, made when it is asked for.

    Args:
        trajectories: what the policies wrote.
        iteration: iteration in which they wrote it.
        phase: name of the phase.
        set: which questions these are, such as "pool" or "level-3".
        questions: question of every task id.

    Raises:
        KeyError: a trajectory answers a task that ``questions`` does not have.
    """
    place = {"iteration": iteration, "phase": phase, "set": set}
    for t in trajectories:
        yield {**place, "question": questions[t.task_id], **_row(t)}


def journal_rows(trajectories: Iterable[Trajectory]) -> Iterator[dict[str, object]]:
    """One row per trajectory, with nothing beside it."""
    return map(_row, trajectories)


def _row(trajectory: Trajectory) -> dict[str, object]:
    return {
        "task_id": trajectory.task_id,
        "sample": trajectory.sample,
        "policy": trajectory.policy,
        "policy_version": trajectory.policy_version,
        "contract": trajectory.contract,
        "text": trajectory.text,
        "answer": trajectory.answer,
        "stop": str(trajectory.stop),
        "tool_calls": [
            {"code": call.code, "observation": call.observation, "status": str(call.status)}
            for call in trajectory.tool_calls
        ],
        "prompt": trajectory.prompt,
        "tokens": trajectory.tokens,
        "mask": trajectory.mask,
        "logprobs": trajectory.logprobs,
    }


def trajectories_from_rows(rows: Sequence[Mapping[str, Any]]) -> list[Trajectory]:
    """The trajectories that ``trajectory_rows`` stored.

    Raises:
        KeyError: a column is missing.
        ValueError: a stop reason is unknown.
    """
    return [
        Trajectory(
            task_id=row["task_id"],
            sample=row["sample"],
            prompt=np.array(row["prompt"], dtype=np.int32),
            tokens=np.array(row["tokens"], dtype=np.int32),
            mask=np.array(row["mask"], dtype=np.bool_),
            logprobs=np.array(row["logprobs"], dtype=np.float32),
            text=row["text"],
            tool_calls=tuple(ToolCall(**call) for call in row["tool_calls"]),
            answer=row["answer"],
            stop=StopReason(row["stop"]),
            policy=row["policy"],
            policy_version=row["policy_version"],
            contract=row["contract"],
        )
        for row in rows
    ]
