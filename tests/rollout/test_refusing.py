"""Boxes that are no answer count as missing wherever answers are made, and the reason stays with the trajectory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from coevolve.config.acting import Distribution
from coevolve.engine.base import Pause
from coevolve.grading.refused import Refusing
from coevolve.methods.registry import load_config
from coevolve.rollout.asking import answer_episode
from coevolve.rollout.base import Episode, RolloutSettings, Seat
from coevolve.rollout.environments import (
    Ask,
    DialogueSpec,
    Done,
    Environment,
    EnvironmentSpec,
    EpisodeTools,
    RunCode,
    ToolSpec,
    WritingSpec,
)
from coevolve.rollout.refusing import RefusingSpec
from coevolve.sandbox.base import Status, ToolResult
from coevolve.types import PROPOSER, SOLVER, Origin, StopReason, Task
from coevolve.worlds.miniature.learner import MiniatureContract
from coevolve.worlds.open.observation import observation

SUM = "What is 24 + 32?"
CALL = "```python\nprint(length)\n```\n```output\n"
FAILED = ToolResult(Status.ERROR, "", "NameError: name 'length' is not defined", False, 1, None, 1.0, 1.0)
BOTH = ["grading.refuse_errors=true", "grading.refuse_unevaluated=true"]


class Contract(MiniatureContract):
    """The miniature's, which shows what went wrong."""

    def observation(self, status: str, stdout: str, stderr: str) -> str:
        return observation(status, stdout, stderr)


def opened(place: EnvironmentSpec) -> Environment:
    (seat,) = place.open(EpisodeTools(Contract(), str, lambda printed, said: f"{printed}\n{said}", str))
    return seat


@pytest.fixture
def episode() -> Callable[..., Episode]:
    def make(*overrides: str, turns: Sequence[str] = (SUM,)) -> Episode:
        settings = RolloutSettings.of(load_config("nano", overrides=overrides), MiniatureContract())
        task = Task("t", tuple(turns), "chain", Origin("agent0", PROPOSER, 1))
        return answer_episode(settings, Seat(SOLVER, None), task, 0, 0, Distribution())

    return make


@pytest.mark.parametrize(
    ("box", "answer", "refused"),
    [("56", "56", ""), ("24 + 32", None, "unevaluated"), ("nothing", None, "error"), ("", None, "")],
)
@pytest.mark.parametrize("inner", [ToolSpec(SOLVER, 2), WritingSpec(SOLVER)])
def test_a_refused_box_is_a_missing_answer_with_its_reason(
    inner: EnvironmentSpec, box: str, answer: str | None, refused: str
) -> None:
    seat = opened(RefusingSpec(inner, SUM, Refusing(errors=True, unevaluated=True)))
    assert seat.step(f"\\boxed{{{box}}}", Pause.EOS) == Done(StopReason.EOS, answer, refused=refused)


def test_the_message_of_a_program_that_failed_in_this_text_is_no_answer() -> None:
    seat = opened(RefusingSpec(ToolSpec(SOLVER, 2), SUM, Refusing(errors=True)))
    assert isinstance(seat.step(CALL, Pause.STOP), RunCode)
    seat.observe(FAILED)
    assert [call.status for call in seat.calls] == ["error"]
    end = seat.step("\\boxed{name 'length' is not defined}", Pause.EOS)
    assert end == Done(StopReason.EOS, None, refused="error")


def test_a_text_that_is_cut_off_stays_what_it_is() -> None:
    seat = opened(RefusingSpec(ToolSpec(SOLVER, 2), SUM, Refusing(errors=True)))
    assert seat.step("\\boxed{nothing}", Pause.LENGTH) == Done(StopReason.LENGTH)


def test_without_the_keys_an_episode_is_what_it_always_was(episode: Callable[..., Episode]) -> None:
    assert isinstance(episode().environment, ToolSpec)
    place = episode(*BOTH).environment
    assert place == RefusingSpec(episode().environment, SUM, Refusing(errors=True, unevaluated=True))


def test_each_turn_of_a_dialogue_is_held_against_its_own_question(episode: Callable[..., Episode]) -> None:
    turns = (SUM, "And 3 * 4?")
    place = episode(*BOTH, turns=turns).environment
    assert isinstance(place, DialogueSpec)
    for said, answer, refused in (("3 * 4", None, "unevaluated"), ("24 + 32", "24 + 32", "")):
        seat = opened(place)
        assert isinstance(seat.step("\\boxed{56}", Pause.EOS), Ask)
        assert seat.step(f"\\boxed{{{said}}}", Pause.EOS) == Done(StopReason.EOS, answer, refused=refused)
    plain = episode(turns=turns).environment
    assert isinstance(plain, DialogueSpec)
    assert plain.later == ()


def test_of_an_answer_to_all_turns_the_first_refused_one_says_why_it_is_missing(
    episode: Callable[..., Episode],
) -> None:
    seat = opened(episode(*BOTH, "dialogue.judged=all", turns=(SUM, "And 3 * 4?")).environment)
    assert isinstance(seat.step("\\boxed{nothing}", Pause.EOS), Ask)
    assert seat.step("\\boxed{12}", Pause.EOS) == Done(StopReason.EOS, None, refused="error")


def test_what_is_refused_belongs_to_the_meaning_of_an_answer() -> None:
    def hashed(*overrides: str) -> str:
        return RolloutSettings.of(load_config("nano", overrides=overrides), MiniatureContract()).hash

    assert len({hashed(), hashed(BOTH[0]), hashed(BOTH[1]), hashed(*BOTH)}) == 4
