"""What storing and logging cost: the share of the default run's time, each kind of write alone, and each tracker.

    python benchmarks/store.py [--json] [--run RUN] [--rows 1000]

The share is what a run's own timings.jsonl says (`store_s` of `wall_s`), with its goal; without --run the default
run is made first, which takes some minutes. The second table writes what a `mini` run writes, into a temporary folder,
and shows the median of each kind. A tracker works in a process of its own: the third table shows the CPU time that it
takes to start and per row, and what starting it costs the run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

from many_trajectories import Questions, measured, trajectories

from coevolve.config import TrackSection
from coevolve.methods.config import CoevolutionConfig
from coevolve.monitor.summary import summarise
from coevolve.monitor.tracking.processes import PACKAGES, Trackers
from coevolve.store.folder import RunFolder
from coevolve.store.trajectories import trajectory_rows

GOAL = 0.05
REPEATS = 15
ROW = {
    "event": "pool",
    "iteration": 1,
    **{f"number_{n}": n / 7 for n in range(20)},
    "p_hat_histogram": list(range(11)),
    "topics": {f"topic {n}": n for n in range(12)},
}


def share(run: Path) -> dict[str, object]:
    """Seconds of storing and of everything, from the run's own timings."""
    summary = summarise(run)
    stored, wall = summary["time"]["store_s"], summary["wall_s"]  # type: ignore[index]
    return {"run": run.name, "store_s": stored, "wall_s": wall, "share": stored / wall, "kept": stored <= GOAL * wall}


def default_run(path: Path) -> Path:
    """The default run, with no tracker."""
    measured(
        [sys.executable, "-m", "coevolve", "run", "agent0", "--quiet", "--set", f"run.dir={path}"], Path(os.devnull)
    )
    return path


def writes(path: Path) -> list[dict[str, object]]:
    """Median seconds of each kind of write that a run makes."""
    folder, number = RunFolder.create(path, CoevolutionConfig()), count()
    answers = list(trajectories(2048, 35, seed=0))
    weights, moments = os.urandom(2_460_000), os.urandom(4_940_000)

    def pool() -> None:
        rows = trajectory_rows(answers, iteration=1, phase="pool", set="pool", questions=Questions())
        folder.write_table(f"trajectories/pool-{next(number)}.parquet", rows)

    def checkpoint() -> None:
        def fill(into: Path) -> None:
            (into / "model.safetensors").write_bytes(weights)
            (into / "optimizer.pt").write_bytes(moments)

        folder.save_folder("checkpoints/iteration-1/proposer", fill)

    def phase() -> None:
        name = f"phase-{next(number)}"
        folder.begin(name)
        folder.finish(name, [])

    kinds: list[tuple[str, Callable[[], None]]] = [
        ("a phase begun and finished", phase),
        ("a row of metrics.jsonl", lambda: folder.log(ROW)),
        ("a pool of 2,048 trajectories", pool),
        ("a checkpoint with optimiser", checkpoint),
    ]
    rows = []
    for name, write in kinds:
        if write is not phase and not rows[1:]:
            folder.begin("open")
        times = [timed(write) for _ in range(REPEATS)]
        wall, cpu = (median(column) for column in zip(*times, strict=True))
        rows.append({"write": name, "wall_ms": 1000 * wall, "cpu_ms": 1000 * cpu})
    folder.close()
    return rows


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds of this process."""
    wall, cpu = perf_counter(), process_time()
    work()
    return perf_counter() - wall, process_time() - cpu


def trackers(path: Path, rows: int) -> list[dict[str, object]]:
    """CPU seconds of each tracker's process to start and per row; wall seconds of the run's process to start it."""
    found = []
    for name in PACKAGES:
        start = follower(path / f"{name}-none", name, 1)
        whole = follower(path / f"{name}-all", name, rows + 1)
        begin = perf_counter()
        begun = Trackers(path / f"{name}-all", TrackSection(to=[name]), print)  # type: ignore[list-item]
        started = perf_counter() - begin
        begun.finish("finished")
        per_row = (whole["cpu_s"] - start["cpu_s"]) / rows
        found.append(
            {
                "tracker": name,
                "start_cpu_s": start["cpu_s"],
                "row_cpu_ms": 1000 * per_row,
                "run_ms": 1000 * started,
            }
        )
    return found


def follower(run: Path, name: str, rows: int) -> dict[str, float]:
    """What the process of a tracker costs that logs so many rows of a finished run."""
    folder = RunFolder.create(run, CoevolutionConfig())
    folder.begin("a")
    for _ in range(rows):
        folder.log(ROW)
    folder.finish("a", [])
    folder.close()
    with told("finished"):
        command = [sys.executable, "-m", "coevolve.monitor.tracking.following", str(run), name, str(os.getpid())]
        return measured(command, run / "output", run / "said")


@contextmanager
def told(word: str) -> Iterator[None]:
    """Standard input of the processes that are started in the block."""
    read, write = os.pipe()
    os.write(write, f"{word}\n".encode())
    os.close(write)
    kept = os.dup(0)
    os.dup2(read, 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(read)


def show(content: dict[str, object]) -> None:
    """The three tables."""
    run: Any = content["share"]
    verdict = f"goal <= {100 * GOAL:.0f} %: {'kept' if run['kept'] else 'MISSED'}"
    seconds = f"{run['store_s']:.2f} s of {run['wall_s']:.1f} s"
    print(f"storing in {run['run']}: {seconds} = {100 * run['share']:.1f} %   {verdict}")
    print(f"\n{'write':32} {'wall':>10} {'CPU':>10}")
    for row in content["writes"]:  # type: ignore[attr-defined]
        print(f"{row['write']:32} {row['wall_ms']:7.2f} ms {row['cpu_ms']:7.2f} ms")
    print(f"\n{'tracker':12} {'start, CPU':>11} {'a row, CPU':>11} {'start, in the run':>18}")
    for row in content["trackers"]:  # type: ignore[attr-defined]
        print(f"{row['tracker']:12} {row['start_cpu_s']:9.2f} s {row['row_cpu_ms']:8.2f} ms {row['run_ms']:15.1f} ms")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument("--run", type=Path, help="a finished run whose share is shown, instead of a new default run")
    parser.add_argument("--rows", type=int, default=1000, help="metrics rows that each tracker logs")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        content: dict[str, object] = {
            "share": share(asked.run or default_run(folder / "default")),
            "writes": writes(folder / "writes"),
            "trackers": trackers(folder, asked.rows),
        }
    if asked.json:
        print(json.dumps(content))
    else:
        show(content)


if __name__ == "__main__":
    main()
