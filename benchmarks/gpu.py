"""What one GPU makes of a real model's sizes: training and sampling against its peak, memory against the plan.

    python benchmarks/gpu.py [--family qwen3-4b] [--json]
    python benchmarks/gpu.py --tiny              every line of it on CPU with a tiny model; the numbers mean nothing
    python benchmarks/gpu.py --layers 2          every line of it on the GPU in two minutes; the numbers mean little
    python benchmarks/gpu.py --parts sampling    where time is short

Weights are random (a folder like that of `coevolve world random-model`, in a temporary place), tokens too.

check      before anything is timed, in fp32 on a tiny model: the texts of recorded steps against those of the same
           steps kernel by kernel (on CPU: of a cache that grows), and their log-probabilities against the trainer's.
training   rows of 4,096 tokens through the trainer: an adapter as in the preset qwen3-4b-1gpu, and all weights where
           they fit, with moments of 8 bits where 32 do not. MFU counts useful operations only: with an adapter 4 per
           number and token, else 6. Peak memory is what torch's allocator had handed out at most, against the plan's
           same parts.
sampling   128 texts of 2,048 tokens, against the time it takes to read all matrices and the past of every row at each
           step. Recording of CUDA graphs is part of the time, and told.
iteration  one iteration of Agent0 at reduced counts with sandbox, votes and both trainings: where the time goes, and
           the most memory of it against the plan.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from gpu_parts import CARDS, Bench, Card, Row, Sizes, check, clear, handed_out, sampling, training

from coevolve.config import Config
from coevolve.engine.hub import FAMILIES
from coevolve.engine.planning.budget import memory_plan
from coevolve.engine.planning.devices import gpus, why_no_gpu
from coevolve.methods.registry import load_config
from coevolve.monitor.progress import SilentProgress
from coevolve.runs import driver
from coevolve.runs.plan import shape_of, workload
from coevolve.worlds.open.stand_in.build import StandIn, build_stand_in

PARTS = ("training", "sampling", "iteration")
MFU_AIM, BANDWIDTH_AIM, MEMORY_AIM = 0.45, 0.5, 0.1
MISSING = "these figures are missing until somebody runs this on a GPU; --tiny shows on CPU that the script works"
TINY_CARD = Card(1.0, 10.0)  # of no real device: only so that every line is computed


BOTH = """
    iterations=1 proposer.steps=1 solver.steps=1 gate.lower=0.0 gate.upper=1.0 health.probe=0 grading.symbolic=off
"""
FULL = Sizes(
    StandIn(dtype="bfloat16"),
    rows=8,
    length=4096,
    steps=4,
    texts=128,
    tokens=2048,
    run=BOTH
    + """
    sampling.max_tokens=1024 sampling.question_tokens=256 proposer.questions=32 proposer.votes=4
    pool.size=64 pool.votes=4 solver.tasks=8 solver.group_size=8
    """,
)
TINY = Sizes(
    StandIn(layers=2, hidden=64, vocabulary=2000),
    rows=2,
    length=48,
    steps=1,
    texts=4,
    tokens=24,
    run=BOTH
    + """
    model.dtype=float32 engine.device=cpu engine.threads=1 engine.max_rows=32 engine.micro_batch_tokens=512
    engine.probe_tolerance=1e-4 tool.max_turns=2 tool.observation_tokens=48 sandbox.preload=[]
    sampling.max_tokens=64 sampling.question_tokens=32 proposer.questions=8 proposer.votes=2
    pool.size=24 pool.votes=4 solver.tasks=2 solver.group_size=4 evaluation.pool_samples=1
    """,
)


def with_engine(config: Config, *, lora: bool, **engine: object) -> Config:
    """The configuration with other keys of the engine."""
    section = config.lora.model_copy(update={"enabled": lora})
    # No KL term here: its forward pass and its reference are not what is measured.
    free = {name: getattr(config, name).model_copy(update={"kl": 0.0}) for name in ("proposer", "solver")}
    return config.model_copy(update={"lora": section, "engine": config.engine.model_copy(update=engine), **free})


def iteration(bench: Bench, place: Path) -> list[Row]:
    """The phases of one iteration and where their time went."""
    clear()
    run = bench.config.run.model_copy(update={"dir": str(place / "run")})
    config = bench.config.model_copy(update={"run": run})
    seconds, peak = bench.timed(lambda: driver.start(config, SilentProgress()) and None)
    lines = (place / "run" / "timings.jsonl").read_text(encoding="utf-8").splitlines()
    keys = ("wall_s", "sample_s", "train_s", "tool_s", "grade_s", "store_s", "other_s", "tokens_sampled", "tool_calls")
    rows = [json.loads(line) for line in lines]
    phases: list[Row] = [{"part": "iteration", "what": row["phase"], **{k: row[k] for k in keys}} for row in rows]
    planned_peak = max(
        handed_out(memory_plan(bench.shape, workload(config)), when) for when in ("training", "sampling")
    )
    whole = {"wall_s": seconds, "peak_bytes": peak or None, "planned_bytes": planned_peak}
    return [*phases, {"part": "iteration", "what": "all of it", **whole}]


def measure(
    family: str, sizes: Sizes, *, tiny: bool, card: Card | None, memory: int, parts: Collection[str]
) -> Iterator[Row]:
    """One part after the other; each row when it is known, so that a part that fails takes none along."""
    with tempfile.TemporaryDirectory(prefix="coevolve-bench-") as name:
        small, device = TINY.model, "cpu" if tiny else "cuda"
        build_stand_in(Path(name) / "small", StandIn(family, small.layers, small.hidden, small.vocabulary))
        yield check(Path(name) / "small", device, 30 if tiny else 300)
    with tempfile.TemporaryDirectory(prefix="coevolve-bench-") as name:
        folder = Path(name) / "model"
        what = sizes.model
        build_stand_in(folder, StandIn(family, what.layers, what.hidden, what.vocabulary, dtype=what.dtype))
        config = load_config("qwen3-4b-1gpu", None, [f"model.path={folder}", *sizes.run.split()])
        shape = shape_of(config)
        assert shape is not None
        bench = Bench(folder, shape, config, card, memory, sizes)
        for part, measured in (("training", _trainings), ("sampling", _samplings)):
            yield from measured(bench) if part in parts else ()
        if "iteration" in parts:
            yield from iteration(bench, Path(name))


def _trainings(bench: Bench) -> Iterator[Row]:
    yield training(bench, "adapter", with_engine(bench.config, lora=True))
    yield training(bench, "adapter, checkpoints", with_engine(bench.config, lora=True, checkpointing=True))
    row = training(bench, "all weights", with_engine(bench.config, lora=False, checkpointing=True))
    yield row
    if "note" in row:
        small = with_engine(bench.config, lora=False, checkpointing=True, optimizer="adamw-8bit")
        yield training(bench, "all weights, moments of 8 bits", small)


def _samplings(bench: Bench) -> Iterator[Row]:
    yield sampling(bench, "whole model", with_engine(bench.config, lora=False))
    yield sampling(bench, "with an adapter", with_engine(bench.config, lora=True))


def _line(row: Row) -> str:
    line = f"{row['part']:<10} {row['what']:<32}"
    if "note" in row:
        return line + str(row["note"])
    if row["part"] == "check":
        return f"{line}{row['tokens']} tokens; log-probabilities of sampler and trainer within {row['gap']:.1e}"
    if row["part"] in ("training", "sampling"):
        return line + "  ".join(_measured(row))
    if row["what"] == "all of it":
        return line + "  ".join([f"wall {row['wall_s']:.1f} s", *_memory(row)])
    seconds = ("wall_s", "sample_s", "train_s", "tool_s", "grade_s", "store_s", "other_s")
    return line + "  ".join(f"{name[:-2]} {row[name]:.1f} s" for name in seconds)


def _measured(row: Row) -> list[str]:
    out = [f"{row['tokens_per_s']:,.0f} tokens/s"]
    if row["part"] == "training" and "mfu" in row:
        out.append(f"MFU {row['mfu']:.1%} (aim {MFU_AIM:.0%})")
    if row["part"] == "sampling" and "share" in row:
        out.append(f"{row['share']:.1%} of the bandwidth (aim {BANDWIDTH_AIM:.0%})")
    if row.get("graphs"):
        out.append(f"{row['graphs']} graphs recorded in {row['recording_s']:.1f} s")
    return out + _memory(row)


def _memory(row: Row) -> list[str]:
    if not row.get("peak_bytes") or "planned_bytes" not in row:
        return []
    off = row["peak_bytes"] / row["planned_bytes"] - 1
    return [f"{row['peak_bytes'] / 1e9:.1f} GB, {off:+.1%} against the plan (aim within {MEMORY_AIM:.0%})"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--family", choices=sorted(FAMILIES), default="qwen3-4b")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes on CPU: that every line works")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=" ".join(PARTS))
    parser.add_argument("--layers", type=int, metavar="N", help="of the model; as in the family by default")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args(arguments)
    found = gpus()
    if not options.tiny and not found:
        print(f"no GPU: {why_no_gpu()}\n{MISSING}")
        return
    card = TINY_CARD if options.tiny else CARDS.get(found[0].name)
    memory = 0 if options.tiny else found[0].total
    where = "CPU, tiny: the numbers mean nothing" if options.tiny else f"{found[0].name}, {memory / 1e9:.0f} GB"
    if card is None:
        print(
            f"{found[0].name} is not in the table of cards (benchmarks/gpu_parts.py): no shares of its peak",
            file=sys.stderr,
        )
    sizes = TINY if options.tiny else FULL
    if options.layers is not None:
        sizes = replace(sizes, model=replace(sizes.model, layers=options.layers))
    rows = measure(options.family, sizes, tiny=options.tiny, card=card, memory=memory, parts=options.parts)
    if options.json:
        print(json.dumps({"device": where, "family": options.family, "rows": list(rows)}))
        return
    print(f"{options.family} on {where}; torch {torch.__version__}", flush=True)
    for row in rows:
        print(_line(row), flush=True)


if __name__ == "__main__":
    main()
