"""vLLM against our own sampler on the same model: tokens per second, syncs of weights and adapters, sleep.

    python benchmarks/vllm_sampler.py --model DIR [--device cuda --dtype bfloat16] [--rows 128] [--tokens 2048]

decoding:   so many rows of 64 prompt tokens, all of the given length (no end token), both samplers one after the other.
            Shared prompt: 16 samples each. On a CPU seconds are those of this process, on a GPU those of the clock.
syncs:      whole weights, then an adapter of rank 32, each held against the log-probabilities of the trainer.
sleep:      memory of the GPU that comes back, and seconds to wake up; the same seeds give the same tokens after it.

Needs vLLM (docs/vllm.md). `coevolve world random-model` makes models of real sizes.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from coevolve.config import Config
from coevolve.engine.base import Sampler, SampleRequest, Sampling
from coevolve.engine.local.runtime import use_threads
from coevolve.engine.local.sampler import LocalSampler
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.engine.vllm.sampler import VllmSampler
from coevolve.types import TrainRow

PROMPT_TOKENS, SAMPLES = 64, 16


def seconds(work: Callable[[], object], device: str) -> float:
    """What the work takes: CPU time on a CPU, the clock's on a GPU."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    begin = clock()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - begin


def decode(sampler: Sampler, rows: int, tokens: int) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Prompt, tokens and log-probabilities of each row."""
    draw = np.random.default_rng(0)
    prompts = [draw.integers(10, 90, PROMPT_TOKENS).astype(np.int32) for _ in range(-(-rows // SAMPLES))]
    for i in range(rows):
        sampler.submit(SampleRequest(i, prompts[i // SAMPLES], Sampling(max_tokens=tokens), seed=i))
    done = {}
    while sampler.active:
        done.update({c.id: (prompts[c.id // SAMPLES], c.tokens, c.logprobs) for c in sampler.step()})
    return done


def gap(sampler: Sampler, trainer: LocalTrainer) -> float:
    """Mean distance of fresh log-probabilities from the trainer's."""
    gaps = []
    for prompt, tokens, logp in decode(sampler, 4, 64).values():
        whole = np.concatenate([prompt, tokens])
        zeros, ones = np.zeros(len(whole), np.float32), np.ones(len(whole), np.float32)
        row = TrainRow(whole, zeros, ones, ones, ones, ones, zeros)
        gaps.append(np.abs(trainer.logprobs([row])[0][len(prompt) :] - logp))
    return float(np.concatenate(gaps).mean())


def moved(weights: dict[str, np.ndarray], *, by: float) -> dict[str, np.ndarray]:
    """Other weights of the same shapes: random ones added, or all of them a little larger."""
    draw = np.random.default_rng(1)
    return {
        n: (w + draw.normal(0, by, w.shape) if by else w * np.float32(1.01)).astype(np.float32)
        for n, w in weights.items()
    }


def used_gib() -> float:
    """Memory of the GPU that anybody uses."""
    free, total = torch.cuda.mem_get_info()
    return (total - free) / 2**30


def endless(sampler: VllmSampler | LocalSampler) -> None:
    """Let nothing end a row but its length."""
    sampler._vocabulary = replace(sampler._vocabulary, ends=frozenset())
    if isinstance(sampler, LocalSampler):
        sampler._eos = np.zeros(0, np.int64)


def report(name: str, value: str) -> None:
    print(f"{name:<44}{value}", flush=True)


def local(config: Config, args: argparse.Namespace) -> float:
    """Tokens per second of our own sampler."""
    sampler = LocalSampler(
        args.model, max_rows=args.rows, dtype=args.dtype, device=args.device,
        lora=config.lora if config.lora.enabled else None,
    )  # fmt: skip
    endless(sampler)
    decode(sampler, args.rows, 4)
    rate = args.rows * args.tokens / seconds(lambda: decode(sampler, args.rows, args.tokens), args.device)
    report("local sampler, tokens/s", f"{rate:,.0f}")
    return rate


def over_vllm(config: Config, args: argparse.Namespace, rate: float) -> None:
    """Everything about vLLM, on one engine."""
    opened: list[VllmSampler] = []
    report(
        "vLLM: start, s",
        f"{seconds(lambda: opened.append(VllmSampler(config.engine_settings, args.model)), args.device):.1f}",
    )
    sampler = opened[0]
    endless(sampler)
    decode(sampler, args.rows, 4)
    theirs = args.rows * args.tokens / seconds(lambda: decode(sampler, args.rows, args.tokens), args.device)
    report("vLLM, tokens/s", f"{theirs:,.0f} ({theirs / rate:.2f} times the local sampler's)")
    trainer = LocalTrainer(
        args.model, dtype=args.dtype, device=args.device, lora=config.lora if config.lora.enabled else None
    )
    trained = trainer._trained
    trained.load({name: torch.from_numpy(x) for name, x in moved(trained.numpy(), by=0.02 * trained.adapter).items()})
    policy = trainer.snapshot("p", 1)
    kind = "an adapter" if config.lora.enabled else "whole weights"
    report(f"sync of {kind}, s", f"{seconds(lambda: sampler.load_weights(policy), args.device):.2f}")
    report(f"mean gap to the trainer after {kind}", f"{gap(sampler, trainer):.2g}")
    before = {i: tokens.tolist() for i, (_, tokens, _) in decode(sampler, 8, 32).items()}
    held = used_gib() if args.device == "cuda" else 0.0
    slept = seconds(sampler.release_memory, args.device)
    if args.device == "cuda":
        report("memory of the GPU given back, GiB", f"{held - used_gib():.2f} of {held:.2f} in use")
    report("sleep, s", f"{slept:.2f}")
    report("wake up, s", f"{seconds(sampler._wake, args.device):.2f}")
    after = {i: tokens.tolist() for i, (_, tokens, _) in decode(sampler, 8, 32).items()}
    report("the same tokens after sleep", "yes" if before == after else "NO")
    sampler.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--memory", type=float, default=0.5)
    args = parser.parse_args()
    use_threads(1)
    for lora in (False, True):
        config = Config(
            model={"path": str(args.model), "dtype": args.dtype},  # type: ignore[arg-type]
            engine={"sampler": "vllm", "device": args.device, "max_rows": args.rows},  # type: ignore[arg-type]
            vllm={"memory": args.memory, "max_length": PROMPT_TOKENS + args.tokens},  # type: ignore[arg-type]
            lora={"enabled": lora},  # type: ignore[arg-type]
        )
        print(f"\n{args.model.name}, {args.dtype} on {args.device}, {'LoRA' if lora else 'whole weights'}")
        rate = local(config, args)
        gc.collect()
        if args.device == "cuda":
            torch.cuda.empty_cache()
        over_vllm(config, args, rate)
        gc.collect()


if __name__ == "__main__":
    main()
