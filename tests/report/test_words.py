"""The words of the report follow from the numbers."""

from __future__ import annotations

from typing import Any

import pytest

from coevolve.report.words import headline, health, percent, standing


def entry(iteration: int, **parts: Any) -> dict[str, Any]:
    return {"iteration": iteration, "held_out": None, "pool": None, "executor": None} | parts


def summary(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"iterations": list(entries), "status": "running", "finished_phases": []}


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


def pool(**values: Any) -> dict[str, Any]:
    return {"size": 100, "kept": 50} | values


@pytest.mark.parametrize(
    ("parts", "tone", "title"),
    [
        ({"pool": pool(label_accuracy_kept=0.8)}, "good", "Most pseudo-labels are right"),
        ({"pool": pool(label_accuracy_kept=0.7)}, "watch", "Many pseudo-labels are wrong"),
        ({"pool": pool(label_accuracy_kept=0.4)}, "bad", "Many pseudo-labels are wrong"),
        ({"pool": pool(kept=0)}, "bad", "Hardly any task is at the frontier"),
        ({"pool": pool(duplicates=0.3)}, "bad", "The curriculum agent repeats itself"),
        ({"pool": pool(well_formed=0.8)}, "watch", "Some questions are malformed"),
        ({"executor": {"reward": 0.9, "true_accuracy": 0.5}}, "watch", "A part of what is rewarded is wrong"),
        ({"executor": {"reward": 0.9, "true_accuracy": 0.8}}, "good", "What is rewarded is mostly right"),
    ],
)
def test_a_finding_has_the_tone_of_its_numbers(parts: dict[str, Any], tone: str, title: str) -> None:
    found = health(summary(entry(1, **parts)), [])
    assert (tone, title) in [(finding["tone"], finding["title"]) for finding in found]


def test_what_needs_attention_comes_first() -> None:
    found = health(summary(entry(1, pool=pool(label_accuracy_kept=0.2, well_formed=0.99, duplicates=0.1))), [])
    assert [finding["tone"] for finding in found] == ["bad", "watch", "good", "good"]


def test_an_iteration_that_made_the_executor_worse_is_named() -> None:
    found = health(evaluated(0.1, 0.5, 0.4, 0.6), [])
    assert found[0]["title"] == "The executor became worse in iteration 2"


def test_nothing_is_said_about_what_was_not_measured() -> None:
    assert health(summary(entry(0), entry(1, pool={"size": 0, "kept": 0})), []) == []
    assert percent(None) == "–"


def test_the_largest_gap_between_sampler_and_trainer_is_told() -> None:
    rows = [{"event": "executor_step", "max_logp_gap": gap} for gap in (1e-7, 3e-6)]
    (finding,) = health(summary(entry(0)), rows)
    assert "in 2 checks after a sync: 3.0e-06" in finding["text"]
