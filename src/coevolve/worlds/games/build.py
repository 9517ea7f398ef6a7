"""Makes the model folder of world games: tokenizer, base model and card, for ``coevolve world build --world games``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from coevolve.worlds.games.card import model_card, start_figures
from coevolve.worlds.games.corpus import Play, documents
from coevolve.worlds.games.vocabulary import CHAT_TEMPLATE, TOKENS
from coevolve.worlds.miniature.build import one_thread, write_trained
from coevolve.worlds.miniature.training import Training, new_model
from coevolve.worlds.miniature.vocabulary import save_tokenizer

BUDGET_TOKENS = 3_000_000  # of the shipped model


def build_world(
    out: Path, *, seed: int, tokens: int | None = None, progress: Callable[[str], None] | None = None
) -> None:
    """Train the base model, measure it, and write its Hugging Face folder. Equal seeds give equal weights.

    Args:
        out: folder to write; made when missing.
        seed: of the corpus, the batches and the first weights.
        tokens: that the model reads; default: as the shipped one.
        progress: called with a line of text now and then.
    """
    plan = Training(seed=seed, budget_tokens=tokens or BUDGET_TOKENS)
    with one_thread():
        write_model(out, plan, progress)
        (out / "README.md").write_text(model_card(plan, start_figures(out)))


def write_model(out: Path, plan: Training, progress: Callable[[str], None] | None = None) -> None:
    """Train the base model and write its folder, without the card."""
    out.mkdir(parents=True, exist_ok=True)
    save_tokenizer(out, TOKENS, CHAT_TEMPLATE)
    stage = ("games", documents(Play(), plan.seed), plan.budget_tokens)
    write_trained(out, new_model(plan.seed, len(TOKENS)), plan, progress, (stage,))
