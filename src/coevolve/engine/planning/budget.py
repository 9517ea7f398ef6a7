"""The memory plan of a run: which parts it has, and the micro-batch that fits a device."""

from __future__ import annotations

from dataclasses import dataclass, replace

from coevolve.config.resources import EngineSettings, LoraSection
from coevolve.engine.local.portions import PACKED_TOKENS, PREFILL_TOKENS, PREFIX_LEAST, SLACK
from coevolve.engine.planning import memory
from coevolve.engine.planning.memory import FP32, MemoryPlan, Part, Precision, TrainedPart
from coevolve.engine.planning.shapes import ModelShape

_GRAIN = 256  # tokens by which micro-batches are tried


@dataclass(frozen=True, slots=True)
class Workload:
    """What the memory of a run depends on, beside the sizes of its model.

    Args:
        settings: of samplers and trainers.
        prompt_tokens: an allowance for a prompt.
        text_tokens: of the longest answer or question.
        reference: some agent has a KL term.
        sequences: the most that one worker is given at once; None where that is not known.
        batch_tokens: the most that one optimiser step learns from; None where that is not known.
        mapped: the base model stays in its files, of which all processes of this machine share the pages.
        shared_tokens: how many of ``prompt_tokens`` all prompts of an agent begin with, worked examples included.
    """

    settings: EngineSettings
    prompt_tokens: int
    text_tokens: int
    reference: bool
    sequences: int | None = None
    batch_tokens: int | None = None
    mapped: bool = False
    shared_tokens: int = 0

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return self.prompt_tokens + self.text_tokens

    @property
    def rows(self) -> int:
        """The most sequences that a sampler decodes at once."""
        most = self.settings.engine.max_rows
        return most if self.sequences is None else min(most, self.sequences)

    @property
    def micro_batch(self) -> int:
        """The most tokens of a micro-batch; a text that is longer than it may be is one by itself."""
        tokens = self.settings.engine.micro_batch_tokens
        return max(tokens if self.batch_tokens is None else min(tokens, self.batch_tokens), self.longest)

    @property
    def weight_bytes(self) -> int:
        """Bytes of a number of base model, sampler and cache."""
        return 2 if self.settings.model.dtype == "bfloat16" else FP32

    @property
    def precision(self) -> Precision:
        """That of the trainer: full fine-tuning has weights in fp32 whatever the model has."""
        settings = self.settings
        compute = 2 if "bfloat16" in (settings.model.dtype, settings.engine.autocast) else FP32
        weights = self.weight_bytes if settings.lora.enabled else FP32
        return Precision(weights, compute, settings.engine.device == "cuda")

    @property
    def trained(self) -> TrainedPart:
        """The numbers that are trained."""
        return trained_part(self.settings.lora)


def trained_part(lora: LoraSection) -> TrainedPart:
    """Which numbers a run trains."""
    return TrainedPart(lora.rank, tuple(lora.targets)) if lora.enabled else TrainedPart()


def memory_plan(shape: ModelShape, load: Workload, *, workers: int = 1, capacity: int | None = None) -> MemoryPlan:
    """All parts of the memory of one device. On CPU these are all processes, what they have beside tensors included.

    Several GPUs (``engine.gpus``) share weights, gradients and moments of what is trained; the first of them has the
    sampler and its cache. On a CPU so many processes have the whole model for a moment when a trainer is opened.

    Args:
        workers: rollout processes with a sampler each; one shares the main process, and with LoRA its base model.
        capacity: bytes of the device, of which vLLM takes its share; without it the least that it could do with.
    """
    engine = load.settings.engine
    with_vllm = engine.sampler == "vllm"
    parts = [*_models(shape, load, 0 if with_vllm else workers), *_training(shape, load)]
    parts += _vllm(shape, load, capacity) if with_vllm else _sampling(shape, load, workers)
    if engine.device == "cpu":
        parts.append(Part("Python and libraries", memory.beside_bytes(shape, workers + engine.gpus - 1), "always"))
    if engine.device == "cuda":
        plan = MemoryPlan(tuple(parts))
        parts.append(Part("CUDA itself", memory.CONTEXT, "always"))
        parts.append(Part("lost between blocks", round(memory.FRAGMENTS * plan.peak), "always"))
    return MemoryPlan(tuple(part for part in parts if part.bytes))


def _models(shape: ModelShape, load: Workload, workers: int) -> list[Part]:
    """Weights, optimiser and reference: there from the first step of a training phase to its last."""
    engine = load.settings.engine
    count = memory.trained_numbers(shape, load.trained)
    base, own = shape.parameters * load.weight_bytes, shape.parameters * load.precision.weights
    pair = memory.optimizer_bytes(count, FP32, eight_bit=engine.optimizer == "adamw-8bit")
    shared = engine.gpus if engine.device == "cuda" else 1  # on a CPU the parts of all processes are counted
    moments = Part("optimiser", pair // shared, "always")
    if not load.trained.everything:
        merges = engine.device == "cpu" and load.weight_bytes == FP32  # engine.local.lora.MergedAdapter
        apart = workers if (workers > 1 or merges) and not load.mapped else 0
        copies = FP32 + FP32 * load.reference + load.weight_bytes * workers
        own = memory.merged_bytes(shape, FP32) if load.mapped else memory.copied_bytes(shape, FP32)
        return [
            Part("base model", base * (1 + apart) + _divided_base(base, load), "always"),
            Part("samplers' weights", own * workers if merges else 0, "always"),
            Part("adapters", count * copies, "always"),
            moments,
        ]
    copied = memory.copied_bytes(shape, load.weight_bytes) if engine.device == "cpu" else 0
    return [
        Part("trained model", own * (engine.gpus // shared) // shared, "always"),
        Part("sampler's model", (base + copied) * workers, "always"),
        Part("reference", own * load.reference // shared, "always"),
        moments,
    ]


def _training(shape: ModelShape, load: Workload) -> list[Part]:
    engine = load.settings.engine
    tokens = load.micro_batch
    padding = 1 / SLACK if tokens > load.longest else 1.0
    count = memory.trained_numbers(shape, load.trained)
    check = engine.checkpointing
    new = shape.vocab * shape.hidden * FP32 if load.trained.everything else 0
    given = (shape, tokens, load.precision, load.trained)
    shared, here = (engine.gpus, 1) if engine.device == "cuda" else (1, engine.gpus)
    return [
        Part("gathered weights", _gathered(shape, load) * here, "training"),
        Part("gradients", count * FP32 // shared + new * here, "training"),
        Part("activations", memory.activation_bytes(*given, checkpointing=check, padding=padding) * here, "training"),
        Part(
            "logits or a layer", memory.passing_bytes(*given, checkpointing=check, padding=padding) * here, "training"
        ),
    ]


def _gathered(shape: ModelShape, load: Workload) -> int:
    """What a process of several has whole: what is outside of the layers, two layers, and the gradients of one."""
    if load.settings.engine.gpus == 1:
        return 0
    outside = shape.parameters - shape.layers * shape.layer_parameters
    models = 1 + (load.reference if load.trained.everything else 0)
    gradients = shape.layer_parameters * FP32 if load.trained.everything else 0
    return (outside * models + 2 * shape.layer_parameters) * load.precision.weights + gradients


def _divided_base(base: int, load: Workload) -> int:
    """The trainer's own parts of a frozen base, beside the whole one of the sampler."""
    engine = load.settings.engine
    if engine.gpus == 1:
        return 0
    return base // engine.gpus if engine.device == "cuda" else base * (engine.gpus - 1)


def _sampling(shape: ModelShape, load: Workload, workers: int) -> list[Part]:
    engine, longest, size = load.settings.engine, load.longest, load.weight_bytes
    if engine.device == "cuda":
        cache, tokens = memory.static_cache_bytes(shape, load.rows, longest, size), PREFILL_TOKENS
    else:
        shared = load.shared_tokens if load.shared_tokens >= PREFIX_LEAST else 0
        own = load.prompt_tokens - shared
        cache = memory.growing_cache_bytes(shape, load.rows, own, longest - shared, size)
        cache += memory.cache_bytes(shape, 1, shared, size)
        tokens = min(PACKED_TOKENS, load.rows * own)
    step = max(memory.drawing_bytes(shape, load.rows, size), memory.prefill_bytes(shape, tokens, size))
    return [
        Part("key-value cache", cache * workers, "sampling" if engine.device == "cuda" else "always"),
        Part("drawing or prompts", step * workers, "sampling"),
    ]


def _vllm(shape: ModelShape, load: Workload, capacity: int | None) -> list[Part]:
    """Its share of the device; without a device its weights, and pages for texts of half the allowed length."""
    section = load.settings.vllm
    pages = memory.cache_bytes(shape, load.settings.engine.max_rows, load.longest // 2, load.weight_bytes)
    least = shape.parameters * load.weight_bytes + (round(section.cache_gb * 2**30) if section.cache_gb else pages)
    takes = round(section.memory * capacity) if capacity and not section.cache_gb else least
    return [Part("vLLM", takes, "sampling" if section.sleep else "always")]


def fitting_micro_batch(shape: ModelShape, load: Workload, capacity: int) -> int:
    """The largest ``engine.micro_batch_tokens`` (a multiple of 256) whose plan fits a device; 0 if none does.

    Args:
        capacity: bytes of the device.
    """

    def fits(tokens: int) -> bool:
        engine = load.settings.engine.model_copy(update={"micro_batch_tokens": tokens})
        other = replace(load, settings=replace(load.settings, engine=engine))
        return memory_plan(shape, other, capacity=capacity).peak <= capacity

    low, high = 0, 4096  # in grains: a million tokens
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * _GRAIN) else (low, middle - 1)
    return low * _GRAIN
