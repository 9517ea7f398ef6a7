"""Grades of single answers in both modes, and what they add up to, against closed forms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from statistics import stdev

import numpy as np
import pytest

from coevolve.errors import ConfigError
from coevolve.grading.equivalence import Judge
from coevolve.grading.grade import Kind
from coevolve.harness.results import PartResult
from coevolve.harness.scoring import Grades, Marker, Marks, averages, mean_of, parts, pass_at, powers_of_two, scatter
from coevolve.harness.target import Reply
from coevolve.suites.base import task_of
from coevolve.worlds.base import Problem


@pytest.fixture(scope="module")
def marker() -> Iterator[Marker]:
    with Judge() as judge:
        yield Marker(judge)


def problem(truth: str | None, kind: Kind = Kind.MATH, options: tuple[str, ...] = (), **more: object) -> Problem:
    return Problem(task_of("mine", "1", "How much?"), truth, kind, options, **more)  # type: ignore[arg-type]


def says(text: str, answer: str | None) -> Reply:
    return Reply(text, answer, "eos")


def test_strict_takes_the_last_box_and_paper_compatible_the_first(marker: Marker) -> None:
    text = "First \\boxed{3}.\nNo: \\boxed{\\frac{1}{2}}"
    assert marker.grade(problem("0.5"), says(text, "\\frac{1}{2}")) == Grades(True, "\\frac{1}{2}", False, "3")
    assert marker.grade(problem("3"), says(text, "\\frac{1}{2}")) == Grades(False, "\\frac{1}{2}", True, "3")


def test_paper_compatible_grading_does_not_read_what_the_tool_printed(marker: Marker) -> None:
    reply = Reply("```output\n\\boxed{9}\n```\nSo \\boxed{7}", "7", "eos", said="So \\boxed{7}")
    assert marker.grade(problem("7"), reply) == Grades(True, "7", True, "7")


def test_an_answer_that_did_not_finish_is_wrong_strictly_and_read_as_published(marker: Marker) -> None:
    assert marker.grade(problem("7"), Reply("\\boxed{7} and so on", None, "length")) == Grades(False, None, True, "7")


def test_a_lost_answer_has_no_grade(marker: Marker) -> None:
    assert marker.grade(problem("7"), Reply("", None, "", fault="stalled")) == Grades(False, None, False, None)


def test_choices_are_read_as_letters_and_a_missing_one_is_drawn_in_the_paper_mode_alone(marker: Marker) -> None:
    asked = problem("B", Kind.CHOICE, ("a cat", "a dog"))
    assert marker.grade(asked, says("\\boxed{a dog}", "a dog")).read == "B"
    assert marker.grade(asked, says("\\boxed{a dog}", "a dog")).right
    wild = marker.grade(asked, says("I do not know.", None))
    assert (wild.right, wild.read) == (False, None)
    assert wild.paper_read in tuple("ABCDEFGHIJ")
    assert marker.grade(asked, says("I do not know.", None)) == wild  # the same letter again
    with pytest.raises(ConfigError, match="not the letter"):
        marker.grade(problem("Z", Kind.CHOICE, ("a cat", "a dog")), says("\\boxed{A}", "A"))


def test_exact_texts_and_the_scorer_of_a_source(marker: Marker) -> None:
    exact = problem("a  b", Kind.EXACT)
    assert marker.grade(exact, says("\\boxed{a b}", "a b")).right
    assert not marker.grade(exact, says("\\boxed{A b}", "A b")).right
    even = problem("2", scorer=lambda answer: answer.isdigit() and int(answer) % 2 == 0)
    assert marker.grade(even, says("\\boxed{4}", "4")) == Grades(True, "4", True, "4")
    assert marker.grade(even, says("\\boxed{5}", "5")) == Grades(False, "5", False, "5")


def test_a_problem_without_a_truth_is_never_right(marker: Marker) -> None:
    assert marker.grade(problem(None), says("\\boxed{7}", "7")) == Grades(False, "7", False, None)


def test_the_majority_votes_by_meaning(marker: Marker) -> None:
    assert marker.majority_right(problem("0.5"), ["1/2", "\\frac12", "3", "4", None])
    assert not marker.majority_right(problem("0.5"), [None, None])
    assert marker.majority_right(problem("B", Kind.CHOICE, ("x", "y")), ["A", "B", "B"])


@pytest.mark.parametrize(("n", "c"), [(n, c) for n in (1, 2, 5, 6) for c in range(n + 1)])
def test_pass_at_k_is_the_share_of_draws_with_a_right_answer(n: int, c: int) -> None:
    answers = [1] * c + [0] * (n - c)
    for k in range(1, n + 1):
        draws = list(combinations(answers, k))
        assert pass_at(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-12)


def test_pass_at_k_asks_for_enough_answers() -> None:
    for n, c, k in ((3, 1, 4), (3, 4, 1), (3, 1, 0), (0, 0, 1)):
        with pytest.raises(ValueError, match="there is no pass@"):
            pass_at(n, c, k)


def test_powers_of_two_end_at_the_number_of_samples() -> None:
    assert [powers_of_two(k) for k in (0, 1, 2, 7, 8, 32)] == [
        [], [1], [1, 2], [1, 2, 4], [1, 2, 4, 8], [1, 2, 4, 8, 16, 32],
    ]  # fmt: skip


def test_lost_answers_are_left_out_of_every_rate() -> None:
    marks = Marks.unknown(3, 4)
    marks.sampled[0] = [1, 0, 0, -1]  # one lost
    marks.sampled[1] = [1, 1, 1, 1]
    marks.greedy[:] = [1, 0, -1]
    assert marks.rates[:2].tolist() == [1 / 3, 1]
    assert np.isnan(marks.rates[2])
    assert mean_of(marks.rates) == pytest.approx(2 / 3)
    assert mean_of(marks.once) == 0.5
    assert marks.pass_at() == {  # of the first problem there are three answers, so that it has no pass@4
        "1": pytest.approx((1 / 3 + 1) / 2),
        "2": pytest.approx(((1 - 1 / 3) + 1) / 2),
        "4": 1.0,
    }


def test_the_standard_error_is_that_of_the_mean_over_problems() -> None:
    rates = [0.25, 0.5, 0.5, 1.0, 0.0, 0.75, 0.5, 0.25]
    error, interval = scatter(np.array([*rates, np.nan]))
    assert error == pytest.approx(stdev(rates) / math.sqrt(len(rates)))
    assert interval is not None
    assert interval[0] < float(np.mean(rates)) < interval[1]
    assert scatter(np.array([1.0]))[0] is None
    assert scatter(np.array([np.nan])) == (None, None)


def test_levels_stand_in_natural_order_and_nothing_stands_for_no_level() -> None:
    marks = Marks.unknown(4, 2)
    marks.greedy[:] = [1, 0, 1, -1]
    marks.sampled[:] = [[1, 0], [0, 0], [1, 1], [-1, -1]]
    assert parts(["level 10", "level 2", "level 2", ""], marks) == {
        "level 2": PartResult(2, 0.5, 0.5),
        "level 10": PartResult(1, 1.0, 0.5),
    }
    assert list(parts(["level 10", "level 2", "level 2", ""], marks)) == ["level 2", "level 10"]


def test_averages_are_over_the_benchmarks_that_were_measured() -> None:
    measured = {"amc": 0.5, "gsm8k": 0.9, "aime24": None, "bbeh": 0.1, "mine": 0.3}
    assert averages(measured) == {"maths (2 of 7)": pytest.approx(0.7)}
