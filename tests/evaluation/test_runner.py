"""What an evaluation asks of the rollouts and what it makes of known answers, in closed form."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial

import pytest

from coevolve.config import EvaluationSection
from coevolve.errors import SandboxInfraError
from coevolve.evaluation import phase
from coevolve.evaluation.meters import RunMeter
from coevolve.evaluation.runner import (
    PROBLEM_SEED,
    evaluate,
    evaluate_pool,
    forced_fence_control,
)
from coevolve.evaluation.suites import by_part, part_and_key, set_name
from coevolve.methods.registry import load_config
from coevolve.types import PROPOSER, Origin, StopReason, Task
from coevolve.worlds.base import SUITES, Problem, Suite
from coevolve.worlds.miniature.meter import MiniatureMeter

CONFIG = EvaluationSection(levels=2, per_level=3, samples=4, transfer_per_set=2, transfer_samples=2)


def held_out(meter):
    return by_part(meter.suites(CONFIG, PROBLEM_SEED))["held_out"]


def transfer(meter):
    return by_part(meter.suites(CONFIG, PROBLEM_SEED))["transfer"]


def problems_of(meter, tasks):
    return [Problem(task, meter.truth(task)) for task in tasks]


def true_answer(task) -> str:
    return str(sum(int(part) for part in task.id.split("+")))


def level_script(task, sample):
    """Level 1: three of four right, 1 call. Level 2: one of four right, the wrong ones agree, 2 calls."""
    level = int(task.id[0])
    right = sample < (3 if level == 1 else 1)
    return (true_answer(task) if right else "999", level)


def first_problem_script(task, sample):
    """Greedy: right on the first problem of each level only."""
    return (true_answer(task) if task.id.endswith("+0") else None, 0)


def test_held_out_row_of_known_answers(meter, policy, scripted) -> None:
    found = evaluate(scripted(level_script, first_problem_script), policy, held_out(meter), seed=7).row
    low, high = found.pop("ci95")
    assert low <= 0.5 <= high
    assert 0.25 <= low < high <= 0.75
    assert found == {
        "mean_at_8": 0.5,
        "maj_at_8": 0.5,
        "greedy": pytest.approx(1 / 3),
        "by_level": {"1": 0.75, "2": 0.25},
        "greedy_by_level": {"1": pytest.approx(1 / 3), "2": pytest.approx(1 / 3)},
        "tool_calls": 1.5,
        "tool_calls_by_level": {"1": 1.0, "2": 2.0},
        "n": 6,
        "k": 4,
    }
    json.dumps(found, allow_nan=False)  # plain numbers only


def test_held_out_takes_one_sampled_and_one_greedy_batch(meter, policy, scripted) -> None:
    rollouts = scripted(level_script)
    evaluate(rollouts, policy, held_out(meter), seed=7)
    sampled, greedy = rollouts.calls
    assert [len(sampled.tasks), sampled.samples, sampled.greedy] == [6, 4, False]
    assert [len(greedy.tasks), greedy.samples, greedy.greedy] == [6, 1, True]
    assert sampled.opening == greedy.opening == ""
    assert sampled.policy is greedy.policy is policy


def test_problems_are_the_same_for_every_run_seed_and_answers_are_not(meter, policy, scripted) -> None:
    one, other = scripted(level_script), scripted(level_script)
    evaluate(one, policy, held_out(meter), seed=0)
    evaluate(other, policy, held_out(meter), seed=1)
    evaluate(other, policy, transfer(meter), seed=1)
    forced_fence_control(other, policy, held_out(meter), "x", seed=1)
    assert one.calls[0].tasks == other.calls[0].tasks
    assert one.calls[0].seed != other.calls[0].seed


def test_two_policies_of_a_run_share_problems_and_random_numbers(meter, policy, scripted) -> None:
    rollouts = scripted(level_script)
    for _ in range(2):
        evaluate(rollouts, policy, held_out(meter), seed=3)
    assert rollouts.calls[:2] == rollouts.calls[2:]


def test_each_measurement_has_random_numbers_of_its_own(meter, policy, scripted, task) -> None:
    rollouts = scripted(level_script)
    evaluate(rollouts, policy, held_out(meter), seed=3)
    evaluate(rollouts, policy, transfer(meter), seed=3)
    evaluate_pool(rollouts, policy, problems_of(meter, [task("1+1")]), 2, 3)
    forced_fence_control(rollouts, policy, held_out(meter), "x", seed=3)
    assert len({call.seed for call in rollouts.calls}) == len(rollouts.calls) == 5


def test_held_out_rows_and_trajectories_by_problem(meter, policy, scripted) -> None:
    found = evaluate(scripted(level_script, first_problem_script), policy, held_out(meter), seed=7)
    assert found.problems[0] == {
        "set": "level-1",
        "task_id": "10+0",
        "question": "What is 10+0?",
        "truth": "10",
        "samples_right": 3,
        "k": 4,
        "majority": "10",
        "majority_right": True,
        "greedy_right": True,
        "tool_calls": 1.0,
    }
    last = found.problems[-1]
    assert (last["set"], last["majority"], last["majority_right"], last["greedy_right"]) == (
        "level-2",
        "999",
        False,
        False,
    )
    sizes = {name: len(trajectories) for name, trajectories in found.trajectories.items()}
    assert sizes == {"level-1": 12, "level-2": 12, "greedy-level-1": 3, "greedy-level-2": 3}
    asked = {t.task_id for trajectories in found.trajectories.values() for t in trajectories}
    assert asked == found.questions.keys()
    assert found.questions["20+1"] == "What is 20+1?"


def test_a_problem_without_truth_is_never_right(meter_without, policy, scripted) -> None:
    always = scripted(lambda task, sample: (true_answer(task), 0))
    row = evaluate(always, policy, held_out(meter_without("10+0", "10+1", "20+0")), seed=0).row
    assert row["mean_at_8"] == row["maj_at_8"] == row["greedy"] == 0.5


def test_transfer_sets_are_one_batch_and_reported_by_name(meter, policy, scripted) -> None:
    rollouts = scripted(lambda task, sample: (true_answer(task) if task.id < "2" or sample else "0", 1))
    found = evaluate(rollouts, policy, transfer(meter), seed=0)
    assert len(rollouts.calls) == 1
    assert found.row == {
        "longer": {"mean": 1.0, "n": 2, "k": 2, "ci95": [pytest.approx(0.025**0.5, abs=1e-3), 1.0]},
        "rare": {"mean": 0.5, "n": 2, "k": 2, "ci95": [0.5, 0.5]},
    }
    assert [row["set"] for row in found.problems] == ["transfer-longer"] * 2 + ["transfer-rare"] * 2
    assert all(row["greedy_right"] is None for row in found.problems)
    assert set(found.trajectories) == {"transfer-longer", "transfer-rare"}


def test_no_transfer_problems_cost_nothing(meter, policy, scripted) -> None:
    rollouts = scripted(level_script)
    assert "transfer" not in by_part(meter.suites(EvaluationSection(transfer_per_set=0), 0))
    found = evaluate(rollouts, policy, [], seed=0)
    assert (found.row, found.problems, dict(found.trajectories), rollouts.calls) == ({}, [], {}, [])


def test_pool_is_measured_by_true_answers_and_malformed_tasks_count(meter_without, policy, scripted, task) -> None:
    rollouts = scripted(lambda task, sample: (true_answer(task) if sample == 0 else None, 1 + sample))
    tasks = [task("1+1"), task("2+2"), task("9+9")]
    rate, calls, per_task = evaluate_pool(rollouts, policy, problems_of(meter_without("9+9"), tasks), 2, 5)
    assert (rate, calls, per_task) == (pytest.approx(1 / 3), 1.5, (0.5, 0.5, 0.0))
    assert len(rollouts.calls) == 1


def test_an_empty_pool_is_unknown(policy, scripted) -> None:
    rollouts = scripted(level_script)
    found = evaluate_pool(rollouts, policy, [], 2, 5)
    assert math.isnan(found.pass_rate)
    assert math.isnan(found.tool_calls)
    assert (found.per_task, rollouts.calls) == ((), [])


def test_forced_fence_passes_the_opening_on_and_uses_the_held_out_problems(meter, policy, scripted) -> None:
    rollouts = scripted(level_script)
    plain = evaluate(rollouts, policy, held_out(meter), seed=0)
    forced = forced_fence_control(rollouts, policy, held_out(meter), "run this: ", seed=0)
    call = rollouts.calls[-1]
    assert (call.opening, call.greedy, call.samples) == ("run this: ", False, 4)
    assert call.tasks == rollouts.calls[0].tasks
    assert set(forced.row) == {"mean_at_8", "tool_calls", "n", "k", "ci95"}
    assert all(forced.row[key] == plain.row[key] for key in forced.row)


def lossy(rollouts, batches: int):
    """The first answer of each of the first batches is lost to the sandbox."""
    answer, left = rollouts.solve, [batches]

    def solve(*arguments, **keywords):
        groups = answer(*arguments, **keywords)
        if left[0]:
            left[0] -= 1
            lost = replace(groups[0][0], stop=StopReason.INFRASTRUCTURE, answer=None)
            groups[0] = (lost, *groups[0][1:])
        return groups

    rollouts.solve = solve
    return rollouts


def test_a_batch_with_lost_answers_is_asked_for_again_and_counts_as_if_unbroken(meter, policy, scripted) -> None:
    unbroken = evaluate(scripted(level_script), policy, held_out(meter), seed=0)
    rollouts = lossy(scripted(level_script), 1)
    assert evaluate(rollouts, policy, held_out(meter), seed=0).row == unbroken.row
    assert len(rollouts.calls) == 3
    assert rollouts.calls[0] == rollouts.calls[1]


def test_answers_lost_twice_are_an_error_and_never_wrong_answers(meter, policy, scripted) -> None:
    with pytest.raises(SandboxInfraError, match="lost 1 of 24 answers"):
        evaluate(lossy(scripted(level_script), 2), policy, held_out(meter), seed=0)


def own_suite(file, samples) -> Suite:
    """Problems of a user: lines with a question and its answer."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    origin = Origin("own", PROPOSER, 0)
    problems = [
        Problem(Task(f"own-{i}", (row["question"],), "own", origin), row["answer"]) for i, row in enumerate(rows)
    ]
    return Suite("own", file.stem, len(problems), samples, partial(list, problems), greedy=True)


def test_a_users_file_is_a_suite_with_figures_of_its_own(meter, policy, scripted, tmp_path) -> None:
    file = tmp_path / "sums.jsonl"
    lines = [{"question": "What is 1 + 1?", "answer": "2"}, {"question": "What is 2 + 2?", "answer": "4"}]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    rollouts = scripted(lambda task, sample: ("2", 0))
    found = evaluate(rollouts, policy, [own_suite(file, 3)], seed=0)
    rates = {"mean": 0.5, "n": 2, "k": 3, "ci95": found.row["sums"]["ci95"], "greedy": 0.5, "majority": 0.5}
    assert found.row == {"sums": rates | {"tool_calls": 0.0, "no_answer": 0.0, "cut_off": 0.0}}
    assert [(row["set"], row["samples_right"], row["greedy_right"]) for row in found.problems] == [
        ("own-sums", 3, True),
        ("own-sums", 0, False),
    ]
    assert {name: len(answers) for name, answers in found.trajectories.items()} == {"own-sums": 6, "greedy-own-sums": 2}


def test_greedy_answers_alone_stand_in_the_place_of_sampled_ones(meter, policy, scripted, tmp_path) -> None:
    file = tmp_path / "sums.jsonl"
    lines = [{"question": "What is 1 + 1?", "answer": "2"}, {"question": "What is 2 + 2?", "answer": "4"}]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    rollouts, suite = scripted(lambda task, sample: ("2", 1)), own_suite(file, 0)
    found = evaluate(rollouts, policy, [suite], seed=0)
    assert [call.greedy for call in rollouts.calls] == [True]
    assert (suite.prompts, suite.answers) == (2, 2)
    rates = {"mean": 0.5, "n": 2, "k": 1, "ci95": found.row["sums"]["ci95"], "greedy": 0.5, "majority": 0.5}
    assert found.row == {"sums": rates | {"tool_calls": 1.0, "no_answer": 0.0, "cut_off": 0.0}}
    assert [(row["samples_right"], row["k"], row["greedy_right"]) for row in found.problems] == [
        (1, 1, True),
        (0, 1, False),
    ]
    assert {name: len(answers) for name, answers in found.trajectories.items()} == {"greedy-own-sums": 2}


def test_sampled_answers_alone_leave_the_greedy_ones_out(meter, policy, scripted, tmp_path) -> None:
    file = tmp_path / "sums.jsonl"
    file.write_text(json.dumps({"question": "What is 1 + 1?", "answer": "2"}), encoding="utf-8")
    rollouts, suite = scripted(lambda task, sample: ("2", 1)), replace(own_suite(file, 2), part=SUITES, greedy=False)
    found = evaluate(rollouts, policy, [suite], seed=0)
    assert [call.greedy for call in rollouts.calls] == [False]
    assert (suite.prompts, suite.answers) == (1, 2)
    assert found.row["sums"]["mean"] == found.row["sums"]["majority"] == 1.0
    assert found.row["sums"]["no_answer"] == 0.0
    assert "greedy" not in found.row["sums"]
    assert [row["greedy_right"] for row in found.problems] == [None]


def test_suites_of_a_part_may_ask_for_different_numbers_of_answers(meter, policy, scripted) -> None:
    one, other = transfer(meter)
    rollouts = scripted(lambda task, sample: (true_answer(task) if sample == 0 else None, 0))
    found = evaluate(rollouts, policy, [one, replace(other, samples=5)], seed=0)
    assert [(len(call.tasks), call.samples) for call in rollouts.calls] == [(2, 2), (2, 5)]
    assert [(found.row[key]["mean"], found.row[key]["k"]) for key in ("longer", "rare")] == [(0.5, 2), (0.2, 5)]


@pytest.mark.parametrize("name", ["level-3", "transfer-more_steps", "transfer-dialogue_2", "own-sums"])
def test_the_part_of_a_set_can_be_read_off_its_name(name) -> None:
    part, key = part_and_key(name)
    assert "-" not in part
    assert set_name(Suite(part, key, 0, 1, list)) == name


def test_sets_keep_the_names_that_stored_runs_have() -> None:
    assert part_and_key("level-3") == ("held_out", "3")
    assert part_and_key("transfer-dialogue_2") == ("transfer", "dialogue_2")


def test_another_problem_set_holds_other_problems_of_the_same_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Recording(MiniatureMeter):
        def suites(self, section: EvaluationSection, seed: int) -> tuple[Suite, ...]:
            asked.append(seed)
            return super().suites(section, seed)

    monkeypatch.setattr(phase, "open_meter", lambda *told: RunMeter(Recording()))
    for number in (0, 1):
        phase.Evaluate(load_config("mini", None, [f"evaluation.problem_set={number}"]), 0)
    assert asked[0] == PROBLEM_SEED  # the problems of all runs before there were sets
    sets = [by_part(MiniatureMeter().suites(EvaluationSection(), seed))["held_out"] for seed in asked]
    turns = [[{problem.task.turns for problem in suite.load()} for suite in suites] for suites in sets]
    assert [len(first & second) for first, second in zip(*turns, strict=True)] == [2, 0, 0, 0, 0]
    assert [len(level) for level in turns[1]] == [60] * 5
