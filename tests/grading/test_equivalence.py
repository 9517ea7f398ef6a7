"""The judge: what decides a pair, what is remembered and counted, threads, and that no text of a model is executed."""

from __future__ import annotations

import asyncio
import builtins
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import pytest

from coevolve.config import GradingSection
from coevolve.curriculum.voting import vote
from coevolve.errors import ConfigError
from coevolve.grading import equivalence
from coevolve.grading.equivalence import OWN_RULES, Judge, open_judge
from coevolve.grading.symbolic import Outcome
from coevolve.grading.verdict import Stage

MIXED = ["42", "42.0", "1/2", r"\frac{1}{2}", "0.5", "50%", "Monday", "monday", "listen", "silent", "x^2", "2x", "x x"]
MIXED += ["5 cm", "5", r"\sqrt{2}", "1.4142", "1.414", r"\{1,2\}", "2,1", "(1,2)", "[0,1)", r"0 \le x < 1", "x+x"]
MIXED_AND_MISSING = [*MIXED, None, ""]
BEYOND_US = (
    r"1000! \sin 1",
    r"1000 \sin(1) \cdot 999!",
    r"1000 \cdot 999 \cdot \sin(1) \cdot 998!",
)  # too large for our own rules
ENDLESS = ("999999! 999998! 999997!", r"999999 \cdot 999998! 999998! 999997!")  # equal, after minutes


@pytest.fixture
def patient() -> Iterator[Judge]:
    with Judge(timeout_s=30.0) as judge:
        yield judge


@pytest.mark.parametrize(
    ("first", "second", "same", "stage"),
    [
        ("42", "42", True, Stage.NUMBER),
        ("42", "43", False, Stage.NUMBER),
        ("0.5", r"\frac12", True, Stage.NUMBER),
        ("Monday", "monday", True, Stage.TEXT),
        ("", "", False, Stage.MISSING),
        ("  ", "42", False, Stage.MISSING),
    ],
)
def test_the_first_stage_that_can_decides(first: str, second: str, same: bool, stage: Stage) -> None:
    for a, b in ((first, second), (second, first)):
        verdict = OWN_RULES.same(a, b)
        assert (verdict.same, verdict.stage) == (same, stage)
        assert verdict.why


def test_pairs_are_counted_by_stage_and_remembered_in_either_order() -> None:
    with Judge() as judge:
        judge.same("x^2", "2x")
        judge.same("2x", "x^2")
        judge.same("1", "2")
        stats = judge.stats
    assert (stats.pairs, stats.cache_hits, stats.timeouts) == (3, 1, 0)
    assert sum(stats.by_stage.values()) == 3


def test_classes_do_not_depend_on_the_order_of_mixed_answers() -> None:
    answers = [answer for answer in MIXED_AND_MISSING for _ in range(2)]
    expected = OWN_RULES.classes(answers)
    for seed in range(100):
        order = list(range(len(answers)))
        random.Random(seed).shuffle(order)
        found = OWN_RULES.classes([answers[i] for i in order])
        assert (found.keys, found.forms) == (expected.keys, expected.forms)
        assert [sorted(order[i] for i in members) for members in found.members] == [*map(list, expected.members)]


def test_numbers_and_words_start_no_worker() -> None:
    with Judge() as judge:
        judge.classes(["1", "2", "3", "-4", "1,234", "1/2", "Monday", "cat"])
        assert judge.symbolic_stage
        assert judge.worker_processes == ()


def test_what_our_rules_leave_open_is_asked_of_math_verify(patient: Judge) -> None:
    for first, second in combinations(BEYOND_US, 2):
        verdict = patient.same(first, second)
        assert (verdict.same, verdict.stage) == (True, Stage.SYMBOLIC)
    found = patient.classes([BEYOND_US[0], "2", BEYOND_US[1], "2.0", BEYOND_US[2]])
    assert found.members == ((0, 2, 4), (1, 3))
    assert found.keys == (r"1000!\sin 1", "2")


def test_a_pair_that_runs_out_of_time_is_different_counted_and_not_tried_again() -> None:
    with Judge(timeout_s=1.0) as judge:
        judge.same(*BEYOND_US[:2])
        (before,) = judge.worker_processes
        verdict = judge.same(*ENDLESS)
        assert (verdict.same, verdict.stage) == (False, Stage.TIMEOUT)
        assert judge.worker_processes == (before,)
        assert Path(f"/proc/{before}/task/{before}/children").read_text() == "", "the one that computed was killed"
        before_group = judge.stats.timeouts
        found = judge.classes(ENDLESS)
        assert (len(found.members), found.timeouts) == (2, 1)
        assert judge.stats.timeouts == before_group + 1, "remembered"
    assert judge.worker_processes == ()


def test_a_vote_over_hostile_answers_asks_math_verify_no_longer_than_its_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hostile = [f"{999_900 + n}! {n}!" for n in range(20)]
    with Judge(timeout_s=1.0) as judge:
        asked: list[str] = []

        def compare(first: str, second: str) -> Outcome:
            asked.append(first)
            return Outcome.TIMEOUT

        assert judge._pool is not None
        monkeypatch.setattr(judge._pool, "compare", compare)
        result = vote(hostile, judge=judge)
    assert (result.p_hat, result.timeouts, len(asked)) == (0.05, 3, 3)
    assert result.skipped == 20 * 19 // 2 - 3


def test_without_the_symbolic_stage_an_open_pair_is_different_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "switched off" in Judge(symbolic=False).same(*BEYOND_US[:2]).why
    monkeypatch.setattr(equivalence, "installed_version", lambda: None)
    judge = Judge()
    assert not judge.symbolic_stage
    verdict = judge.same(*BEYOND_US[:2])
    assert (verdict.same, verdict.stage) == (False, Stage.SYMBOLIC)
    assert "not installed" in verdict.why


def test_weak_forms_join_the_only_strong_class() -> None:
    def members(*answers: str) -> tuple[tuple[int, ...], ...]:
        return OWN_RULES.classes(answers).members

    assert members("5", "5 cm", "5 centimeters") == ((0, 1, 2),)
    assert sorted(members("5", "5 cm", "5 m")) == [(0,), (1,), (2,)]
    assert members("1.4142", r"\sqrt{2}", "1.41421") == ((0, 1, 2),)
    assert sorted(members("1.4142", "1.41421")) == [(0,), (1,)]
    assert OWN_RULES.classes(["5", "5 cm"]).keys == ("5 cm",)


def test_a_run_that_asks_for_math_verify_must_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_judge(GradingSection(symbolic="on")) as judge:
        assert judge.symbolic_stage
    with open_judge(GradingSection(symbolic="off")) as judge:
        assert not judge.symbolic_stage
    monkeypatch.setattr("coevolve.grading.symbolic.installed_version", lambda: None)
    with pytest.raises(ConfigError, match=r"coevolve\[math\]"):
        open_judge(GradingSection(symbolic="on"))
    with open_judge(GradingSection(symbolic="auto")) as judge:
        assert not judge.symbolic_stage


def test_several_threads_and_coroutines_may_ask_one_judge(patient: Judge) -> None:
    answers = [*BEYOND_US, "y", "1001!"]
    expected = patient.classes(answers)

    async def main() -> list[object]:
        return list(await asyncio.gather(*(asyncio.to_thread(patient.classes, answers) for _ in range(4))))

    with ThreadPoolExecutor(4) as threads:
        found = [future.result() for future in [threads.submit(patient.classes, answers) for _ in range(8)]]
    assert all(classes == expected for classes in [*found, *asyncio.run(main())])


@pytest.mark.parametrize("name", ["alpha", "b7q", "zz-top"])
def test_no_answer_is_executed_in_our_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    import sympy
    from sympy.parsing import latex, sympy_parser

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a text of a model was about to be executed")

    target = tmp_path / name
    payloads = [
        f"__import__('os').system('touch {target}')",
        f"open('{target}','w')",
        f"x); open('{target}', 'w'); (x",
        rf"\text{{__import__('os').system('touch {target}')}}",
        rf"\operatorname{{exec}}(open('{target}','w'))",
        f"(lambda: open('{target}','w'))()",
        f"{{{{open('{target}','w')}}}}",
        f'f\'{{open("{target}","w")}}\'',
    ]
    monkeypatch.setattr(sympy, "sympify", refuse)
    monkeypatch.setattr(sympy_parser, "parse_expr", refuse)
    monkeypatch.setattr(latex, "parse_latex", refuse)
    monkeypatch.setattr(builtins, "eval", refuse)
    monkeypatch.setattr(builtins, "exec", refuse)
    with Judge(timeout_s=30.0) as judge:
        for payload in payloads:
            judge.same(payload, "1")
            judge.same(payload, "x^2+1")
        judge.classes([*payloads, "x+1", r"\sqrt{2}", "(0,1)", None])
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
