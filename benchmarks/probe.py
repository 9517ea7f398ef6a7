"""How often the rollback gate errs, by simulation, what it costs, and what it does in a run that is spoiled.

python benchmarks/probe.py                  false alarms and what is noticed, simulated (seconds)
python benchmarks/probe.py --cost RUN       CPU time of the probe in a finished run, measured again
python benchmarks/probe.py --runs FOLDER    two small real runs without a trained curriculum: one as it is, one with
                                            a hundred times the learning rate in iteration 2 (a minute)
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coevolve.config import HealthSection
from coevolve.monitor.summary import summarise
from coevolve.statistics import PAIRED_COVERAGE, paired_comparison

TRIALS = 4000
# How the executor's chance to agree is spread over tasks (Beta distributions), from a beginner to a master.
SPREADS = {"agrees with 20 %": (0.5, 2.0), "agrees with 50 %": (1.0, 1.0), "agrees with 90 %": (4.5, 0.5)}
SHORT = (
    "pool.size=80", "pool.votes=8", "proposer.train=false", "solver.steps=6", "solver.tasks=8",
    "solver.group_size=8", "evaluation.levels=3", "evaluation.per_level=20", "evaluation.samples=4",
    "evaluation.pool_samples=0", "evaluation.forced_fence=false",
)  # fmt: skip


def rejected_share(spread: tuple[float, float], drop: float, iterations: int, *, health: HealthSection) -> float:
    """Share of runs in which the gate rejects an executor, when iteration by iteration nothing changes.

    In the last iteration each task's chance to agree falls by the factor ``1 - drop``. All answers are drawn
    independently, which is the worst case: real executors answer with the same random numbers.
    """
    draw = np.random.default_rng(0)
    tasks, samples, rejected = health.probe, health.probe_samples, 0
    for _ in range(TRIALS):
        chance = draw.beta(*spread, size=tasks)
        best = draw.binomial(samples, chance) / samples
        for t in range(iterations):
            now = chance * (1 - drop) if t == iterations - 1 else chance
            new = draw.binomial(samples, now) / samples
            if paired_comparison(new, best).worse:
                again, best_again = draw.binomial(samples, [now, chance]) / samples
                if paired_comparison(again, best_again).worse:
                    rejected += 1
                    break
            best = new if new.mean() >= best.mean() else best
    return rejected / TRIALS


def print_simulation() -> None:
    """The table of false alarms and of drops that are noticed."""
    health = HealthSection()
    print(
        f"{health.probe} tasks, {health.probe_samples} answers each, "
        f"{100 * PAIRED_COVERAGE:.0f} % interval, {TRIALS} trials"
    )
    columns = [("false alarm, 1 comparison", 0.0, 1), ("3 iterations", 0.0, 3), ("10 iterations", 0.0, 10)]
    columns += [(f"noticed: {100 * drop:.0f} % fewer agree", drop, 1) for drop in (0.1, 0.2, 0.5, 0.9)]
    print(" | ".join(["", *(name for name, _, _ in columns)]))
    for name, spread in SPREADS.items():
        shares = [rejected_share(spread, drop, iterations, health=health) for _, drop, iterations in columns]
        print(" | ".join([name, *(f"{100 * share:.1f} %" for share in shares)]))


def run_spoiled(folder: Path, factor: float) -> Path:
    """A run whose executor learns with ``factor`` times the learning rate in iteration 2."""
    from coevolve.methods.phases import train_solver
    from coevolve.methods.registry import load_config
    from coevolve.monitor.progress import SilentProgress
    from coevolve.runs.driver import start

    honest = train_solver.open_policy

    def open_policy(state: Any, agent: Any, iteration: int, section: Any, **how: Any) -> Any:
        policy = honest(state, agent, iteration, section, **how)
        if iteration == 2:
            update = policy.update
            policy.update = lambda batches, lrs: update(batches, [factor * lr for lr in lrs])
        return policy

    train_solver.open_policy = open_policy
    try:
        return start(load_config("nano", overrides=[*SHORT, f"run.dir={folder}"]), SilentProgress())
    finally:
        train_solver.open_policy = honest


def print_cost(path: Path) -> None:
    """Answer the probe of a run again with each of its executors, as the run did, next to the CPU time of the run."""
    from contextlib import closing

    from coevolve.methods.probe import TASKS
    from coevolve.rollout.asking import solve
    from coevolve.rollout.base import RolloutSettings
    from coevolve.rollout.service import LocalRollouts
    from coevolve.store.checkpoints import RunCheckpoints
    from coevolve.store.records import RunRecords
    from coevolve.types import PROPOSER, SOLVER, Origin, Task
    from coevolve.worlds.miniature.learner import MiniatureWorld

    folder, world = RunRecords.open(path), MiniatureWorld()
    config = folder.config.model_copy(update={"engine": folder.config.engine.model_copy(update={"workers": 1})})
    origin = Origin(config.method, PROPOSER, 1)
    tasks = [Task(str(x["task_id"]), (str(x["question"]),), "chain", origin) for x in folder.read_table(TASKS)]
    checkpoints = RunCheckpoints(folder, world.base_model())
    whole = float(str(summarise(path)["cpu_s"]))
    with closing(LocalRollouts(RolloutSettings.of(config, world.contract), world.base_model())) as rollouts:
        solve(rollouts, checkpoints.weights(SOLVER, 0), tasks[:4], 1, seed=0)  # starts what starts once
        for samples in (2, 4):
            spent = 0.0
            for t in range(config.iterations + 1):
                weights = checkpoints.weights(SOLVER, t)
                before = time.process_time() + rollouts.cost.cpu_s
                solve(rollouts, weights, tasks, samples, seed=t)
                spent += time.process_time() + rollouts.cost.cpu_s - before
            print(f"{len(tasks)} tasks, {samples} answers each, {config.iterations + 1} executors:", end=" ")
            print(f"{spent:.1f} CPU-s, {100 * spent / whole:.1f} % of the {whole:.0f} CPU-s of the run")


def print_run(name: str, path: Path) -> None:
    """What the probe saw and what the executors could do."""
    summary: Any = summarise(path)
    for entry in summary["iterations"]:
        held, probe = entry["held_out"], entry["probe"] or {}
        rolled = f", ROLLED BACK to iteration {entry['rollback']['to']}" if entry["rollback"] else ""
        seen = (
            f"probe {100 * probe['agreement']:.1f} %, best before {100 * probe['best_agreement']:.1f} %"
            if probe
            else ""
        )
        print(f"{name}, iteration {entry['iteration']}: held out {100 * held['mean_at_8']:.1f} %  {seen}{rolled}")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, metavar="FOLDER", help="make the two real runs in this new folder")
    parser.add_argument("--cost", type=Path, metavar="RUN", help="measure the probe of this finished run")
    given = parser.parse_args(arguments)
    if given.cost:
        print_cost(given.cost)
        return
    folder = given.runs
    if folder is None:
        print_simulation()
        return
    for name, factor in (("spoiled", 100.0), ("as it is", 1.0)):
        print_run(name, run_spoiled(folder / name.replace(" ", "-"), factor))


if __name__ == "__main__":
    main()
