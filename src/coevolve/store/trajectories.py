"""Trajectories as rows of a Parquet table and back, without loss, and their counts over all tables of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coevolve.store.records import RunRecords
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
        "policy_versions": list(trajectory.policy_versions),
        "contract": trajectory.contract,
        "agent": trajectory.agent,
        "seat": trajectory.seat,
        "reward": trajectory.reward,
        "text": trajectory.text,
        "answer": trajectory.answer,
        "refused": trajectory.refused,
        "unrun": trajectory.unrun,
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
    """The trajectories that ``trajectory_rows`` stored. Older tables have one number, ``policy_version``.

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
            policy_versions=tuple(row["policy_versions"] if "policy_versions" in row else [row["policy_version"]]),
            contract=row["contract"],
            agent=row.get("agent", ""),  # tables of older runs have none of these four
            seat=row.get("seat", 0),
            reward=row.get("reward"),
            refused=row.get("refused") or "",
            unrun=row.get("unrun") or 0,
        )
        for row in rows
    ]


_COLUMNS = ("iteration", "phase", "answer", "stop", "tool_calls.list.element.status", "mask")


@dataclass(slots=True)
class Counts:
    """Sums over trajectories. Tokens are those after the prompt: sampled by the policy, or observed from the tool."""

    trajectories: int = 0
    answered: int = 0
    sampled: int = 0
    observed: int = 0
    stops: Counter[str] = field(default_factory=Counter)
    tool_status: Counter[str] = field(default_factory=Counter)

    def add(self, other: Counts) -> None:
        """Count what another one has counted."""
        self.trajectories += other.trajectories
        self.answered += other.answered
        self.sampled += other.sampled
        self.observed += other.observed
        self.stops.update(other.stops)
        self.tool_status.update(other.tool_status)

    def as_json(self) -> dict[str, object]:
        """The numbers under stable keys; ``lost`` are those that a failing sandbox ended."""
        return {
            "trajectories": self.trajectories,
            "answered": self.answered,
            "lost": self.stops[StopReason.INFRASTRUCTURE],
            "stop": dict(sorted(self.stops.items())),
            "tool_calls": self.tool_status.total(),
            "tool_status": dict(sorted(self.tool_status.items())),
            "tokens": {"sampled": self.sampled, "observed": self.observed},
        }


def count_trajectories(folder: RunRecords) -> dict[str, object] | None:
    """The counts of all stored trajectories of finished phases, in all and by phase; None where none are stored.

    Raises:
        RunError: a table is missing or damaged.
    """
    phases: dict[str, Counts] = {}
    for name in folder.recorded("trajectories/"):
        for batch in folder.scan(name, _COLUMNS):
            for phase, part in _by_phase(batch):
                phases.setdefault(phase, Counts()).add(_counted(part))
    if not phases:
        return None
    total = Counts()
    for counts in phases.values():
        total.add(counts)
    return {"total": total.as_json(), "by_phase": {phase: counts.as_json() for phase, counts in phases.items()}}


def _by_phase(batch: pa.RecordBatch) -> list[tuple[str, pa.RecordBatch]]:
    """The rows of each phase under the name that it has in the manifest, such as ``iteration-1/pool``."""
    names = pc.binary_join_element_wise(pc.cast(batch["iteration"], pa.string()), batch["phase"], "/")
    found = pc.unique(names).to_pylist()
    if len(found) == 1:
        return [(f"iteration-{found[0]}", batch)]
    return [(f"iteration-{name}", batch.filter(pc.equal(names, name))) for name in found]


def _counted(rows: pa.RecordBatch) -> Counts:
    marks = pc.list_flatten(rows["mask"])
    sampled = pc.sum(marks).as_py() or 0
    return Counts(
        trajectories=rows.num_rows,
        answered=rows.num_rows - rows["answer"].null_count,
        sampled=sampled,
        observed=len(marks) - sampled,
        stops=_frequencies(rows["stop"]),
        tool_status=_frequencies(pc.struct_field(pc.list_flatten(rows["tool_calls"]), "status")),
    )


def _frequencies(values: pa.Array) -> Counter[str]:
    return Counter({entry["values"]: entry["counts"] for entry in pc.value_counts(values).to_pylist()})
