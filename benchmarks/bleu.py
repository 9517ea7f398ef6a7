"""Distances between all questions of a batch: ours against nltk's sentence BLEU, one pair at a time.

    python benchmarks/bleu.py [--json] [--sizes 128 512 2048]

The texts are written here, from a seed: word problems of a few templates with other names, numbers and
endings, so that many pairs share n-grams. nltk is timed on a sample of pairs; its time for a whole batch is
that times the number of pairs. `shares` is the whole penalty: distances, clusters and their sizes.

The second table is measured in processes of their own, one after the other: seconds of the processor (each uses one
core, so that other work on the machine does not change the verdict) and peak memory (with Python and
scipy, about 110 MB) of clustering a batch from all distances (dense) and by components (sparse), and of finding the
nearest question of an archive. Dense clustering has goals, which stand next to what was measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from time import perf_counter, process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core, also for the linear algebra below

import numpy as np
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from scipy.spatial.distance import squareform

from coevolve.curriculum.bleu import condensed_distance, words
from coevolve.curriculum.neighbours import nearest_distances
from coevolve.curriculum.similarity import cluster_shares, dense_clusters, sparse_clusters

GOALS = {("dense", 2048): (5.0, 2048.0), ("dense", 8192): (60.0, 2048.0)}  # seconds, MB
ALONE = [*GOALS, ("sparse", 2048), ("sparse", 8192), ("nearest", 512), ("nearest", 8192)]
NEW_QUESTIONS = 256  # a pool of the miniature, against an archive

NAMES = ["Ada", "Ben", "Chloe", "Dmitri", "Elif", "Farid", "Grace", "Hugo", "Ines", "Jun"]
THINGS = ["apples", "books", "coins", "dice", "eggs", "flowers", "games", "hats", "icons", "jars"]
PLACES = ["market", "school", "harbour", "garden", "library", "station", "museum", "kitchen"]
OPENINGS = [
    "{name} goes to the {place} with {a} {things} and comes back with {b} more {things} in a bag",
    "At the {place} , {name} counts {a} {things} in the first row and {b} {things} in every other row",
    "A box in the {place} holds {a} {things} , and {name} adds {b} {things} on each of {c} days",
    "{name} shares {a} {things} fairly among {b} friends at the {place} and keeps what is left over",
]
MIDDLES = [
    ". On the way home {c} of them are lost , but {other} finds half of these again the next morning",
    ". {other} says that this is exactly {c} fewer than the number of {things} at the {place} last year",
    ". Then {other} takes every third one of the {things} and puts {c} of them into a drawer",
    "",
]
ENDINGS = [
    ". How many {things} does {name} have in the end ?",
    ". What is the remainder when the number of {things} is divided by {c} ?",
    ". Find the smallest number of {things} for which {other} can be right .",
]


def questions(count: int, seed: int) -> list[str]:
    """Word problems of 20 to 60 tokens."""
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(count):
        template = "".join(str(rng.choice(parts)) for parts in (OPENINGS, MIDDLES, ENDINGS))
        names = rng.choice(NAMES, 2, replace=False)
        numbers = rng.integers(2, 400, 3)
        texts.append(
            template.format(
                name=names[0],
                other=names[1],
                place=rng.choice(PLACES),
                things=rng.choice(THINGS),
                a=numbers[0],
                b=numbers[1],
                c=numbers[2],
            )
        )
    return texts


def nltk_distance(hypothesis: str, reference: str) -> float:
    """1 - sentence BLEU of one pair, as the published code of Agent0 computes it."""
    smoothing = SmoothingFunction(epsilon=0.1).method1
    return 1.0 - float(sentence_bleu([reference.split()], hypothesis.split(), smoothing_function=smoothing))


def sampled_pairs(size: int, count: int, seed: int) -> list[tuple[int, int]]:
    """Pairs i < j of a batch."""
    rng = np.random.default_rng(seed)
    drawn = (rng.choice(size, 2, replace=False) for _ in range(count))
    return [(int(pair.min()), int(pair.max())) for pair in drawn]


def measure(size: int, pairs_timed: int, seed: int) -> dict[str, float]:
    """One row of the table."""
    texts = questions(size, seed)
    started = perf_counter()
    distance = squareform(condensed_distance(words(texts)), checks=False)
    ours = perf_counter() - started
    started = perf_counter()
    cluster_shares(texts)
    shares = perf_counter() - started
    pairs = sampled_pairs(size, pairs_timed, seed)
    started = perf_counter()
    expected = [nltk_distance(texts[i], texts[j]) for i, j in pairs]
    per_pair = (perf_counter() - started) / len(pairs)
    all_pairs = size * (size - 1) // 2
    return {
        "batch": size,
        "pairs": all_pairs,
        "ours_s": ours,
        "shares_s": shares,
        "nltk_s_per_pair": per_pair,
        "nltk_s": per_pair * all_pairs,
        "ratio": per_pair * all_pairs / ours,
        "max_difference": max(abs(distance[i, j] - value) for (i, j), value in zip(pairs, expected, strict=True)),
    }


def largest_difference(count: int, seed: int) -> float:
    """Largest difference to nltk among ``count`` texts: all neighbours and all pairs five apart."""
    texts = questions(count, seed)
    distance = squareform(condensed_distance(words(texts)), checks=False)
    pairs = [(i, i + step) for step in (1, 5) for i in range(count - step)]
    return max(abs(float(distance[i, j]) - nltk_distance(texts[i], texts[j])) for i, j in pairs)


def work_alone(task: str, size: int, seed: int) -> dict[str, float]:
    """Seconds of the processor and peak memory of one task, in this process."""
    texts = questions(size + NEW_QUESTIONS, seed)
    started = process_time()
    if task == "nearest":
        nearest_distances(texts[size:], texts[:size])
    else:
        (dense_clusters if task == "dense" else sparse_clusters)(texts[:size])
    seconds = process_time() - started
    status = Path("/proc/self/status").read_text()  # getrusage would count the memory of the parent before exec
    return {"seconds": seconds, "peak_mb": int(status.split("VmHWM:")[1].split()[0]) / 1024}


def measure_alone(task: str, size: int, seed: int) -> dict[str, float | str | bool]:
    """The same in a process of its own, with its goals where it has some."""
    command = [sys.executable, __file__, "--alone", task, str(size), "--seed", str(seed)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    row: dict[str, float | str | bool] = {"task": task, "batch": size, **found}
    if (task, size) in GOALS:
        seconds, peak_mb = GOALS[task, size]
        met = found["seconds"] <= seconds and found["peak_mb"] <= peak_mb
        row |= {"must_seconds": seconds, "must_peak_mb": peak_mb, "met": met}
    return row


def print_alone(row: dict[str, float | str | bool]) -> None:
    """One row of the second table."""
    line = f"{row['task']:>8} {row['batch']:8,} {row['seconds']:8.2f} s {row['peak_mb']:8,.0f} MB"
    if "met" in row:
        line += f"   must: {row['must_seconds']:.0f} s, {row['must_peak_mb']:,.0f} MB: {'yes' if row['met'] else 'NO'}"
    print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512, 1024, 2048], help="batch sizes")
    parser.add_argument("--pairs", type=int, default=2000, help="pairs on which nltk is timed and compared")
    parser.add_argument("--seed", type=int, default=0, help="seed of the texts")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--alone", nargs=2, metavar=("TASK", "SIZE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        print(json.dumps(work_alone(arguments.alone[0], int(arguments.alone[1]), arguments.seed)))
        return
    warnings.simplefilter("ignore")  # nltk warns about every pair without a common 4-gram
    questions_500 = largest_difference(500, arguments.seed)
    cluster_shares(questions(64, arguments.seed))  # first call pays for loading scipy
    rows = [measure(size, arguments.pairs, arguments.seed) for size in arguments.sizes]
    alone = [measure_alone(task, size, arguments.seed) for task, size in ALONE]
    if arguments.json:
        print(json.dumps({"rows": rows, "alone": alone, "max_difference_500_texts": questions_500}))
        return
    print(" batch      pairs      ours     shares  nltk/pair       nltk   ratio  max diff")
    for row in rows:
        print(
            f"{row['batch']:6.0f} {row['pairs']:10,.0f} {row['ours_s']:7.2f} s {row['shares_s']:8.2f} s"
            f" {row['nltk_s_per_pair'] * 1e6:7.0f} us {row['nltk_s']:8.1f} s {row['ratio']:7.0f}"
            f" {row['max_difference']:9.0e}"
        )
    print(f"largest difference to nltk over 500 texts: {questions_500:.0e}")
    print("\n    task    texts  processor         peak")
    for found in alone:
        print_alone(found)


if __name__ == "__main__":
    main()
