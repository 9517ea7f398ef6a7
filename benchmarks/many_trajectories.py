"""A run with very many trajectories: time and peak memory of writing it and of its summary.

    python benchmarks/many_trajectories.py [--json] [--into DIR] [--trajectories 1000000] [--tokens 60]
                                           [--pool 80000] [--pool-tokens 2000]

The trajectories are synthetic, made from a seed: answers of the length that the miniature's have, with one tool call
on average, in pools and evaluations of several iterations. They go through the code that every run uses, from
trajectories to Parquet. A second run holds one pool of a real model's size. Writing and `coevolve summary` are
processes of their own, one after the other; the table shows their wall time, CPU time and peak memory (Python with
its libraries included), with the goals next to what was measured. --into keeps the two runs there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np

from coevolve.methods.config import CoevolutionConfig
from coevolve.store.folder import RunFolder
from coevolve.store.trajectories import trajectory_rows
from coevolve.types import StopReason, ToolCall, Trajectory

GOALS = {("summary", 1_000_000): (10.0, 1000.0)}  # wall seconds, MB
ITERATIONS = 5
SAMPLES = 8
STOPS = (StopReason.EOS, StopReason.LENGTH, StopReason.TURNS, StopReason.INFRASTRUCTURE)


def trajectories(count: int, tokens: int, seed: int) -> Iterator[Trajectory]:
    """Answers of ``tokens`` tokens on average, a quarter of them shown by the tool."""
    rng = np.random.default_rng(seed)
    prompt = np.arange(25, dtype=np.int32)
    for n in range(count):
        length = int(rng.integers(tokens // 2, tokens + tokens // 2 + 1))
        ids = rng.integers(0, 1000, length, dtype=np.int32)
        calls = int(rng.integers(0, 3))
        stop = STOPS[int(rng.choice(4, p=(0.9, 0.06, 0.03, 0.01)))]
        yield Trajectory(
            task_id=f"t{n // SAMPLES}",
            sample=n % SAMPLES,
            prompt=prompt,
            tokens=ids,
            mask=rng.random(length) < 0.75,
            logprobs=-rng.random(length, dtype=np.float32),
            text=" ".join(map(str, ids[: length // 2])),
            tool_calls=tuple(ToolCall(f"print({n})", str(n), "error" if n % 7 == 0 else "ok") for _ in range(calls)),
            answer=str(n % 97) if stop is StopReason.EOS else None,
            stop=stop,
            policy="solver-1",
            policy_versions=(3,),
            contract="c0ffee",
        )


class Questions(dict[str, str]):
    """A question for every task, made when it is looked up."""

    def __missing__(self, task_id: str) -> str:
        return f"Let a = 43 * {task_id[1:]}. Let b = the digit sum of a. Find b."


def make(path: Path, count: int, tokens: int) -> None:
    """A run whose phases stored ``count`` trajectories in all; one iteration's pool alone when they are long."""
    iterations = ITERATIONS if count > 100_000 else 1
    kinds = ("pool", "evaluate") if iterations > 1 else ("pool",)
    folder = RunFolder.create(path, CoevolutionConfig(iterations=iterations))
    share, rest = divmod(count, iterations * len(kinds))
    for t in range(1, iterations + 1):
        for kind in kinds:
            phase = f"iteration-{t}/{kind}"
            folder.begin(phase)
            size, rest = share + rest, 0
            rows = trajectory_rows(
                trajectories(size, tokens, seed=t), iteration=t, phase=kind, set=kind, questions=Questions()
            )
            file = folder.write_table(f"trajectories/{kind}-{t}.parquet", rows)
            folder.log({"event": kind, "iteration": t})
            folder.log_timing({"phase": phase, "iteration": t, "wall_s": 1.0})
            folder.finish(phase, [file])
    folder.set_status("finished")
    folder.close()


def measured(command: list[str], output: Path, errors: Path | None = None) -> dict[str, float]:
    """Wall and CPU seconds and peak memory of a process; its output goes to a file, and its errors, if one is named.

    Raises:
        SystemExit: the process failed.
    """
    begin = perf_counter()
    writing, anew = os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644
    redirect = [(os.POSIX_SPAWN_OPEN, 1, str(output), writing, anew)]
    redirect += [(os.POSIX_SPAWN_OPEN, 2, str(errors), writing, anew)] if errors else []
    process = os.posix_spawn(command[0], command, os.environ, file_actions=redirect)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    wall = perf_counter() - begin
    return {"wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1000}


def measure(path: Path, count: int, tokens: int) -> list[dict[str, object]]:
    """One row for writing the run and one for its summary, which must have counted every trajectory."""
    output = path.with_suffix(".json")
    arguments = ["--make", str(path), "--trajectories", str(count), "--tokens", str(tokens)]
    writing = measured([sys.executable, str(Path(__file__).resolve()), *arguments], output)
    size = sum(file.stat().st_size for file in path.rglob("*.parquet")) / 1e6
    summary = measured([sys.executable, "-m", "coevolve", "summary", str(path), "--json"], output)
    counted = json.loads(output.read_text())["trajectories"]["total"]["trajectories"]
    if counted != count:
        raise SystemExit(f"the summary counted {counted} of {count} trajectories")
    facts = {"trajectories": count, "tokens": tokens, "disk_mb": size}
    rows: list[dict[str, object]] = []
    for what, cost in (("write", writing), ("summary", summary)):
        goal = GOALS.get((what, count))
        kept = None if goal is None else cost["wall_s"] <= goal[0] and cost["peak_mb"] <= goal[1]
        rows.append({"what": what, **facts, **cost, "goal": goal, "kept": kept})
    return rows


def show(rows: list[dict[str, object]]) -> None:
    """The table."""
    print(f"{'':8} {'trajectories':>12} {'tokens':>6} {'on disk':>9} {'wall':>8} {'CPU':>8} {'peak':>8}  goal")
    for row in rows:
        goal = row["goal"]
        asked = "" if not isinstance(goal, tuple) else f"<= {goal[0]:.0f} s, {goal[1]:.0f} MB: "
        verdict = {None: "", True: "kept", False: "MISSED"}[row["kept"]]  # type: ignore[index]
        print(
            f"{row['what']:8} {row['trajectories']:12,} {row['tokens']:6,} {row['disk_mb']:6,.0f} MB "
            f"{row['wall_s']:6.1f} s {row['cpu_s']:6.1f} s {row['peak_mb']:5,.0f} MB  {asked}{verdict}"
        )


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument("--into", type=Path, help="keep the runs in this folder")
    parser.add_argument("--trajectories", type=int, default=1_000_000)
    parser.add_argument("--tokens", type=int, default=60, help="mean tokens of one of them")
    parser.add_argument("--pool", type=int, default=80_000, help="trajectories of the second run; 0 = none")
    parser.add_argument("--pool-tokens", type=int, default=2_000)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.make:
        make(asked.make, asked.trajectories, asked.tokens)
        return
    with tempfile.TemporaryDirectory() as scratch:
        into = asked.into or Path(scratch)
        into.mkdir(parents=True, exist_ok=True)
        rows = measure(into / "many", asked.trajectories, asked.tokens)
        rows += measure(into / "long", asked.pool, asked.pool_tokens) if asked.pool else []
    if asked.json:
        print(json.dumps(rows))
    else:
        show(rows)


if __name__ == "__main__":
    main()
