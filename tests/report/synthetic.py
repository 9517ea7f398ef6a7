"""A run folder with plausible numbers, made through the store's own interface and without any model."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from coevolve.config import EvaluationSection
from coevolve.methods.config import CoevolutionConfig
from coevolve.store.folder import RunFolder
from coevolve.store.trajectories import trajectory_rows
from coevolve.types import Trajectory

from .synthetic_answers import HOSTILE, chain, trajectory

ACCURACY = [0.094, 0.41, 0.58, 0.66]
BY_LEVEL = [
    [0.31, 0.11, 0.03, 0.01, 0.01],
    [0.86, 0.62, 0.34, 0.17, 0.06],
    [0.95, 0.84, 0.62, 0.34, 0.15],
    [0.97, 0.93, 0.79, 0.41, 0.20],
]
SKILL = [0.45, 0.8, 0.9]  # how often one step is right when a pool is made


def synthetic_run(path: Path, *, iterations: int = 3, pool: int = 64, votes: int = 8, until: str | None = None) -> Path:
    """Write a run; with ``until`` the run stops before that phase, as one in progress would."""
    config = CoevolutionConfig(iterations=iterations, evaluation=EvaluationSection(samples=8))
    folder = RunFolder.create(path, config)
    folder.set_status("running", sandbox={"landlock": "abi 6", "seccomp": "on", "rlimits": "on"}, contract="9f2c41d0")
    for phase, work in _plan(folder, iterations, pool, votes):
        if phase == until:
            folder.close()
            return path
        folder.begin(phase)
        files = work()
        folder.finish(phase, files)
    folder.set_status("finished")
    folder.close()
    return path


def _plan(folder: RunFolder, iterations: int, pool: int, votes: int) -> list[tuple[str, Callable[[], list[Path]]]]:
    phases: list[tuple[str, Callable[[], list[Path]]]] = [("iteration-0/evaluate", lambda: _evaluation(folder, 0))]
    for t in range(1, iterations + 1):
        phases += [
            (f"iteration-{t}/curriculum", lambda t=t: _curriculum(folder, t)),
            (f"iteration-{t}/pool", lambda t=t: _pool(folder, t, pool, votes)),
            (f"iteration-{t}/executor", lambda t=t: _executor(folder, t)),
            (f"iteration-{t}/evaluate", lambda t=t: _evaluation(folder, t)),
        ]
    return phases


def _timing(folder: RunFolder, t: int, name: str, scale: float) -> None:
    folder.log_timing(
        {
            "phase": f"iteration-{t}/{name}",
            "iteration": t,
            "wall_s": 20 * scale,
            "cpu_s": 37 * scale,
            "sample_s": 9.1 * scale,
            "train_s": 6.2 * scale if name in ("curriculum", "executor") else 0.0,
            "tool_s": 2.7 * scale,
            "grade_s": 0.6 * scale,
            "store_s": 0.1 * scale,
            "other_s": 1.3 * scale,
            "tokens_sampled": int(150_000 * scale),
            "tool_calls": int(3000 * scale),
        }
    )


def _curriculum(folder: RunFolder, t: int) -> list[Path]:
    draw = random.Random(10 + t)
    for step in range(1, 11):
        grown = 1 - math.exp(-(step + 10 * (t - 1)) / 9)
        unc, tool, rep = 0.45 + 0.2 * grown, 0.1 + 0.2 * grown, 0.04 + 0.03 * draw.random()
        folder.log(
            {
                "event": "curriculum_step",
                "iteration": t,
                "step": step,
                "steps": 10,
                "reward": unc + tool - rep + draw.gauss(0, 0.02),
                "r_unc": unc + draw.gauss(0, 0.03),
                "r_tool": tool + draw.gauss(0, 0.01),
                "r_rep": rep,
                "format": min(1.0, 0.9 + 0.08 * grown + draw.gauss(0, 0.01)),
                "duplicates": 0.01,
                "p_hat": 0.5,
                "tool_calls": 1 + t / 2,
                "entropy": 1.9 - 0.2 * grown + draw.gauss(0, 0.02),
                "kl": 0.02 * grown + abs(draw.gauss(0, 0.003)),
                "clip_fraction": 0.01,
                "grad_norm": 0.4,
                "zero_groups": 0,
                "tokens_sampled": 9000,
                "tokens_trained": 2000,
            }
        )
    _timing(folder, t, "curriculum", 1.3)
    return []


def _executor(folder: RunFolder, t: int) -> list[Path]:
    draw = random.Random(20 + t)
    for step in range(1, 13):
        grown = 1 - math.exp(-step / 6)
        reward = 0.55 + 0.28 * grown + draw.gauss(0, 0.02)
        folder.log(
            {
                "event": "executor_step",
                "iteration": t,
                "step": step,
                "steps": 12,
                "reward": reward,
                "true_accuracy": reward * (0.9, 0.86, 0.7)[min(t, 3) - 1],
                "entropy": 0.55 - 0.1 * t * grown + draw.gauss(0, 0.01),
                "kl": 0.03 * grown,
                "clip_fraction": 0.004,
                "clip_fraction_by_p_hat": [None, 0.009, 0.006, 0.003, None],
                "tokens_by_p_hat": [0, 2100, 3500, 2900, 0],
                "grad_norm": 0.3,
                "zero_groups": 1,
                "tool_calls": 1 + t / 2,
                "tokens_sampled": 14000,
                "tokens_trained": 9000,
            }
        )
    made = [
        folder.save_folder(
            f"checkpoints/iteration-{t}/{role}", lambda path: (path / "config.json").write_text("{}") and None
        )
        for role in ("proposer", "solver")
    ]
    _timing(folder, t, "executor", 1.0)
    return made


def _evaluation(folder: RunFolder, t: int) -> list[Path]:
    after = min(t, len(ACCURACY) - 1)  # a longer run stays where it is
    accuracy, half = ACCURACY[after], 0.028
    levels = {str(level): value for level, value in enumerate(BY_LEVEL[after], 1)}
    folder.log(
        {
            "event": "evaluation",
            "iteration": t,
            "held_out": {
                "mean_at_8": accuracy,
                "maj_at_8": (0.28, 0.55, 0.66, 0.70)[after],
                "greedy": (0.12, 0.52, 0.64, 0.71)[after],
                "by_level": levels,
                "greedy_by_level": levels,
                "tool_calls": (0.9, 2.1, 2.5, 2.8)[after],
                "tool_calls_by_level": {str(level): (0.5 + t / 6) * level for level in range(1, 6)},
                "n": 300,
                "k": 8,
                "ci95": [accuracy - half, accuracy + half],
            },
            "transfer": {
                "longer": {"mean": accuracy / 3, "n": 40, "ci95": [accuracy / 4, accuracy / 2]},
                "rare operation": {"mean": accuracy * 0.7, "n": 40, "ci95": [accuracy / 2, accuracy]},
            },
            "first_executor_pass_rate": {str(i): (0.64, 0.51, 0.38)[min(i, 3) - 1] for i in range(1, t + 1)} or None,
            "fixed_executor_tool_calls": {str(i): 1.2 + 0.35 * i for i in range(1, t + 1)} or None,
        }
    )
    if t == 0:
        folder.log(
            {
                "event": "control",
                "name": "fence_forced_base",
                "mean_at_8": 0.21,
                "tool_calls": 1.9,
                "n": 300,
                "ci95": [0.18, 0.24],
            }
        )
    _timing(folder, t, "evaluate", 0.6)
    rows = [{"set": "level-1", "task_id": f"h{i}", "question": "Find a.", "truth": "7"} for i in range(3)]
    return [folder.write_table(f"meter/evaluation-{t}.parquet", rows)]


def _pool(folder: RunFolder, t: int, size: int, votes: int) -> list[Path]:
    draw = random.Random(30 + t)
    made = [_task(draw, t, number, votes) for number in range(size)]
    tasks, trajectories, meters = zip(*made, strict=True)
    kept = [task["kept"] for task in tasks]
    right = [meter["label_right"] for meter in meters]
    bins = Counter(round(10 * task["p_hat"]) for task in tasks)
    folder.log(
        {
            "event": "pool",
            "iteration": t,
            "size": size,
            "kept": sum(kept),
            "label_accuracy_kept": float(np.mean([r for r, k in zip(right, kept, strict=True) if k] or [0])),
            "label_accuracy_all": float(np.mean(right)),
            "well_formed": 0.93 + 0.01 * t,
            "duplicates": 0.02,
            "p_hat_histogram": [bins[i] for i in range(11)],
            "tool_calls": 1.1 + 0.4 * t,
            "steps_histogram": dict(sorted(Counter(str(task["steps"]) for task in tasks).items())),
            "topics": dict(Counter(task["topic"] for task in tasks)),
            "reasons": dict(Counter(task["reason"] for task in tasks)),
            "own_answer_agreement": None,
        }
    )
    _timing(folder, t, "pool", 0.5)
    flat = [trajectory for group in trajectories for trajectory in group]
    rows = trajectory_rows(
        flat,
        iteration=t,
        phase=f"iteration-{t}/pool",
        set="pool",
        questions={task["task_id"]: task["question"] for task in tasks},
    )
    return [
        folder.write_table(f"tasks/iteration-{t}.parquet", tasks),
        folder.write_table(f"trajectories/pool-{t}.parquet", rows),
        folder.write_table(f"meter/tasks-{t}.parquet", meters),
        folder.write_table(
            f"meter/first-executor-{t}.parquet", [{"task_id": row["task_id"], "pass_rate": 0.5} for row in meters]
        ),
    ]


def _task(draw: random.Random, t: int, number: int, votes: int) -> tuple[dict, list[Trajectory], dict]:
    steps = min(5, 1 + int(draw.triangular(0, 1 + t * 1.3, t * 0.6)))
    expressions, values, question = chain(draw, steps)
    task_id = f"i{t}-{number:04d}"
    group = [
        trajectory(draw, task_id, sample, expressions, values, SKILL[min(t, 3) - 1], number == 0)
        for sample in range(votes)
    ]
    counts = Counter(one.answer for one in group if one.answer is not None)
    ranked = counts.most_common()
    label = ranked[0][0] if ranked else None
    p_hat = ranked[0][1] / votes if ranked else 0.0
    reason = "no_answer" if label is None else "kept" if 0.3 <= p_hat <= 0.8 else "outside the gate"
    task = {
        "iteration": t,
        "task_id": task_id,
        "question": f"{question} {HOSTILE}" if number == 0 else question,
        "steps": steps,
        "topic": draw.choice(["mul", "mod", "digits", "lcm"]),
        "well_formed": number % 17 != 5,
        "duplicate": number % 31 == 7,
        "reserved": False,
        "proposed_answer": None,
        "p_hat": p_hat,
        "label": label,
        "counts": ranked,
        "valid": sum(counts.values()),
        "k": votes,
        "tied": len(ranked) > 1 and ranked[0][1] == ranked[1][1],
        "kept": reason == "kept",
        "reason": reason,
        "tool_calls": float(np.mean([len(one.tool_calls) for one in group])),
    }
    truth = str(values[-1])
    meter = {"task_id": task_id, "truth": truth, "label_right": label == truth}
    return task, group, meter
