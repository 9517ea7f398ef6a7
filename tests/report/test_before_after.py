"""The problem that the page shows before and after: chosen by what changed, and drawn with both verdicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from coevolve.report.before_after import before_and_after
from coevolve.report.build import build_report, page_data, render, task_data
from coevolve.report.chunks import read_trajectories
from coevolve.report.task_index import HELD_OUT, WRITTEN, TaskIndex, read_index
from coevolve.store.records import RunRecords

from .browser import READY, Browser

QUESTION = "A farmer has 12 rows of 9 trees and sells 17 of them. How many trees are left?"


def add(index: TaskIndex, iteration: int, name: str, right: int, *, question: str = QUESTION, calls: float = 1) -> None:
    index.add(
        None,
        origin=HELD_OUT,
        iteration=iteration,
        task_id=name,
        set="suites-own",
        question=question,
        samples_right=right,
        k=2,
        tool_calls=calls,
    )


def test_the_problem_was_wrong_in_every_sample_and_is_right_in_every_sample() -> None:
    index = TaskIndex()
    for name, before, now in (("always", 2, 2), ("luck", 0, 1), ("learned", 0, 2), ("lost", 2, 0)):
        add(index, 0, name, before)
        add(index, 1, name, 0)
        add(index, 2, name, now)
    places = before_and_after(index, [True] * len(index))
    assert places is not None
    assert [(index.columns["task_id"][i], index.columns["iteration"][i]) for i in places] == [
        ("learned", 0),
        ("learned", 2),
    ]


def test_a_readable_question_for_which_the_tool_was_used_is_preferred() -> None:
    index = TaskIndex()
    questions = {"short": ("What is 2 + 2?", 1.0), "long": (QUESTION * 9, 1.0)}
    questions |= {"head": (QUESTION, 0.0), "tool": (QUESTION, 1.0)}
    for iteration, right in ((0, 0), (1, 2)):
        for name, (question, calls) in questions.items():
            add(index, iteration, name, right, question=question, calls=calls)
    places = before_and_after(index, [True] * len(index))
    assert places is not None
    assert index.columns["task_id"][places[0]] == "tool"


def test_there_is_none_without_a_change_without_answers_or_before_the_first_iteration_is_measured() -> None:
    index = TaskIndex()
    add(index, 0, "a", 0)
    assert before_and_after(index, [True]) is None
    add(index, 1, "a", 2)
    assert before_and_after(index, [True, False]) is None
    index.add(None, origin=WRITTEN, iteration=2, task_id="p", question=QUESTION, k=8)
    assert before_and_after(index, [True, True, True]) == [0, 1]
    assert before_and_after(TaskIndex(), []) is None


def test_the_page_shows_both_answers_with_their_verdicts(browser: Browser, finished_run: Path, tmp_path: Path) -> None:
    folder = RunRecords.open(finished_run)
    index = read_index(folder)
    stored = read_trajectories(folder, index)
    shown = [i for i, at in enumerate(stored.at) if at is not None]
    places = {"at": stored.at, "answered": stored.answered, "before_after": [shown[0], shown[-1]]}
    page = tmp_path / "page.html"
    page.write_text(render(page_data(folder), task_data(index) | places, stored.chunks), encoding="utf-8")
    browser.show(page)
    browser.until("!document.getElementById('before-after').hidden")
    text = browser.run("return document.getElementById('contrast').innerText")
    assert "Base model ✕ wrong" in text
    assert "After iteration 3 ✓ right" in text
    assert "known to the meter only" in text
    assert browser.errors() == []


def test_a_run_without_such_a_problem_has_no_such_part(browser: Browser, make_run: Callable[..., Path]) -> None:
    browser.show(build_report(make_run(until="iteration-1/executor")))
    browser.until(READY)
    assert browser.run("return document.getElementById('before-after').hidden")
