"""One GRPO step on a CPU core: our trainer against TRL's GRPOTrainer, on the same samples, in turn.

    python benchmarks/grpo_step.py --trl-python PATH [--json]

PATH is the interpreter of an environment of its own that holds TRL:

    python -m venv trl-venv && trl-venv/bin/pip install torch==2.13.0 "trl==1.16.*"

The embedded base model writes questions and answers each several times; advantages are drawn, none is 0. A step
is forward and backward passes over the batch, gradient clipping and AdamW, in fp32 on one thread, with the old
log-probabilities given and no KL term. Both sides see the same model, tokens, advantages, clip bounds (0.2, 0.28)
and normalisation (token mean), and their losses and gradient norms are compared before anything is timed.

Ours: ``LocalTrainer`` with its defaults. TRL: the GRPOTrainer's own ``compute_loss``, with its log-probability
code and metrics, its accelerator's backward and clipping, and its own optimizer. TRL prescribes no micro-batches;
it gets rows sorted by length, and the fastest of several micro-batch sizes counts. Without PATH only ours is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # one core on both sides; read when torch is imported

import numpy as np

CLIP_LOW, CLIP_HIGH, LR, MAX_NORM = 0.2, 0.28, 1e-6, 1.0
TRL_ROWS = (4, 8, 16, 32)  # rows of a micro-batch offered to TRL


def sample(model_path: Path, questions: int, answers: int, max_tokens: int, seed: int) -> dict[str, np.ndarray]:
    """Questions of the model, each answered several times without tool, as one flat record."""
    import torch

    from coevolve.engine.local.models import load_model, load_tokenizer, quiet
    from coevolve.types import PROPOSER, SOLVER
    from coevolve.worlds.base import PromptContext
    from coevolve.worlds.miniature.learner import MiniatureContract

    torch.manual_seed(seed)
    contract = MiniatureContract()
    model, tokenizer = load_model(model_path), load_tokenizer(model_path)
    tokenizer.padding_side = "left"

    def generate(prompts: list[str], new_tokens: int) -> list[tuple[list[int], list[int]]]:
        inputs = tokenizer(prompts, return_tensors="pt", padding=True)
        with quiet(), torch.no_grad():
            output = model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                do_sample=True,
                top_k=0,
                max_new_tokens=new_tokens,
            )
        pairs = []
        for mask, before, row in zip(inputs["attention_mask"], inputs["input_ids"], output, strict=True):
            after = row[len(before) :].tolist()
            if tokenizer.eos_token_id in after:
                after = after[: after.index(tokenizer.eos_token_id) + 1]
            pairs.append((before[mask.bool()].tolist(), after))
        return pairs

    texts = [tokenizer.decode(after) for _, after in generate([contract.prompt(PROPOSER)] * 3 * questions, 100)]
    (stop,) = contract.stops(PROPOSER)
    written = [text.split(stop)[0] for text in texts if stop in text][:questions]
    prompts = [contract.prompt(SOLVER, PromptContext(text)) for text in written]
    rows = generate([prompt for prompt in prompts for _ in range(answers)], max_tokens)
    advantage = np.random.default_rng(seed).normal(size=len(rows)).astype(np.float32)
    return {
        "tokens": np.concatenate([np.array(p + a, dtype=np.int32) for p, a in rows]),
        "length": np.array([len(p) + len(a) for p, a in rows]),
        "prompt": np.array([len(p) for p, _ in rows]),
        "advantage": advantage,
    }


def our_step(model_path: Path, record: dict[str, np.ndarray]) -> Callable[[], dict[str, float]]:
    """A function that makes one step with our trainer; adds the old log-probabilities to the record."""
    from coevolve.engine.local.trainer import LocalTrainer
    from coevolve.types import Batch, TrainRow

    trainer = LocalTrainer(model_path, max_grad_norm=MAX_NORM)
    sampled = int((record["length"] - record["prompt"]).sum())
    ends = np.cumsum(record["length"])
    rows = []
    for end, length, prompt, advantage in zip(
        ends, record["length"], record["prompt"], record["advantage"], strict=True
    ):
        weight = np.zeros(length, np.float32)
        weight[prompt:] = 1 / sampled
        full = [np.full(length, value, np.float32) for value in (0.0, advantage, CLIP_LOW, CLIP_HIGH)]
        rows.append(TrainRow(record["tokens"][end - length : end], *full, weight, full[0]))
    noise = np.random.default_rng(0)
    for row, own in zip(rows, trainer.logprobs(rows), strict=True):
        row.old_logp[:] = own + noise.normal(0, 0.1, len(own))
    record["old_logp"] = np.concatenate([row.old_logp for row in rows])
    batch = Batch(tuple(rows))

    def step() -> dict[str, float]:
        started = time.process_time()
        stats = trainer.forward_backward(batch)
        norm = trainer.step(LR)
        return {"cpu_s": time.process_time() - started, "loss": stats.loss, "grad_norm": norm}

    return step


def trl_worker(model_path: str, file: str) -> None:
    """The TRL side, run by TRL's interpreter: a step with the asked number of rows for every line on stdin."""
    import warnings

    warnings.simplefilter("ignore")
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(1)
    record = dict(np.load(file))
    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            output_dir=folder,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            model_init_kwargs={"dtype": "float32"},
            per_device_train_batch_size=8,
            num_generations=8,
            steps_per_generation=1,
            loss_type="dapo",
            beta=0.0,
            epsilon=CLIP_LOW,
            epsilon_high=CLIP_HIGH,
            max_grad_norm=MAX_NORM,
            learning_rate=LR,
            weight_decay=0.0,
            adam_beta2=0.99,
            report_to=[],
            disable_tqdm=True,
        )
        trainer = GRPOTrainer(
            model=model_path,
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=config,
            train_dataset=Dataset.from_dict({"prompt": ["Find a."] * 8}),
            processing_class=AutoTokenizer.from_pretrained(model_path),
        )
    trainer.create_optimizer()
    model, optimizer = trainer.accelerator.prepare(trainer.model, trainer.optimizer)
    model.train()
    trainer.current_gradient_accumulation_steps = 1
    batches = {rows: trl_batches(record, rows) for rows in TRL_ROWS}
    print("ready", flush=True)
    for line in sys.stdin:
        started = time.process_time()
        loss = 0.0
        for inputs in batches[int(line)]:
            part = trainer.compute_loss(model, inputs)
            trainer.accelerator.backward(part)
            loss += float(part.detach())
        norm = float(trainer.accelerator.clip_grad_norm_(model.parameters(), MAX_NORM))
        for group in optimizer.param_groups:
            group["lr"] = LR
        optimizer.step()
        optimizer.zero_grad()
        seconds = time.process_time() - started
        print(json.dumps({"cpu_s": seconds, "loss": loss, "grad_norm": norm}), flush=True)


def trl_batches(record: dict[str, np.ndarray], rows: int) -> list[dict[str, Any]]:
    """The record in TRL's form, sorted by length: prompts padded on the left, completions on the right."""
    import torch

    ends = np.cumsum(record["length"])
    order = np.argsort(-record["length"], kind="stable")
    batches = []
    for start in range(0, len(order), rows):
        chosen = order[start : start + rows]
        prompt, answer = record["prompt"][chosen], (record["length"] - record["prompt"])[chosen]
        batch = {
            "prompt_ids": np.zeros((len(chosen), prompt.max()), np.int64),
            "prompt_mask": np.zeros((len(chosen), prompt.max()), np.int64),
            "completion_ids": np.zeros((len(chosen), answer.max()), np.int64),
            "completion_mask": np.zeros((len(chosen), answer.max()), np.int64),
            "old_per_token_logps": np.zeros((len(chosen), answer.max()), np.float32),
            "advantages": record["advantage"][chosen],
        }
        for slot, (i, p, a) in enumerate(zip(chosen, prompt, answer, strict=True)):
            begin, end = ends[i] - record["length"][i], ends[i]
            batch["prompt_ids"][slot, -p:] = record["tokens"][begin : begin + p]
            batch["prompt_mask"][slot, -p:] = 1
            batch["completion_ids"][slot, :a] = record["tokens"][begin + p : end]
            batch["completion_mask"][slot, :a] = 1
            batch["old_per_token_logps"][slot, :a] = record["old_logp"][begin + p : end]
        tensors = {name: torch.from_numpy(value) for name, value in batch.items()}
        batches.append(tensors | {"num_items_in_batch": torch.tensor((record["length"] - record["prompt"]).sum())})
    return batches


def start_trl(python: str, model_path: Path, file: Path) -> subprocess.Popen[str]:
    """The TRL side as a process that waits for work; exits with a message when TRL is not there."""
    if subprocess.run([python, "-c", "import trl"], capture_output=True, check=False).returncode:
        sys.exit(f"{python} cannot import trl. See `python benchmarks/grpo_step.py --help` for its environment.")
    command = [python, __file__, "--trl-worker", str(model_path), str(file)]
    silent = {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | silent
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "ready":
            return process
    sys.exit("The TRL side ended before it was ready; its messages are above.")


def trl_step(process: subprocess.Popen[str], rows: int) -> dict[str, float]:
    """One step of the TRL side."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{rows}\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("{"):
            return dict(json.loads(line))
    sys.exit("The TRL side ended early; its messages are above.")


def compare(arguments: argparse.Namespace, model_path: Path) -> dict[str, Any]:
    """All measurements."""
    record = sample(model_path, arguments.questions, arguments.answers, arguments.max_tokens, arguments.seed)
    step = our_step(model_path, record)
    tokens = int(record["length"].sum())
    result: dict[str, Any] = {
        "rows": len(record["length"]),
        "tokens": tokens,
        "sampled": tokens - int(record["prompt"].sum()),
    }
    if arguments.trl_python is None:
        ours = [step()["cpu_s"] for _ in range(arguments.rounds + 1)][1:]
        return result | {"ours_s": statistics.median(ours)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "samples.npz"
        np.savez(file, **record)
        process = start_trl(arguments.trl_python, model_path, file)
        first, theirs = step(), trl_step(process, TRL_ROWS[1])
        for name in ("loss", "grad_norm"):
            if abs(first[name] - theirs[name]) > 1e-3 * abs(theirs["grad_norm"]):
                sys.exit(f"The two sides differ in {name}: {first[name]} against {theirs[name]}")
        rounds = []
        for _ in range(arguments.rounds):
            rounds.append({"ours": step()["cpu_s"]} | {str(n): trl_step(process, n)["cpu_s"] for n in TRL_ROWS})
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
    medians = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    best = min((str(n) for n in TRL_ROWS), key=lambda n: medians[n])
    ratios = sorted(r[best] / r["ours"] for r in rounds)
    return result | {
        "ours_s": medians["ours"],
        "trl_s": {name: seconds for name, seconds in medians.items() if name != "ours"},
        "trl_rows": int(best),
        "ratio": statistics.median(ratios),
        "ratio_range": [ratios[0], ratios[-1]],
        "loss": [first["loss"], theirs["loss"]],
        "grad_norm": [first["grad_norm"], theirs["grad_norm"]],
    }


def show(result: dict[str, Any]) -> None:
    """The measurements as a table."""
    rows, tokens, sampled = (result[name] for name in ("rows", "tokens", "sampled"))
    print(f"{rows} rows, {tokens:,} tokens, {sampled:,} of them sampled; medians, one thread, fp32")
    print(f"{'':24}CPU-s/step  tokens/CPU-s")
    print(f"{'coevolve':24}{result['ours_s']:10.2f} {tokens / result['ours_s']:13,.0f}")
    if "trl_s" not in result:
        print("TRL was not measured: give its interpreter with --trl-python")
        return
    for name, seconds in result["trl_s"].items():
        print(f"{f'TRL, {name} rows at once':24}{seconds:10.2f} {tokens / seconds:13,.0f}")
    low, high = result["ratio_range"]
    print(f"TRL needs {result['ratio']:.2f} times our CPU time (rounds: {low:.2f} to {high:.2f})")
    ours, theirs = result["grad_norm"]
    print(f"gradient norm {ours:.5f} and {theirs:.5f}, loss {result['loss'][0]:.6f} and {result['loss'][1]:.6f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl-python", help="interpreter of an environment with TRL 1.16")
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--answers", type=int, default=8, help="answers per question")
    parser.add_argument("--max-tokens", type=int, default=140, help="tokens of an answer")
    parser.add_argument("--rounds", type=int, default=5, help="steps of each side that are timed, in turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--trl-worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.trl_worker:
        trl_worker(*arguments.trl_worker)
        return
    from coevolve.worlds.miniature.learner import MiniatureWorld

    result = compare(arguments, MiniatureWorld().base_model())
    if arguments.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main()
