"""The words of the report follow from the numbers."""

from __future__ import annotations

from typing import Any

import pytest

from coevolve.report.text import headline, notices, standing


def entry(iteration: int, **parts: Any) -> dict[str, Any]:
    return {"iteration": iteration, "held_out": None, "pool": None, "executor": None} | parts


def summary(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"iterations": list(entries), "status": "running", "finished_phases": [], "world": "miniature"}


def evaluated(*accuracies: float) -> dict[str, Any]:
    return summary(*(entry(t, held_out={"mean_at_8": a}) for t, a in enumerate(accuracies)))


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (summary(entry(0), entry(1)), "nothing has been evaluated"),
        (evaluated(0.1), "The base model solves 10.0 %"),
        (evaluated(0.1, 0.2), "In 1 iteration without any data, accuracy on held-out problems rose"),
        (evaluated(0.1, 0.5, 0.05), "fell from 10.0 % to 5.0 %"),
    ],
)
def test_the_headline_fits_the_run(state: dict[str, Any], words: str) -> None:
    assert words in headline(state).replace("\u00a0", " ")


def test_a_run_that_did_not_finish_says_where_it_stands() -> None:
    state = summary() | {"status": "interrupted", "finished_phases": ["iteration-1/pool"]}
    assert "(status: interrupted); its last finished phase is iteration-1/pool" in standing(state)
    assert standing(state | {"status": "finished"}) == ""


def test_what_the_run_found_wrong_keeps_its_words_and_its_order() -> None:
    rows = [
        {"event": "pool", "iteration": 1},
        {"event": "alarm", "iteration": 1, "kind": "one question", "text": "nearly all questions are of one kind"},
        {"event": "rollback", "iteration": 2, "to": "solver-1", "text": "the executor became worse"},
    ]
    told = [(notice["event"], notice["title"], notice["text"]) for notice in notices(rows)]
    assert told == [
        ("alarm", "Alarm in iteration 1", "nearly all questions are of one kind"),
        ("rollback", "Rolled back in iteration 2", "the executor became worse"),
    ]
    assert notices([]) == []
