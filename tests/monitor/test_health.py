"""The judgement of a run follows from its numbers."""

from __future__ import annotations

from typing import Any

import pytest

from coevolve.evaluation.phase import run_reports
from coevolve.methods.registry import load_config
from coevolve.methods.reporting import Finding, percent
from coevolve.monitor.health import health as health_of

REPORTS = run_reports(load_config())


def health(summary: dict[str, Any], metrics: list[dict[str, Any]]) -> list[Finding]:
    return health_of(summary, metrics, REPORTS)


def entry(iteration: int, **parts: Any) -> dict[str, Any]:
    return {"iteration": iteration, "held_out": None, "pool": None, "executor": None} | parts


def summary(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"iterations": list(entries)}


def evaluated(*accuracies: float) -> dict[str, Any]:
    return summary(*(entry(t, held_out={"mean_at_8": a}) for t, a in enumerate(accuracies)))


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
        ({"executor": {"reward": 0.9, "true_accuracy": 0.8}}, "good", "Reward agrees with the truth"),
    ],
)
def test_a_finding_has_the_tone_of_its_numbers(parts: dict[str, Any], tone: str, title: str) -> None:
    found = health(summary(entry(1, **parts)), [])
    assert (tone, title) in [(finding.tone, finding.title) for finding in found]


def test_accuracy_is_told_with_the_number_of_answers_that_its_row_gives() -> None:
    rows = [entry(t, held_out={"mean_at_8": t / 10, "k": 4}) for t in range(3)]
    (finding,) = health(summary(*rows), [])
    assert finding.text.replace("\u00a0", " ") == "mean@4 after iterations 0 to 2: 0.0 % → 10.0 % → 20.0 %."


def test_what_needs_attention_comes_first() -> None:
    found = health(summary(entry(1, pool=pool(label_accuracy_kept=0.2, well_formed=0.99, duplicates=0.1))), [])
    assert [finding.tone for finding in found] == ["bad", "watch", "good", "good"]


def test_an_iteration_that_made_the_executor_worse_is_named() -> None:
    found = health(evaluated(0.1, 0.5, 0.4, 0.6), [])
    assert found[0].title == "The executor became worse in iteration 2"


def test_nothing_is_said_about_what_was_not_measured() -> None:
    assert health(summary(entry(0), entry(1, pool={"size": 0, "kept": 0})), []) == []
    assert percent(None) == "-"


def test_the_largest_gap_between_sampler_and_trainer_is_told() -> None:
    rows = [{"event": "executor_step", "max_logp_gap": gap} for gap in (1e-7, 3e-6)]
    (finding,) = health(summary(entry(0)), rows)
    assert "in 2 checks after a sync: 3.0e-06" in finding.text


@pytest.mark.parametrize(
    ("skipped", "tone", "words"), [((0, 0), "good", "no update was skipped"), ((1, 2), "watch", "3 updates in 2")]
)
def test_updates_left_out_are_told(skipped: tuple[int, int], tone: str, words: str) -> None:
    (finding,) = health(summary(entry(0)), [{"event": "executor_step", "skipped_updates": n} for n in skipped])
    assert finding.tone == tone
    assert words in finding.text


@pytest.mark.parametrize(("worse", "tone"), [(False, "good"), (True, "bad")])
def test_the_probe_is_told_from_the_base_model_on(worse: bool, tone: str) -> None:
    shares = {"agreement": 0.5, "best_agreement": 0.25, "tasks": 40}
    rows = [{"event": "probe", "iteration": 1, "worse": worse} | shares]
    (finding,) = health(summary(entry(0)), rows)
    assert finding.tone == tone
    assert "labels of 40 tasks, by iteration: 25.0 % → 50.0 %." in finding.text.replace("\u00a0", " ")
    assert ("in iteration 1" in finding.title) is worse
