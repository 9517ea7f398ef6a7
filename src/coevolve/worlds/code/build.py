"""Makes the model folder of the world of programs. ``coevolve world build --world code`` runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3ForCausalLM

from coevolve.permissions import follow_umask
from coevolve.worlds.code.corpus import RIGHT, Mixture, documents
from coevolve.worlds.code.vocabulary import TOKENS
from coevolve.worlds.miniature.build import one_thread
from coevolve.worlds.miniature.learner import ASSETS as START
from coevolve.worlds.miniature.training import Training, train
from coevolve.worlds.miniature.vocabulary import EOS, PAD, save_tokenizer

BUDGET_TOKENS = 800_000  # of the shipped model
_MAX_NEW_TOKENS = 160
_EMBEDDING, _HEAD = 0.3, 0.21 / 128**0.5  # scales of new rows: those of the miniature's own


def build_world(
    out: Path, *, seed: int, tokens: int | None = None, progress: Callable[[str], None] | None = None
) -> None:
    """Train the base model, which goes on from that of the miniature, and write its Hugging Face folder.

    Equal seeds give equal weights, to the last bit on one kind of machine with one version of torch.

    Args:
        out: folder to write; made when missing.
        seed: of the textbook, the batches and the rows of new tokens.
        tokens: length of the textbook; default: that of the shipped model.
        progress: called with a line of text now and then.
    """
    mixture = Mixture()
    plan = Training(seed=seed, budget_tokens=tokens or BUDGET_TOKENS, start=START)
    first = int(plan.all_tool * plan.budget_tokens)
    stages = (
        ("programs", documents(RIGHT, f"programs {seed}"), first),
        ("mixture", documents(mixture, f"mixture {seed}"), plan.budget_tokens - first),
    )
    out.mkdir(parents=True, exist_ok=True)
    save_tokenizer(out, TOKENS)
    with one_thread():
        model = _wider(seed)
        loss = train(model, PreTrainedTokenizerFast.from_pretrained(out), plan, progress, stages)
        model.save_pretrained(out)
    follow_umask(out / "model.safetensors")
    (out / "README.md").write_text(_card(plan, mixture, model.num_parameters(), loss))


def _wider(seed: int) -> Qwen3ForCausalLM:
    """The miniature's base model with rows for the new tokens."""
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM.from_pretrained(START)
    known = model.config.vocab_size
    model.resize_token_embeddings(len(TOKENS), mean_resizing=False)
    with torch.no_grad():
        model.model.embed_tokens.weight[known:].normal_(0.0, _EMBEDDING)
        model.lm_head.weight[known:].normal_(0.0, _HEAD)
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        max_new_tokens=_MAX_NEW_TOKENS,
        eos_token_id=TOKENS.index(EOS),
        pad_token_id=TOKENS.index(PAD),
    )
    return model


def _card(plan: Training, mixture: Mixture, parameters: int, loss: float) -> str:
    """The text of ``README.md``, in Markdown with the metadata block of the Hugging Face Hub."""
    tokens = f" --tokens {plan.budget_tokens}" if plan.budget_tokens != BUDGET_TOKENS else ""
    answers, proposals = (
        " / ".join(f"{100 * share:.0f}" for share in shares) for shares in (mixture.answers, mixture.proposals)
    )
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags: [coevolve, absolute-zero]
---

# coevolve base model of the world of programs

A plain Qwen3 of {parameters:,} parameters, the start of `coevolve run absolute-zero` and good for nothing else. It has
read a synthetic textbook of mixed quality about small Python programs: it knows every format and solves little.

Made from the base model of the miniature by `coevolve world build --world code{tokens} --out DIR --seed {plan.seed}`,
in one process on one thread: {plan.budget_tokens / 1e6:.2f} million tokens of generated documents, no other data.
Mean loss of the last hundred steps: {loss:.3f} nats per learnt token.

## Corpus
- documents with an answer, by deduction / abduction / induction: {answers} %; proposals likewise: {proposals} %
- answers that are right: {100 * mixture.right:.0f} %; the others are wrong in one step
- proposals damaged: {100 * mixture.damaged:.0f} %
- the first {100 * plan.all_tool:.0f} % of the tokens: right answers and whole proposals only

Programs whose SHA-256 starts with a byte divisible by 16 are reserved for measuring, not in the corpus.
"""
