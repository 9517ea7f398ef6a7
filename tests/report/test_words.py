"""The words of the report follow from the numbers."""

from __future__ import annotations

from typing import Any

import pytest

from coevolve.config import Config
from coevolve.evaluation.figures import evaluation_figures
from coevolve.evaluation.report import EVALUATION
from coevolve.methods.figures import Headline, RunView
from coevolve.methods.phases.self_play_report import self_play_report
from coevolve.methods.phases.solver_report import solver_report
from coevolve.methods.reporting import IDS
from coevolve.methods.socratic_config import SocraticConfig
from coevolve.report.build import notices, standing
from coevolve.types import SOLVER, AgentSpec


def summary(*accuracies: float, **more: Any) -> dict[str, Any]:
    entries = [{"iteration": t, "held_out": {"mean_at_8": a}} for t, a in enumerate(accuracies)]
    return {"iterations": entries, "controls": {}, "status": "running", "finished_phases": []} | more


def view(state: dict[str, Any], *rows: dict[str, Any]) -> RunView:
    return RunView(state, rows, Config(), (AgentSpec(SOLVER, "executor", True),), SOLVER)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (view(summary()), "nothing has been evaluated"),
        (view(summary(), {"event": "evaluation", "held_out": None}), "without known answers"),
        (view(summary(0.1)), "The base model solves 10.0 %"),
        (view(summary(0.1, 0.2)), "In 1 iteration without any data, accuracy on held-out problems rose"),
        (view(summary(0.1, 0.5, 0.05)), "fell from 10.0 % to 5.0 %"),
    ],
)
def test_the_headline_fits_the_run(run: RunView, words: str) -> None:
    told = [part.text for part in evaluation_figures(EVALUATION, run) if isinstance(part, Headline)]
    assert len(told) == 1
    assert words in told[0].replace("\u00a0", " ")


def test_a_run_with_a_teacher_does_not_claim_to_have_had_no_data() -> None:
    taught = RunView(summary(0.1, 0.2), (), SocraticConfig(), (AgentSpec(SOLVER, "solver", True),), SOLVER)
    (told,) = [part.text for part in evaluation_figures(EVALUATION, taught) if isinstance(part, Headline)]
    assert told.startswith("In 1 iteration with a teacher, accuracy")


@pytest.mark.parametrize(
    ("ends", "tone", "words"),
    [
        ([[0.84, 0.92], [0.70, 0.80]], "good", "loses less often"),
        ([[0.84, 0.92], [0.76, 0.87]], "watch", "It is not shown"),
        ([[0.70, 0.80], [0.84, 0.92]], "watch", "It is not shown"),
    ],
)
def test_fewer_matches_lost_are_praised_only_where_intervals_are_apart(
    ends: list[list[float]], tone: str, words: str
) -> None:
    rows = [
        {"iteration": t, "play": {"tictactoe_perfect": {"loss": sum(bounds) / 2, "ci95": bounds}}}
        for t, bounds in enumerate(ends)
    ]
    state = {"iterations": rows}
    told = [found for find in self_play_report(IDS).findings if (found := find(state, [])) is not None]
    assert [(one.tone, words in one.title) for one in told] == [(tone, True)]


def test_a_run_that_did_not_finish_says_where_it_stands() -> None:
    state = summary(status="interrupted", finished_phases=["iteration-1/pool"])
    assert "(status: interrupted); its last finished phase is iteration-1/pool" in standing(state)
    assert standing(state | {"status": "finished"}) == ""


def test_what_the_run_found_wrong_keeps_its_words_and_its_order() -> None:
    rows = [
        {"event": "pool", "iteration": 1},
        {"event": "alarm", "iteration": 1, "kind": "one question", "text": "nearly all questions are of one kind"},
        {"event": "rollback", "iteration": 2, "to": "solver-1", "text": "the executor became worse"},
    ]
    told = [(notice["mark"], notice["title"], notice["text"]) for notice in notices(rows, [solver_report(IDS)])]
    assert told == [
        ("", "Alarm in iteration 1", "nearly all questions are of one kind"),
        ("rolled back", "Rolled back in iteration 2", "the executor became worse"),
    ]
    assert notices([], []) == []
