"""A model tried before anything is trained: as the first phase of a run does it, with its texts to read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from coevolve.config.loading import preset_layer
from coevolve.engine.base import Folder, Snapshot
from coevolve.engine.planning.devices import gpus
from coevolve.errors import ConfigError
from coevolve.grading.equivalence import open_judge
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.phases.trial import FirstLook, first_look
from coevolve.methods.registry import DEFAULT_METHOD, load_config, method_named, presets_for
from coevolve.methods.setup import Setup
from coevolve.rollout.base import RolloutSettings
from coevolve.rollout.codec import Codec
from coevolve.rollout.service import LocalRollouts, worker_count
from coevolve.runs.answerer import EMBEDDED, is_run, model_layer, refuse_what_is_no_model
from coevolve.runs.base_model import base_model, fetch_base
from coevolve.runs.plan import name_of, planned
from coevolve.types import Ints, Trajectory
from coevolve.worlds.registry import open_world, world_named

_SMALLEST = "smoke-hf"  # whose texts a model on a CPU can write in a minute


@dataclass(frozen=True, slots=True)
class Tried:
    """A model, what it wrote, and how fast.

    Args:
        name: of the model.
        config: of the run that would follow.
        contract: name of the prompts in full.
        look: the texts, and what was counted in them.
        codec: of the model.
        tokens_per_second: that were sampled.
    """

    name: str
    config: CoevolutionConfig
    contract: str
    look: FirstLook
    codec: Codec
    tokens_per_second: float

    def prompt(self, trajectory: Trajectory) -> str:
        """The prompt of a text as the model read it, special tokens included."""
        return self.codec.decode(trajectory.prompt)

    def ended_itself(self, tokens: Ints) -> bool:
        """Whether a text ends with an end token of the model."""
        return len(tokens) > 0 and int(tokens[-1]) in self.look.ends

    @property
    def can_learn(self) -> bool:
        """Whether nothing stands in the way that leaves nothing to learn."""
        return not any(obstacle.fatal for obstacle in self.look.obstacles)

    @property
    def iteration_tokens(self) -> int:
        """Tokens that an iteration of the run samples, if its texts are as long as these."""
        costs = [phase.cost(self.config) for phase in method_named(self.config.method).phases(self.config, 1)]
        texts, answers = self.look.counts.texts, self.look.counts.answers
        question = texts.tokens / max(texts.texts, 1)
        answer = answers.tokens / max(answers.answers, 1)
        return round(sum(c.questions * question + c.answers * c.turns_of_an_answer * answer for c in costs))

    @property
    def iteration_time(self) -> tuple[str, float]:
        """What of an iteration is timed, and its seconds.

        In a world whose runs were measured what is known of them counts: a few short texts say little of many.
        """
        config = self.config
        if world_named(config.world).sizes is None:
            return "sampling them at this speed", self.iteration_tokens / max(self.tokens_per_second, 1e-9)
        names = [name_of(phase) for phase in method_named(config.method).phases(config, 1)]
        cpu_s = sum(phase.cpu_s for phase in planned(config) if phase.name in names)
        return "one iteration, as in earlier runs", cpu_s / worker_count(config.engine)


def try_model(
    name: str,
    *,
    preset: str | None = None,
    prompts: str | None = None,
    overrides: Sequence[str] = (),
    texts: int | None = None,
) -> Tried:
    """Have a model write and answer questions under the settings of a run.

    Args:
        name: of the embedded model ("miniature"), a folder, or what else ``model.path`` takes.
        preset: whose settings hold; by default the one that was made for this model, else one that fits this machine.
        prompts: ``model.prompts``.
        overrides: ``KEY=VALUE`` over the preset.
        texts: questions to write; default: ``health.trial``.

    Raises:
        ConfigError: no such model, preset or key.
        ModelError: the model, or its chat template, cannot be used.
        CoevolveError: the engine or the sandbox cannot be started.
    """
    if is_run(Path(name).expanduser()):
        raise ConfigError(
            "this is a run, and its model was tried already",
            where=name,
            fix=f"name a model; what a run's executor writes: coevolve solve {name} QUESTION",
        )
    refuse_what_is_no_model(name)
    preset = preset or _preset_for(name)
    config = load_config(preset, overrides=overrides, layers=[model_layer(name, preset, prompts)])
    assert isinstance(config, CoevolutionConfig), "presets are those of Agent0 and R-Zero"
    fetch_base(config.world, config.model.path)
    world = open_world(config.world_settings)
    base, contract = base_model(world), world.contract
    setup = config.setup
    setup = replace(setup, texts=texts or setup.texts or Setup().texts)
    with (
        open_judge(config.grading) as judge,
        closing(LocalRollouts(RolloutSettings.of(config, contract), base)) as rollouts,
    ):
        rollouts.wait()
        look = first_look(rollouts, Snapshot("base", -1, Folder(base)), world, setup, judge)
        cost = rollouts.cost
    seconds = (cost.sample_s + cost.tool_s) / max(cost.workers, 1)
    return Tried(name, config, contract.name, look, Codec(base), cost.sampled_tokens / max(seconds, 1e-9))


def _preset_for(name: str) -> str:
    """The preset that was made for a model; else one for a real model that this machine can run."""
    if name in EMBEDDED:
        return method_named(DEFAULT_METHOD).default_preset
    on_gpu = bool(gpus())
    fitting = [p for p in presets_for(DEFAULT_METHOD) if (_device(p) == "cuda") == on_gpu]
    return (presets_for(DEFAULT_METHOD, name) or fitting or [_SMALLEST])[0]


def _device(preset: str) -> object:
    return preset_layer(preset).values.get("engine.device", "cpu")
