"""Asking the trained executor of a run one question."""

from __future__ import annotations

import json
from pathlib import Path

from coevolve.errors import ConfigError, RunError
from coevolve.methods.registry import method_named, trained_agents
from coevolve.rollout import asking
from coevolve.rollout.base import RolloutSettings
from coevolve.rollout.codec import Codec
from coevolve.rollout.service import LocalRollouts
from coevolve.runs.base_model import base_model, fetch_base
from coevolve.store.checkpoints import RunCheckpoints
from coevolve.store.records import RunRecords
from coevolve.types import PROPOSER, Origin, Task, Trajectory
from coevolve.worlds.base import PromptContext
from coevolve.worlds.registry import open_world, world_named


def solve(path: Path, question: str) -> Trajectory:
    """The greedy answer of the newest executor of a run; of the base model, where the run trains no executor.

    Raises:
        ConfigError: the model cannot read the question.
        RunError: the run has no trained executor yet.
        CoevolveError: the run, the model or the sandbox cannot be used.
    """
    folder = RunRecords.open(path)
    config = folder.config.model_copy(update={"engine": folder.config.engine.model_copy(update={"workers": 1})})
    answerer = method_named(config.method).answerer
    trained = [t for t in range(1, config.iterations + 1) if folder.recorded(f"checkpoints/iteration-{t}/{answerer}/")]
    if answerer in trained_agents(config) and not trained:
        raise RunError("this run has no trained executor yet", where=str(path), fix=f"coevolve resume {path}")
    newest = trained[-1] if trained else 0
    fetch_base(config.world, config.model.path)
    world = open_world(config.world_settings)
    base = base_model(world)
    task = Task("asked", (question,), "asked", Origin(config.method, PROPOSER, newest))
    prompt, example = world.contract.prompt(answerer, PromptContext(question)), world_named(config.world).example
    _refuse_unreadable(task, prompt, base, config.sampling.max_tokens, example)
    policy = RunCheckpoints(folder, base).weights(answerer, newest)
    rollouts = LocalRollouts(RolloutSettings.of(config, world.contract, {answerer}), base)
    try:
        return asking.solve(rollouts, policy, [task], 1, seed=config.seed, greedy=True, agent=answerer)[0][0]
    finally:
        rollouts.close()


def _refuse_unreadable(task: Task, prompt: str, base: Path, max_tokens: int, example: str) -> None:
    """A tiny vocabulary drops what it does not know, and the answer would be to another question."""
    codec = Codec(base)
    tokens = codec.encode(prompt)
    read = codec.decode(codec.encode(task.question))
    fault = ""
    if not task.question.strip():
        fault = "the question is empty"
    elif read != task.question:
        pairs = enumerate(zip(read, task.question, strict=False))
        same = next((i for i, (a, b) in pairs if a != b), min(len(read), len(task.question)))
        fault = f"the model cannot read the question from {task.question[same : same + 20]!r} on"
    elif codec.encode(task.question).tolist() != codec.encode_printed(task.question).tolist():
        fault = "the question holds the name of a special token, which would not be read as its letters"
    elif len(tokens) + max_tokens > _longest(base):
        fault = f"the question is too long: {len(tokens)} tokens, and the model has room for {_longest(base)} in all"
    if fault:
        raise ConfigError(fault, where=f'"{task.question[:60]}"', fix=f"ask as the world does: {example}")


def _longest(base: Path) -> int:
    """Tokens of the longest sequence that the model's positions allow."""
    content = json.loads((base / "config.json").read_text(encoding="utf-8"))
    return int(content.get("max_position_embeddings", 1 << 30))
