"""What a run's newest solver writes greedily, in our sampler and in whatever loads its export.

``COEVOLVE_RUN`` names the folder of a run of one's own, for the slow tests and those of vLLM; without it they take one
that is made by hand on a tiny GGUF file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_gguf import random_model, write_gguf

from coevolve.config import LoraSection
from coevolve.engine.base import Sampler, SampleRequest, Sampling
from coevolve.engine.factory import open_sampler
from coevolve.engine.hub import fetch_model
from coevolve.engine.local.trainer import LocalTrainer
from coevolve.methods.config import CoevolutionConfig
from coevolve.rollout.codec import Codec
from coevolve.runs.answerer import Answerer, of_run
from coevolve.store.folder import RunFolder
from coevolve.types import SOLVER, Ints
from coevolve.worlds.base import PromptContext

GIVEN = os.environ.get("COEVOLVE_RUN")
# Of whoever runs the tests, where the base model of such a run is; read before the tests get a cache of their own.
USERS_CACHE = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
TIE = 1e-3  # between the logits of the two best tokens: sums in another order may decide otherwise
QUESTIONS = (
    "What is 17 + 25?",
    "What is the product of 36 and 24?",
    "Tom has 5 boxes of 12 pens and gives 7 pens away. How many pens are left?",
    "Find the remainder when 2024 is divided by 7.",
)


def tiny_run(folder: Path, *, path: str | None = None, **sizes: Any) -> Path:
    """A run with one finished iteration: its agents are adapters with noise, on a random Llama in a GGUF file.

    Args:
        folder: for the file ``tiny.gguf`` and the run.
        path: ``model.path``, where it is not that file.
        sizes: of the Llama.
    """
    file = folder / "tiny.gguf"
    if not file.exists():
        write_gguf(file, random_model("llama", max_position_embeddings=2048, **sizes))
    lora = LoraSection(enabled=True, rank=2)
    model = {"path": path or str(file)}
    config = CoevolutionConfig.model_validate({"world": "open", "iterations": 1, "model": model, "lora": lora})
    run = RunFolder.create(folder / "run", config)
    for agent, phase in (("proposer", "curriculum"), ("solver", "executor")):
        trainer = LocalTrainer(fetch_model(model["path"]), lora=lora)
        noise = np.random.default_rng(len(agent))
        start = trainer.snapshot(agent, 0).source.weights
        trainer._trained.load(
            {n: torch.from_numpy(w + noise.normal(0, 0.2, w.shape).astype(np.float32)) for n, w in start.items()}
        )

        def save(path: Path, trainer: LocalTrainer = trainer) -> None:
            path.mkdir(parents=True, exist_ok=True)
            trainer.save(path, optimizer=False)

        run.begin(f"iteration-1/{phase}")
        run.finish(f"iteration-1/{phase}", [run.save_folder(f"checkpoints/iteration-1/{agent}", save)])
    run.set_status("interrupted")
    run.close()
    return folder / "run"


def prompts_of(answerer: Answerer, questions: Sequence[str]) -> list[Ints]:
    """Their prompts as the run puts them."""
    codec = Codec(answerer.base)
    return [codec.encode(answerer.world.contract.prompt(SOLVER, PromptContext(question))) for question in questions]


def sampled(sampler: Sampler, prompts: Sequence[Ints], most: int) -> list[list[int]]:
    """What one of our samplers writes greedily, an end token included."""
    for id, prompt in enumerate(prompts):
        sampler.submit(SampleRequest(id, prompt, Sampling(temperature=0.0, max_tokens=most), seed=id))
    done: dict[int, list[int]] = {}
    while sampler.active:
        done |= {completion.id: completion.tokens.tolist() for completion in sampler.step()}
    return [done[id] for id in range(len(prompts))]


def by_the_run(run: Path, most: int, questions: Sequence[str] = QUESTIONS) -> tuple[list[Ints], list[list[int]]]:
    """Prompts, and what the newest solver of a run writes after them in the run's own engine."""
    answerer = of_run(run)
    prompts = prompts_of(answerer, questions)
    sampler = open_sampler(answerer.config.engine_settings, answerer.base)
    try:
        sampler.load_weights(answerer.policy)
        return prompts, sampled(sampler, prompts, most)
    finally:
        sampler.close()


def generated(model: Any, prompts: Sequence[Ints], most: int) -> list[list[int]]:
    """The same by ``generate`` of transformers."""
    texts = []
    for prompt in prompts:
        ids = torch.from_numpy(prompt[None].astype(np.int64))
        whole = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=most)
        texts.append(whole[0, len(prompt) :].tolist())
    return texts


def gaps(model: Any, prompts: Sequence[Ints], ours: Sequence[list[int]], theirs: Sequence[list[int]]) -> list[float]:
    """For texts that differ: how far apart the two best logits are at the first token that differs.

    A text that ends where the other goes on, for the same tokens, is no tie: infinite.
    """
    found = []
    for prompt, one, other in zip(prompts, ours, theirs, strict=True):
        if one == other:
            continue
        at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
        if at is None:
            found.append(float("inf"))
            continue
        ids = torch.tensor([[*prompt.tolist(), *one[:at]]])
        with torch.no_grad():
            best = model(ids).logits[0, -1].float().topk(2).values
        found.append(float(best[0] - best[1]))
    return found
