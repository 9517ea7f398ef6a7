"""Who answers: the trained agent of a run, or any model under prompts and settings that somebody chose."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from coevolve.config import Config
from coevolve.config.acting import Distribution, SamplingSection, WorldSettings
from coevolve.config.loading import Layer, layer_of
from coevolve.engine.base import ADAPTER_CONFIG, Folder, Snapshot
from coevolve.engine.gguf import is_gguf
from coevolve.engine.hub import PACKAGED, is_model_name
from coevolve.engine.planning.devices import gpus
from coevolve.errors import ConfigError, ModelError, RunError
from coevolve.methods.config import WITHOUT_PROGRAMS, CoevolutionConfig
from coevolve.methods.registry import (
    DEFAULT_METHOD,
    changed_config,
    load_config,
    method_named,
    presets_for,
    trained_agents,
)
from coevolve.rollout.base import RolloutSettings
from coevolve.rollout.codec import Codec
from coevolve.rollout.service import LocalRollouts
from coevolve.runs.base_model import base_model, fetch_base
from coevolve.store import manifest
from coevolve.store.checkpoints import RunCheckpoints
from coevolve.store.prompts import with_own_prompts
from coevolve.store.records import RunRecords
from coevolve.types import SOLVER, Task
from coevolve.worlds.base import PromptContext, World
from coevolve.worlds.miniature.learner import BASES
from coevolve.worlds.open.prompting import prompt_file
from coevolve.worlds.registry import open_world, world_named

_AT = re.compile(r"(?P<run>.+)@(?P<iteration>[0-9]{1,9})")
EMBEDDED = ("miniature", *BASES)  # models of the package, by name
# What decides how a model answers, or where it does; any other key would say nothing.
_ACTING = (
    "engine.device", "engine.workers", "engine.threads", "engine.sampler", "engine.max_rows", "vllm.", "tool.",
    "sandbox.", "grading.", "sampling.temperature", "sampling.max_tokens", "sampling.solver.",
)  # fmt: skip
_OF_A_MODEL = ("world", "model.prompts", "model.dtype")
_SHORTEST_ANSWER = 8  # tokens
_WITHOUT_A_GPU = {"engine.device": "cpu", "engine.threads": 1, "model.dtype": "float32"}


@dataclass(frozen=True, slots=True)
class Answerer:
    """A policy and all that decides how it answers.

    Args:
        name: on screen and in tables.
        config: resolved; of a model the sections that only training needs say nothing.
        world: the learner's view, whose contract frames a question.
        base: folder of the base model, checked.
        agent: whose policy it is.
        policy: its weights.
        iteration: of the run that made it; None for a model.
        run: the folder of that run; None for a model.
        known_base: digest of the base model that the run began with, where that is known.
    """

    name: str
    config: Config
    world: World
    base: Path
    agent: str
    policy: Snapshot
    iteration: int | None = None
    run: Path | None = None
    known_base: object = None

    @property
    def drawn(self) -> Distribution:
        """What tokens are drawn from, where an answer is not greedy."""
        return self.config.sampling.of(self.agent)

    def prompt(self, task: Task) -> str:
        """What the policy is shown of a task: of a dialogue the first turn."""
        return self.world.contract.prompt(self.agent, PromptContext(task.turns[0], kind=task.kind))

    def open_rollouts(self) -> LocalRollouts:
        """Workers that play episodes of this policy; the caller closes them.

        Raises:
            CoevolveError: the engine or the sandbox cannot be started.
        """
        return LocalRollouts(RolloutSettings.of(self.config, self.world.contract, {self.agent}), self.base)


def of_run(path: Path, iteration: int | None = None, *, tool: bool = True, overrides: Sequence[str] = ()) -> Answerer:
    """The agent of a run that answers, after an iteration.

    Args:
        path: the run folder.
        iteration: 0 for the base model; None for the newest agent, or the base model where no such agent is trained.
        tool: false takes it away from an agent that has it.
        overrides: ``KEY=VALUE`` over the run's own configuration.

    Raises:
        ConfigError: a key that says nothing here, or a value that is not allowed.
        RunError: the run has no such agent (yet), or is damaged.
        ModelError: the base model cannot be used.
    """
    records = RunRecords.open(path)
    own = with_own_prompts(records)
    agent = method_named(records.config.method).answerer
    _refuse_meaningless(overrides, _ACTING)
    config = changed_config(
        own,
        overrides,
        layers=[] if tool else [_without_tool(own.world_settings, checks=isinstance(own, CoevolutionConfig))],
    )
    _refuse_overruled(config.sampling, overrides, agent)
    trained = [t for t in range(1, config.iterations + 1) if records.recorded(f"checkpoints/iteration-{t}/{agent}/")]
    if iteration is None and agent in trained_agents(config) and not trained:
        raise RunError("this run has no trained executor yet", where=str(path), fix=f"coevolve resume {path}")
    if iteration not in (None, 0, *trained):
        known = ", ".join(map(str, (0, *trained)))
        raise RunError(
            f"the run has no agent of iteration {iteration}",
            where=str(path),
            fix=f"one of {known} (0: the base model): {path}@{trained[-1] if trained else 0}",
        )
    chosen = iteration if iteration is not None else trained[-1] if trained else 0
    world = _world_of(config.world_settings)
    base = base_model(world)
    policy = RunCheckpoints(records, base).weights(agent, chosen)
    known_base = records.facts.get("base")
    return Answerer(f"{path}@{chosen}", config, world, base, agent, policy, chosen, path, known_base)


def of_model(
    name: str,
    *,
    preset: str | None = None,
    prompts: str | None = None,
    tool: bool = True,
    overrides: Sequence[str] = (),
) -> Answerer:
    """A model as it is, under the prompts and settings of a preset.

    Args:
        name: of the embedded model ("miniature") or of a packaged one, a folder, a GGUF file, or a hub id.
        preset: whose world, sampling, tool and engine hold; by default the one that was made for this model, else the
            first one for a real model on one GPU, on the CPU where there is no GPU.
        prompts: of the open world, ``model.prompts``; the model has the tool where they have words for it.
        tool: false takes it away from a model that has it.
        overrides: ``KEY=VALUE`` over the preset.

    Raises:
        ConfigError: no such model or preset; a key that says nothing here, or a value that is not allowed.
        ModelError: the model cannot be used.
    """
    refuse_what_is_no_model(name)
    _refuse_meaningless(overrides, (*_ACTING, *_OF_A_MODEL))
    if prompts is not None and not tool and prompt_file(prompts).solver_without_tool is None:
        what = f"the prompts of {prompts} tell of a tool, and have no words for a solver without it"
        raise ConfigError(what, where="--no-tool", fix="--prompts r-zero or plain")
    config = load_config(_preset_for(name, preset), overrides=overrides, layers=[model_layer(name, preset, prompts)])
    _refuse_overruled(config.sampling, overrides, SOLVER)
    checks = isinstance(config, CoevolutionConfig)
    config = config if tool else changed_config(config, layers=[_without_tool(config.world_settings, checks=checks)])
    world = _world_of(config.world_settings)
    base = base_model(world)
    shown = name if name in EMBEDDED or is_model_name(name) else Path(name).resolve().name
    return Answerer(shown, config, world, base, SOLVER, Snapshot("base", -1, Folder(base)))


def of_target(
    target: str,
    *,
    preset: str | None = None,
    prompts: str | None = None,
    tool: bool = True,
    overrides: Sequence[str] = (),
) -> Answerer:
    """Who answers, by what a user calls it: RUN, RUN@ITERATION, or a model as in ``of_model``.

    Raises:
        CoevolveError: there is no such target, or an option is for the other kind.
    """
    path, at = Path(target).expanduser(), _AT.fullmatch(target)
    iteration = None
    if at is not None and not path.exists():
        path, iteration = Path(at["run"]).expanduser(), int(at["iteration"])
    if not is_run(path):
        return of_model(target, preset=preset, prompts=prompts, tool=tool, overrides=overrides)
    for name, value in (("--preset", preset), ("--prompts", prompts)):
        if value is not None:
            raise ConfigError(f"{name} is for a model; a run has its own configuration", where=name, fix="leave it out")
    return of_run(path, iteration, tool=tool, overrides=overrides)


def is_run(path: Path) -> bool:
    """Whether a folder is that of a run, intact or not."""
    return any((path / name).exists() for name in (manifest.NAME, manifest.COPY))


class Readability:
    """Whether a model can read a question, and has room to answer it.

    A tiny vocabulary drops what it does not know, and the answer would be to another question.

    Args:
        answerer: who is asked.

    Attributes:
        codec: of its base model.
        room: tokens of the longest sequence that its positions allow.
    """

    def __init__(self, answerer: Answerer) -> None:
        self._answerer, self.codec = answerer, Codec(answerer.base)
        self.room = _positions(answerer.base)

    def require(self, task: Task, named: str = "") -> None:
        """
        Args:
            task: the question.
            named: where it stands, for messages; default: its first words.

        Raises:
            ConfigError: the model cannot read it, or it leaves no room for an answer.
        """
        longest = self._answerer.config.sampling.max_tokens
        tokens = len(self.codec.encode(self._answerer.prompt(task)))
        where = named or f'"{task.question[:60]}"'
        example = world_named(self._answerer.config.world).example
        if fault := next((fault for turn in task.turns if (fault := self.fault(turn))), ""):
            raise ConfigError(fault, where=where, fix=f"ask as the world does: {example}")
        if tokens + longest > self.room:
            fix = f"ask a shorter one, as the world does: {example}"
            if named:  # one of many questions, of a command that takes keys
                fix = "shorten it, or measure a model with more room"
                if self.room - tokens >= _SHORTEST_ANSWER:
                    room = self.room - tokens
                    fix = f"shorten it, or leave less room for the answer: --set sampling.max_tokens={room}"
            raise ConfigError(
                f"the question is too long: its prompt has {tokens} tokens, the answer may have {longest} "
                f"(sampling.max_tokens), and the model has room for {self.room} in all",
                where=where,
                fix=fix,
            )

    def fault(self, text: str) -> str:
        """Why the model cannot read a text; empty where it can."""
        codec = self.codec
        if not text.strip():
            return "the question is empty"
        read = codec.decode(codec.encode(text))
        if read != text:
            pairs = enumerate(zip(read, text, strict=False))
            same = next((i for i, (a, b) in pairs if a != b), min(len(read), len(text)))
            return f"the model cannot read the question from {text[same : same + 20]!r} on"
        if codec.encode(text).tolist() != codec.encode_printed(text).tolist():
            return "the question holds the name of a special token, which would not be read as its letters"
        return ""


def _positions(base: Path) -> int:
    """Tokens of the longest sequence that the model's positions allow."""
    content = json.loads((base / "config.json").read_text(encoding="utf-8"))
    return int(content.get("max_position_embeddings", 1 << 30))


def _world_of(settings: WorldSettings) -> World:
    """The world with its base model on this machine."""
    fetch_base(settings.name, settings.model.path)
    return open_world(settings)


def _without_tool(settings: WorldSettings, *, checks: bool) -> Layer:
    """What takes the tool away; prompts that have no words for a solver without it give way to R-Zero's.

    Args:
        settings: of the world.
        checks: the method has checks that look at programs, which go with the tool.
    """
    values: dict[str, object] = {"tool.enabled": False} | (dict(WITHOUT_PROGRAMS) if checks else {})
    if settings.name == "open" and prompt_file(settings.model.prompts).solver_without_tool is None:
        values["model.prompts"] = "r-zero"
    if settings.composing:
        values["proposer.tool"] = False
    return layer_of(values, "--no-tool")


def _refuse_meaningless(overrides: Iterable[str], allowed: Sequence[str]) -> None:
    """
    Raises:
        ConfigError: a key decides nothing about answers, so that setting it would be a mistake.
    """
    for override in overrides:
        key = override.partition("=")[0].strip()
        if not any(key == name or (name.endswith(".") and key.startswith(name)) for name in allowed):
            raise ConfigError(
                f"{key} does not decide how a model answers",
                where=f"--set {override}",
                fix=f"keys that do: {', '.join(name + '*' if name.endswith('.') else name for name in allowed)}",
            )


def _refuse_overruled(sampling: SamplingSection, overrides: Iterable[str], agent: str) -> None:
    """
    Raises:
        ConfigError: the temperature for all texts was set, and one for the solver holds.
    """
    general = any(override.partition("=")[0].strip() == "sampling.temperature" for override in overrides)
    if general and sampling.of(agent).temperature != sampling.temperature:
        raise ConfigError(
            f"sampling.solver.temperature = {sampling.solver.temperature} holds for answers",
            where="--set sampling.temperature",
            fix=f"--set sampling.solver.temperature={sampling.temperature}",
        )


def refuse_what_is_no_model(name: str) -> None:
    path = Path(name).expanduser()
    if name in EMBEDDED:
        return
    if (path / ADAPTER_CONFIG).is_file():
        raise ModelError(
            "this is an adapter, not a whole model",
            where=name,
            fix="name the run that trained it, RUN@ITERATION, or merge it: coevolve export RUN --to DIR --merge",
        )
    if not path.is_dir() and not is_gguf(path) and not is_model_name(name):
        raise ConfigError(
            f"there is neither a run nor a model of this name: {name}",
            fix="name the folder of a run (RUN, RUN@ITERATION) or of a model, a GGUF file, a hub id (owner/model), "
            f"{', '.join(PACKAGED)}, miniature, or an endpoint (http://...)",
        )


def _preset_for(name: str, preset: str | None) -> str:
    """The preset that holds; see ``of_model``."""
    if preset is not None:
        return preset
    if name in EMBEDDED:
        return method_named(DEFAULT_METHOD).default_preset
    return (presets_for(DEFAULT_METHOD, name) or presets_for(DEFAULT_METHOD))[0]


def model_layer(name: str, preset: str | None, prompts: str | None) -> Layer:
    """The model, in place of the preset's, and what follows from measuring it as it is."""
    values: dict[str, object] = {"model.path": None if name == EMBEDDED[0] else name, "lora.enabled": False}
    if prompts is not None:
        tool = prompt_file(prompts).solver is not None
        values |= {"model.prompts": prompts, "tool.enabled": tool} | ({} if tool else dict(WITHOUT_PROGRAMS))
    if preset is None and name not in EMBEDDED and not gpus():
        values |= _WITHOUT_A_GPU
    return layer_of(values, "coevolve eval")
