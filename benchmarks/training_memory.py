"""Peak memory of a training step: all weights or an adapter, with and without checkpoints, moments of 32 or 8 bits.

    python benchmarks/training_memory.py [--json]

A random Qwen3 of 10 layers (hidden size 384, 20 million weights, 8,192 words) learns from 2 texts of 1,024 tokens, all
in one micro-batch. Every row is a process of its own. What it prints is the highest resident memory during the second
step (the kernel's VmHWM, reset before it) above what the process had with its model loaded and no step made: gradients,
moments and activations are in it, the weights are not. The C library is told to give what is freed back at once.
``time`` is the CPU time of the same step against the first row's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported

import numpy as np

ROWS, LENGTH, RANK = 2, 1024, 16
AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
KINDS = [
    (trained, checkpointing, optimizer)
    for trained in ("all weights", "adapter")
    for optimizer in ("adamw", "adamw-8bit")
    for checkpointing in (False, True)
]


def build(folder: Path) -> None:
    """The model, and a tokenizer that only has as many words."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=8192,
        hidden_size=384,
        intermediate_size=1152,
        num_hidden_layers=10,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=64,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(0)
    Qwen3ForCausalLM(config).save_pretrained(str(folder))
    Tokenizer(models.WordLevel({f"w{i}": i for i in range(8192)}, unk_token="w0")).save(str(folder / "tokenizer.json"))


def step(folder: Path, trained: str, checkpointing: bool, optimizer: str) -> dict[str, float]:
    """Two steps in this process; of the second megabytes above the loaded model, and CPU seconds."""
    from coevolve.config import LoraSection
    from coevolve.engine.local.runtime import use_threads
    from coevolve.engine.local.trainer import LocalTrainer
    from coevolve.types import Batch, TrainRow

    use_threads(1)
    lora = LoraSection(enabled=True, rank=RANK) if trained == "adapter" else None
    trainer = LocalTrainer(
        folder,
        lora=lora,
        checkpointing=checkpointing,
        optimizer=optimizer,  # type: ignore[arg-type]
        micro_batch_tokens=ROWS * LENGTH,
    )
    draw, stream = np.random.default_rng(0), np.ones(LENGTH + 1, np.float32)
    weight = np.full(LENGTH + 1, 1 / (ROWS * LENGTH), np.float32)
    weight[0] = 0
    rows = [
        TrainRow(
            draw.integers(0, 8192, LENGTH + 1).astype(np.int32),
            *(-9 * stream, stream, 0.2 * stream, stream, weight, -9 * stream),
        )
        for _ in range(ROWS)
    ]
    before = resident("VmRSS")
    for _ in range(2):  # the moments are there from the end of the first step on
        Path("/proc/self/clear_refs").write_text("5")  # the highest value begins anew
        begin = time.process_time()
        trainer.forward_backward(Batch(tuple(rows)))
        trainer.step(1e-6)
    return {"mb": (resident("VmHWM") - before) / 1024, "cpu_s": time.process_time() - begin}


def resident(name: str) -> int:
    """A line of /proc/self/status, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--step", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        folder, trained, checkpointing, optimizer = given.step
        print(json.dumps(step(Path(folder), trained, checkpointing == "True", optimizer)))
        return
    found = []
    with tempfile.TemporaryDirectory() as place:
        build(Path(place))
        for trained, checkpointing, optimizer in KINDS:
            command = [sys.executable, __file__, "--step", place, trained, str(checkpointing), optimizer]
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | AT_ONCE)
            measured = json.loads(done.stdout.splitlines()[-1])
            found.append({"trained": trained, "optimizer": optimizer, "checkpointing": checkpointing, **measured})
    if given.json:
        print(json.dumps(found))
        return
    print(f"{'trained':12} {'optimizer':11} {'checkpoints':11} {'MB':>6} {'time':>6}")
    for row in found:
        kept = "yes" if row["checkpointing"] else "no"
        share = float(row["cpu_s"]) / float(found[0]["cpu_s"])
        print(f"{row['trained']:12} {row['optimizer']:11} {kept:11} {float(row['mb']):6.0f} {share:6.2f}")


if __name__ == "__main__":
    main()
