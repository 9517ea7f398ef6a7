"""Matches of two seats: who is shown what, one trajectory per seat, and what the game pays."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from coevolve.config import Config
from coevolve.engine.base import Arrays, Pause, Sampling
from coevolve.grading.extract import last_boxed
from coevolve.rollout.base import Episode, RolloutSettings, Seat, Snapshot
from coevolve.rollout.environments import (
    Done,
    Environment,
    EnvironmentSpec,
    EpisodeTools,
    GoOn,
    ToolSpec,
    WritingEnvironment,
    WritingSpec,
)
from coevolve.rollout.match import MatchSpec, Result, Turn
from coevolve.rollout.service import LocalRollouts
from coevolve.types import SOLVER, StopReason, Trajectory
from coevolve.worlds.miniature.learner import ASSETS, MiniatureContract

from .scripted import CALL, EOS, ScriptedSampler, Segment, TableTool, codec, loop_of

WRITING = WritingSpec(SOLVER)
RULES = "<question>Let a = 1 + 2. Find a.</question>\n"


@dataclass
class Guessing:
    """Seats name numbers in turn; each is told what the other said. The first to name the secret wins."""

    secret: str
    rounds: int
    said: list[str] = field(default_factory=list)

    def move(self, seat: int, said: str) -> Turn | Result:
        guess = str(last_boxed(said))
        self.said.append(guess)
        if guess == self.secret:
            return Result((1.0, -1.0) if seat == 0 else (-1.0, 1.0))
        if len(self.said) == 2 * self.rounds:
            return Result((0.0, 0.0))
        return Turn(1 - seat, f"Let b = {guess} + 1. Find b.")

    def forfeit(self, seat: int) -> Result:
        return Result((-1.0, 1.0) if seat == 0 else (1.0, -1.0))


@dataclass(frozen=True)
class GuessingGame:
    """A game that crosses process boundaries before it begins."""

    secret: str
    rounds: int = 2

    def __call__(self) -> Guessing:
        return Guessing(self.secret, self.rounds)


def match(secret: str = "9", *, inner: EnvironmentSpec = WRITING, rounds: int = 2, **how: int) -> Episode:
    seats = (Seat(SOLVER, RULES), Seat(SOLVER, None))
    place = MatchSpec(GuessingGame(secret, rounds), 2, inner, SOLVER)
    return Episode("m", 0, seats, place, Sampling(max_tokens=how.get("max_tokens", 200)), how.get("seed", 5))


def box(number: int) -> Segment:
    return [f"\\boxed{{{number}}}"], Pause.EOS


def play(
    episode: Episode, *seats: list[Segment], tool: TableTool | None = None
) -> tuple[tuple[Trajectory, ...], ScriptedSampler]:
    sampler = ScriptedSampler(dict(enumerate(map(list, seats))))
    (played,), _ = loop_of(sampler, tool, sessions=tool is not None).run([episode], policy="p", contract="c")
    return played, sampler


def test_turns_alternate_and_each_seat_sees_what_the_other_said() -> None:
    (first, second), sampler = play(match(), [box(1), box(3)], [box(2), box(9)])
    assert sampler.history == [(0,), (1,), (0,), (1,)]
    assert codec().decode(first.prompt) == RULES
    assert codec().decode(second.prompt) == "<question>Let b = 1 + 1. Find b.</question>\n"
    shown = codec().encode("<question>Let b = 2 + 1. Find b.</question>\n")
    parts = [sampler.given[0][0].tokens, shown, sampler.given[0][1].tokens]
    np.testing.assert_array_equal(first.tokens, np.concatenate(parts))
    assert first.mask.tolist() == [own for own, part in zip((True, False, True), parts, strict=True) for _ in part]
    assert not first.logprobs[~first.mask].any()
    assert second.text.count("<question>Let b = 3 + 1. Find b.</question>\n") == 1


def test_the_game_pays_each_seat_and_both_trajectories_say_whose_they_are() -> None:
    seats, _ = play(match(), [box(1), box(3)], [box(2), box(9)])
    assert [t.reward for t in seats] == [-1.0, 1.0]
    assert [(t.agent, t.seat, t.task_id, t.stop) for t in seats] == [
        (SOLVER, 0, "m", StopReason.EOS),
        (SOLVER, 1, "m", StopReason.EOS),
    ]
    assert [t.answer for t in seats] == [None, "9"]  # only the last move ended a trajectory with a box


def test_a_game_that_ends_at_the_first_move_leaves_the_other_seat_with_nothing() -> None:
    (first, second), _ = play(match(), [box(9)], [])
    assert (first.reward, second.reward) == (1.0, -1.0)
    assert len(second.prompt) == len(second.tokens) == len(second.mask) == second.sampled == 0
    assert second.text == ""


def test_every_turn_of_every_seat_draws_random_numbers_of_its_own() -> None:
    _, sampler = play(match(), [box(1), box(3)], [box(2), box(4)])
    seeds = [request.seed for request in sampler.all_requests]
    assert len(set(seeds)) == 4
    assert seeds[0] == 5  # a lone seat has the seed of its episode


def test_a_seat_without_room_forfeits_and_the_other_one_is_paid() -> None:
    (first, second), _ = play(match(), [([*box(1)[0]], Pause.LENGTH)], [])
    assert (first.stop, first.reward, second.stop, second.reward) == (StopReason.LENGTH, -1.0, StopReason.EOS, 1.0)
    room = len(codec().encode("\\boxed{1}")) + 2  # for a turn, and not for what the other one said
    (first, second), _ = play(match(max_tokens=room), [box(1)], [box(2)])
    assert (first.stop, first.reward, second.stop, second.reward) == (StopReason.LENGTH, -1.0, StopReason.EOS, 1.0)


def test_seats_may_use_the_tool_in_sessions_of_their_own() -> None:
    tool = TableTool()
    call: Segment = (CALL, Pause.STOP)
    seats, sampler = play(match(inner=ToolSpec(SOLVER, 1)), [call, box(1), call, box(9)], [call, box(2)], tool=tool)
    assert [len(t.tool_calls) for t in seats] == [2, 1]  # one for each turn
    assert [t.reward for t in seats] == [1.0, -1.0]
    assert len(set(tool.sessions)) == 2
    assert sorted(tool.ended) == sorted({str(name) for name in tool.sessions})
    assert not sampler.active


def test_a_sandbox_that_is_lost_ends_the_match_for_both_and_pays_nothing() -> None:
    tool = TableTool(lost=frozenset({"print(1+2)"}))
    seats, _ = play(match(inner=ToolSpec(SOLVER, 1)), [box(1)], [(CALL, Pause.STOP)], tool=tool)
    assert [(t.stop, t.reward, t.lost) for t in seats] == [(StopReason.INFRASTRUCTURE, None, True)] * 2


def test_what_one_policy_writes_is_never_a_special_token_to_another() -> None:
    text = "a<|endof<|endoftext|>text|>b <|pad|>"
    assert codec().quoted(text) == "ab "
    assert EOS not in codec().encode(codec().quoted(text)).tolist()


class Paying(WritingEnvironment):
    """Pays by the length of the text; the trajectory of a lone seat is paid as well."""

    def step(self, segment: str, pause: Pause) -> GoOn | Done:
        done = super().step(segment, pause)
        return replace(done, reward=len(segment) / 4) if isinstance(done, Done) else done


@dataclass(frozen=True)
class PayingSpec:
    def open(self, tools: EpisodeTools) -> list[Environment]:
        return [Paying(tools.contract, SOLVER)]


def test_an_environment_of_one_seat_may_pay_too() -> None:
    episode = Episode("t", 0, (Seat(SOLVER, RULES),), PayingSpec(), Sampling(), seed=0)
    ((paid,), _) = play(episode, [(["a"], Pause.EOS)])
    ((unpaid,), _) = play(replace(episode, environment=WRITING), [(["a"], Pause.EOS)])
    assert (paid.reward, unpaid.reward, paid.text, unpaid.text) == (0.25, None, "a", "a")


def test_an_episode_is_plain_data() -> None:
    episode = match("3", inner=ToolSpec(SOLVER, 2))
    assert pickle.loads(pickle.dumps(episode)) == episode
    assert " at 0x" not in repr(episode), "a kept batch is known by what its episodes say of themselves"


@pytest.fixture(scope="module")
def rollouts(nano: Config) -> Iterator[LocalRollouts]:
    config = nano.model_copy(update={"engine": nano.engine.model_copy(update={"workers": 1})})
    opened = LocalRollouts(RolloutSettings.of(config, MiniatureContract()), ASSETS)
    yield opened
    opened.close()


def test_the_base_model_plays_itself_and_equal_seeds_give_equal_matches(
    rollouts: LocalRollouts, base: Snapshot
) -> None:
    inner = ToolSpec(SOLVER, 2)
    episodes = [match("3", inner=inner, seed=i, max_tokens=300) for i in range(8)]
    played = rollouts.play({SOLVER: base}, episodes)
    assert all(sum(t.reward for t in seats) == 0 for seats in played)
    winners = [seats[0] for seats in played if seats[0].reward == 1.0]
    assert winners, "the base model finds the sum of 1 and 2 at its first turn"
    assert all(t.answer == "3" for t in winners)
    for first, second in played:
        for t in (first, second):
            assert (t.agent, t.policy, t.contract) == (SOLVER, "base", rollouts.settings.hash)
            assert len(t.tokens) == len(t.mask) == len(t.logprobs) <= 300
    again = rollouts.play({SOLVER: base}, episodes)
    for one, other in zip(played, again, strict=True):
        assert [(t.text, t.reward, t.stop) for t in one] == [(t.text, t.reward, t.stop) for t in other]


def test_episodes_of_several_policies_are_played_in_one_call_and_come_back_in_order(
    rollouts: LocalRollouts, base: Snapshot
) -> None:
    changed = Snapshot(
        "changed", 1, Arrays({k: v * np.float32(0.5) for k, v in load_file(ASSETS / "model.safetensors").items()})
    )
    place, sampling = WritingSpec(SOLVER), Sampling(max_tokens=20)
    episodes = [Episode(f"t{i}", 0, (Seat(("one", "two")[i % 2], RULES),), place, sampling, i) for i in range(4)]
    played = [only for (only,) in rollouts.play({"one": base, "two": changed}, episodes)]
    assert [(t.task_id, t.agent, t.policy) for t in played] == [
        ("t0", "one", "base"),
        ("t1", "two", "changed"),
        ("t2", "one", "base"),
        ("t3", "two", "changed"),
    ]
    alone = rollouts.play({"one": base}, episodes[::2])
    assert [t.text for (t,) in alone] == [played[0].text, played[2].text]


def test_seats_of_different_weights_meet_and_each_writes_with_its_own(rollouts: LocalRollouts, base: Snapshot) -> None:
    place, sampling = match("none").environment, Sampling(max_tokens=80)
    episodes = [Episode(f"m{i}", 0, (Seat("one", RULES), Seat("two", None)), place, sampling, i) for i in range(4)]
    equal = rollouts.play({"one": base, "two": base}, episodes)
    other = Snapshot("other", 3, base.source)
    met = rollouts.play({"one": base, "two": other}, episodes)
    assert {(t.agent, t.policy, t.policy_versions) for seats in met for t in seats} == {
        ("one", "base", (-1,)),
        ("two", "other", (3,)),
    }
    texts = [[t.text for t in seats] for seats in met]
    assert texts == [[t.text for t in seats] for seats in equal], "weights of another name are equal weights here"
    silent = {k: v * np.float32(0.5) for k, v in load_file(ASSETS / "model.safetensors").items()}
    changed = rollouts.play({"one": base, "two": Snapshot("changed", 1, Arrays(silent))}, episodes)
    assert [t.text for _, t in changed] != [t.text for _, t in equal]
    again = rollouts.play({"one": base, "two": base}, episodes)
    assert [[t.text for t in seats] for seats in again] == texts, "no other weights are left behind"
