"""Socratic-Zero on the miniature world: what its rounds leave, and that a killed run goes on to the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from coevolve.errors import ConfigError
from coevolve.methods.phases.curriculum_tables import Entry, read_entries, read_judged
from coevolve.methods.phases.train_preferences import solution_row
from coevolve.methods.registry import load_config
from coevolve.methods.socratic_config import SocraticConfig
from coevolve.monitor.summary import summarise
from coevolve.rollout.codec import Codec
from coevolve.store.records import RunRecords
from coevolve.worlds.base import PromptContext
from coevolve.worlds.miniature.learner import MiniatureWorld

SMALL = (
    *("iterations=2", "engine.workers=1", "curriculum.seeds=8", "curriculum.answers=4", "curriculum.new=6"),
    *("solver.steps=2", "solver.pairs=8", "generator.steps=2", "generator.problems=4", "generator.check=4"),
    *("evaluation.levels=1", "evaluation.per_level=2", "evaluation.samples=2", "evaluation.transfer_per_set=0"),
)


def command(folder: Path, *more: str) -> list[str]:
    sets = [part for key in (*SMALL, f"run.dir={folder}", *more) for part in ("--set", key)]
    return [sys.executable, "-m", "coevolve", "run", "socratic-zero", "--quiet", *sets]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("socratic") / "run"
    subprocess.run(command(folder), check=True, capture_output=True)
    return folder


def rows(folder: Path, event: str) -> list[dict[str, object]]:
    return [
        row for row in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()) if row["event"] == event
    ]


def entries_of(folder: Path, iteration: int) -> list[Entry]:
    return read_entries(RunRecords.open(folder), iteration)  # type: ignore[arg-type]


def test_the_curriculum_grows_from_its_failures(run: Path) -> None:
    first, second = entries_of(run, 1), entries_of(run, 2)
    assert [x.task_id for x in second[: len(first)]] == [x.task_id for x in first]
    assert sum(x.round == 0 for x in first) == 8
    for entry in second:
        assert entry.success is not None
        if entry.round:
            parent = next(x for x in second if x.task_id == entry.parent)
            assert parent.round < entry.round
            assert entry.failed
    assert len({x.question for x in second}) == len(second)


def test_success_is_the_share_of_answers_that_the_teacher_called_right(run: Path) -> None:
    judged = read_judged(RunRecords.open(run), 1)  # type: ignore[arg-type]
    by_id = {x.task_id: x.success for x in entries_of(run, 1)}
    for task_id in {x.task_id for x in judged}:
        assert by_id[task_id] == np.mean([x.right for x in judged if x.task_id == task_id])
    (row, _) = rows(run, "teaching")
    assert row["success"] == pytest.approx(row["true_accuracy"])  # the offline teacher is exact
    assert all(row["label_accuracy"] == 1.0 for row in rows(run, "teaching_references"))


def test_the_first_step_of_each_round_costs_log_2(run: Path) -> None:
    first = [row for row in rows(run, "preferences_step") if row["step"] == 1]
    assert len(first) == 2
    assert [row["loss"] for row in first] == pytest.approx([np.log(2)] * 2, rel=1e-5)


def test_the_summary_says_what_the_teacher_cost(run: Path) -> None:
    teacher = summarise(run)["teacher"]
    assert isinstance(teacher, dict)
    replies = [json.loads(line) for line in (run / "teacher" / "replies.jsonl").read_text().splitlines()]
    assert teacher["requests"] == len(replies)
    assert teacher["tokens"] == sum(x["read"] + x["written"] for x in replies)


@pytest.mark.slow
def test_a_run_that_its_budget_stopped_and_a_kill_broke_goes_on_to_the_same_bytes(run: Path, tmp_path: Path) -> None:
    whole = [json.loads(line) for line in (run / "teacher" / "replies.jsonl").read_text().splitlines()]
    budget = int(0.7 * sum(x["read"] + x["written"] for x in whole))
    folder = tmp_path / "run"
    stopped = subprocess.run(command(folder, f"teacher.budget_tokens={budget}"), capture_output=True, text=True)
    assert stopped.returncode == 1
    assert f"teacher.budget_tokens={budget} is used up" in " ".join(stopped.stderr.split())
    assert RunRecords.open(folder).status == "interrupted"

    replies = folder / "teacher" / "replies.jsonl"
    kept = replies.read_bytes().count(b"\n")
    resume = [sys.executable, "-m", "coevolve", "resume", str(folder), "--quiet"]
    process = subprocess.Popen(resume, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and replies.read_bytes().count(b"\n") == kept:
        time.sleep(0.02)
    process.kill()
    process.wait()
    subprocess.run(resume, check=True, capture_output=True)
    assert (folder / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()
    asked = [json.loads(line)["request"] for line in replies.read_text().splitlines()]
    assert sorted(asked) == sorted(x["request"] for x in whole)  # nothing twice


def test_a_solution_is_trained_on_but_for_what_a_tool_printed() -> None:
    codec = Codec(MiniatureWorld().base_model())
    text = "a:\n```python\nprint(2+40)\n```\n```output\n42\n```\n\\boxed{42}"
    row = solution_row(codec, [5, 6], text, 1)
    kept = codec.decode(row.tokens[row.weight > 0])
    assert codec.decode(row.tokens[2:-1]) == text
    assert kept == "a:\n```python\nprint(2+40)\n```\n```output\n\\boxed{42}" + codec.decode(np.array([1], np.int32))


def test_the_generators_prompt_shows_the_question_and_the_wrong_answer() -> None:
    contract = MiniatureWorld().contract
    shown = contract.prompt("proposer", PromptContext(question="Let a = 2 + 3. Find a.", failed="a = 6. \\boxed{6}"))
    assert shown == "<question>Let a = 2 + 3. Find a.</question>\na = 6. \\boxed{6}\n<question>"
    assert contract.prompt("proposer") == "<question>"


def test_the_presets_hold_the_papers_constants() -> None:
    for preset in ("socratic-zero", "socratic-zero-qwen3-8b-paper"):
        config = load_config(preset)
        assert isinstance(config, SocraticConfig)
        assert (config.curriculum.seeds, config.curriculum.answers) == (100, 8)
        assert (config.generator.peak, config.generator.width, config.solver.beta) == (0.5, 0.2, 0.1)


def test_a_dialogue_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dialogue\.turns is 1"):
        load_config("socratic-zero", overrides=["dialogue.turns=2"])
