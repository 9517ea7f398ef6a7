"""A whole run of Agent0, small: reproducible to the byte, however often it is killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coevolve.engine.local.models import read_tensors
from coevolve.monitor.summary import summarise
from coevolve.worlds.miniature.learner import ASSETS

Cli = Callable[..., Any]
Tiny = Callable[..., list[str]]


def contents(run: Path) -> dict[str, str]:
    """Digests of all that a run leaves and that may not depend on the clock, on its folder or on its past."""
    names = ["metrics.jsonl", "checkpoints", "tasks", "trajectories", "meter", "probe"]
    files = [f for name in names for f in ([run / name] if (run / name).is_file() else (run / name).rglob("*"))]
    return {
        f.relative_to(run).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(files) if f.is_file()
    }


def rows(run: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row for row in lines if row["event"] == event]


def weights_digest(folder: Path) -> str:
    return hashlib.sha256(b"".join(w.numpy().tobytes() for _, w in sorted(read_tensors(folder).items()))).hexdigest()


KILLS = [
    ("log", "iteration-0/evaluate", "after"),
    ("begin", None, "after"),
    ("log", "iteration-1/curriculum", "before"),
    ("save_point", "iteration-1/curriculum", "before"),
    ("save_folder", "iteration-1/curriculum", "after"),
    ("finish", "iteration-1/curriculum", "after"),
    ("save_batch", "iteration-1/pool", "after"),
    ("write_table", "iteration-1/pool", "before"),
    ("save_batch", "iteration-1/pool", "before"),
    ("log", "iteration-1/executor", "after"),
    ("save_point", "iteration-1/executor", "after"),
    ("finish", "iteration-1/executor", "before"),
    ("log_timing", "iteration-1/evaluate", "after"),
    ("save_folder", "iteration-2/curriculum", "before"),
    ("finish", "iteration-2/executor", "before"),
]


def test_a_run_killed_again_and_again_ends_with_the_bytes_of_an_unbroken_one(
    cli: Cli, tiny: Tiny, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = tiny(run)
    for method, phase, when in KILLS:
        ended = cli(*command, fault={"method": method, "phase": phase, "when": when, "kind": "kill"})
        assert ended.code == -9, (method, phase, ended.stderr)
        assert not ended.left
        command = ["resume", str(run), "--quiet"]
    assert cli(*command).code == 0
    assert contents(run) == contents(finished)
    assert summarise(run)["status"] == "finished"


def test_another_seed_gives_another_run(cli: Cli, tiny: Tiny, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = ["iterations=1", "evaluation.forced_fence=false"]
    assert cli(*tiny(run, "seed=1", *small)).code == 0
    assert rows(run, "pool")[0] != rows(finished, "pool")[0]
    at = "checkpoints/iteration-1/solver"
    assert weights_digest(run / at) != weights_digest(finished / at)


def test_a_finished_run_is_left_as_it_is(cli: Cli, finished: Path) -> None:
    before, manifest = contents(finished), (finished / "manifest.json").read_bytes()
    ended = cli("resume", str(finished))
    assert ended.code == 0
    assert "finished already" in ended.stdout
    assert (contents(finished), (finished / "manifest.json").read_bytes()) == (before, manifest)


def test_nothing_in_the_metrics_depends_on_the_clock(finished: Path) -> None:
    text = (finished / "metrics.jsonl").read_text()
    assert not any(word in text for word in ("wall_s", "cpu_s", "_per_s", "time"))


def test_sampler_and_trainer_agreed_after_every_sync(finished: Path) -> None:
    gaps = [row["max_logp_gap"] for event in ("curriculum_step", "executor_step") for row in rows(finished, event)]
    assert gaps
    assert max(gaps) <= 1e-5


def test_one_policy_stays_bit_identical_while_the_other_trains(
    finished: Path, cli: Cli, tiny: Tiny, tmp_path: Path
) -> None:
    digests = {
        (role, t): weights_digest(finished / f"checkpoints/iteration-{t}/{role}")
        for role in ("proposer", "solver")
        for t in (1, 2)
    }
    assert len({*digests.values(), weights_digest(ASSETS)}) == 5, "both learn in both iterations"
    # The curriculum agent of iteration 1 meets the base executor: it is the same whether or not an executor follows.
    alone = tmp_path / "alone"
    small = ["iterations=1", "solver.train=false"]
    assert cli(*tiny(alone, *small)).code == 0
    assert weights_digest(alone / "checkpoints/iteration-1/proposer") == digests["proposer", 1]
    assert not (alone / "checkpoints/iteration-1/solver").exists()
    assert rows(alone, "evaluation")[0]["held_out"] == rows(alone, "evaluation")[1]["held_out"]


def test_the_summary_has_every_key_that_others_rely_on(finished: Path, cli: Cli) -> None:
    summary = json.loads(cli("summary", str(finished), "--json").stdout)
    assert {"method", "preset", "seed", "wall_s", "cpu_s", "iterations", "time", "tokens", "controls"} <= set(summary)
    assert [row["iteration"] for row in summary["iterations"]] == [0, 1, 2]
    base, *trained = summary["iterations"]
    held_out = {"mean_at_8", "maj_at_8", "greedy", "by_level", "tool_calls", "n", "ci95"}
    pool = {"size", "kept", "label_accuracy_kept", "label_accuracy_all", "well_formed", "duplicates"}
    pool |= {"p_hat_histogram", "tool_calls", "first_executor_pass_rate", "fixed_executor_tool_calls"}
    for row in summary["iterations"]:
        assert {"iteration", "held_out", "transfer", "pool", "curriculum", "executor"} <= set(row)
        assert held_out <= set(row["held_out"])
        assert sorted(row["held_out"]["by_level"]) == ["1", "2"]
    assert base["pool"] is base["curriculum"] is base["executor"] is base["transfer"] is None
    for row in trained:
        assert pool <= set(row["pool"])
        assert {"reward", "r_unc", "r_tool", "r_rep", "format"} <= set(row["curriculum"])
        assert {"reward", "true_accuracy", "clip_fraction_by_p_hat", "entropy", "kl"} <= set(row["executor"])
        assert 0 <= row["pool"]["first_executor_pass_rate"] <= 1
        assert len(row["pool"]["p_hat_histogram"]) == 11
        checks = row["pool"]["checks"]
        assert sorted(checks) == ["numbers", "output", "own_answer", "programs", "refusals"]
        assert {"gated", "limit", "passing", "failing", "right_passing", "right_failing"} == set(checks["output"])
        assert row["pool"]["contradicted"] <= row["pool"]["asked"]
    assert set(summary["time"]) == {"sample_s", "train_s", "tool_s", "grade_s", "store_s", "other_s"}
    assert summary["tokens"]["sampled"] > summary["tokens"]["trained"] > 0
    assert {"mean_at_8", "tool_calls", "n", "ci95"} <= set(summary["controls"]["fence_forced_base"])


def test_tokens_and_seconds_add_up(finished: Path) -> None:
    timings = [json.loads(line) for line in (finished / "timings.jsonl").read_text().splitlines()]
    assert [t["phase"].partition("/")[2] for t in timings] == [
        "evaluate",
        *["curriculum", "pool", "executor", "evaluate"] * 2,
    ]
    for t in timings:
        parts = sum(t[key] for key in ("sample_s", "train_s", "tool_s", "grade_s", "store_s", "other_s"))
        assert parts == pytest.approx(t["wall_s"], rel=0.02, abs=0.02)
    trained = sum(r["tokens_trained"] for e in ("curriculum_step", "executor_step") for r in rows(finished, e))
    assert sum(t["tokens_trained"] for t in timings) == trained > 0


def test_the_trained_executor_answers_a_question(cli: Cli, finished: Path) -> None:
    before = contents(finished)
    ended = cli("solve", str(finished), "Let a = 43 * 80. Let b = the digit sum of a. Find b.")
    assert (ended.code, ended.stderr, ended.left) == (0, "", ())
    assert "answer" in ended.stdout
    assert contents(finished) == before


@pytest.mark.parametrize(
    "question", ["Größe?", "What is 2 + 2?", "Let a = 1 @ 2. Find a.", "", "Let a = 1 + 2. Find a. " * 100]
)
def test_a_question_that_the_model_cannot_read_is_refused(question: str, cli: Cli, finished: Path) -> None:
    cli("solve", str(finished), question).assert_clear("question", "Let a = 43 * 80.", code=2)
