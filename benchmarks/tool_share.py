"""What share of a rollout's wall time the tool takes: the same answers twice, the second time with all results known.

    python benchmarks/tool_share.py [--run RUN] [--rounds 3] [--per-level 60] [--json]

Held-out problems of the default preset, in its rollout workers, by the base model or by the last executor of a run.
The first pass finds an empty cache of results, the second one asks for the same snippets and none is run; the answers
are equal to the last bit (checked). What the first pass takes longer is all that the tool costs: waiting for it, and
the cores that it takes away from the samplers. ``waiting`` is what the loop itself counts as `tool_s`: nothing could
be decoded because a result was due.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np

from coevolve.config import Config
from coevolve.engine.base import Folder
from coevolve.methods.registry import load_config
from coevolve.rollout.asking import solve
from coevolve.rollout.base import RolloutSettings, Snapshot
from coevolve.rollout.service import LocalRollouts
from coevolve.store.checkpoints import RunCheckpoints
from coevolve.store.records import RunRecords
from coevolve.types import SOLVER, Task, Trajectory
from coevolve.worlds.miniature.learner import MiniatureWorld
from coevolve.worlds.miniature.meter import held_out

WARM_UP_SEED, SEED, PROBLEMS = 1, 0, 12_345
Measured = dict[str, float]


def pass_over(
    rollouts: LocalRollouts, policy: Snapshot, tasks: list[Task], samples: int
) -> tuple[list[Trajectory], Measured]:
    """All answers, and seconds: wall, CPU of workers and snippets, waiting for results (mean of the workers)."""
    before, begin = rollouts.cost, time.perf_counter()
    groups = solve(rollouts, policy, tasks, samples, seed=SEED)
    wall, after = time.perf_counter() - begin, rollouts.cost
    return [t for group in groups for t in group], {
        "wall_s": wall,
        "cpu_s": after.cpu_s - before.cpu_s,
        "waiting_s": (after.tool_s - before.tool_s) / after.workers,
        "calls": after.tool_calls - before.tool_calls,
    }


def measured(config: Config, policy: Snapshot, tasks: list[Task], base: Path) -> Measured:
    """One round with fresh workers: nothing is known to them, but everything is loaded."""
    rollouts = LocalRollouts(RolloutSettings.of(config, MiniatureWorld().contract), base)
    try:
        solve(rollouts, policy, tasks[:4], 1, seed=WARM_UP_SEED)
        first, unknown = pass_over(rollouts, policy, tasks, config.evaluation.samples)
        second, known = pass_over(rollouts, policy, tasks, config.evaluation.samples)
    finally:
        rollouts.close()
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.tokens, b.tokens), "the two passes differ, so their times tell nothing"
    return {
        "calls": unknown["calls"],
        "wall_s": unknown["wall_s"],
        "wall_known_s": known["wall_s"],
        "share_of_wall": 1 - known["wall_s"] / unknown["wall_s"],
        "share_of_cpu": 1 - known["cpu_s"] / unknown["cpu_s"],
        "share_waiting": unknown["waiting_s"] / unknown["wall_s"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", type=Path, help="a finished run, of which the last executor answers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-level", type=int, default=60)
    parser.add_argument("--wait-steps", type=int, help="in place of the preset's tool.wait_steps")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    config = load_config("mini", overrides=[f"tool.wait_steps={options.wait_steps}"] if options.wait_steps else [])
    base = MiniatureWorld().base_model()
    tasks = [
        task
        for level in range(1, config.evaluation.levels + 1)
        for task in held_out(level, options.per_level, PROBLEMS)
    ]
    if options.run:
        folder = RunRecords.open(options.run)
        policy = RunCheckpoints(folder, base).weights(SOLVER, folder.config.iterations)
    else:
        policy = Snapshot("base", 0, Folder(base))
    rounds = [measured(config, policy, tasks, base) for _ in range(options.rounds)]
    found = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    if options.json:
        print(json.dumps({"policy": policy.name, "rounds": rounds, "median": found}))
        return
    print(f"{policy.name}: {found['calls']:,.0f} tool calls; medians of {options.rounds} rounds (lowest to highest)")
    for name in ("wall_s", "wall_known_s"):
        print(
            f"{name:16}{found[name]:8.2f}  ({min(r[name] for r in rounds):.2f} to {max(r[name] for r in rounds):.2f})"
        )
    for name in ("share_of_wall", "share_of_cpu", "share_waiting"):
        low, high = min(r[name] for r in rounds), max(r[name] for r in rounds)
        print(f"{name:16}{100 * found[name]:7.1f} %  ({100 * low:.1f} to {100 * high:.1f})")


if __name__ == "__main__":
    main()
