"""A model on this machine as a target: the agent of a run, or a model as it is, with its tool, in our own rollouts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import coevolve
from coevolve.config.acting import Distribution
from coevolve.engine.base import Folder
from coevolve.errors import SandboxInfraError
from coevolve.grading.symbolic import symbolic_version
from coevolve.harness.target import Place, Reply
from coevolve.rollout.asking import answer_episode
from coevolve.rollout.base import Episode, Seat
from coevolve.rollout.codec import Codec
from coevolve.rollout.seeds import seed_of
from coevolve.rollout.service import LocalRollouts, worker_count
from coevolve.runs.answerer import Answerer
from coevolve.runs.base_model import base_digest, check_same_base
from coevolve.sandbox.base import Status
from coevolve.types import Trajectory
from coevolve.worlds.base import Problem

_LEAST, _MOST = 256, 1024  # answers of a batch for one worker's sampler, before many workers make it larger
_TOO_LONG = (Status.TIMEOUT, Status.CPU_LIMIT)
_PER_WORKER = 4  # problems of a batch that each worker has at least: equal prompts stay together


class LocalTarget:
    """Implements ``coevolve.harness.target.Target``.

    Batches are parts of the suite that do not depend on what is known already, so that an evaluation that is resumed
    decodes what it still lacks in the company of an unbroken one.

    Args:
        answerer: who answers.

    Raises:
        RunError: the base model is not the one that the run began with.
    """

    def __init__(self, answerer: Answerer) -> None:
        self._answerer, self._codec = answerer, Codec(answerer.base)
        self._rollouts: LocalRollouts | None = None
        source = answerer.policy.source
        assert isinstance(source, Folder), "answerers have their weights in folders"
        base = base_digest(answerer.base) if source.adapter or source.path == answerer.base else None
        if base is not None:
            check_same_base(answerer.known_base, answerer.base)
        own = base_digest(source.path) if source.path != answerer.base else base
        self._weights = {"weights": own} | ({"adapter of": base} if source.adapter else {})

    @property
    def name(self) -> str:
        return self._answerer.name

    @property
    def facts(self) -> Mapping[str, object]:
        """Weights, prompts, tool, sampling and precision; not where and in how many processes they are computed."""
        config, drawn = self._answerer.config, self._answerer.drawn
        tool = config.has_tool(self._answerer.agent)
        box = config.sandbox
        return self._weights | {
            "world": config.world,
            "contract": self._answerer.world.contract.name,
            "dtype": config.model.dtype,
            "sampler": config.engine.sampler,
            "temperature": drawn.temperature,
            "top_p": drawn.top_p,
            "top_k": drawn.top_k,
            "max_tokens": config.sampling.max_tokens,
            "tool": config.tool.said() if tool else None,
            "sandbox": box.model_dump(include={"cpu_s", "wall_s", "memory_mb", "output_bytes", "preload"})
            if tool
            else None,
            **({"oracle": True} if config.oracle else {}),  # trained on true labels: no result of a method
            "grader": f"coevolve {coevolve.__version__}, math-verify {symbolic_version(config.grading.symbolic)}",
        }

    def open(self) -> None:
        """Start the workers and wait for their models and sandboxes; otherwise the first answers do.

        Raises:
            CoevolveError: one of them cannot start.
        """
        if self._rollouts is None:
            self._rollouts = self._answerer.open_rollouts()
            self._rollouts.wait()

    def answer(self, problems: Sequence[Problem], places: Sequence[Place], seed: int) -> Iterator[tuple[Place, Reply]]:
        """A batch after the other; the answers of a batch of which the sandbox lost many are lost."""
        samples = 1 + max((place.sample for place in places), default=0)
        size = self._batch(max(samples, 1))

        def batch_of(place: Place) -> tuple[bool, int]:
            whole = place.problem if place.greedy else place.problem * samples + place.sample
            return not place.greedy, whole // size

        for _, batch in groupby(sorted(places, key=lambda p: (batch_of(p), p)), key=batch_of):
            yield from self._play(problems, list(batch), seed)

    def close(self) -> None:
        if self._rollouts is not None:
            self._rollouts.close()
            self._rollouts = None

    def _play(self, problems: Sequence[Problem], places: Sequence[Place], seed: int) -> Iterator[tuple[Place, Reply]]:
        self.open()
        assert self._rollouts is not None
        episodes = [self._episode(problems[place.problem], place, seed) for place in places]
        try:
            played = self._rollouts.play({self._answerer.agent: self._answerer.policy}, episodes)
        except SandboxInfraError as error:
            yield from ((place, Reply("", None, "", fault=error.what)) for place in places)
            return
        for n, (place, (only,)) in enumerate(zip(places, played, strict=True), start=1):
            yield place, replace(self._reply(only), more=n < len(places))

    def _episode(self, problem: Problem, place: Place, seed: int) -> Episode:
        """Its random numbers depend on problem and sample alone."""
        assert self._rollouts is not None
        own = seed_of(seed, problem.task.id, place.sample)
        drawn = Distribution(temperature=0.0) if place.greedy else self._answerer.drawn
        seat = Seat(self._answerer.agent, None)
        return answer_episode(self._rollouts.settings, seat, problem.task, place.sample, own, drawn)

    def _reply(self, trajectory: Trajectory) -> Reply:
        if trajectory.lost:
            return Reply("", None, "", fault="the sandbox was lost")
        calls = trajectory.tool_calls
        return Reply(
            trajectory.text,
            trajectory.answer,
            str(trajectory.stop),
            tokens=trajectory.sampled,
            tool_calls=len(calls),
            tool_timeouts=sum(call.status in _TOO_LONG for call in calls),
            said=self._codec.decode(trajectory.tokens[trajectory.mask]) if calls else None,
        )

    def _batch(self, samples: int) -> int:
        """Answers of a batch: enough to keep every sampler busy, few enough to lose little when it is stopped."""
        engine = self._answerer.config.engine
        rows = min(max(4 * engine.max_rows, _LEAST), _MOST)
        return max(rows, _PER_WORKER * samples * worker_count(engine))
