"""The shipped base model of world games: small, complete, and legal most of the time."""

from __future__ import annotations

import json

import pytest

from coevolve.errors import ModelError
from coevolve.worlds.games import learner
from coevolve.worlds.games.card import model_card, start_figures
from coevolve.worlds.games.catalogue import GAMES
from coevolve.worlds.games.learner import ASSETS, GamesWorld
from coevolve.worlds.games.vocabulary import CHAT_TEMPLATE, TOKENS
from coevolve.worlds.miniature.training import Training
from coevolve.worlds.miniature.vocabulary import save_tokenizer

shipped = pytest.mark.skipif(not (ASSETS / "model.safetensors").exists(), reason="the model was not built yet")


@shipped
def test_the_folder_is_small_and_complete(tmp_path) -> None:  # type: ignore[no-untyped-def]
    files = {path.name: path.stat().st_size for path in ASSETS.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "README.md"} <= set(files)
    assert sum(files.values()) <= 2.5 * 1024 * 1024
    assert json.loads((ASSETS / "config.json").read_text())["vocab_size"] == len(TOKENS)
    save_tokenizer(tmp_path, TOKENS, CHAT_TEMPLATE)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert json.loads((tmp_path / name).read_text()) == json.loads((ASSETS / name).read_text())


@shipped
def test_its_moves_are_legal_most_of_the_time() -> None:
    legal = start_figures(ASSETS)
    assert set(legal) == set(GAMES)
    assert min(legal.values()) > 0.5
    assert model_card(Training(seed=0, budget_tokens=1_500_000), legal) == (ASSETS / "README.md").read_text()


def test_a_missing_model_is_named_with_its_remedy(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(learner, "ASSETS", tmp_path)
    with pytest.raises(ModelError, match=r"model\.safetensors") as caught:
        GamesWorld().base_model()
    assert "world build --world games" in caught.value.fix
