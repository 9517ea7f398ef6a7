"""The summary has its stable keys in every state of a run, and takes its numbers from the right rows."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from coevolve.commands.results import print_summary
from coevolve.methods.config import CoevolutionConfig
from coevolve.monitor.summary import reports_of, summarise
from coevolve.store.folder import RunFolder

POOL = {
    "size",
    "kept",
    "label_accuracy_kept",
    "label_accuracy_all",
    "well_formed",
    "duplicates",
    "p_hat_histogram",
    "tool_calls",
    "first_executor_pass_rate",
    "fixed_executor_tool_calls",
}


def run_of_one_iteration(path: Path) -> None:
    folder = RunFolder.create(path, CoevolutionConfig(iterations=2, seed=7))
    folder.begin("iteration-0/evaluate")
    folder.log({"event": "evaluation", "iteration": 0, "held_out": {"mean_at_8": 0.1}, "transfer": {}})
    folder.log({"event": "control", "name": "fence_forced_base", "mean_at_8": 0.2, "n": 300})
    folder.log_timing({"wall_s": 1.5, "cpu_s": 2, "sample_s": 1, "tokens_sampled": 10})
    folder.finish("iteration-0/evaluate", [])
    folder.begin("iteration-1/all")
    folder.log({"event": "curriculum_step", "iteration": 1, "step": 1, "steps": 2, "reward": 0.3})
    folder.log({"event": "curriculum_step", "iteration": 1, "step": 2, "steps": 2, "reward": 0.4})
    folder.log({"event": "pool", "iteration": 1, "size": 256, "steps_histogram": {"1": 4}})
    folder.log({"event": "executor_step", "iteration": 1, "step": 1, "steps": 1, "entropy": 0.5, "tokens_trained": 6})
    for rate in (0.6, 0.7):
        folder.log({"event": "evaluation", "iteration": 1, "first_executor_pass_rate": {"1": rate}})
    folder.log_timing({"wall_s": 2, "cpu_s": 3, "train_s": 4, "tokens_sampled": 5})
    folder.close()


def test_a_run_without_any_phase_has_all_keys_and_nulls(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, CoevolutionConfig(iterations=2)).close()
    summary = summarise(tmp_path)
    required = ["method", "preset", "seed", "wall_s", "cpu_s", "iterations", "time", "tokens", "controls"]
    assert set(required) <= set(summary)
    keys = ["iteration", "held_out", "transfer", "suites", "pool", "curriculum", "executor", "probe", "rollback"]
    none = dict.fromkeys(keys) | {"alarms": [], "skipped_updates": 0}
    assert summary["iterations"] == [none | {"iteration": t} for t in range(3)]
    assert summary["skipped_updates"] == 0
    assert set(summary["time"]) == {"sample_s", "train_s", "tool_s", "grade_s", "store_s", "other_s"}
    assert summary["controls"] == {}


def test_numbers_come_from_the_last_step_the_newest_evaluation_and_all_timings(tmp_path: Path) -> None:
    run_of_one_iteration(tmp_path)
    summary = summarise(tmp_path)
    base, first, second = summary["iterations"]
    assert base["held_out"]["mean_at_8"] == 0.1
    assert [base[part] for part in ("pool", "curriculum", "executor")] == [None, None, None]
    assert first["curriculum"]["reward"] == 0.4
    assert first["curriculum"]["step"] == 2
    assert first["executor"]["entropy"] == 0.5
    assert set(first["pool"]) >= POOL
    assert first["pool"]["first_executor_pass_rate"] == 0.7
    assert first["pool"]["fixed_executor_tool_calls"] is None
    assert second["pool"] is None
    assert (summary["wall_s"], summary["cpu_s"], summary["seed"]) == (3.5, 5, 7)
    assert summary["tokens"] == {"sampled": 15, "trained": 6}
    assert summary["time"]["train_s"] == 4
    assert summary["controls"] == {"fence_forced_base": {"mean_at_8": 0.2, "n": 300}}


def test_what_went_wrong_stands_in_its_iteration(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CoevolutionConfig(iterations=2))
    folder.begin("iteration-1/executor")
    folder.log({"event": "curriculum_step", "iteration": 1, "skipped_updates": 1})
    folder.log({"event": "executor_step", "iteration": 1, "skipped_updates": 2})
    folder.log({"event": "executor_step", "iteration": 2, "skipped_updates": 0})
    folder.log({"event": "probe", "iteration": 2, "agreement": 0.25, "worse": True})
    folder.log({"event": "rollback", "iteration": 2, "to": 1, "text": "it became worse"})
    folder.log({"event": "alarm", "iteration": 2, "kind": "malformed", "text": "few can be asked"})
    folder.log({"event": "alarm", "iteration": 2, "kind": "KL", "text": "it ran away"})
    folder.close()
    summary = summarise(tmp_path)
    _, first, second = summary["iterations"]
    assert (summary["skipped_updates"], first["skipped_updates"], second["skipped_updates"]) == (3, 3, 0)
    assert (first["probe"], first["rollback"], first["alarms"]) == (None, None, [])
    assert second["probe"] == {"agreement": 0.25, "worse": True}
    assert second["rollback"] == {"to": 1, "text": "it became worse"}
    assert [alarm["kind"] for alarm in second["alarms"]] == ["malformed", "KL"]
    said = io.StringIO()
    print_summary(Console(file=said, width=200), summary, reports_of(tmp_path))
    assert "3 updates left out" in said.getvalue()
    for line in ("ROLLED BACK in iteration 2: it became worse", "ALARM in iteration 2: it ran away"):
        assert line in said.getvalue()
