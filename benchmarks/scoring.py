"""Scoring many questions together against one question at a time: the same trajectories, CPU seconds, one thread.

    python benchmarks/scoring.py [--json] [--questions 200] [--samples 10]

Both sides use our sampler, loop and sandbox on the embedded base model; the sandbox's CPU time is counted. One question
at a time is how a service that answers one request after the other scores a curriculum batch.
"""

from __future__ import annotations

import argparse
import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from coevolve.config import EngineSection
from coevolve.engine.base import Folder
from coevolve.methods.config import CoevolutionConfig
from coevolve.rollout.asking import solve
from coevolve.rollout.base import RolloutSettings, Snapshot
from coevolve.rollout.service import LocalRollouts
from coevolve.types import Task
from coevolve.worlds.miniature.learner import MiniatureWorld
from coevolve.worlds.miniature.meter import CORPUS_LEVELS, held_out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--samples", type=int, default=10)
    options = parser.parse_args()
    world = MiniatureWorld()
    config = CoevolutionConfig(engine=EngineSection(workers=1))
    rollouts = LocalRollouts(RolloutSettings.of(config, world.contract), world.base_model())
    policy = Snapshot("base", 0, Folder(world.base_model()))
    per_level = -(-options.questions // CORPUS_LEVELS)
    tasks = [t for level in range(1, CORPUS_LEVELS + 1) for t in held_out(level, per_level, 1)][: options.questions]

    def cost(batches: list[list[Task]], seed: int) -> tuple[float, int]:
        begin, before = time.process_time(), rollouts.cost
        for n, batch in enumerate(batches):
            solve(rollouts, policy, batch, options.samples, seed=seed + n)
        after = rollouts.cost
        seconds = time.process_time() - begin + after.cpu_s - before.cpu_s
        return seconds, after.sampled_tokens - before.sampled_tokens

    try:
        cost([tasks[:5]], 0)
        apart, apart_tokens = cost([[task] for task in tasks], 1)
        together, together_tokens = cost([tasks], 10_000)
    finally:
        rollouts.close()
    ratio = (together_tokens / together) / (apart_tokens / apart)
    if options.json:
        print(json.dumps({"together_cpu_s": together, "one_at_a_time_cpu_s": apart, "ratio_tokens_per_cpu_s": ratio}))
        return
    print(f"{options.questions} questions x {options.samples} trajectories, CPU seconds (tokens per CPU-second)")
    print(f"together       {together:8.1f}   ({together_tokens / together:,.0f})")
    print(f"one at a time  {apart:8.1f}   ({apart_tokens / apart:,.0f})")
    print(f"ratio          {ratio:8.2f}")


if __name__ == "__main__":
    main()
