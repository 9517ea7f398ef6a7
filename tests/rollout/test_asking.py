"""What texts of a proposer are asked for, and what answers are made to begin with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from coevolve.config import Config
from coevolve.config.acting import Distribution, ToolSection
from coevolve.rollout.asking import answer_episode, subjects, write
from coevolve.rollout.base import RolloutSettings, Seat
from coevolve.rollout.environments import ToolSpec
from coevolve.types import PROPOSER, SOLVER, Origin, Task
from coevolve.worlds.base import NO_CONTEXT, PromptContext
from coevolve.worlds.miniature.learner import MiniatureContract

TASK = Task("t", ("Let a = 1 + 2. Find a.",), "chain", Origin("agent0", PROPOSER, 1))


class Asking(MiniatureContract):
    """A contract with topics and levels, whose answers begin with a word."""

    topics = ("ships", "bees", "tea")
    levels = ("easy", "hard")

    def prompt(self, agent: str, context: PromptContext = NO_CONTEXT) -> str:
        return f"{context.topic} {context.level} <question>"

    def opening(self, agent: str) -> str:
        return "<question>" if agent == PROPOSER else "So: "


def test_topics_and_levels_are_asked_for_in_turn_and_equal_seeds_ask_alike() -> None:
    asked = subjects(Asking(), 12, seed=3)
    assert Counter(x.topic for x in asked) == dict.fromkeys(Asking.topics, 4)
    assert Counter(x.level for x in asked) == dict.fromkeys(Asking.levels, 6)
    for begin in (0, 3, 6, 9):
        assert len({x.topic for x in asked[begin : begin + 3]}) == 3, "every round asks for all"
    assert asked == subjects(Asking(), 12, seed=3)
    assert any(asked != subjects(Asking(), 12, seed=seed) for seed in range(4, 8))


def test_a_group_shares_its_topic_unless_it_is_the_whole_batch() -> None:
    asked = subjects(Asking(), 10, seed=1, group_size=4)
    assert [len(set(asked[begin : begin + 4])) for begin in (0, 4, 8)] == [1, 1, 1]
    assert len({x.topic for x in asked}) == 3
    assert len({x.topic for x in subjects(Asking(), 6, seed=1, group_size=6)}) == 3
    assert subjects(Asking(), 6, seed=1, group_size=64) == subjects(Asking(), 6, seed=1, group_size=1)


def test_openings_are_those_of_the_topic_and_all_of_them_come() -> None:
    class Opened(Asking):
        openings: Mapping[str, Sequence[str]] = {"ships": ("A ship", "The ship"), "tea": ("Tea",)}

    asked = subjects(Opened(), 60, seed=2)
    assert {x.opening for x in asked if x.topic == "ships"} == {"A ship", "The ship"}
    assert {x.opening for x in asked if x.topic == "tea"} == {"Tea"}
    assert {x.opening for x in asked if x.topic == "bees"} == {""}
    grouped = subjects(Opened(), 60, seed=2, group_size=10)
    assert all(len({x.opening for x in grouped[begin : begin + 10]}) == 1 for begin in range(0, 60, 10))


def test_nothing_is_asked_for_where_there_are_no_topics() -> None:
    assert subjects(MiniatureContract(), 3, seed=1, group_size=2) == [NO_CONTEXT] * 3
    assert subjects(Asking(), 0, seed=1) == []


def test_every_text_is_written_after_the_prompt_of_its_own_context() -> None:
    class Rollouts:
        settings = RolloutSettings.of(Config(), Asking())

        def play(self, policies: Any, episodes: Any) -> list[tuple[str]]:
            return [(episode.seats[0].prompt,) for episode in episodes]

    asked = subjects(Asking(), 5, seed=2)
    rollouts: Any = Rollouts()
    policy: Any = None
    assert write(rollouts, policy, 5, seed=2, context=asked) == [f"{x.topic} {x.level} <question>" for x in asked]
    assert write(rollouts, policy, 2, seed=2, context=asked[0]) == [f"{asked[0].topic} {asked[0].level} <question>"] * 2


def test_an_answer_begins_as_the_contract_says_unless_it_is_made_to_begin_otherwise() -> None:
    settings = RolloutSettings.of(Config(), Asking())
    for given, begins in (("", "So: "), ("```python\n", "```python\n")):
        episode = answer_episode(settings, Seat(SOLVER, None, given), TASK, 0, 0, Distribution())
        assert episode.seats[0].opening == begins


def test_the_tool_is_played_as_its_section_says() -> None:
    for keys, expected in (({}, (False, False)), ({"call_at": "fence", "echo": "last"}, (True, True))):
        config = Config.model_validate({"tool": keys})
        settings = RolloutSettings.of(config, MiniatureContract())
        place = answer_episode(settings, Seat(SOLVER, None), TASK, 0, 0, Distribution()).environment
        assert place == ToolSpec(SOLVER, config.tool.max_turns, *expected)


def test_rollouts_of_older_runs_keep_their_hash_and_new_keys_change_it() -> None:
    hashes = [
        RolloutSettings.of(Config.model_validate({"tool": keys}), MiniatureContract()).hash
        for keys in ({}, {"call_at": "output", "echo": "none"}, {"call_at": "fence"}, {"echo": "last"})
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
    before = {"enabled", "max_turns", "state", "observation_tokens", "wait_steps"}
    assert ToolSection().said().keys() == before
