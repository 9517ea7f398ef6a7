"""One training step on a CPU core against a plain loop over transformers, on the same rows: CPU seconds, as ratios.

    python benchmarks/training_step.py [--model FOLDER] [--tasks 2] [--answers 8] [--rounds 1] [--json]

Rows as a language model has them in Agent0: every prompt is 300 tokens that all tasks share (a system line and worked
examples) and 30 of its own; answers of 40 to 72 tokens are a program, an observation that is not trained on, and an
end. Each is done with an adapter of rank 16 on all seven matrices and with all weights, and once more without anything
in common between rows (``prompts apart``: as many rows of a prompt of 30 tokens).

The plain loop: the standard class (with peft's adapter), rows sorted by length and padded on the right, 8 at once,
logits from the first answered token on, ``log_softmax``, the same clipped loss, backward, clipping, AdamW. Ours:
``LocalTrainer``. Both get the same tokens, advantages and old log-probabilities; losses and gradient norms are compared
before anything is timed. ``check`` is the forward pass for the log-probabilities of the same rows, ours alone.

Without --model a random Llama of SmolLM2-135M's width stands in: 3 layers and 8,192 words instead of 30 and 49,152.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported

import numpy as np

from coevolve.types import Batch, TrainRow

SHARED, OWN, ANSWER, OBSERVATION = 300, 30, (40, 72), (6, 12)
CLIP_LOW, CLIP_HIGH, LR, MAX_NORM, RANK, PLAIN_ROWS = 0.2, 0.28, 1e-6, 1.0, 16, 8
Step = Callable[[], dict[str, float]]


def build(folder: Path) -> None:
    """The stand-in, and a tokenizer that only has as many words."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=8192,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=3,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(str(folder))
    Tokenizer(models.WordLevel({f"w{i}": i for i in range(8192)}, unk_token="w0")).save(str(folder / "tokenizer.json"))


def sample(vocabulary: int, tasks: int, answers: int, shared: int, seed: int) -> list[TrainRow]:
    """Random rows of the shapes above; no advantage is 0."""
    draw = np.random.default_rng(seed)
    examples = draw.integers(0, vocabulary, shared)
    rows = []
    for _ in range(tasks):
        prompt = np.concatenate([examples, draw.integers(0, vocabulary, OWN)])
        for _ in range(answers):
            size, seen = int(draw.integers(ANSWER[0], ANSWER[1] + 1)), int(draw.integers(*OBSERVATION))
            tokens = np.concatenate([prompt, draw.integers(0, vocabulary, size)]).astype(np.int32)
            weight = np.ones(len(tokens), np.float32)
            weight[: len(prompt)] = weight[len(prompt) + size // 2 : len(prompt) + size // 2 + seen] = 0
            full = [np.full(len(tokens), x, np.float32) for x in (0.0, draw.normal(), CLIP_LOW, CLIP_HIGH)]
            rows.append(TrainRow(tokens, *full, weight, full[0]))
    total = sum(float(row.weight.sum()) for row in rows)
    for row in rows:
        row.weight[:] /= total
    return rows


def ours(folder: Path, rows: Sequence[TrainRow], *, adapter: bool) -> tuple[Step, Callable[[], float]]:
    """A step of our trainer, and its log-probabilities; gives the rows old ones near its own."""
    from coevolve.config import LoraSection
    from coevolve.engine.local.trainer import LocalTrainer

    lora = LoraSection(enabled=True, rank=RANK, alpha=2 * RANK) if adapter else None
    trainer = LocalTrainer(folder, lora=lora, max_grad_norm=MAX_NORM)
    noise = np.random.default_rng(0)
    for row, own in zip(rows, trainer.logprobs(rows), strict=True):
        row.old_logp[:] = own + noise.normal(0, 0.1, len(own))
    batch = Batch(tuple(rows))

    def step() -> dict[str, float]:
        begin = time.process_time()
        stats = trainer.forward_backward(batch)
        norm = trainer.step(LR)
        return {"cpu_s": time.process_time() - begin, "loss": stats.loss, "grad_norm": norm}

    def check() -> float:
        begin = time.process_time()
        trainer.logprobs(rows)
        return time.process_time() - begin

    return step, check


def plain(folder: Path, rows: Sequence[TrainRow], *, adapter: bool) -> Step:
    """A step of a plain loop."""
    import torch

    from coevolve.engine.local.models import load_model

    model: Any = load_model(folder)
    if adapter:
        from peft import LoraConfig, get_peft_model

        names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=names))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LR, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    ordered = sorted(rows, key=lambda row: len(row.tokens))
    batches = [ordered[i : i + PLAIN_ROWS] for i in range(0, len(ordered), PLAIN_ROWS)]

    def step() -> dict[str, float]:
        begin, total = time.process_time(), 0.0
        for batch in batches:
            length = max(len(row.tokens) for row in batch)
            first = min(int(np.flatnonzero(row.weight)[0]) for row in batch)
            padded = {name: torch.zeros(len(batch), length) for name in ("old_logp", "advantage", "weight")}
            tokens, mask = (torch.zeros(len(batch), length, dtype=torch.long) for _ in range(2))
            for slot, row in enumerate(batch):
                tokens[slot, : len(row.tokens)] = torch.from_numpy(row.tokens)
                mask[slot, : len(row.tokens)] = 1
                for name, value in padded.items():
                    value[slot, : len(row.tokens)] = torch.from_numpy(getattr(row, name))
            old, gain, weight = (value[:, first:] for value in padded.values())
            logits = model(input_ids=tokens, attention_mask=mask, logits_to_keep=length - first + 1).logits[:, :-1]
            logp = torch.log_softmax(logits, -1).gather(-1, tokens[:, first:, None])[..., 0]
            ratio = torch.exp(logp - old)
            bounded = ratio.clamp(1 - CLIP_LOW, 1 + CLIP_HIGH)
            loss = -(weight * torch.minimum(ratio * gain, bounded * gain)).sum()
            loss.backward()
            total += float(loss.detach())
        norm = float(torch.nn.utils.clip_grad_norm_(trained, MAX_NORM))
        optimizer.step()
        optimizer.zero_grad()
        return {"cpu_s": time.process_time() - begin, "loss": total, "grad_norm": norm}

    return step


def compare(folder: Path, rows: Sequence[TrainRow], rounds: int, *, adapter: bool) -> dict[str, Any]:
    """Both sides in turn."""
    mine, check = ours(folder, rows, adapter=adapter)
    theirs = plain(folder, rows, adapter=adapter)
    measured = [(mine(), theirs()) for _ in range(rounds)]
    (first, other), *_ = measured
    # A new adapter's A and B differ between the two: at the first step B is 0, and only the norm depends on A.
    for name in ("loss",) if adapter else ("loss", "grad_norm"):
        if abs(first[name] - other[name]) > 1e-3 * abs(other[name]):
            sys.exit(f"The two sides differ in {name}: {first[name]} against {other[name]}")
    ratios = sorted(b["cpu_s"] / a["cpu_s"] for a, b in measured)
    return {
        "rows": len(rows),
        "tokens": sum(len(row.tokens) for row in rows),
        "ours_s": statistics.median(a["cpu_s"] for a, _ in measured),
        "plain_s": statistics.median(b["cpu_s"] for _, b in measured),
        "check_s": check(),
        "ratio": statistics.median(ratios),
        "ratio_range": [ratios[0], ratios[-1]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a Hugging Face folder instead of the stand-in")
    parser.add_argument("--tasks", type=int, default=2)
    parser.add_argument("--answers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", choices=("adapter", "all weights"))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    import torch
    from transformers import AutoConfig

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    with tempfile.TemporaryDirectory() as name:
        folder = given.model or Path(name)
        if given.model is None:
            build(folder)
        vocabulary = AutoConfig.from_pretrained(str(folder)).vocab_size
        found = {}
        for trained in ("adapter", "all weights"):
            for prompts, shared in (("shared", SHARED), ("apart", 0)):
                if given.only not in (None, trained):
                    continue
                tasks, answers = (given.tasks, given.answers) if shared else (given.tasks * given.answers, 1)
                rows = sample(vocabulary, tasks, answers, shared, seed=0)
                found[f"{trained}, prompts {prompts}"] = compare(
                    folder, rows, given.rounds, adapter=trained == "adapter"
                )
    if given.json:
        print(json.dumps(found))
        return
    print(f"{'':30}rows  tokens    plain     ours    ratio   check  (CPU-s, {torch.get_num_threads()} thread, fp32)")
    for name, r in found.items():
        times = f"{r['plain_s']:9.2f}{r['ours_s']:9.2f}{r['ratio']:8.2f}x{r['check_s']:8.2f}"
        print(f"{name:30}{r['rows']:4}{r['tokens']:8,}{times}")


if __name__ == "__main__":
    main()
