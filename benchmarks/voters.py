"""Whose votes find the truth: the pools of a finished run, answered again by its executors of all ages.

    python benchmarks/voters.py RUN --pools 4 8 [--votes 8] [--lower 0.3 0.4 0.5 0.6] [--json]

RUN is an Agent0 run in the miniature world that still has its checkpoints. Every question that one of the pools asked
is answered ``--votes`` times by the base model and by the executors that the names in ``pool.voters`` stand for. The
first table has the share of right answers by executor. The second has, for sets of voters and a lower bound of p_hat,
how many labels there are, how many of them are true, and on how many of them the current executor is not of one mind:
only those teach it something. Labels are judged by the true answers in RUN/meter, which no rule sees.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from coevolve.config import Voter
from coevolve.curriculum.voting import vote
from coevolve.evaluation.scoring import is_right
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.polling import different_voters
from coevolve.methods.questions import task_of
from coevolve.rollout.asking import solve
from coevolve.rollout.base import RolloutSettings
from coevolve.rollout.seeds import seed_of
from coevolve.rollout.service import LocalRollouts
from coevolve.runs.base_model import base_model, fetch_base
from coevolve.store import tables
from coevolve.store.checkpoints import RunCheckpoints
from coevolve.store.records import RunRecords
from coevolve.types import SOLVER
from coevolve.worlds.registry import open_world

NAMES: tuple[Voter, ...] = ("current", "previous", "middle", "first", "base")
SETS: tuple[tuple[Voter, ...], ...] = (
    ("current",),
    ("current", "previous"),
    ("current", "previous", "base"),
    ("current", "first"),
    ("current", "first", "base"),
    ("current", "middle", "first"),
    ("current", "middle", "first", "base"),
)
_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool: [task] true answers, the iteration of the executor of every name, and by iteration [task] answers."""

    iteration: int
    truths: list[str]
    executors: dict[Voter, int]
    answers: dict[int, list[list[str | None]]]

    def accuracy(self, name: Voter) -> float:
        """Share of a voter's answers that are right."""
        pairs = [
            (a, truth)
            for group, truth in zip(self.answers[self.executors[name]], self.truths, strict=True)
            for a in group
        ]
        return sum(is_right(a, truth) for a, truth in pairs) / len(pairs)

    def labels(self, names: Sequence[Voter], lower: float) -> list[tuple[bool, bool]]:
        """Of every label: is it true, and is the current executor undecided about it?"""
        out = []
        heard = {self.executors[name] for name in names}  # equal ones count once, as in a run
        for n, truth in enumerate(self.truths):
            found = vote([a for executor in sorted(heard) for a in self.answers[executor][n]])
            if found.answer is None or found.p_hat < lower - _SLACK:
                continue
            own = [is_right(a, found.answer) for a in self.answers[self.executors["current"]][n]]
            out.append((is_right(found.answer, truth), 0 < sum(own) < len(own)))
        return out


def asked_again(path: Path, iterations: Sequence[int], votes: int) -> list[Pool]:
    """The pools with the answers of all named voters."""
    folder = RunRecords.open(path)
    engine = folder.config.engine.model_copy(update={"workers": 1})
    config = folder.config.model_copy(update={"engine": engine})
    assert isinstance(config, CoevolutionConfig)
    fetch_base(config.world, config.model.path)
    world = open_world(config.world_settings)
    base = base_model(world)
    checkpoints = RunCheckpoints(folder, base)
    out = []
    with closing(LocalRollouts(RolloutSettings.of(config, world.contract), base)) as rollouts:
        for t in iterations:
            truths = {row["task_id"]: str(row["truth"]) for row in tables.read(path / f"meter/tasks-{t}.parquet")}
            origin = config.origin(t)
            rows = [row for row in folder.read_table(f"tasks/iteration-{t}.parquet") if row["p_hat"] is not None]
            tasks = [
                task_of(world, origin, str(row["task_id"]), str(row["question"]), config.dialogue.turns) for row in rows
            ]
            executors = {
                name: different_voters(folder, [name], t, trained=config.solver.train, probed=config.has_probe)[0]
                for name in NAMES
            }
            answers: dict[int, list[list[str | None]]] = {}
            for at in sorted(set(executors.values())):
                seed = seed_of(config.seed, "asked again", t, at)
                groups = solve(rollouts, checkpoints.weights(SOLVER, at), tasks, votes, seed=seed)
                answers[at] = [[x.answer for x in group] for group in groups]
            out.append(Pool(t, [truths[task.id] for task in tasks], executors, answers))
    return out


def table(pools: Sequence[Pool], bounds: Sequence[float]) -> list[dict[str, object]]:
    """One row per set of voters and bound, with the pools in columns."""
    rows: list[dict[str, object]] = []
    for names in SETS:
        for lower in bounds:
            row: dict[str, object] = {"voters": list(names), "lower": lower, "pools": {}}
            for pool in pools:
                found = pool.labels(names, lower)
                facts = {"labels": len(found), "true": sum(x for x, _ in found), "undecided": sum(y for _, y in found)}
                row["pools"][str(pool.iteration)] = facts  # type: ignore[index]
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pools", type=int, nargs="+", required=True)
    parser.add_argument("--votes", type=int, default=8)
    parser.add_argument("--lower", type=float, nargs="+", default=[0.3, 0.4, 0.5, 0.6])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    pools = asked_again(args.run, args.pools, args.votes)
    rows = table(pools, args.lower)
    accuracy = {name: {str(pool.iteration): pool.accuracy(name) for pool in pools} for name in NAMES}
    if args.json:
        print(json.dumps({"run": str(args.run), "accuracy": accuracy, "labels": rows}))
        return
    print("| right answers, % |" + "".join(f" pool {pool.iteration} |" for pool in pools))
    print("|---|" + "---|" * len(pools))
    for name in NAMES:
        print(f"| {name} |" + "".join(f" {100 * pool.accuracy(name):.0f} |" for pool in pools))
    print("\n| voters | p_hat from |" + "".join(f" labels, true, undecided: pool {pool.iteration} |" for pool in pools))
    print("|---|---|" + "---|" * len(pools))
    for row in rows:
        cells = [
            f" {f['labels']}, {100 * f['true'] / max(1, f['labels']):.0f} %, {f['undecided']} |"
            for f in row["pools"].values()  # type: ignore[attr-defined]
        ]
        print(f"| {', '.join(row['voters'])} | {row['lower']} |" + "".join(cells))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
