"""Operations against torch's own counter, and times against sums made by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from coevolve.engine.hub import FAMILIES
from coevolve.engine.planning.devices import Card
from coevolve.engine.planning.shapes import ModelShape
from coevolve.engine.planning.speed import (
    TrainingWork,
    forward_flops,
    matrix_numbers,
    mfu,
    prefill_seconds,
    sampling_seconds,
    step_bytes,
    training_seconds,
)

SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
CARD = Card(100.0, 1000.0, 24)
TOKENS = 40


def counted(frozen: bool, backward: bool) -> int:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model("qwen3", **SIZES)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").requires_grad_(not frozen)
    states = torch.randn(1, TOKENS, 48, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        logits = model(inputs_embeds=states).logits
        if backward:
            logits.sum().backward()
    return int(counter.get_total_flops())


def test_operations_are_those_that_torch_counts() -> None:
    shape = ModelShape.from_config({"model_type": "qwen3", **SIZES})
    unmasked = 2 * 3 * 64 * TOKENS**2  # eager attention computes the upper half of its square, too
    # torch does not count the small product that makes the angles of the rotations the same way on all versions
    forward = counted(frozen=False, backward=False)
    assert forward == pytest.approx(TOKENS * forward_flops(shape, TOKENS) + unmasked, rel=0.01)
    whole, adapter = TrainingWork(False, False, False), TrainingWork(True, False, False)
    assert counted(frozen=False, backward=True) == pytest.approx(whole.passes * forward, rel=0.02)
    # without gradients of the weights, but attention's two products have both gradients all the same
    assert counted(frozen=True, backward=True) == pytest.approx(adapter.passes * forward + 2 * unmasked, rel=0.02)


def test_work_that_is_done_twice_is_computed_but_not_useful() -> None:
    work = TrainingWork(adapter=False, checkpointing=True, reference=True)
    assert (work.useful, work.passes) == (3, 5)
    assert TrainingWork(adapter=True, checkpointing=True, reference=True).passes == 4


def test_training_at_full_speed_is_its_operations_over_the_peak() -> None:
    shape = ModelShape.from_config(FAMILIES["qwen3-4b"].config)
    work = TrainingWork(adapter=False, checkpointing=True, reference=False)
    seconds = training_seconds(shape, CARD, 1e6, 0, work, share=0.5)
    assert seconds == pytest.approx(1e6 * 4 * 2 * matrix_numbers(shape) / 0.5e14)
    assert mfu(shape, CARD, 1e6, 0, work, seconds) == pytest.approx(0.5 * 3 / 4)
    assert prefill_seconds(shape, CARD, 1e6, share=0.5) == pytest.approx(seconds / 4)


def test_a_step_reads_all_matrices_once_and_the_past_of_every_row() -> None:
    shape = ModelShape.from_config(FAMILIES["qwen3-4b"].config)
    # 4.02 billion numbers without norms; 73,728 numbers of past per token: 36 layers x 2 x 8 heads x 128
    assert matrix_numbers(shape) == pytest.approx(4.02e9, rel=0.001)
    assert step_bytes(shape, 128, 1000, 2) == 2 * (matrix_numbers(shape) + 128 * 1000 * 73_728)
    seconds = sampling_seconds(shape, CARD, 128_000, rows=128, length=1000, itemsize=2, share=0.5)
    assert seconds == pytest.approx(1000 * step_bytes(shape, 128, 1000, 2) / 0.5e12)
    slow = Card(1.0, 1000.0, 24)  # so slow at products that they decide
    seconds = sampling_seconds(shape, slow, 128_000, rows=128, length=1000, itemsize=2, share=0.5)
    assert seconds == pytest.approx(128_000 * forward_flops(shape, 1000) / 1e12)
