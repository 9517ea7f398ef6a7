"""Makes the world's model folder: tokenizer, base model and model card. ``coevolve world build`` runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3ForCausalLM

from coevolve.permissions import follow_umask
from coevolve.worlds.miniature.calibration import MAX_NEW_TOKENS, start_figures
from coevolve.worlds.miniature.card import model_card
from coevolve.worlds.miniature.corpus import Mixture
from coevolve.worlds.miniature.learner import ASSETS
from coevolve.worlds.miniature.training import BUDGET_TOKENS, DIALOGUE_TOKENS, Stage, Training, new_model, train
from coevolve.worlds.miniature.vocabulary import EOS, PAD, TOKENS, save_tokenizer


def build_world(
    out: Path,
    *,
    seed: int,
    dialogues: float = 0.0,
    tokens: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Train the base model, measure it, and write its Hugging Face folder. Equal seeds give equal weights.

    (Equal to the last bit on one kind of machine with one version of torch.)

    Args:
        out: folder to write; made when missing.
        seed: of the corpus, the batches and the first weights.
        dialogues: share of the documents that are dialogues; above 0 the model goes on from the shipped base model.
        tokens: length of the textbook; default: that of the shipped model of its kind.
        progress: called with a line of text now and then.
    """
    plan = Training(seed=seed, budget_tokens=tokens or BUDGET_TOKENS)
    if dialogues:
        mixture = Mixture(dialogues=dialogues)
        plan = Training(seed=seed, budget_tokens=tokens or DIALOGUE_TOKENS, mixture=mixture, start=ASSETS)
    with one_thread():
        write_model(out, plan, progress)
        write_card(out, plan)


def write_model(out: Path, plan: Training, progress: Callable[[str], None] | None = None) -> None:
    """Train the base model and write its folder, without the card."""
    out.mkdir(parents=True, exist_ok=True)
    save_tokenizer(out)
    model = new_model(plan.seed) if plan.start is None else Qwen3ForCausalLM.from_pretrained(plan.start)
    write_trained(out, model, plan, progress)


def write_trained(
    out: Path,
    model: Qwen3ForCausalLM,
    plan: Training,
    progress: Callable[[str], None] | None = None,
    stages: Sequence[Stage] = (),
) -> None:
    """Train a model into a folder that has its tokenizer.

    Args:
        stages: as in :func:`coevolve.worlds.miniature.training.train`.
    """
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        max_new_tokens=MAX_NEW_TOKENS,
        eos_token_id=TOKENS.index(EOS),
        pad_token_id=TOKENS.index(PAD),
    )
    train(model, PreTrainedTokenizerFast.from_pretrained(out), plan, progress, stages)
    model.save_pretrained(out)
    follow_umask(out / "model.safetensors")


def write_card(folder: Path, plan: Training) -> None:
    """Measure the model in ``folder`` and write its ``README.md``."""
    model = Qwen3ForCausalLM.from_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    figures = start_figures(model, tokenizer, dialogues=plan.mixture.dialogues > 0)
    (folder / "README.md").write_text(model_card(plan, model.num_parameters(), figures))


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch: fastest for matrices this small, and sums in the same order every time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
