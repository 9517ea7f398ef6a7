"""The shipped base model of world games: small, complete, and legal most of the time."""

from __future__ import annotations

import json
import re

import pytest

from coevolve.errors import ModelError
from coevolve.worlds.games import learner
from coevolve.worlds.games.build import BUDGET_TOKENS
from coevolve.worlds.games.card import model_card, start_figures
from coevolve.worlds.games.catalogue import GAMES
from coevolve.worlds.games.learner import ASSETS, GamesWorld
from coevolve.worlds.games.vocabulary import CHAT_TEMPLATE, TOKENS
from coevolve.worlds.miniature.training import Training
from coevolve.worlds.miniature.vocabulary import save_tokenizer


def test_the_folder_is_small_and_complete(tmp_path) -> None:  # type: ignore[no-untyped-def]
    files = {path.name: path.stat().st_size for path in ASSETS.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "README.md"} <= set(files)
    assert sum(files.values()) <= 2.5 * 1024 * 1024
    assert json.loads((ASSETS / "config.json").read_text())["vocab_size"] == len(TOKENS)
    save_tokenizer(tmp_path, TOKENS, CHAT_TEMPLATE)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert json.loads((tmp_path / name).read_text()) == json.loads((ASSETS / name).read_text())


def test_its_moves_are_as_often_legal_as_its_card_says() -> None:
    """The card is that of the budget, but for its figures: processors round differently, and a sample may turn over."""
    card = (ASSETS / "README.md").read_text()
    rows = re.findall(r"^\| (\w+) \| (?:yes|no) \| ([\d.]+) \|$", card, re.MULTILINE)
    shown = {name: float(share) / 100 for name, share in rows}
    assert set(shown) == set(GAMES)
    assert model_card(Training(seed=0, budget_tokens=BUDGET_TOKENS), shown) == card
    assert min(shown.values()) > 0.5
    assert start_figures(ASSETS) == pytest.approx(shown, abs=0.1)


def test_a_missing_model_is_named_with_its_remedy(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(learner, "ASSETS", tmp_path)
    with pytest.raises(ModelError, match=r"model\.safetensors") as caught:
        GamesWorld().base_model()
    assert "world build --world games" in caught.value.fix
