"""The curriculum agent's reward over a whole batch of written texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from coevolve.curriculum.archive import Archive
from coevolve.curriculum.checks import known_of
from coevolve.curriculum.programs import shape
from coevolve.curriculum.rewards import RewardParts
from coevolve.curriculum.voting import vote
from coevolve.methods.config import CoevolutionConfig
from coevolve.methods.phases.train_proposer import score_questions
from coevolve.methods.questions import Written, read_questions
from coevolve.methods.remembered import Asked
from coevolve.types import PROPOSER, Group, Origin, StopReason, Trajectory
from coevolve.worlds.base import NO_CONTEXT, PromptContext
from coevolve.worlds.miniature.learner import MiniatureWorld

Make = Callable[..., Trajectory]
Settings = Callable[..., CoevolutionConfig]
QUESTIONS = [
    "Let a = 43 * 80. Find a.",
    "Let a = 7 xor 12. Let b = the digit sum of a. Find b.",
    "What is the remainder of 90 divided by 7?",
]
VALID = ["Let a = 43 * 80. Find a.", "Let a = 12 + 30. Let b = the digit sum of a. Find b."]


def _origin(iteration: int) -> Origin:
    return Origin("agent0", PROPOSER, iteration)


@pytest.fixture
def scored(config: Settings, trajectory: Make) -> Callable[..., list[RewardParts]]:
    """Rewards of questions whose k answers and tool calls are given; None is a malformed text."""

    def score(
        texts: Sequence[str | None],
        answers: Sequence[str | None],
        *overrides: str,
        calls: int = 0,
        iteration: int = 1,
        archive: Sequence[str] = (),
        before: Sequence[Asked] = (),
    ) -> list[RewardParts]:
        raw = [trajectory("nonsense" if t is None else f"{t}</question>") for t in texts]
        written = read_questions(MiniatureWorld(), raw, _origin(iteration), "c", asked=[NO_CONTEXT] * len(raw))
        assert [w.task is None for w in written] == [t is None for t in texts]
        group = tuple(trajectory(answer=a, calls=calls) for a in answers)
        groups = [Group(w.task, group, vote(answers)) for w in written if w.task]
        section, known = config(*overrides).reward, [known_of(group) for group in groups]
        return score_questions(section, iteration, written, groups, Archive(archive), known=known, before=before)

    return score


HALF = ["1", "1", "2", "3"]


def test_a_malformed_text_earns_nothing(scored: Callable[..., list[RewardParts]]) -> None:
    good, bad = scored([VALID[0], None], HALF, calls=2)
    assert (bad.format, bad.total, bad.uncertainty, bad.tool, bad.repetition) == (0, 0, 0, 0, 0)
    assert good.total == pytest.approx(1.0 + 0.6 * 0.25 * 2 - 0.5)  # p_hat 1/2, two calls, alone of a batch of two


def test_the_rewards_of_r_zeros_code_go_below_zero(scored: Callable[..., list[RewardParts]]) -> None:
    keys = ["reward.clip_at_zero=false", "reward.malformed=-1", "reward.lambda_unc=0.5", "reward.lambda_tool=0"]
    first, same, bad = scored([VALID[0], VALID[0], None], ["1", "1", "1", "2"], *keys)
    assert first.total == same.total == pytest.approx(min(0.75, 0.25) - 2 / 3)
    assert bad.total == pytest.approx(-1 - 1 / 3)


def test_agent0s_code_pays_uncertainty_only_where_the_writers_own_answer_is_the_majoritys(
    scored: Callable[..., list[RewardParts]],
) -> None:
    texts = [f"{VALID[0]}</question>\\boxed{{{own}}}" for own in ("1", "2")] + [f"{VALID[1]}</question>"]
    asked = [text.removesuffix("</question>") for text in texts]
    on = scored(asked, HALF, "reward.own_answer=true", "reward.lambda_rep=0", calls=4)
    off = scored(asked, HALF, "reward.lambda_rep=0", calls=4)
    assert [r.uncertainty for r in on] == [1.0, 0.0, 0.0]
    assert [r.total for r in on] == pytest.approx([1.6, 0.6, 0.6])  # the tool counts all the same
    assert [r.uncertainty for r in off] == [1.0, 1.0, 1.0]
    few = ["1", *(str(n) for n in range(2, 11))]  # p_hat is 0.1
    assert [r.uncertainty for r in scored(asked, few, "reward.own_answer=true")] == [0.0, 0.0, 0.0]


def test_uncertainty_is_not_paid_where_a_check_fails(scored: Callable[..., list[RewardParts]]) -> None:
    """The program of every answer prints 1, which is half of the answers, and holds no number but 1."""
    keys = ("reward.lambda_rep=0", "reward.lambda_tool=1", "reward.gamma=0.25")
    for check, paid in [
        ("output=true", 1.0), ("programs=1", 1.0), ("programs=2", 0.0), ("numbers=0.5", 0.0), ("refusals=0", 1.0),
    ]:  # fmt: skip
        (found,) = scored([VALID[0]], HALF, f"reward.{check}", *keys, calls=1)
        assert (found.uncertainty, found.total) == (paid, paid + 0.25), check
    (other,) = scored([VALID[0]], ["2", "2", "1", "3"], "reward.output=true", *keys, calls=1)
    assert (other.uncertainty, other.total) == (0.0, 0.25), "the programs contradict the majority"


def test_what_was_asked_before_costs_by_its_text_and_by_its_programs(
    scored: Callable[..., list[RewardParts]],
) -> None:
    """All answers ran the same program; half of what was asked before led to it as well."""
    before = [Asked(0, VALID[0], shape("print(1)")), Asked(0, "Nothing alike", "another")]
    keys = ("reward.lambda_rep=0", "reward.lambda_memory=0.5", "reward.lambda_code=0.4", "reward.clip_at_zero=false")
    first, bad, second = scored([VALID[0], None, VALID[1]], HALF, *keys, calls=1, before=before)
    assert first.memory == pytest.approx(0.5 * (1.0 + 0.5) / 2)
    assert first.code == second.code == pytest.approx(0.4 * 3 / 4)
    assert first.total == pytest.approx(1.0 + 0.15 - 0.375 - 0.3)
    assert (bad.memory, bad.code) == (None, None)
    plain, _, _ = scored([VALID[0], None, VALID[1]], HALF, before=before)
    assert (plain.memory, plain.code) == (None, None)


def test_a_batch_of_one_question_only_is_fully_repetitive(scored: Callable[..., list[RewardParts]]) -> None:
    for weight in (1.0, 0.4):
        rewards = scored([VALID[0]] * 6, HALF, f"reward.lambda_rep={weight}")
        assert [r.repetition for r in rewards] == pytest.approx([weight] * 6)
        assert [r.total for r in rewards] == pytest.approx([1.0 - weight] * 6)


def test_malformed_texts_count_in_the_batch_but_form_no_cluster(scored: Callable[..., list[RewardParts]]) -> None:
    rewards = scored([VALID[0], VALID[0], None, None], HALF)
    assert [r.repetition for r in rewards] == pytest.approx([0.5, 0.5, 0, 0])


def test_a_batch_without_a_question_earns_nothing(scored: Callable[..., list[RewardParts]]) -> None:
    assert [r.total for r in scored([None, None], HALF)] == [0.0, 0.0]


def test_each_weight_switches_its_part_off(scored: Callable[..., list[RewardParts]]) -> None:
    def total(*overrides: str) -> float:
        return scored([VALID[0], None], HALF, *overrides, calls=4)[0].total

    assert total() == pytest.approx(1.0 + 0.6 - 0.5)
    assert total("reward.lambda_tool=0") == pytest.approx(0.5)
    assert total("reward.lambda_rep=0") == pytest.approx(1.6)
    assert total("reward.lambda_unc=0") == pytest.approx(0.1)


def test_calls_beyond_the_cap_earn_no_more(scored: Callable[..., list[RewardParts]]) -> None:
    at_cap, beyond = (scored([VALID[0]], HALF, calls=n)[0].tool for n in (4, 9))
    assert at_cap == beyond == pytest.approx(0.6)


def test_the_peak_may_differ_by_iteration(scored: Callable[..., list[RewardParts]]) -> None:
    answers = ["1"] * 7 + [None] * 3

    def uncertainty(iteration: int) -> float:
        return scored([VALID[0]], answers, "reward.peak=[0.5, 0.7]", iteration=iteration)[0].uncertainty

    assert uncertainty(1) == pytest.approx(0.6)
    assert uncertainty(2) == uncertainty(3) == pytest.approx(1.0)


def test_templates_of_the_archive_cost_what_the_weight_says(scored: Callable[..., list[RewardParts]]) -> None:
    known = ["Let a = 1 * 2. Find a.", "Let a = 12 + 30. Let b = the digit sum of a. Find b."]
    plain = scored([VALID[0], None], HALF, archive=known)[0]
    charged = scored([VALID[0], None], HALF, "reward.lambda_novelty=0.5", archive=known)[0]
    assert plain.total - charged.total == pytest.approx(0.5 * 0.5)


@pytest.mark.parametrize(
    ("text", "stop", "formed"),
    [
        ("Let a = 43 * 80. Find a.</question>", StopReason.EOS, True),
        ("Let a = 43 * 80. Find a.", StopReason.EOS, False),
        ("Let a = 43 * 80. Find a.</question>", StopReason.LENGTH, False),
        ("Let a = 43 * 80. Find b.</question>", StopReason.EOS, False),
        ("", StopReason.EOS, False),
    ],
)
def test_only_a_finished_well_formed_question_becomes_a_task(
    text: str, stop: StopReason, formed: bool, trajectory: Make
) -> None:
    (w,) = read_questions(MiniatureWorld(), [trajectory(text, stop=stop)], _origin(2), "p2", asked=[NO_CONTEXT])
    assert (w.task is not None) is formed
    if w.task:
        assert (w.task.id, w.question, w.task.origin.iteration) == ("p2-0000", "Let a = 43 * 80. Find a.", 2)
        assert w.task.proposed_answer is None


@pytest.mark.parametrize(("text", "formed"), [("</question> \\boxed{3440}", True), ("</question>", False)])
def test_a_question_without_its_writers_answer_is_malformed_where_one_is_asked_for(
    text: str, formed: bool, trajectory: Make, config: Settings
) -> None:
    asked = config("proposer.own_answer=true")
    raw = [trajectory("Let a = 43 * 80. Find a." + text)]
    (w,) = read_questions(
        MiniatureWorld(), raw, _origin(1), "c", asked=[NO_CONTEXT] * len(raw), own_answer=asked.proposer.own_answer
    )
    assert (w.task is not None) is formed


def test_the_proposers_own_answer_is_kept_beside_the_task(trajectory: Make) -> None:
    text = "Let a = 43 * 80. Find a.</question> \\boxed{3440}"
    (w,) = read_questions(MiniatureWorld(), [trajectory(text)], _origin(1), "c", asked=[NO_CONTEXT])
    assert isinstance(w, Written)
    assert w.task is not None
    assert w.task.proposed_answer == "3440"


def test_the_first_words_that_a_topic_gives_belong_to_the_question(trajectory: Make) -> None:
    texts = [trajectory(" 3 and 4?</question>"), trajectory("4 from 3.</question>")]
    asked = [PromptContext(opening="What is the sum of"), NO_CONTEXT]
    written = read_questions(MiniatureWorld(), texts, _origin(1), "c", asked=asked)
    assert [w.question for w in written] == ["What is the sum of 3 and 4?", "4 from 3."]
