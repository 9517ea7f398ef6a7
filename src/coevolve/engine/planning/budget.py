"""The memory plan of a configuration: which parts a run has, and the micro-batch that fits a device."""

from __future__ import annotations

from dataclasses import dataclass

from coevolve.config import Config
from coevolve.engine.local.portions import PREFILL_TOKENS, SLACK
from coevolve.engine.planning import memory
from coevolve.engine.planning.memory import FP32, MemoryPlan, Part, Precision, Trained
from coevolve.engine.planning.shapes import ModelShape

PROMPT_TOKENS = {"miniature": 64, "open": 512}  # an allowance for framing and question
_GRAIN = 256  # tokens by which micro-batches are tried


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the configuration says about precision and training."""

    weights: int  # bytes of a number of base model, sampler and cache
    precision: Precision  # of the trainer
    trained: Trained
    reference: bool  # some agent has a KL term

    @classmethod
    def of(cls, config: Config) -> Numbers:
        """As the trainer and the sampler read it: full fine-tuning has weights in fp32 whatever the model has."""
        weights = 2 if config.model.dtype == "bfloat16" else FP32
        lora = config.lora
        compute = 2 if "bfloat16" in (config.model.dtype, config.engine.autocast) else FP32
        return cls(
            weights,
            Precision(weights if lora.enabled else FP32, compute),
            Trained(lora.rank, tuple(lora.targets)) if lora.enabled else Trained(),
            max(config.proposer.kl, config.solver.kl) > 0,
        )


def longest_text(config: Config) -> int:
    """Tokens of the longest sequence: a prompt, and the longest answer or question."""
    return PROMPT_TOKENS[config.world] + max(config.sampling.max_tokens, config.sampling.question_tokens)


def memory_plan(shape: ModelShape, config: Config, *, workers: int = 1, capacity: int | None = None) -> MemoryPlan:
    """All parts of the memory of one device. On CPU these are the tensors of all processes.

    Several GPUs (``engine.gpus``) are taken to share weights, gradients and moments of what is trained, as FSDP2 does,
    and to hold a sampler and a cache each.

    Args:
        workers: rollout processes with a sampler each; one shares the main process, and with LoRA its base model.
        capacity: bytes of the device, of which vLLM takes its share; without it the least that it could do with.
    """
    numbers = Numbers.of(config)
    with_vllm = config.engine.sampler == "vllm"
    parts = [*_models(shape, config, numbers, 0 if with_vllm else workers), *_training(shape, config, numbers)]
    parts += _vllm(shape, config, numbers, capacity) if with_vllm else _sampling(shape, config, numbers, workers)
    if config.engine.device == "cuda":
        plan = MemoryPlan(tuple(parts))
        parts.append(Part("CUDA itself", memory.CONTEXT, "always"))
        parts.append(Part("lost between blocks", round(memory.FRAGMENTS * plan.peak), "always"))
    return MemoryPlan(tuple(part for part in parts if part.bytes))


def _models(shape: ModelShape, config: Config, numbers: Numbers, workers: int) -> list[Part]:
    """Weights, optimiser and reference: there from the first step of a training phase to its last."""
    count = memory.trained_numbers(shape, numbers.trained)
    base, own = shape.parameters * numbers.weights, shape.parameters * numbers.precision.weights
    pair = memory.optimizer_bytes(count, FP32, eight_bit=_eight_bit(config))
    moments = Part("optimiser", pair // config.engine.gpus, "always")
    if not numbers.trained.everything:
        apart = workers if workers > 1 else 0
        copies = FP32 + FP32 * numbers.reference + numbers.weights * workers
        return [
            Part("base model", base * (1 + apart), "always"),
            Part("adapters", count * copies, "always"),
            moments,
        ]
    return [
        Part("trained model", own // config.engine.gpus, "always"),
        Part("sampler's model", base * workers, "always"),
        Part("reference", own * numbers.reference // config.engine.gpus, "always"),
        moments,
    ]


def _training(shape: ModelShape, config: Config, numbers: Numbers) -> list[Part]:
    longest = longest_text(config)
    tokens = max(config.engine.micro_batch_tokens, longest)
    padding = 1 / SLACK if tokens > longest else 1.0
    count = memory.trained_numbers(shape, numbers.trained)
    check = config.engine.checkpointing
    new = shape.vocab * shape.hidden * FP32 if numbers.trained.everything else 0
    given = (shape, tokens, numbers.precision, numbers.trained)
    return [
        Part("gradients", count * FP32 // config.engine.gpus + new, "training"),
        Part("activations", memory.activation_bytes(*given, checkpointing=check, padding=padding), "training"),
        Part("logits or a layer", memory.passing_bytes(*given, checkpointing=check, padding=padding), "training"),
    ]


def _sampling(shape: ModelShape, config: Config, numbers: Numbers, workers: int) -> list[Part]:
    rows, longest, size = config.engine.max_rows, longest_text(config), numbers.weights
    if config.engine.device == "cuda":
        cache = memory.static_cache_bytes(shape, rows, longest, size)
    else:
        cache = memory.growing_cache_bytes(shape, rows, PROMPT_TOKENS[config.world], longest, size)
    step = max(memory.drawing_bytes(shape, rows, size), memory.prefill_bytes(shape, PREFILL_TOKENS, size))
    return [
        Part("key-value cache", cache * workers, "sampling" if config.engine.device == "cuda" else "always"),
        Part("drawing or prompts", step * workers, "sampling"),
    ]


def _vllm(shape: ModelShape, config: Config, numbers: Numbers, capacity: int | None) -> list[Part]:
    """Its share of the device; without a device its weights, and pages for texts of half the allowed length."""
    section = config.vllm
    pages = memory.cache_bytes(shape, config.engine.max_rows, longest_text(config) // 2, numbers.weights)
    least = shape.parameters * numbers.weights + (round(section.cache_gb * 2**30) if section.cache_gb else pages)
    takes = round(section.memory * capacity) if capacity and not section.cache_gb else least
    return [Part("vLLM", takes, "sampling" if section.sleep else "always")]


def fitting_micro_batch(shape: ModelShape, config: Config, capacity: int) -> int:
    """The largest ``engine.micro_batch_tokens`` (a multiple of 256) whose plan fits a device; 0 if none does.

    Args:
        capacity: bytes of the device.
    """

    def fits(tokens: int) -> bool:
        engine = config.engine.model_copy(update={"micro_batch_tokens": tokens})
        return memory_plan(shape, config.model_copy(update={"engine": engine}), capacity=capacity).peak <= capacity

    low, high = 0, 4096  # in grains: a million tokens
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * _GRAIN) else (low, middle - 1)
    return low * _GRAIN


def _eight_bit(config: Config) -> bool:
    return config.engine.optimizer == "adamw-8bit"
