"""The memory plan of a configuration: what is there once, what per process, and what fits a card."""

from __future__ import annotations

from dataclasses import replace

import pytest

from coevolve.engine.hub import FAMILIES, published_config
from coevolve.engine.planning.budget import Workload, fitting_micro_batch, memory_plan
from coevolve.engine.planning.memory import MemoryPlan
from coevolve.engine.planning.shapes import ModelShape
from coevolve.methods.registry import load_config
from coevolve.runs.plan import workload

QWEN = ModelShape.from_config(FAMILIES["qwen3-4b"].config)
BASE = QWEN.parameters * 2  # bytes in bfloat16
CARDS = {  # bytes that torch finds on the smallest card of this size
    "qwen3-4b-1gpu-24gb": 23.9e9,
    "qwen3-4b-1gpu": 84.9e9,
    "qwen3-8b-1gpu": 84.9e9,
    "octothinker-3b": 84.9e9,
    "octothinker-8b": 84.9e9,
    "qwen3-4b-paper": 84.9e9,
    "qwen3-4b-code": 84.9e9,
    "qwen3-8b-paper": 84.9e9,
}


def configured(*overrides: str, preset: str = "qwen3-4b-1gpu") -> Workload:
    return workload(load_config(preset, None, list(overrides)))


def parts(plan: MemoryPlan) -> dict[str, int]:
    return {part.name: part.bytes for part in plan.parts}


@pytest.mark.parametrize("preset", CARDS)
def test_the_presets_fit_the_cards_that_they_are_for(preset: str) -> None:
    config = load_config(preset)
    content = published_config(config.model.path or "")
    assert content is not None
    shape, load = ModelShape.from_config(content), workload(config)
    assert memory_plan(shape, load).peak <= CARDS[preset]
    assert fitting_micro_batch(shape, load, int(CARDS[preset])) >= config.engine.micro_batch_tokens
    assert load.longest <= content["max_position_embeddings"]


def test_worked_examples_that_all_prompts_begin_with_are_cached_once() -> None:
    alone = replace(
        configured("engine.device=cpu", "engine.max_rows=64"), sequences=None, prompt_tokens=600, text_tokens=72
    )
    shared = replace(alone, shared_tokens=512)
    token = QWEN.cache_numbers() * alone.weight_bytes
    behind = replace(alone, prompt_tokens=88)  # what is left of a prompt behind the examples
    found, least = (parts(memory_plan(QWEN, load))["key-value cache"] for load in (shared, behind))
    assert found == least + 512 * token
    assert found < parts(memory_plan(QWEN, alone))["key-value cache"] / 3
    few = replace(alone, shared_tokens=16)  # too few to be kept apart
    assert memory_plan(QWEN, few) == memory_plan(QWEN, alone)


def test_adapters_share_one_base_in_a_process_and_have_their_reference_in_small() -> None:
    numbers = QWEN.adapter_parameters(32)
    plan = parts(memory_plan(QWEN, configured()))
    assert plan["base model"] == BASE
    assert plan["adapters"] == numbers * (4 + 4 + 2)  # trained, reference, the sampler's
    assert plan["optimiser"] == numbers * 8
    assert plan["gradients"] == numbers * 4
    assert not {"reference", "sampler's model", "trained model"} & set(plan)
    several = parts(memory_plan(QWEN, configured("engine.device=cpu"), workers=3))
    assert several["base model"] == 4 * BASE
    assert (
        several["key-value cache"] == 3 * parts(memory_plan(QWEN, configured("engine.device=cpu")))["key-value cache"]
    )


def test_full_training_has_weights_reference_and_moments_in_fp32_and_a_sampler_of_its_own() -> None:
    whole = ("lora.enabled=false", "engine.checkpointing=true")
    plan = parts(memory_plan(QWEN, configured(*whole)))
    assert plan["trained model"] == plan["reference"] == 2 * BASE
    assert plan["optimiser"] == 4 * BASE
    assert plan["sampler's model"] == BASE
    without = parts(memory_plan(QWEN, configured(*whole, "proposer.kl=0", "solver.kl=0")))
    assert "reference" not in without
    small = parts(memory_plan(QWEN, configured(*whole, "engine.optimizer=adamw-8bit")))
    assert small["optimiser"] == pytest.approx(plan["optimiser"] / 4, rel=0.02)
    eight = parts(memory_plan(QWEN, configured(*whole, "engine.gpus=8")))
    assert eight["optimiser"] == plan["optimiser"] // 8
    assert eight["sampler's model"] == BASE


def test_training_and_sampling_take_turns_on_a_gpu() -> None:
    plan = memory_plan(QWEN, configured())
    cache = parts(plan)["key-value cache"]
    assert plan.during("sampling") >= cache
    assert plan.during("training") + cache > plan.peak == max(plan.during("training"), plan.during("sampling"))


def test_vllm_takes_its_share_and_gives_it_back_while_it_sleeps() -> None:
    awake, asleep = (configured("engine.sampler=vllm", f"vllm.sleep={s}") for s in ("false", "true"))
    card = 85_000_000_000
    plan = memory_plan(QWEN, asleep, capacity=card)
    assert parts(plan)["vLLM"] == card // 2
    assert "key-value cache" not in parts(plan)
    assert memory_plan(QWEN, awake, capacity=card).during("training") > plan.during("training") + card // 2
    assert parts(plan)["adapters"] == QWEN.adapter_parameters(32) * (4 + 4)  # vLLM's own are in its share


@pytest.mark.parametrize("card", [24e9, 40e9, 85e9])
def test_the_micro_batch_that_fits_is_the_largest(card: float) -> None:
    settings = ("engine.max_rows=16", "sampling.max_tokens=1024")
    tokens = fitting_micro_batch(QWEN, configured(*settings), int(card))
    assert tokens % 256 == 0

    def peak(size: int) -> int:
        return memory_plan(QWEN, configured(*settings, f"engine.micro_batch_tokens={size}")).peak

    assert peak(tokens) <= card < peak(tokens + 256)
    assert fitting_micro_batch(QWEN, configured(*settings), 8 * 10**9) == 0  # less than the base model alone
