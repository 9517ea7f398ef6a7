"""What voting in rounds saves: the stored answers of a run's pools, heard in rounds and stopped by ``pool.stop``.

    python benchmarks/sequential_voting.py RUN... [--round 2] [--json]

RUN has one voter and kept its trajectories. Each task's answers are heard in the order in which they were sampled,
``--round`` at a time, until the chance that its p_hat ends inside the gate is below the threshold or above 1 minus
that; what is then kept is held against what all votes keep. Tokens are those that the executor sampled for the votes.
Labels are judged by the true answers in RUN/meter, which no rule sees.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from coevolve.config import at_iteration
from coevolve.curriculum.gate import chance_inside
from coevolve.curriculum.voting import vote
from coevolve.evaluation.scoring import is_right
from coevolve.store import tables
from coevolve.store.records import RunRecords
from coevolve.types import Vote

THRESHOLDS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2)
_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Asked:
    """A task of a pool: its answers in order, the tokens of each, its true answer, and the gate of its iteration."""

    answers: list[str | None]
    tokens: list[int]
    truth: str | None
    bounds: tuple[float, float]

    def heard(self, stop: float, size: int) -> tuple[Vote, int]:
        """The vote when the rule ends it, and the tokens of the answers that were heard."""
        k = len(self.answers)
        for n in range(size, k, size):
            found = vote(self.answers[:n])
            majority = found.counts[0][1] if found.counts else 0
            inside = chance_inside(majority, n, k, *self.bounds)
            if inside < stop or (inside > 1 - stop and not found.tied):
                return found, sum(self.tokens[:n])
        return vote(self.answers), sum(self.tokens)

    def keeps(self, found: Vote) -> bool:
        """Whether the gate keeps the task, by the votes that were heard."""
        lower, upper = self.bounds
        return found.answer is not None and lower - _SLACK <= found.p_hat <= upper + _SLACK


def tasks_of(path: Path) -> list[Asked]:
    """All tasks of all pools of a run."""
    folder = RunRecords.open(path)
    out = []
    for t in range(1, folder.config.iterations + 1):
        file = path / f"trajectories/pool-{t}.parquet"
        if not file.is_file():
            continue
        truths = {row["task_id"]: row["truth"] for row in tables.read(path / f"meter/tasks-{t}.parquet")}
        groups: dict[str, list[tuple[int, str | None, int]]] = defaultdict(list)
        for batch in tables.batches(file, ["task_id", "sample", "answer", "mask"]):
            for row in batch.to_pylist():
                groups[row["task_id"]].append((row["sample"], row["answer"], sum(row["mask"])))
        gate = folder.config.gate
        bounds = at_iteration(gate.lower, t), at_iteration(gate.upper, t)
        for task_id, rows in groups.items():
            rows.sort(key=lambda row: row[0])
            truth = truths[task_id]
            out.append(
                Asked([a for _, a, _ in rows], [n for *_, n in rows], truth if truth is None else str(truth), bounds)
            )
    return out


def measured(tasks: list[Asked], stop: float, size: int) -> dict[str, float]:
    """What one threshold keeps and saves."""
    whole = [task.heard(0.0, size) for task in tasks]
    heard = [task.heard(stop, size) for task in tasks]
    kept = [(task, found) for task, (found, _) in zip(tasks, heard, strict=True) if task.keeps(found)]
    before = {i for i, (task, (found, _)) in enumerate(zip(tasks, whole, strict=True)) if task.keeps(found)}
    now = {i for i, (task, (found, _)) in enumerate(zip(tasks, heard, strict=True)) if task.keeps(found)}
    right = [is_right(found.answer or "", task.truth) for task, found in kept]
    return {
        "stop": stop,
        "tokens_saved": 1 - sum(n for _, n in heard) / sum(n for _, n in whole),
        "kept": len(kept),
        "kept_lost": len(before - now),
        "kept_new": len(now - before),
        "labels_right": sum(right) / max(1, len(right)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--round", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    tasks = [task for path in options.runs for task in tasks_of(path)]
    rows = [measured(tasks, stop, options.round) for stop in THRESHOLDS]
    if options.json:
        print(json.dumps({"tasks": len(tasks), "round": options.round, "rows": rows}))
        return
    print(f"{len(tasks)} tasks, {len(tasks[0].answers)} votes, rounds of {options.round}")
    print("stop    tokens saved    kept   lost    new   pseudo-label accuracy")
    for row in rows:
        print(
            f"{row['stop']:<6} {100 * row['tokens_saved']:11.1f} % {row['kept']:7.0f} {row['kept_lost']:6.0f} "
            f"{row['kept_new']:6.0f} {100 * row['labels_right']:12.1f} %"
        )


if __name__ == "__main__":
    main()
