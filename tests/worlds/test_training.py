"""Raising the base model: the optimiser's formula, the batches, and a build small enough for a test."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from coevolve.worlds.miniature.build import write_model
from coevolve.worlds.miniature.calibration import LevelFigures, StartFigures, sample
from coevolve.worlds.miniature.card import model_card
from coevolve.worlds.miniature.training import Muon, Training, _batches, _rate, orthogonalised
from coevolve.worlds.miniature.vocabulary import TOKENS, save_tokenizer


@pytest.mark.parametrize("shape", [(64, 64), (32, 96), (96, 32)])
def test_orthogonalised_updates_keep_the_singular_vectors_and_level_the_values(
    shape: tuple[int, int],
) -> None:
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    update = orthogonalised(gradient)
    u, values, v = torch.linalg.svd(gradient, full_matrices=False)
    expected = values / gradient.norm()
    for _ in range(5):
        expected = 3.4445 * expected - 4.7750 * expected**3 + 2.0315 * expected**5
    assert torch.allclose(u.T @ update @ v.T, torch.diag(expected), atol=1e-3)
    assert expected.max() < 1.3


def test_muon_moves_against_the_gradient_and_shrinks_weights() -> None:
    matrix = torch.nn.Parameter(torch.eye(4))
    matrix.grad = torch.eye(4)
    Muon([matrix], weight_decay=0.5).step(lr=0.1)
    off_diagonal = matrix.detach() - torch.diag(matrix.detach().diagonal())
    assert off_diagonal.abs().max() < 1e-6
    assert (matrix.detach().diagonal() < 0.95 - 0.1 * 0.6).all()


def test_the_learning_rate_warms_up_stays_and_decays_to_zero() -> None:
    plan = Training(budget_tokens=1000, warmup=10, constant=0.3)
    assert _rate(plan, seen=0, step=0) == pytest.approx(0.1)
    assert _rate(plan, seen=200, step=50) == 1.0
    assert _rate(plan, seen=650, step=100) == pytest.approx(0.5)
    assert _rate(plan, seen=1000, step=200) == 0.0


def test_batches_are_padded_on_the_right_and_observations_are_not_learnt(tmp_path) -> None:
    save_tokenizer(tmp_path)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    plan = Training(budget_tokens=30_000)
    seen = 0
    for ids, labels in _batches(tokenizer, plan):
        assert ids.numel() <= plan.batch_tokens
        padding = ids == tokenizer.pad_token_id
        assert (padding.long().diff(dim=1) >= 0).all()
        assert (labels[padding] == -100).all()
        learnt = labels != -100
        assert (labels[learnt] == ids[learnt]).all()
        fence = TOKENS.index("```output\n")
        after_fence = (ids[:, :-1] == fence).nonzero()
        assert all(labels[row, place + 1] == -100 for row, place in after_fence.tolist())
        seen += int((~padding).sum())
    assert plan.budget_tokens <= seen < plan.budget_tokens + 2 * plan.batch_tokens


def test_a_build_is_repeatable(tmp_path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        write_model(folder, Training(seed=5, budget_tokens=1500))
    first, second = ((folder / "model.safetensors").read_bytes() for folder in folders)
    assert first == second


def test_the_card_gives_the_plan_and_the_measured_means() -> None:
    levels = tuple(LevelFigures(n, 0.1 * n, 0.5, 0.0, 1.0, 0.4, 0.7) for n in (1, 2))
    figures = StartFigures(levels, 60, 8, 512, 0.125, {0: 64, 1: 448})
    card = model_card(Training(seed=5), 611_648, figures)
    assert "--seed 5" in card
    assert "611,648" in card
    assert "| all | 15.0 | 50.0 | 0.0 | 40.0 | 70.0 | 1.00 |" in card
    assert "12.5 % are malformed" in card
    assert "--tokens" not in card
    assert "--tokens 1200000 --out DIR --seed 5" in model_card(Training(5, 1_200_000), 611_648, figures)


def test_the_calibration_sampler_agrees_with_generate() -> None:
    from coevolve.worlds.miniature.learner import ASSETS

    model = Qwen3ForCausalLM.from_pretrained(ASSETS)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(ASSETS)
    prompts = [f"<question>Let a = {n} + 80. Let b = a mod {n}. Find b.</question>\n" for n in (12, 345, 99, 7)]
    ours = sample(model, tokenizer, prompts, seed=0, greedy=True)
    for prompt, (text, calls) in zip(prompts, ours, strict=True):
        if calls:
            continue
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            theirs = model.generate(ids, max_new_tokens=200, do_sample=False)[0, ids.shape[1] :]
        assert tokenizer.decode(theirs, skip_special_tokens=True) == text
