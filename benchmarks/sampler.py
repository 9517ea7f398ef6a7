"""Our local sampler against transformers' generate, on the embedded base model: tokens per CPU-second, one thread.

    python benchmarks/sampler.py [--json] [--tasks 60] [--rounds 3] [--model FOLDER]

single turn: prompts of equal length, every answer exactly as long (no end token), the same batch for both.
multi-turn:  held-out problems whose answers begin with a tool call; snippets run in the real sandbox. The rival calls
             generate once per turn for all unfinished answers (left-padded, its own cache, the output fence as an end
             token) and computes the whole past again at each turn, as a loop around a stateless API must.

With --model a real model as well, at 64 rows after a shared prefix of 300 tokens, 20 to 40 tokens of their own each:
prefix:      every answer exactly as long; generate is given them left-padded. Our sampler knows no prefix beforehand.
decoding:    the same answers without what comes before them: the median step of ours times their number, and generate
             less the time of a call that writes one token.

Only the CPU time of this process counts: the sandbox's own is the same for both. Rounds alternate; ratios are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from coevolve.engine.base import SampleRequest, Sampling
from coevolve.engine.local.models import load_model, load_tokenizer
from coevolve.engine.local.sampler import LocalSampler
from coevolve.rollout.base import Episode, Seat
from coevolve.rollout.codec import Codec
from coevolve.rollout.environments import ToolSpec
from coevolve.rollout.loop import RolloutLoop
from coevolve.rollout.protocol import appended_observation, called_code
from coevolve.sandbox.pool import SandboxPool
from coevolve.types import SOLVER
from coevolve.worlds.base import PromptContext
from coevolve.worlds.miniature.learner import MiniatureWorld
from coevolve.worlds.miniature.meter import CORPUS_LEVELS, held_out

NEW_TOKENS, PROMPT_TOKENS, SAMPLES, MAX_TOKENS, MAX_TURNS = 64, 16, 8, 200, 6
REAL_ROWS, PREFIX_TOKENS, REAL_NEW_TOKENS = 64, 300, 48
Measured = tuple[int, float]  # tokens sampled, CPU seconds


def timed(work: Callable[[], int]) -> Measured:
    begin = time.process_time()
    return work(), time.process_time() - begin


def single_turn_ours(sampler: LocalSampler, prompts: np.ndarray) -> int:
    for i, prompt in enumerate(prompts):
        sampler.submit(SampleRequest(i, prompt, Sampling(max_tokens=NEW_TOKENS), seed=i))
    tokens = 0
    while sampler.active:
        tokens += sum(len(c.tokens) for c in sampler.step())
    return tokens


def single_turn_generate(model: torch.nn.Module, prompts: np.ndarray) -> int:
    ids = torch.from_numpy(prompts.astype(np.int64))
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=0, max_new_tokens=NEW_TOKENS,
        eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    return int(out[:, ids.shape[1] :].numel())


def multi_turn_ours(loop: RolloutLoop, episodes: list[Episode]) -> int:
    _, stats = loop.run(episodes, policy="base", contract="benchmark")
    return stats.sampled_tokens


def multi_turn_generate(
    model: torch.nn.Module, codec: Codec, tool: SandboxPool, world: MiniatureWorld, episodes: list[Episode], eos: int
) -> int:
    fence = codec.encode("```output\n").tolist()
    assert len(fence) == 1, "the rival needs the output fence to be one token"
    seats = [episode.seats[0] for episode in episodes]
    starts = [len(codec.encode(seat.prompt)) for seat in seats]
    texts = [codec.encode(seat.prompt).tolist() + codec.encode(seat.opening).tolist() for seat in seats]
    marks = list(starts)  # where the text since the last observation begins
    calls, sampled, alive = [0] * len(texts), 0, list(range(len(texts)))
    while alive:
        width = max(len(texts[i]) for i in alive)
        ids = torch.tensor([[0] * (width - len(texts[i])) + texts[i] for i in alive])
        mask = torch.tensor([[0] * (width - len(texts[i])) + [1] * len(texts[i]) for i in alive])
        room = max(MAX_TOKENS - (len(texts[i]) - starts[i]) for i in alive)
        out = model.generate(
            ids, attention_mask=mask, do_sample=True, top_k=0, max_new_tokens=room, eos_token_id=[eos, *fence],
            pad_token_id=0,
        )[:, width:].tolist()  # fmt: skip
        going = []
        for i, new in zip(alive, out, strict=True):
            ends = [n for n, token in enumerate(new) if token in (eos, fence[0])]
            new = new[: ends[0] + 1] if ends else new
            new = new[: MAX_TOKENS - (len(texts[i]) - starts[i])]
            sampled += len(new)
            texts[i] += new
            segment = codec.decode(np.array(texts[i][marks[i] :], np.int32))
            code = called_code(segment) if new[-1] == fence[0] else None
            if code is not None and calls[i] < MAX_TURNS and len(texts[i]) - starts[i] < MAX_TOKENS:
                calls[i] += 1
                going.append((i, segment, tool.submit(code)))
        alive = []
        for i, segment, future in going:
            result = future.result()
            shown = world.contract.observation(result.status, result.stdout, result.stderr)
            texts[i] += codec.encode(appended_observation(segment, shown)).tolist()
            marks[i] = len(texts[i])
            if len(texts[i]) - starts[i] < MAX_TOKENS:
                alive.append(i)
    return sampled


def real_model(folder: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Rows of the table for a model in a folder."""
    sampler, model = LocalSampler(folder), load_model(folder)
    sampler._eos = np.zeros(0, np.int64)
    rng = np.random.default_rng(0)
    vocabulary = sampler._vocabulary.size
    prefix = rng.integers(0, vocabulary, PREFIX_TOKENS)
    own = [rng.integers(0, vocabulary, n) for n in rng.integers(20, 41, REAL_ROWS)]
    prompts = [np.concatenate([prefix, tokens]).astype(np.int32) for tokens in own]
    width = max(map(len, prompts))
    ids = torch.zeros(REAL_ROWS, width, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.from_numpy(prompt)
        mask[row, width - len(prompt) :] = 1

    def generate(new: int) -> int:
        out = model.generate(
            ids, attention_mask=mask, do_sample=True, top_k=0, max_new_tokens=new, eos_token_id=None, pad_token_id=0
        )
        return int(out[:, width:].numel())

    rows: dict[str, dict[str, list[float]]] = {}
    for n in range(rounds):
        torch.manual_seed(n)
        sampler._passes.weights_changed()  # type: ignore[union-attr]
        for i, prompt in enumerate(prompts):
            sampler.submit(SampleRequest(i, prompt, Sampling(max_tokens=REAL_NEW_TOKENS), seed=i))
        steps: list[float] = []
        while sampler.active:
            steps.append(timed(lambda: len(sampler.step()))[1])
        tokens, whole = timed(lambda: generate(REAL_NEW_TOKENS))
        one = timed(lambda: generate(1))[1]
        later = REAL_ROWS * (REAL_NEW_TOKENS - 1)
        for name, ours, theirs in (
            ("prefix", tokens / sum(steps), tokens / whole),
            ("decoding", REAL_ROWS / statistics.median(steps[1:]), later / (whole - one)),
        ):
            add(rows, name, ours, theirs)
    return rows


def add(rows: dict[str, dict[str, list[float]]], name: str, ours: float, theirs: float) -> None:
    row = rows.setdefault(name, {"ours": [], "generate": [], "ratio": []})
    for key, value in (("ours", ours), ("generate", theirs), ("ratio", ours / theirs)):
        row[key].append(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tasks", type=int, default=60, help="held-out problems of the multi-turn part")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, help="folder of a real model; minutes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    world = MiniatureWorld()
    folder = world.base_model()
    sampler, model, codec = LocalSampler(folder), load_model(folder), Codec(folder)
    eos = int(load_tokenizer(folder).eos_token_id)
    endless = LocalSampler(folder)
    endless._eos = np.zeros(0, np.int64)  # equal lengths: nothing ends early
    rng = np.random.default_rng(0)
    prompts = rng.integers(5, 60, (SAMPLES * options.tasks, PROMPT_TOKENS)).astype(np.int32)
    tasks = [t for level in range(1, CORPUS_LEVELS + 1) for t in held_out(level, options.tasks // CORPUS_LEVELS, 1)]
    asked = [
        Seat(SOLVER, world.contract.prompt(SOLVER, PromptContext(t.question)), world.contract.tool_opening)
        for t in tasks
    ]
    place, sampling = ToolSpec(SOLVER, MAX_TURNS), Sampling(max_tokens=MAX_TOKENS)
    episodes = [
        Episode(t.id, k, (seat,), place, sampling, n * SAMPLES + k)
        for n, (t, seat) in enumerate(zip(tasks, asked, strict=True))
        for k in range(SAMPLES)
    ]
    rows: dict[str, dict[str, list[float]]] = {}
    with SandboxPool(workers=2, cache_size=65536) as tool, torch.inference_mode():
        loop = RolloutLoop(sampler, tool, codec, world.contract, wait_steps=4, eos=sampler.eos)
        for n in range(options.rounds + 1):
            torch.manual_seed(n)
            results = {
                "single turn": (
                    timed(lambda: single_turn_ours(endless, prompts)),
                    timed(lambda: single_turn_generate(model, prompts)),
                ),
                "multi-turn": (
                    timed(lambda: multi_turn_ours(loop, episodes)),
                    timed(lambda: multi_turn_generate(model, codec, tool, world, episodes, eos)),
                ),
            }
            if n == 0:
                continue  # warm-up, and the tool's cache is filled for both
            for name, ((a, a_s), (b, b_s)) in results.items():
                add(rows, name, a / a_s, b / b_s)
        if options.model is not None:
            rows |= real_model(options.model, options.rounds)
    table = {name: {k: statistics.median(v) for k, v in row.items()} for name, row in rows.items()}
    if options.json:
        print(json.dumps(table))
        return
    print(f"{'':14}{'ours':>12}{'generate':>12}{'ratio':>8}   tokens per CPU-second, median of {options.rounds}")
    for name, row in table.items():
        print(f"{name:14}{row['ours']:12,.0f}{row['generate']:12,.0f}{row['ratio']:8.2f}")


if __name__ == "__main__":
    main()
