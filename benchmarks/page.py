"""The page of a run with very many trajectories: what it costs to make, and how quick it is in a browser.

    python benchmarks/page.py [--json] [--into DIR] [--trajectories 50000 1000000]

The runs are synthetic, made from a seed: three pools of tasks with eight answers each, of the length that the
miniature's have, with the tokens of its own tokenizer. `coevolve report` is a process of its own. First paint is the
median of five loads of the file, from opening it; a filter or a search is timed from the event to the next frame that
could be painted, the slowest of each kind is shown. The goals stand next to what was measured; without chromium and
chromedriver only the making is measured.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from chromium import start_browser
from many_trajectories import measured
from tokenizers import Tokenizer

from coevolve.methods.config import CoevolutionConfig
from coevolve.store.folder import RunFolder
from coevolve.worlds.miniature.learner import MiniatureWorld

ITERATIONS, SAMPLES = 3, 8
GOALS_MS = {"first paint": 2000.0, "filter": 300.0, "search": 300.0}
FILTERS = {
    "filter": [("iteration", "2"), ("label", "wrong"), ("low", "0.5"), ("order", "unsure"), ("fate", "kept")],
    "search": [("text", "remainder"), ("text", "97 12"), ("text", "nothing like it"), ("text", "")],
}
TIMED = """
    const [name, value, done] = arguments;
    const node = document.getElementById(`filter-${name}`);
    node.value = value;
    const start = performance.now();
    node.dispatchEvent(new Event("input", { bubbles: true }));
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
"""


def task_rows(iteration: int, count: int) -> Iterator[dict[str, Any]]:
    """Tasks of one pool, their votes drawn from a seed; the same call gives the same tasks."""
    draw = random.Random(iteration)
    for number in range(count):
        a, b = draw.randint(10, 99), draw.randint(10, 99)
        answers = [str(a * b if draw.random() < 0.6 else a * b + draw.randint(1, 9)) for _ in range(SAMPLES)]
        counts = Counter(answers).most_common()
        p_hat = counts[0][1] / SAMPLES
        kept = 0.3 <= p_hat <= 0.8
        yield {
            "iteration": iteration,
            "task_id": f"i{iteration}-{number}",
            "question": f"Let a = {a} * {b}. Let b = the remainder of a divided by 97. Find a.",
            "steps": draw.randint(1, 5),
            "topic": draw.choice(["product", "remainder", "digit sum", "xor"]),
            "well_formed": True,
            "p_hat": p_hat,
            "label": counts[0][0],
            "counts": counts,
            "forms": [[answer] for answer, _ in counts],
            "valid": SAMPLES,
            "k": SAMPLES,
            "tied": False,
            "kept": kept,
            "reason": "kept" if kept else "outside the gate",
            "tool_calls": 1.0,
            "truth": str(a * b),
            "product": (a, b),
            "answers": answers,
        }


def trajectory_rows(iteration: int, count: int) -> Iterator[dict[str, Any]]:
    """The answers to these tasks, each with a tool call."""
    tokenizer = Tokenizer.from_file(str(MiniatureWorld().base_model() / "tokenizer.json"))
    rng = np.random.default_rng(iteration)
    for task in task_rows(iteration, count):
        a, b = task["product"]
        for sample, answer in enumerate(task["answers"]):
            code = f"print({a} * {b})"
            text = f"a = ```python\n{code}\n```\n```output\n{answer}\n```\nb = {answer}. \\boxed{{{answer}}}"
            tokens = np.array([*tokenizer.encode(text, add_special_tokens=False).ids, 1], np.int32)
            yield {
                "iteration": iteration,
                "phase": "pool",
                "set": "pool",
                "task_id": task["task_id"],
                "question": task["question"],
                "sample": sample,
                "policy": "solver-1",
                "policy_versions": [1],
                "contract": "c0ffee",
                "text": text,
                "answer": answer,
                "stop": "eos",
                "tool_calls": [{"code": code, "observation": answer, "status": "ok"}],
                "prompt": tokens[:4],
                "tokens": tokens,
                "mask": np.ones(len(tokens), np.bool_),
                "logprobs": -rng.exponential(0.2, len(tokens)).astype(np.float32),
            }


def make(path: Path, trajectories: int) -> None:
    """A run with this many trajectories, rounded to whole tasks."""
    folder = RunFolder.create(path, CoevolutionConfig(iterations=ITERATIONS))
    count = trajectories // (ITERATIONS * SAMPLES)
    for t in range(1, ITERATIONS + 1):
        folder.begin(f"iteration-{t}/pool")
        stored = (
            {k: v for k, v in row.items() if k not in ("truth", "product", "answers")} for row in task_rows(t, count)
        )
        known = (
            {"task_id": row["task_id"], "truth": row["truth"], "label_right": row["label"] == row["truth"]}
            for row in task_rows(t, count)
        )
        files = [
            folder.write_table(f"tasks/iteration-{t}.parquet", stored),
            folder.write_table(f"meter/tasks-{t}.parquet", known),
            folder.write_table(f"trajectories/pool-{t}.parquet", trajectory_rows(t, count)),
        ]
        folder.finish(f"iteration-{t}/pool", files)
    folder.set_status("finished")
    folder.close()


def browsed(page: Path) -> dict[str, float]:
    """Milliseconds of first paint, filter and search; nothing where there is no browser."""
    window = start_browser()
    if window is None:
        return {}
    try:
        paints = []
        for _ in range(5):
            window.get(page.as_uri())
            window.execute_async_script(
                "const done = arguments[0];"
                "const wait = () => (document.querySelector('.said') ? done() : setTimeout(wait, 20)); wait();"
            )
            paints.append(
                window.execute_script("return performance.getEntriesByName('first-contentful-paint')[0].startTime")
            )
        slowest = {
            kind: max(window.execute_async_script(TIMED, name, value) for name, value in filters)
            for kind, filters in FILTERS.items()
        }
    finally:
        window.quit()
    return {"first paint": statistics.median(paints)} | slowest


def measure(path: Path, trajectories: int) -> dict[str, Any]:
    """One row of the table."""
    make(path, trajectories)
    cost = measured([sys.executable, "-m", "coevolve", "report", str(path)], path.with_suffix(".txt"))
    page = path / "report" / "index.html"
    return {"trajectories": trajectories, "page_mb": page.stat().st_size / 1e6, **cost, "browser_ms": browsed(page)}


def show(rows: list[dict[str, Any]]) -> None:
    """The table."""
    print(f"{'trajectories':>12} {'page':>8} {'made in':>8} {'CPU':>7} {'peak':>8}   in the browser")
    for row in rows:
        times = [
            f"{name} {taken:.0f} ms (goal {GOALS_MS[name]:.0f}: {'kept' if taken <= GOALS_MS[name] else 'MISSED'})"
            for name, taken in row["browser_ms"].items()
        ]
        print(
            f"{row['trajectories']:12,} {row['page_mb']:5.1f} MB {row['wall_s']:6.1f} s {row['cpu_s']:5.1f} s "
            f"{row['peak_mb']:5.0f} MB   {', '.join(times) or 'needs chromium and chromedriver'}"
        )


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument("--into", type=Path, help="keep the runs in this folder")
    parser.add_argument("--trajectories", type=int, nargs="+", default=[50_000, 1_000_000])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        into = asked.into or Path(scratch)
        into.mkdir(parents=True, exist_ok=True)
        rows = [measure(into / f"run-{count}", count) for count in asked.trajectories]
    if asked.json:
        print(json.dumps(rows))
    else:
        show(rows)


if __name__ == "__main__":
    main()
