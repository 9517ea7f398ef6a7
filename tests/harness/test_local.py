"""A model on this machine as a target: batches, seeds, lost answers, and what counts as the model's own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from coevolve.engine.base import Snapshot
from coevolve.errors import SandboxInfraError
from coevolve.harness.local import LocalTarget
from coevolve.harness.target import Place
from coevolve.rollout.base import Episode, RolloutSettings
from coevolve.rollout.codec import Codec
from coevolve.runs.answerer import Answerer, of_model
from coevolve.suites.base import task_of
from coevolve.types import StopReason, ToolCall, Trajectory
from coevolve.worlds.base import Problem

PROBLEMS = tuple(Problem(task_of("mine", str(n), f"Let a = {n} * 80. Find a."), str(80 * n)) for n in range(300))
OBSERVATION = "```output\n80\n```\n"


@pytest.fixture(scope="module")
def answerer() -> Answerer:
    return of_model("miniature", overrides=["engine.workers=1", "engine.max_rows=8"])


class Playing:
    """Rollouts that remember their episodes; every answer has a tool call in it."""

    def __init__(self, answerer: Answerer, lose: Sequence[int] = ()) -> None:
        self.settings = RolloutSettings.of(answerer.config, answerer.world.contract, {answerer.agent})
        self.codec, self.batches, self._lose = Codec(answerer.base), list[list[Episode]](), lose

    def play(self, policies: Mapping[str, Snapshot], episodes: Sequence[Episode]) -> list[tuple[Trajectory, ...]]:
        self.batches.append(list(episodes))
        if len(self.batches) in self._lose:
            raise SandboxInfraError("the sandbox lost 9 of 9 answers", fix="coevolve resume")
        return [(self.trajectory(episode),) for episode in episodes]

    def trajectory(self, episode: Episode) -> Trajectory:
        parts = [("a = 80. ", True), (OBSERVATION, False), ("\\boxed{80}", True)]
        ids = [self.codec.encode(text) for text, _ in parts]
        mask = np.concatenate([np.full(len(x), own) for x, (_, own) in zip(ids, parts, strict=True)])
        lost = episode.id == "mine-7"
        calls = tuple(ToolCall("print(80)", "80", status) for status in ("ok", "timeout", "cpu_limit", "error"))
        return Trajectory(
            episode.id, episode.sample, ids[0], np.concatenate(ids), mask, np.zeros(len(mask), np.float32),
            "".join(text for text, _ in parts), calls, "80", StopReason.INFRASTRUCTURE if lost else StopReason.EOS,
            "base", (0,), "hash",
        )  # fmt: skip


def target_on(answerer: Answerer, playing: Playing) -> LocalTarget:
    target = LocalTarget(answerer)
    target._rollouts = playing  # type: ignore[assignment]
    return target


def test_the_text_without_observations_is_what_the_model_said(answerer: Answerer) -> None:
    target = target_on(answerer, Playing(answerer))
    ((_, reply),) = target.answer(PROBLEMS, [Place(0, 0)], 0)
    assert reply.said == "a = 80. \\boxed{80}"
    assert OBSERVATION in reply.text
    assert (reply.tool_calls, reply.tool_timeouts, reply.answer, reply.fault) == (4, 2, "80", "")
    assert 0 < reply.tokens < len(reply.text)


def test_batches_and_random_numbers_do_not_depend_on_what_is_known_already(answerer: Answerer) -> None:
    places = [Place(n, k) for n in range(300) for k in range(3)]
    whole, rest = Playing(answerer), Playing(answerer)
    list(target_on(answerer, whole).answer(PROBLEMS, places, 5))
    list(target_on(answerer, rest).answer(PROBLEMS, places[100:], 5))
    assert [len(batch) for batch in whole.batches] == [256, 256, 256, 132]
    assert [len(batch) for batch in rest.batches] == [156, 256, 256, 132]
    assert rest.batches[0] == whole.batches[0][100:]
    assert rest.batches[1:] == whole.batches[1:]
    seeds = [episode.seed for batch in whole.batches for episode in batch]
    assert len(set(seeds)) == len(seeds)


def test_greedy_answers_are_drawn_at_temperature_0(answerer: Answerer) -> None:
    playing = Playing(answerer)
    list(target_on(answerer, playing).answer(PROBLEMS, [Place(0, -1), Place(0, 0)], 5))
    assert [[episode.sampling.temperature for episode in batch] for batch in playing.batches] == [[0.0], [1.0]]


def test_every_answer_but_the_last_of_a_batch_says_that_more_follow(answerer: Answerer) -> None:
    places = [Place(n, -1) for n in range(300)]
    replies = [reply for _, reply in target_on(answerer, Playing(answerer)).answer(PROBLEMS, places, 0)]
    assert [n for n, reply in enumerate(replies) if not reply.more] == [255, 299]


def test_answers_that_the_sandbox_lost_are_faults_and_the_rest_goes_on(answerer: Answerer) -> None:
    places = [Place(n, -1) for n in range(300)]
    found = dict(target_on(answerer, Playing(answerer, lose=(2,))).answer(PROBLEMS, places, 0))
    assert found[Place(7, -1)].fault == "the sandbox was lost"
    assert {place.problem for place, reply in found.items() if reply.fault} == {7, *range(256, 300)}
    assert found[Place(299, -1)].fault == "the sandbox lost 9 of 9 answers"


def test_facts_tell_what_decides_about_answers_and_nothing_of_the_machine(answerer: Answerer) -> None:
    facts = LocalTarget(answerer).facts
    assert facts["contract"] == "miniature"
    assert facts == LocalTarget(of_model("miniature", overrides=["engine.workers=2"])).facts
    for changed in (["sampling.temperature=0.5"], ["sampling.max_tokens=100"], ["tool.max_turns=2"]):
        assert LocalTarget(of_model("miniature", overrides=changed)).facts != facts
    assert LocalTarget(of_model("miniature", tool=False)).facts["tool"] is None
    assert LocalTarget(of_model("miniature-early")).facts["weights"] != facts["weights"]
