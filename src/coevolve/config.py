"""The configuration of a run: strict, frozen, and the only place where a default is written down.

A preset (``coevolve/presets``) overrides these defaults, a file overrides the preset, and ``--set key=value``
overrides both.
Every field says what it is; ``coevolve config SECTION`` prints these sentences.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Scalar = TypeVar("Scalar", int, float)
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Tracker = Literal["tensorboard", "wandb", "trackio"]
Voter = Literal["current", "previous", "middle", "first", "base"]
Positive = Annotated[int, Field(ge=1)]
# One value for all iterations, or a list: one per iteration, the last one repeated.
StepsPerIteration = Positive | Annotated[list[Positive], Field(min_length=1)]
ProbabilityPerIteration = Probability | Annotated[list[Probability], Field(min_length=1)]


def at_iteration(value: Scalar | list[Scalar], iteration: int) -> Scalar:
    """The value that holds in an iteration (counted from 1); a short list repeats its last entry."""
    return value[min(iteration, len(value)) - 1] if isinstance(value, list) else value


class Section(BaseModel):
    """Base of all sections: unknown keys, infinities and NaN are errors, values are fixed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class RunSection(Section):
    dir: str | None = Field(None, description="the run's own folder; default runs/<name>, made unique by a number")
    name: str | None = Field(None, description="name of the folder under runs/; default <method>-<preset>-<seed>")
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
    contract: Literal["agent0", "r-zero", "plain"] = Field(
        "agent0",
        description="prompts of the open world: Agent0's with its tool, or without a tool R-Zero's or plain ones",
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="precision of the weights")


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
        1, ge=1, description="GPUs that share a run; more than one can be planned (--dry-run), but not yet run"
    )
    max_rows: int = Field(512, ge=1, description="sequences that one worker decodes at once")
    micro_batch_tokens: int = Field(8192, ge=16, description="row tokens of one forward and backward pass")
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
        "token; default: 1e-5 with weights in float32, 0.03 in bfloat16",
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


class ToolSection(Section):
    enabled: bool = Field(True, description="give the solver the Python tool")
    max_turns: int = Field(6, ge=1, description="turns with a tool call in one answer; 1 = the no-multi-turn ablation")
    state: Literal["stateless", "session"] = Field(
        "stateless",
        description="every code block runs in a fresh process, or all blocks of one answer share one and its variables",
    )
    observation_tokens: int = Field(
        512,
        ge=32,
        description="tokens of one tool result that the solver is shown; the middle of a longer one is left out",
    )
    wait_steps: int = Field(
        4,
        ge=1,
        description="steps after which a tool result is due; fixed, so that equal seeds decode alike",
    )
    cache: int = Field(65536, ge=0, description="remembered results of identical snippets per worker; 0 = none")


class DialogueSection(Section):
    """Tasks of several user turns: the executor answers each of them before it is shown the next."""

    turns: int = Field(1, ge=1, description="user turns that a task of the curriculum may have; 1 = plain questions")
    judged: Literal["last", "all"] = Field(
        "last", description="answers that vote and are rewarded: that to the last turn, or those to all turns together"
    )


class SandboxSection(Section):
    backend: Literal["local", "remote"] = Field(
        "local", description="where snippets run: confined processes of each rollout worker, or a server"
    )
    url: str | None = Field(None, description="address of the server (remote), such as http://127.0.0.1:8765")
    dialect: Literal["coevolve", "sandboxfusion"] = Field(
        "coevolve", description="what the server speaks: that of `coevolve sandbox serve`, or SandboxFusion's /run_code"
    )
    requests: int = Field(64, ge=1, description="snippets that each rollout worker has at the server at once (remote)")
    unsafe: bool = Field(False, description="run with resource limits only when a required layer is missing")
    workers: int = Field(2, ge=1, description="snippets that run at once in each rollout worker (local)")
    cpu_s: float = Field(2.0, gt=0, description="CPU seconds of one snippet")
    wall_s: float = Field(8.0, gt=0, description="wall seconds of one snippet, without waiting for its turn or a core")
    memory_mb: int = Field(256, ge=16, description="address space of one snippet beyond the interpreter's own")
    output_bytes: int = Field(16384, ge=64, description="bytes of output after which a snippet is killed")
    preload: list[str] = Field(default_factory=list, description="packages that snippets may import, loaded in advance")
    environment: str | None = Field(
        None,
        description="virtual environment or folder of packages that snippets may import from; "
        "default: one that is made of sandbox.preload and what that requires",
    )
    namespaces: Literal["auto", "off"] = Field(
        "auto",
        description="the walls that not every machine has: namespaces, which hide other files, processes and the "
        "network from snippets, and a control group, which bounds their memory together",
    )

    @field_validator("namespaces", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        """YAML reads a bare ``off`` as false."""
        return "off" if value is False else value


class SamplingSection(Section):
    temperature: float = Field(
        1.0, gt=0, description="temperature of all rollouts, always with top-p 1: ratios stay exact"
    )
    max_tokens: int = Field(200, ge=8, description="tokens of one solver trajectory, observations included")
    question_tokens: int = Field(128, ge=8, description="tokens of one written question")


class RewardSection(Section):
    lambda_unc: float = Field(1.0, ge=0, description="weight of the uncertainty reward")
    lambda_tool: float = Field(0.6, ge=0, description="weight of the tool reward; 0 = the no-tool-reward ablation")
    lambda_rep: float = Field(1.0, ge=0, description="weight of the repetition penalty; 0 = the ablation")
    lambda_novelty: float = Field(0.0, ge=0, description="penalty on questions that the archive already holds")
    gamma: float = Field(
        0.25, ge=0, description="tool reward per call; 1/tool_cap bounds it by 1 (the paper gives none)"
    )
    tool_cap: int = Field(4, ge=1, description="tool calls that count at most (paper: C)")
    tool_count: Literal["mean", "majority", "max"] = Field(
        "mean", description="how calls of the k answers become N_tool"
    )
    peak: ProbabilityPerIteration = Field(0.5, description="p_hat with the largest uncertainty reward (paper: 0.5)")
    bleu_threshold: float = Field(0.5, gt=0, le=1.0, description="distance below which questions share a cluster")
    mask_numbers: bool = Field(False, description="compare questions with every number replaced by #")
    clip_at_zero: bool = Field(True, description="no reward is below 0; false = what R-Zero's code computes")
    malformed: float = Field(0.0, le=0, description="what a text earns that is no well-formed question (R-Zero: -1)")


class TrainingSection(Section):
    """How one agent learns from its rollout batches."""

    minibatches: int = Field(2, ge=1, description="optimiser steps per rollout batch; with 1 no clip bound can act")
    lr: float = Field(4e-4, gt=0, description="learning rate of AdamW")
    weight_decay: float = Field(0.0, ge=0, description="weight decay of AdamW")
    warmup: int = Field(0, ge=0, description="optimiser steps of linear warm-up after the optimiser was new")
    clip_low: float = Field(0.2, gt=0, lt=1.0, description="lower clip bound")
    clip_high: float = Field(0.2, gt=0, description="upper clip bound; ADPO widens it for ambiguous tasks")
    max_grad_norm: float = Field(1.0, gt=0, description="gradient clip")


class CurriculumSection(TrainingSection):
    train: bool = Field(True, description="train the curriculum agent; false = the untrained-curriculum ablation")
    steps: StepsPerIteration = Field(5, description="GRPO steps of one iteration")
    questions: int = Field(64, ge=2, description="questions written in one step")
    group_size: int = Field(64, ge=2, description="questions that share one baseline; all prompts are the same")
    tool: bool = Field(False, description="give the curriculum agent the Python tool while it composes")
    own_answer: bool = Field(False, description="a question without the writer's own boxed answer is malformed")
    baseline: Literal["mean", "leave_one_out"] = Field(
        "mean", description="baseline of a group: the mean of all its rewards (paper), or of all others"
    )
    votes: int = Field(8, ge=2, description="answers per question and voter (paper: k = 10)")
    voters: list[Voter] = Field(
        default=["current"], min_length=1, description="executors whose answers make p_hat (paper: current only)"
    )
    kl: float = Field(0.05, ge=0, description="coefficient of the k3 term to the base model")


class PoolSection(Section):
    size: int = Field(256, ge=1, description="questions written for the executor in one iteration")
    votes: int = Field(8, ge=2, description="answers per question and voter")
    count_missing: bool = Field(
        True, description="an answer without a box stays in the denominator of p_hat; false = what R-Zero's code does"
    )
    stop: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="a task gets no more votes once the chance that its p_hat ends inside the gate is below this, or "
        "above 1 minus this; 0 = all get all votes (paper)",
    )
    round: int = Field(2, ge=1, description="answers per voter between two looks at that chance")
    voters: list[Voter] = Field(
        default=["current"],
        min_length=1,
        description="executors whose answers vote together (paper: current only); equal ones count once. "
        "middle: half the age of the current one; first: the one after iteration 1",
    )


class GateSection(Section):
    enabled: bool = Field(True, description="keep only tasks at the frontier; false = the ablation")
    lower: ProbabilityPerIteration = Field(0.3, description="smallest p_hat that is kept, inclusive")
    upper: ProbabilityPerIteration = Field(0.8, description="largest p_hat that is kept, inclusive")
    margin: ProbabilityPerIteration = Field(
        0.0, description="share of the votes by which the majority must be ahead of the runner-up (paper: none)"
    )
    verified: bool = Field(
        False, description="keep only labels on which the tool-verified answers of the current executor agree as well"
    )


class ExecutorSection(TrainingSection):
    train: bool = Field(True, description="train the executor; false leaves the base model as it is")
    steps: StepsPerIteration = Field(10, description="rollout batches of one iteration")
    tasks: int = Field(32, ge=1, description="kept tasks in one rollout batch")
    group_size: int = Field(8, ge=2, description="answers per task (paper: G = 16)")
    kl: float = Field(0.0, ge=0, description="coefficient of the k3 term to the iteration's first executor")
    replay: float = Field(
        0.0, ge=0, lt=1, description="share of a batch that comes from the pools of earlier iterations"
    )
    relabel: bool = Field(
        False, description="count the answers of a rollout batch as votes too, so that a label may change in training"
    )
    entropy_floor: float = Field(
        0.0,
        ge=0,
        description="while the answers have less entropy (nats per token), only those that miss the label teach",
    )
    loss: Literal["token", "sequence", "fixed"] = Field(
        "token", description="mean over tokens, per sequence, or fixed length"
    )


class AdpoSection(Section):
    scale_floor: float = Field(0.6, gt=0, le=1.0, description="advantage scale of the most ambiguous tasks")
    clip_extra: float = Field(0.1, ge=0, description="widening of the upper clip bound of the most ambiguous tasks")
    lower: Probability = Field(0.3, description="p_hat at and below which a task is most ambiguous")
    upper: Probability = Field(0.8, description="p_hat at and above which a task is confident")


class EvaluationSection(Section):
    levels: int = Field(5, ge=1, description="levels of held-out problems")
    per_level: int = Field(60, ge=1, description="held-out problems per level")
    samples: int = Field(8, ge=1, description="answers per problem at the sampling temperature: mean@k, maj@k")
    transfer_per_set: int = Field(40, ge=0, description="problems per transfer set; 0 = none")
    transfer_samples: int = Field(4, ge=1, description="answers per transfer problem")
    dialogues: int = Field(0, ge=0, description="held-out dialogues of 2, of 3 and of 4 user turns; 0 = none")
    pool_samples: int = Field(
        2, ge=0, description="answers of the first executor per task of each pool; 0 = not measured"
    )
    forced_fence: bool = Field(True, description="measure the base model once with the code fence forced at the start")


class GradingSection(Section):
    symbolic: Literal["auto", "on", "off"] = Field(
        "auto",
        description="ask math-verify about pairs of answers that our own rules leave open; auto: if it is installed",
    )
    timeout_s: float = Field(2.0, gt=0, le=3600, description="wall seconds of one pair, then it counts as different")

    @field_validator("symbolic", mode="before")
    @classmethod
    def _on_or_off(cls, value: object) -> object:
        """YAML reads a bare ``on`` or ``off`` as a truth value."""
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


class HealthSection(Section):
    explosion: float = Field(
        20.0,
        ge=0,
        description="an update whose gradient norm is this many times the median of its phase is left out; 0 = none is",
    )
    max_skipped: int = Field(5, ge=1, description="updates left out in a row after which the run stops")
    probe: int = Field(
        64, ge=0, description="fixed unlabelled tasks on which each new executor is held against the best; 0 = none"
    )
    probe_samples: int = Field(4, ge=1, description="answers per task of the probe")
    rollback: bool = Field(
        True, description="go back to the last good executor when a new one is worse on the probe beyond noise"
    )


class Config(Section):
    """Everything a run depends on."""

    method: Literal["agent0", "r-zero"] = Field("agent0", description="what coevolves: the phases and rewards")
    preset: str = Field("mini", description="name of the preset this configuration started from")
    seed: int = Field(0, ge=0, description="one seed for everything")
    iterations: int = Field(3, ge=1, description="rounds of curriculum and executor training")
    objective: Literal["adpo", "grpo"] = Field("adpo", description="objective of the executor")
    world: Literal["miniature", "open"] = Field(
        "miniature",
        description="where tasks, base model and truth come from; open: questions in words for any model, no truth",
    )
    run: RunSection = RunSection()
    track: TrackSection = TrackSection()
    model: ModelSection = ModelSection()
    lora: LoraSection = LoraSection()
    engine: EngineSection = EngineSection()
    vllm: VllmSection = VllmSection()
    tool: ToolSection = ToolSection()
    dialogue: DialogueSection = DialogueSection()
    sandbox: SandboxSection = SandboxSection()
    sampling: SamplingSection = SamplingSection()
    reward: RewardSection = RewardSection()
    curriculum: CurriculumSection = CurriculumSection()
    pool: PoolSection = PoolSection()
    gate: GateSection = GateSection()
    executor: ExecutorSection = ExecutorSection()
    adpo: AdpoSection = AdpoSection()
    grading: GradingSection = GradingSection()
    evaluation: EvaluationSection = EvaluationSection()
    health: HealthSection = HealthSection()

    @property
    def probe_tolerance(self) -> float:
        """``engine.probe_tolerance``, or what the precision of the weights allows."""
        return self.engine.probe_tolerance or {"float32": 1e-5, "bfloat16": 0.03}[self.model.dtype]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        """Reject combinations that would be silently meaningless."""
        self._possible_sampler()
        for t in range(1, self.iterations + 1):
            if at_iteration(self.gate.lower, t) > at_iteration(self.gate.upper, t):
                raise ValueError("gate.lower is above gate.upper: no task could ever be kept")
        if self.curriculum.questions % self.curriculum.group_size:
            raise ValueError("curriculum.questions must be a multiple of curriculum.group_size")
        if self.adpo.lower >= self.adpo.upper:
            raise ValueError("adpo.lower must be below adpo.upper")
        if self.curriculum.minibatches > self.curriculum.questions:
            raise ValueError("curriculum.minibatches is larger than curriculum.questions")
        if self.reward.malformed < 0 and self.reward.clip_at_zero:
            raise ValueError("reward.malformed is below 0, but reward.clip_at_zero allows no reward below 0")
        if self.pool.stop > 0 and not self.gate.enabled:
            raise ValueError("pool.stop leaves out votes on tasks that miss the gate, but gate.enabled is false")
        self._possible_method()
        self._possible_world()
        self._possible_sandbox()
        if self.engine.device == "cuda" and self.engine.workers > 1:
            raise ValueError("engine.device cuda is used by one process, but engine.workers asks for more")
        if self.executor.minibatches > self.executor.tasks * self.executor.group_size:
            raise ValueError("executor.minibatches is larger than executor.tasks * executor.group_size")
        return self

    def _possible_sampler(self) -> None:
        if self.engine.sampler != "vllm":
            return
        if self.engine.workers > 1:
            raise ValueError("engine.sampler vllm decodes everything in the main process: engine.workers is 0 or 1")
        if self.sampling.temperature > 2:
            raise ValueError("engine.sampler vllm knows no sampling.temperature above 2")

    def _possible_method(self) -> None:
        """Reject parts that do not belong together: R-Zero with what Agent0 adds would be Agent0 by another name."""
        if self.curriculum.tool and not self.tool.enabled:
            raise ValueError("curriculum.tool is true, but tool.enabled is false: there is no tool")
        if self.method == "r-zero":
            if self.tool.enabled or self.reward.lambda_tool > 0:
                raise ValueError("R-Zero has no tool: tool.enabled is false and reward.lambda_tool is 0")
            if self.objective != "grpo":
                raise ValueError("the solver of R-Zero learns by plain GRPO: objective is grpo")

    def _possible_world(self) -> None:
        if self.world == "miniature":
            if self.model.contract != "agent0":
                raise ValueError("model.contract is for world open: the miniature has prompts of its own")
            return
        if self.tool.enabled != (self.model.contract == "agent0"):
            raise ValueError(
                "model.contract agent0 tells the solver of its tool, the others have none: tool.enabled must fit it"
            )

    def _possible_sandbox(self) -> None:
        box = self.sandbox
        if box.backend == "local":
            if box.url is not None:
                raise ValueError("sandbox.url is given, but sandbox.backend is local")
            if box.dialect != "coevolve":
                raise ValueError("sandbox.dialect is for a server, but sandbox.backend is local")
            return
        if box.url is None:
            raise ValueError("sandbox.backend is remote, but sandbox.url is not given")
        _check_address(box.url)
        if box.environment is not None or box.namespaces != "auto":
            raise ValueError(
                "sandbox.environment and sandbox.namespaces are for the machine that runs snippets: "
                "with sandbox.backend remote, start the server with them"
            )
        if box.dialect == "sandboxfusion":
            if self.tool.state != "stateless":
                raise ValueError("a server with sandbox.dialect sandboxfusion has no sessions: tool.state is stateless")
            if box.preload or box.unsafe:
                raise ValueError(
                    "a server with sandbox.dialect sandboxfusion decides itself: no sandbox.preload, no sandbox.unsafe"
                )


def _check_address(url: str) -> None:
    """Refuse what is no plain address. A password in it is not repeated in the message."""
    try:
        parts = urlsplit(url)
        port_is_possible = parts.port is None or parts.port > 0
    except ValueError:  # of the port
        port_is_possible = False
    if "@" in url:
        raise ValueError(
            "the address of the sandbox server holds a user or password: it would be kept in the run folder"
        )
    if (
        not port_is_possible
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.query
        or parts.fragment
    ):
        raise ValueError("sandbox.url is no address of the form http://HOST:PORT or https://HOST:PORT")
