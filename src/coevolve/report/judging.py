"""A sample of the kept tasks of each iteration, to judge by eye: do they mean something, are the labels true?"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coevolve.report.task_index import WRITTEN, TaskIndex, iteration_of
from coevolve.report.transcripts import shortened
from coevolve.store.records import RunRecords

SAMPLE = 24  # tasks of an iteration
_MOST_OUTPUTS, _LONGEST_OUTPUT = 4, 80
Counted = Sequence[tuple[str, int]]  # texts, and how many answers have each


@dataclass(frozen=True, slots=True)
class ToJudge:
    """A kept task, and what a judge wants to see of it."""

    iteration: int
    task_id: str
    question: str
    label: str
    p_hat: float
    votes: Counted
    outputs: Counted  # what the programs of its answers showed last; empty where nothing ran, or no answer is stored
    truth: str | None  # where it is known
    right: bool | None


def sample_of_kept(folder: RunRecords, index: TaskIndex, n: int = SAMPLE) -> list[ToJudge]:
    """At most ``n`` kept tasks of each iteration, drawn by the digest of their ids and the seed of the run.

    A larger sample has all tasks of a smaller one, and equal runs have equal samples.

    Raises:
        RunError: a table of a finished phase is missing or damaged.
    """
    columns, seed = index.columns, folder.config.seed
    by_iteration: dict[int, list[int]] = {}
    for place in range(len(index)):
        if columns["origin"][place] == WRITTEN and columns["kept"][place] and columns["label"][place] is not None:
            by_iteration.setdefault(columns["iteration"][place], []).append(place)
    chosen = [
        place
        for t in sorted(by_iteration)
        for place in sorted(by_iteration[t], key=lambda place: _draw(seed, t, columns["task_id"][place]))[:n]
    ]
    outputs = _outputs(folder, {(columns["iteration"][place], columns["task_id"][place]) for place in chosen})
    return [
        ToJudge(
            iteration=columns["iteration"][place],
            task_id=columns["task_id"][place],
            question=columns["question"][place],
            label=columns["label"][place],
            p_hat=columns["p_hat"][place],
            votes=[(answer, votes) for answer, votes in columns["counts"][place]],
            outputs=outputs.get((columns["iteration"][place], columns["task_id"][place]), []),
            truth=columns["truth"][place],
            right=columns["right"][place],
        )
        for place in chosen
    ]


def _draw(seed: int, iteration: int, task_id: str) -> bytes:
    return hashlib.sha256(f"{seed}:{iteration}:{task_id}".encode()).digest()


def _outputs(folder: RunRecords, wanted: set[tuple[int, str]]) -> Mapping[tuple[int, str], Counted]:
    """What the last program of each answer showed, counted by task."""
    found: dict[tuple[int, str], Counter[str]] = {}
    for name in folder.recorded("trajectories/pool-"):
        iteration = iteration_of(name)
        for batch in folder.scan(name, ("task_id", "tool_calls")):
            for row in batch.to_pylist():
                key = (iteration, row["task_id"])
                if key in wanted and row["tool_calls"]:
                    text = " ".join((row["tool_calls"][-1]["observation"] or "").split())
                    found.setdefault(key, Counter())[shortened(text, _LONGEST_OUTPUT) or ""] += 1
    return {key: counts.most_common(_MOST_OUTPUTS) for key, counts in found.items()}
