"""Where a run keeps its files, and what holds, samples and trains its models."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from coevolve.config.section import Section

Tracker = Literal["tensorboard", "wandb", "trackio"]


class RunSection(Section):
    dir: str | None = Field(None, description="the run's own folder; default runs/<name>, made unique by a number")
    name: str | None = Field(None, description="name of the folder under runs/; default <method>-<preset>-<seed>")
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        default_factory=list,
        description="several runs, one after the other, in <name>-s<seed>; written --seeds 0,1,2",
    )
    save_every: int = Field(1, ge=1, description="training steps after which weights and optimiser are saved")
    save_tasks: int = Field(
        512, ge=1, description="tasks or texts after which a pool or an evaluation keeps its trajectories"
    )
    keep_trajectories: bool = Field(True, description="store the trajectories of pools and evaluations as Parquet")


class TrackSection(Section):
    """Trackers show a run elsewhere; metrics.jsonl is always written and is what they follow."""

    to: list[Tracker] = Field(default_factory=list, description="where the metrics are shown besides metrics.jsonl")
    project: str = Field("coevolve", min_length=1, description="project of W&B and Trackio")
    name: str | None = Field(None, description="name of the run there; default: that of its folder")
    online: bool = Field(
        False, description="let trackers use the network; false = files below RUN/track, to upload or look at later"
    )
    wait_s: float = Field(30.0, ge=0, description="seconds that a run waits at its end for its trackers")


class ModelSection(Section):
    path: str | None = Field(
        None,
        description="folder or hub id (owner/name) of the base model; default: the world's own, which in "
        "the open world is a small random one; miniature-dialogues, miniature-early: others of the miniature",
    )
    prompts: str = Field(
        "agent0",
        min_length=1,
        description="prompts of the open world: agent0 (with the tool), r-zero or plain (without), arithmetic, "
        "grade-school or school (with worked examples, for small models), or a YAML file of your own; in world code "
        "plain has prompts in words for other models than its own",
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="precision of the weights")

    @field_validator("prompts", mode="after")
    @classmethod
    def _from_anywhere(cls, value: str) -> str:
        """A file is named so that the run can be taken up from another folder."""
        return os.path.abspath(Path(value).expanduser()) if is_prompt_file(value) else value


def is_prompt_file(prompts: str) -> bool:
    """Whether ``model.prompts`` names a file, and not prompts that come with the package."""
    return prompts.endswith((".yaml", ".yml")) or os.sep in prompts


class LoraSection(Section):
    """Small matrices on a frozen base model, shared by both agents, instead of all its weights."""

    enabled: bool = Field(False, description="train an adapter per agent; false trains all weights of two models")
    rank: int = Field(32, ge=1, description="columns of the two factors that are added to each matrix")
    alpha: int = Field(64, ge=1, description="what is added is multiplied by alpha / rank")
    targets: list[str] = Field(
        default=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        min_length=1,
        description="names of the matrices that get an adapter; default: all seven of a layer",
    )


class EngineSection(Section):
    backend: Literal["local", "fsdp", "tinker"] = Field(
        "local",
        description="what trains: this process, processes that share a model (fsdp), or a server of the Tinker API",
    )
    threads: int = Field(1, ge=1, description="intra-op threads of torch per process; 1 is fastest for tiny models")
    workers: int = Field(
        0, ge=0, description="rollout processes; 1 = in the main process, 0 = one per core (cuda, vllm: 1)"
    )
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="where models live; cuda: the first GPU, used by the main process alone"
    )
    sampler: Literal["local", "vllm"] = Field(
        "local", description="what decodes: our own sampler, or vLLM in this process (pip install 'coevolve[vllm]')"
    )
    gpus: int = Field(
        1,
        ge=1,
        description="GPUs that train together, with engine.backend=fsdp; on the CPU so many processes; "
        "written --gpus N",
    )
    max_rows: int = Field(512, ge=1, description="sequences that one worker decodes at once")
    micro_batch_tokens: int = Field(
        8192,
        ge=16,
        description="row tokens of one forward and backward pass; on a CPU in float32 those that rows share count once",
    )
    optimizer: Literal["adamw", "adamw-8bit"] = Field(
        "adamw", description="AdamW with moments of 32 bits, or of 8 with a scale for every 256 of them"
    )
    checkpointing: bool = Field(
        False, description="the trainer keeps only the inputs of each layer and computes the rest a second time"
    )
    autocast: Literal["none", "bfloat16"] = Field("none", description="autocast of the trainer's forward pass")
    probe_tolerance: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="mean gap of sampler and trainer log-probabilities allowed after a sync, 100 times that at one "
        "token; default: 1e-5 with weights in float32 (3e-4 of vLLM), 0.03 in bfloat16",
    )


class VllmSection(Section):
    """vLLM's engine, when engine.sampler is vllm."""

    memory: float = Field(
        0.5, gt=0, le=1.0, description="share of the GPU's memory for its weights and cache; the trainer needs the rest"
    )
    cache_gb: float | None = Field(
        None, gt=0, description="GiB of keys and values; default: what vllm.memory leaves, on the CPU 1"
    )
    max_length: int | None = Field(
        None, ge=2, description="tokens of the longest sequence, prompt included; default: the model's own limit"
    )
    sleep: bool = Field(True, description="give the GPU's memory back while the trainer works; weights wait in RAM")


class TinkerSection(Section):
    """A server that trains and samples, when engine.backend is tinker; TINKER_API_KEY holds its key, if it has one."""

    url: str | None = Field(None, description="address of the server, http://HOST:PORT or https://HOST")
    base_model: str | None = Field(
        None, description="the base model's name on the server; default: the only one that it has"
    )
    reduction: Literal["auto", "sum", "mean"] = Field(
        "auto", description="how the server reduces a batch to one loss; auto: as the probe at the start finds it"
    )
    deadline_s: float = Field(600.0, gt=0, description="seconds within which the server must finish what it was asked")


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What samplers and trainers need of the configuration."""

    model: ModelSection
    engine: EngineSection
    lora: LoraSection
    vllm: VllmSection
    tinker: TinkerSection
    seed: int
