"""What is said and drawn of suites, from rows and summaries written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from coevolve.config import Config, EvaluationSection
from coevolve.evaluation.report import evaluation_report, suites_mean
from coevolve.evaluation.suite_figures import suite_figures, suite_headline
from coevolve.methods.figures import LineFigure, RunView, TableFigure
from coevolve.types import SOLVER, AgentSpec

REPORT = evaluation_report("executor")


def suite(mean: float, **more: object) -> dict[str, Any]:
    bounds = {"ci95": [mean - 0.026, mean + 0.026], "n": 200, "k": 4}
    return {"mean": mean, **bounds, "greedy": mean, "majority": mean, "no_answer": 0.1, "cut_off": 0.0, **more}


def rows(*evaluations: dict[str, Any]) -> list[dict[str, Any]]:
    row = {"event": "evaluation", "held_out": None}
    return [row | {"iteration": t, "suites": found} for t, found in enumerate(evaluations)]


def view(*evaluations: dict[str, Any], changes: dict[str, Any] | None = None) -> RunView:
    entries = [{"iteration": t, "held_out": None, "suites": found} for t, found in enumerate(evaluations)]
    kept = {name: {"n": 200, "licence": "MIT", "change": change} for name, change in (changes or {}).items()}
    config = Config(evaluation=EvaluationSection(suites=["gsm8k"]))
    agents = (AgentSpec(SOLVER, "executor", True),)
    return RunView({"iterations": entries, "suites": kept}, rows(*evaluations), config, agents, SOLVER)


def test_an_evaluation_reads_as_one_suite_after_the_other() -> None:
    logged = rows({"gsm8k": suite(0.412), "exam": suite(0.1)}, {"gsm8k": suite(0.45), "exam": suite(0.1)})
    assert REPORT.line(logged, 0) == "gsm8k 41.2 % (± 2.6) · exam 10.0 % (± 2.6)"
    assert REPORT.line(logged, 1) == "gsm8k 41.2 % -> 45.0 % (± 2.6) · exam 10.0 % -> 10.0 % (± 2.6)"
    assert "knows no answers" in REPORT.line(rows({}), 0)


def test_the_mean_over_suites_counts_each_once() -> None:
    assert suites_mean({"a": suite(0.2), "b": suite(0.6, n=2)}) == pytest.approx(0.4)
    assert suites_mean(None) is None
    assert suites_mean({}) is None


@pytest.mark.parametrize(
    ("ends", "tone", "words"),
    [
        ([0.01, 0.05], "good", "became better on gsm8k"),
        ([-0.05, -0.01], "watch", "became worse on gsm8k"),
        ([-0.01, 0.05], "watch", "No suite tells the executor apart"),
    ],
)
def test_a_change_is_called_one_where_its_interval_excludes_zero(ends: list[float], tone: str, words: str) -> None:
    change = {"from": 0, "to": 1, "mean": sum(ends) / 2, "ci95": ends, "n": 200}
    run = view({"gsm8k": suite(0.4)}, {"gsm8k": suite(0.4)}, changes={"gsm8k": change})
    found = [finding for check in REPORT.findings if (finding := check(run.summary, run.rows))]
    assert [(one.tone, words in one.title) for one in found] == [(tone, True)]
    lead = suite_headline(run).lead
    assert ("No difference" in lead) == (ends[0] < 0 < ends[1])


def test_silence_is_a_finding_that_says_what_to_do() -> None:
    run = view({"gsm8k": suite(0.0, no_answer=0.95, cut_off=0.9)})
    (finding,) = [one for check in REPORT.findings if (one := check(run.summary, run.rows))]
    assert finding.tone == "bad"
    assert "sampling.max_tokens" in finding.text
    assert "Next to no answer could be read on gsm8k" in suite_headline(run).lead


def test_the_page_speaks_of_the_suites_and_draws_them_with_their_intervals() -> None:
    change = {"from": 0, "to": 1, "mean": 0.038, "ci95": [0.01, 0.066], "n": 200}
    run = view({"gsm8k": suite(0.412)}, {"gsm8k": suite(0.45)}, changes={"gsm8k": change})
    said = suite_headline(run)
    assert said.text == "In 1 iteration without any data, accuracy went on gsm8k from 41.2\u00a0% to 45.0\u00a0%."
    assert "Told apart from 0 on the same problems: gsm8k." in said.lead
    lines, table = suite_figures(run)
    assert isinstance(lines, LineFigure)
    assert isinstance(table, TableFigure)
    assert [list(point) for point in lines.series[0].values] == [
        pytest.approx([0, 0.412, 0.386, 0.438]),
        pytest.approx([1, 0.45, 0.424, 0.476]),
    ]
    assert lines.series[0].tasks == {"origin": "1", "set": "suites-gsm8k"}
    assert table.head == ("suite", "base", "iteration 1", "difference", "greedy", "no answer")
    assert table.rows[0][3] == ("+3.8", "+1.0 to +6.6")
    assert suite_headline(view({"gsm8k": suite(0.412)})).text == "The base model solves 41.2\u00a0% of gsm8k."


def test_a_run_without_suites_has_no_figures_of_them() -> None:
    plain = RunView({"iterations": [{"iteration": 0, "suites": None}]}, [], Config(), (), SOLVER)
    assert list(suite_figures(plain)) == []
