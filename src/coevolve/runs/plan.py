"""What each phase of a run will cost."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from coevolve.config import Config, SamplingSection, WorldSettings
from coevolve.engine.hub import config_before, is_hub_id
from coevolve.engine.local.models import weight_types
from coevolve.engine.planning.budget import Workload, trained_part
from coevolve.engine.planning.memory import trained_numbers
from coevolve.engine.planning.shapes import KINDS, ModelShape
from coevolve.errors import ModelError
from coevolve.evaluation.phase import run_phases
from coevolve.methods.base import Phase
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.reporting import PhaseCost
from coevolve.rollout.codec import Codec
from coevolve.rollout.service import worker_count
from coevolve.suites.base import Source
from coevolve.types import PROPOSER, SOLVER
from coevolve.worlds.registry import TextSizes, open_world, world_named

_FP32 = 4  # bytes
_BEHIND_QUESTION = 16  # tokens of a prompt at most that stand behind what differs: ends of turns, an opening
_TYPES = {"float32": "F32", "bfloat16": "BF16"}  # as safetensors spells them


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens of one process per second of CPU time.

    Args:
        sampled: that a sampler draws.
        read: of prompts that no other sequence has.
        trained: of the rows that a trainer learns from, prompts included.
    """

    sampled: float
    read: float
    trained: float


EMBEDDED = Speed(7_000, math.inf, 12_000)  # of the embedded base model on one ordinary core; prompts are in the first


def shape_of(config: Config) -> ModelShape | None:
    """The sizes of the base model, of its folder or, before that is here, of the published one or of a GGUF file.

    Returns:
        None for a model that is not here and none of the published ones, or whose family is not understood.

    Raises:
        ModelError: its config.json, or the GGUF file that it will be made of, cannot be read.
    """
    content, where = _model_config(config)
    known = content is not None and content.get("model_type") in KINDS
    return ModelShape.from_config(content, where=where) if content is not None and known else None


def _model_config(config: Config) -> tuple[Mapping[str, Any] | None, str]:
    """What config.json says of the base model, and which file that is; None for one that is neither here nor known."""
    file = open_world(config.world_settings).base_model() / "config.json"
    if not file.is_file():
        return config_before(config.model.path or ""), ""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"config.json is damaged: {error}", where=str(file), fix="restore the file") from error
    return content if isinstance(content, dict) else None, str(file)


def workload(config: Config) -> Workload:
    """What the memory of a run depends on."""
    base = open_world(config.world_settings).base_model()
    is_here = all((base / name).is_file() for name in ("config.json", "tokenizer.json"))
    prompt = _framing(config.world_settings) if is_here and world_named(config.world).sizes is None else None
    prompt_tokens = world_named(config.world).prompt_tokens if prompt is None else prompt
    text_tokens = max(config.sampling.max_tokens, config.sampling.question_tokens)
    if prompt is not None:
        prompt_tokens += config.sampling.question_tokens
    shared = max((prompt or 0) - _BEHIND_QUESTION, 0)
    sequences, texts = _at_once(config)
    return Workload(
        config.engine_settings,
        prompt_tokens=prompt_tokens,
        text_tokens=text_tokens,
        reference=config.has_reference,
        sequences=sequences,
        shared_tokens=shared,
        batch_tokens=texts and texts * (prompt_tokens + text_tokens),
        mapped=config.engine.device == "cpu"
        and config.lora.enabled
        and is_here
        and weight_types(base) == {_TYPES[config.model.dtype]},
    )


@lru_cache(8)
def _framing(settings: WorldSettings) -> int | None:
    """Tokens of the longest prompt without its question; None where the tokenizer or template cannot be used."""
    world = open_world(settings)
    try:
        codec, contract = Codec(world.base_model()), world.contract
        return max(len(codec.encode(contract.prompt(agent))) for agent in (PROPOSER, SOLVER))
    except ModelError:
        return None  # the check of the model, which follows, says what is wrong with it


def _at_once(config: Config) -> tuple[int | None, int | None]:
    """The most sequences that one worker is given at once, and the most texts of an optimiser step.

    None where suites decide, whose problems are not counted here, or methods that are not known.
    """
    if not isinstance(config, CoevolutionConfig):
        return None, None
    phases = [(phase.cost(config), phase.steps if phase.by_steps else 1) for phase in run_phases(config, [])]
    together = max(max(cost.questions, cost.answers) / steps for cost, steps in phases)
    sequences = None if config.evaluation.suites else -(-math.ceil(together) // worker_count(config.engine))
    steps = (
        ((config.proposer.questions, config.proposer.minibatches) if config.proposer.train else (0, 1)),
        (
            (config.solver.tasks * config.solver.group_size, config.solver.minibatches)
            if config.solver.train
            else (0, 1)
        ),
    )
    return sequences, max(-(-texts // parts) for texts, parts in steps) or None


@dataclass(frozen=True, slots=True)
class PlannedPhase:
    """An estimate of one phase; CPU seconds are summed over processes."""

    name: str
    trajectories: int
    tokens_sampled: int
    tokens_trained: int
    disk_bytes: int
    prompts: int = 0  # that are computed: equal ones only once
    tokens_read: int = 0  # of these prompts, but for what all of them share
    framing: int = 0  # tokens of prompts that a trainer reads with its rows
    speed: Speed = EMBEDDED

    @property
    def cpu_s(self) -> float:
        """Reading, sampling and training in processes of this speed."""
        speed = self.speed
        seconds = self.tokens_sampled / speed.sampled + self.tokens_read / speed.read
        return seconds + (self.tokens_trained + self.framing) / speed.trained


def name_of(phase: Phase) -> str:
    """The phase's name in the manifest."""
    return f"iteration-{phase.iteration}/{phase.report.name}"


def planned(config: Config, sources: Sequence[Source] | None = None, speed: Speed | None = None) -> list[PlannedPhase]:
    """Cost estimates of all phases, without loading anything.

    Args:
        config: of the run.
        sources: of its suites; None: they are looked for.
        speed: of its model on this machine; None: that of the embedded one.

    Raises:
        ConfigError: there is no such suite.
        ModelError: the base model's config.json cannot be read.
    """
    shape = shape_of(config)
    saved = trained_numbers(shape, trained_part(config.lora)) * _FP32 if shape else 0
    sizes, kept = _sizes(config.world, config.sampling), config.run.keep_trajectories
    # On a CPU in float32 rows that share the beginning of a prompt, or all of it, read it once.
    shared = config.engine.device == "cpu" and config.model.dtype == "float32"
    prompt = 0 if shared else workload(config).prompt_tokens
    phases = [
        _planned(name_of(phase), phase.cost(config), sizes, saved, kept=kept, prompt=prompt)
        for phase in run_phases(config, sources)
    ]
    # What the speed of the embedded model says of training includes its prompts.
    return [replace(x, speed=speed) if speed else replace(x, framing=0) for x in phases]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run asks of a machine.

    Args:
        model: what the base model is called.
        shape: of the base model; None where its sizes are not known.
        load: what its memory depends on.
        positions: tokens of the longest sequence that the base model was made for; None where it does not say.
        stored: bytes that the run will leave in its folder.
        fetched: bytes that will be downloaded.
        own: folder of the base model, where it is here and one of the user's own.
        embedded: the base model is the world's, and its speed is known.
    """

    model: str
    shape: ModelShape | None
    load: Workload
    positions: int | None
    stored: int
    fetched: int
    own: Path | None = None
    embedded: bool = False


def needs_of(config: Config, finished: Collection[str] = (), sources: Sequence[Source] | None = None) -> Needs:
    """Read off the configuration and config.json of the base model.

    Args:
        finished: names of phases that are not done again.
        sources: of its suites; None: they are looked for.

    Raises:
        ModelError: that file cannot be read.
        ConfigError: there is no such suite.
    """
    shape, (content, _) = shape_of(config), _model_config(config)
    positions = (content or {}).get("max_position_embeddings")
    name = config.model.path or ""
    missing = is_hub_id(name) and not open_world(config.world_settings).base_model().exists()
    return Needs(
        model=name or "the base model",
        shape=shape,
        load=workload(config),
        positions=positions if isinstance(positions, int) else None,
        stored=sum(phase.disk_bytes for phase in planned(config, sources) if phase.name not in finished),
        fetched=shape.parameters * 2 if shape and missing else 0,  # models are published in bfloat16
        own=None if config.model.path is None or missing else open_world(config.world_settings).base_model(),
        embedded=config.model.path is None and world_named(config.world).sizes is not None,
    )


def _planned(name: str, cost: PhaseCost, average: TextSizes, saved: int, *, kept: bool, prompt: int) -> PlannedPhase:
    """
    Args:
        prompt: tokens of a prompt that is read with every row; 0: only different questions are, each once.
    """
    rows = cost.questions_trained + cost.answers_trained
    stored = cost.stored if kept else 0
    turns = cost.turns_of_an_answer
    return PlannedPhase(
        name=name,
        trajectories=cost.questions + cost.answers,
        tokens_sampled=cost.questions * average.question + round(cost.answers * turns * average.answer),
        tokens_trained=cost.questions_trained * average.question
        + round(cost.answers_trained * turns * average.trained),
        disk_bytes=round(stored * turns * average.stored_bytes) + saved * cost.checkpoint_copies,
        prompts=cost.prompts,
        tokens_read=cost.prompts * average.question,
        framing=rows * prompt if prompt else min(rows, cost.prompts) * average.question,
    )


def _sizes(world: str, sampling: SamplingSection) -> TextSizes:
    """Those of finished runs; where nothing was measured, half of what is allowed."""
    answer = sampling.max_tokens // 2
    allowed = TextSizes(sampling.question_tokens // 2, answer, answer, stored_bytes=3 * answer)
    return world_named(world).sizes or allowed
