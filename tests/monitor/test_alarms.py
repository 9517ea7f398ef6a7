"""Each alarm on rows made for it: silent on the healthy side of its limit, and named beyond it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coevolve.evaluation.phase import run_reports
from coevolve.methods.registry import load_config
from coevolve.monitor.alarms import Alarm
from coevolve.monitor.alarms import alarms as alarms_of

REPORTS = run_reports(load_config())
KINDS = {kind for report in REPORTS for kind in report.alarms}
DOCS = Path(__file__).parents[2] / "docs"
Row = dict[str, Any]

# A healthy pool of 100 texts with ten topics, twelve votes each.
POOL: Row = {
    "event": "pool",
    "size": 100,
    "asked": 90,
    "kept": 40,
    "well_formed": 0.95,
    "duplicates": 0.01,
    "text_duplicates": 0.01,
    "votes": 12,
    "p_hat_histogram": [2, 5, 8, 10, 15, 15, 12, 10, 8, 4, 1],
    "topics": {f"topic {i}": 9 for i in range(10)},
    "steps_histogram": {"1": 60, "2": 30},
    "label_accuracy_kept": 0.9,
}
CURRICULUM: Row = {"event": "curriculum_step", "entropy": 0.9, "kl": 0.05, "skipped_updates": 0}
EXECUTOR: Row = {
    "event": "executor_step",
    "entropy": 0.3,
    "kl": None,
    "tool_calls": 2.0,
    "skipped_updates": 0,
    "tokens_trained": 900,
}
EVALUATION: Row = {"event": "evaluation", "suites": {"my": {"mean": 0.4, "no_answer": 0.1, "cut_off": 0.05}}}
PROBE: Row = {"event": "probe", "agreement": 0.9, "best_agreement": 0.8, "worse": False}
ROLLBACK: Row = {"event": "rollback", "to": 1}


WITHOUT_ADVANTAGE = {"curriculum without advantage", "executor without advantage"}


def alarms(rows: list[Row], iteration: int) -> list[Alarm]:
    return alarms_of(rows, iteration, REPORTS)


def run(*changes: Row, iterations: int = 2) -> list[Row]:
    """Rows of a healthy run whose last iteration differs: changes are for rows of their event, rollbacks are added."""
    rows: list[Row] = []
    for t in range(1, iterations + 1):
        for row in (CURRICULUM, CURRICULUM, POOL, EXECUTOR, EXECUTOR, PROBE, EVALUATION):
            mine = [c for c in changes if c["event"] == row["event"] and t == iterations]
            rows.append(row | {"iteration": t} | {k: v for c in mine for k, v in c.items()})
    return rows + [c | {"iteration": iterations} for c in changes if c["event"] == "rollback"]


def pool(**changed: Any) -> Row:
    return {"event": "pool"} | changed


def step(agent: str, **changed: Any) -> Row:
    return {"event": f"{agent}_step"} | changed


def on_suites(**changed: Any) -> Row:
    return {"event": "evaluation", "suites": {"my": EVALUATION["suites"]["my"] | changed}}


ONE_TOPIC = {"remainder": 88, "sum": 2}
# kind, the healthy side of its limit, beyond it, words of the sentence
CASES = [
    ("repeats", pool(duplicates=0.5), pool(duplicates=0.51), "51 % of the pool"),
    ("repeats", pool(text_duplicates=0.5), pool(text_duplicates=0.9), "90 % of the pool"),
    (
        "one kind",
        pool(topics=ONE_TOPIC),
        pool(topics=ONE_TOPIC, steps_histogram={"1": 89, "3": 1}),
        "98 % ask for remainder in 1 step",
    ),
    ("malformed", pool(well_formed=0.5), pool(well_formed=0.49), "49 %"),
    ("all agree", pool(p_hat_histogram=[0] * 9 + [9, 81]), pool(p_hat_histogram=[0] * 9 + [8, 82]), "82 of 90"),
    (
        "none agree",
        pool(p_hat_histogram=[40, 41, 9] + [0] * 8),
        pool(p_hat_histogram=[41, 41, 8] + [0] * 8),
        "82 of 90",
    ),
    (
        "nobody answered",
        pool(reasons={"no_answer": 81}),
        pool(reasons={"no_answer": 82}, p_hat_histogram=[82, 8] + [0] * 9),
        "in 82 of 90 tasks no answer of the executor",
    ),
    ("unrun programs", pool(unrun=19), pool(unrun=20), "20 that the executor closed"),
    ("undecided votes", pool(votes_undecided=4), pool(votes_undecided=5), "in 5 of 90 tasks"),
    ("no frontier", pool(kept=2), pool(kept=1), "kept 1 of 100"),
    ("wrong labels", pool(label_accuracy_kept=0.5), pool(label_accuracy_kept=0.48), "48 % of those"),
    (
        "wrong labels",
        pool(label_accuracy_kept=0.4, label_known_kept=9),
        pool(label_accuracy_kept=0.4, label_known_kept=10),
        "of the 10 of 40 that could be checked",
    ),
    ("curriculum entropy", step("curriculum", entropy=0.019), step("curriculum", entropy=0.017), "0.017 nats"),
    ("executor entropy", step("executor", entropy=0.006), step("executor", entropy=0.005), "0.005 nats"),
    ("tool unused", step("executor", tool_calls=0.2), step("executor", tool_calls=0.19), "0.19 calls"),
    ("KL", step("curriculum", kl=1.0), step("curriculum", kl=1.01), "the curriculum agent ran away"),
    ("KL", step("executor", kl=1.0), step("executor", kl=3.0), "the executor ran away"),
    ("updates left out", step("executor", skipped_updates=0), step("executor", skipped_updates=1), "2 updates of the"),
    ("no gradient", step("executor", tokens_trained=1), step("executor", tokens_trained=0), "learned nothing"),
    ("worse", {"event": "probe", "worse": False}, {"event": "probe", "worse": True}, "health.rollback is off"),
    ("no answers", on_suites(no_answer=0.89), on_suites(no_answer=0.9), "90 % of the answers to my hold no answer"),
    ("no answers", on_suites(no_answer=0.5), on_suites(no_answer=1, cut_off=1), "sampling.max_tokens"),
    ("no answers", on_suites(no_answer=0.5), on_suites(no_answer=1, cut_off=0.1), "model.prompts"),
]


@pytest.mark.parametrize(("kind", "healthy", "ill", "words"), CASES, ids=lambda x: x if isinstance(x, str) else "")
def test_an_alarm_is_silent_up_to_its_limit_and_speaks_beyond_it(kind: str, healthy: Row, ill: Row, words: str) -> None:
    assert alarms(run(healthy), 2) == []
    (alarm,) = alarms(run(ill), 2)
    assert alarm.kind == kind
    assert words in alarm.text


def test_an_alarm_says_whether_questions_ever_were_well_formed() -> None:
    once = alarms(run(pool(well_formed=0.2)), 2)[0].text
    never = [row | {"well_formed": 0.2} if row["event"] == "pool" else row for row in run()]
    assert "no longer well formed: 20 %" in once
    assert "not well formed, and never were: 20 %" in alarms(never, 2)[0].text


def test_a_tool_that_never_was_used_is_told_only_of_a_solver_that_has_it() -> None:
    rows = [row | {"tool_calls": 0.0, "unrun": 7} if row["event"] == "executor_step" else row for row in run()]
    (alarm,) = alarms_of(rows, 2, REPORTS, load_config())
    assert alarm.kind == "tool unused"
    assert "never used the tool: 0.00 calls" in alarm.text
    assert "14 programs were closed and never ran" in alarm.text
    assert alarms_of(rows, 2, REPORTS, load_config("r-zero")) == []
    assert alarms(rows, 2) == []  # nobody said whether there is a tool


def test_steps_in_which_nothing_could_be_learned_are_told_once_they_are_most() -> None:
    config = load_config(overrides=["proposer.questions=64", "proposer.group_size=16", "solver.tasks=8"])

    def told(event: str, *values: Row) -> list[str]:
        steps = [{"event": event, "iteration": 1, "skipped_updates": 0, "tool_calls": 2.0} | row for row in values]
        return [alarm.kind for alarm in alarms_of(steps, 1, REPORTS, config)]

    some, none = {"zero_groups": 3, "tokens_trained": 90}, {"zero_groups": 4, "tokens_trained": 90}
    assert told("curriculum_step", some, none) == []
    assert told("curriculum_step", some, none, none) == ["curriculum without advantage"]
    some, none = {"zero_groups": 7, "tokens_trained": 90}, {"zero_groups": 5, "tokens_trained": 0}
    assert told("executor_step", some, none, none) == ["executor without advantage"]
    assert told("executor_step", none, none) == ["no gradient"]


def test_what_the_gate_kept_is_held_against_what_could_be_asked() -> None:
    told = [alarm.text for alarm in alarms(run(pool(kept=0, asked=21, well_formed=0.5, p_hat_histogram=[0] * 11)), 2)]
    assert told == [
        "nothing is at the frontier: the gate kept 0 of 100 texts (only 21 of them could be asked), so the executor "
        "learns nothing"
    ]


def test_a_healthy_run_raises_no_alarm() -> None:
    rows = run(iterations=3)
    assert [alarms(rows, t) for t in range(4)] == [[], [], [], []]


def test_one_rollback_is_no_alarm_and_the_second_is() -> None:
    once = run({"event": "probe", "worse": True}, ROLLBACK)
    assert alarms(once, 2) == []
    (alarm,) = alarms([*once, ROLLBACK | {"iteration": 1}], 2)
    assert alarm.kind == "rolled back again"
    assert "2 times" in alarm.text


def test_an_alarm_calls_an_agent_what_its_method_calls_it() -> None:
    reports = run_reports(load_config("r-zero"))
    ill = run(step("curriculum", kl=3.0), step("executor", kl=3.0))
    said = [alarm.text for alarm in alarms_of(ill, 2, reports)]
    assert [text.partition(" ran away")[0] for text in said] == ["the challenger", "the solver"]


def test_what_comes_later_says_nothing_about_an_iteration() -> None:
    rows = run(pool(well_formed=0.1), iterations=3)
    assert alarms(rows, 2) == []
    assert [a.kind for a in alarms(rows, 3)] == ["malformed"]


def test_an_iteration_is_judged_by_its_own_rows_and_an_old_fault_is_not_told_again() -> None:
    rows = [row | {"well_formed": 0.1} if row["iteration"] == 1 and row["event"] == "pool" else row for row in run()]
    assert [a.kind for a in alarms(rows, 1)] == ["malformed"]
    assert alarms(rows, 2) == []


def test_a_handful_of_texts_says_little() -> None:
    ill = {"well_formed": 0.1, "duplicates": 0.9, "kept": 0, "label_accuracy_kept": 0.0}
    assert alarms(run(pool(size=19, asked=10, p_hat_histogram=[10] + [0] * 10, **ill)), 2) == []
    assert len(alarms(run(pool(size=20, asked=10, **ill)), 2)) == 3


def test_few_votes_that_agree_by_twos_are_not_taken_for_noise() -> None:
    pairs = pool(votes=4, p_hat_histogram=[0, 0, 30, 0, 0, 60, 0, 0, 0, 0, 0])
    assert alarms(run(pairs), 2) == []
    (alarm,) = alarms(run(pool(votes=4, p_hat_histogram=[0, 0, 90, 0, 0, 0, 0, 0, 0, 0, 0])), 2)
    assert alarm.kind == "none agree"


def test_what_was_not_measured_raises_no_alarm() -> None:
    assert alarms([], 1) == []
    empty = [{"event": event, "iteration": 1} for event in ("pool", "curriculum_step", "probe")]
    assert alarms(empty, 1) == []
    nothing = {key: None for key in POOL if key not in ("event", "size", "kept")}
    assert alarms([POOL | nothing | {"iteration": 1}], 1) == []


def test_every_alarm_is_tried_and_documented() -> None:
    assert {kind for kind, *_ in CASES} | {"rolled back again", *WITHOUT_ADVANTAGE} == KINDS
    page = (DOCS / "health.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"| {kind} |" not in page] == []
