"""A method with a new phase, a new agent and a new world, in one file outside the package, known everywhere."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coevolve.cli import app
from coevolve.report.live import live_state
from coevolve.store.records import RunRecords

METHOD = '''
import random

from pydantic import Field

from coevolve.config import Config, TrainingSection
from coevolve.learning.rows import Lesson, minibatch_rows
from coevolve.methods.base import Method, Phase, open_policy, train_steps
from coevolve.methods.reporting import Better, PhaseCost, PhaseReport, Quantity, Unit
from coevolve.rollout.asking import solve
from coevolve.rollout.seeds import seed_of
from coevolve.types import AgentSpec, Batch, Origin, Task
from coevolve.worlds.miniature.learner import MiniatureWorld


class Sums(MiniatureWorld):
    name = "sums"
    example = "Let a = 12 + 30. Find a."
    prompt_tokens = 48
    meter = "coevolve.worlds.miniature.meter:MiniatureMeter"

    def draw(self, n, seed):
        rng = random.Random(seed)
        texts = [f"Let a = {rng.randint(10, 99)} + {rng.randint(10, 99)}. Find a." for _ in range(n)]
        return [Task(f"sum-{i}", (texts[i],), "chain", Origin("brief", "world", 1)) for i in range(n)]


class BriefSection(TrainingSection):
    steps: int = Field(3, ge=1, description="rollout batches of one iteration")
    answers: int = Field(8, ge=2, description="answers in a batch")


class BriefConfig(Config):
    brief: BriefSection = BriefSection()


class Shorten(Phase):
    """Answers of fewer tokens than the average are made more probable."""

    by_steps = True

    def __init__(self, config, iteration):
        length = Quantity("answer_length", "answer length", ("shorten", "length"), Unit.NUMBER, Better.LOWER, first=1)
        self.report = PhaseReport("shorten", activity="learning to be brief", quantities=(length,))
        self.iteration, self.steps, self.answers = iteration, config.brief.steps, config.brief.answers

    def cost(self, config):
        return PhaseCost(answers=self.steps * self.answers, answers_trained=self.steps * self.answers)

    def run(self, state):
        section, t = state.config.brief, self.iteration
        policy = open_policy(state, "speaker", t, section, resume=False, reference=None)
        train_steps(state, policy, self.steps, lambda step: self.step(state, policy, section, step))
        folder = f"checkpoints/iteration-{t}/speaker"
        return [state.store.save_folder(folder, lambda path: policy.save(path, optimizer=False))]

    def step(self, state, policy, section, step):
        seed = seed_of(state.config.seed, "shorten", self.iteration, step)
        tasks = state.world.draw(self.answers, seed)
        groups = solve(state.rollouts, policy.weights(), tasks, 1, seed=seed, agent="speaker")
        spoken = [answer for (answer,) in groups]
        length = sum(answer.sampled for answer in spoken) / len(spoken)
        lessons = [Lesson(x, 1 - x.sampled / length, section.clip_low, section.clip_high) for x in spoken]
        rows = minibatch_rows(lessons, "token", state.config.sampling.max_tokens)
        policy.update([Batch(tuple(rows))], [section.lr])
        state.store.log({"event": "shorten_step", "iteration": self.iteration, "step": step + 1, "length": length})
        state.progress.step(step + 1, {"length": length})


class Brief(Method):
    config, answerer = BriefConfig, "speaker"

    def agents(self, config):
        return (AgentSpec("speaker", "terse speaker", trained=True),)

    def phases(self, config, iteration):
        return [Shorten(config, iteration)]
'''
SETTINGS = """
method: brief:Brief
world: brief:Sums
iterations: 2
engine: {workers: 1}
evaluation: {per_level: 2, samples: 2, transfer_per_set: 2, transfer_samples: 1, forced_fence: false}
"""


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "coevolve", *arguments]


def coevolve(folder: Path, *arguments: str, fails: bool = False) -> str:
    """What the command prints, in this process and that folder."""
    with contextlib.chdir(folder):
        done = CliRunner(env={"COLUMNS": "200"}).invoke(app, list(arguments))
    assert (done.exit_code != 0) == fails, done.output
    return done.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the file of the method lies, with a finished run in ``run``."""
    place = tmp_path_factory.mktemp("own")
    (place / "brief.py").write_text(METHOD, encoding="utf-8")
    (place / "settings.yaml").write_text(SETTINGS, encoding="utf-8")
    coevolve(place, "run", "--config", "settings.yaml", "--set", "run.dir=run", "--quiet")
    return place


def test_it_is_planned_from_what_the_phase_says_of_its_cost(folder: Path) -> None:
    plan = json.loads(coevolve(folder, "run", "brief:Brief", "--config", "settings.yaml", "--dry-run", "--json"))
    phases = {phase["name"]: phase for phase in plan["phases"]}
    assert list(phases)[:3] == ["iteration-0/evaluate", "iteration-1/shorten", "iteration-1/evaluate"]
    assert phases["iteration-1/shorten"]["trajectories"] == 3 * 8


def test_its_keys_are_listed_and_checked_like_all_others(folder: Path) -> None:
    assert "brief.answers" in coevolve(folder, "config", "brief", "--method", "brief:Brief")
    fault = coevolve(folder, "run", "brief:Brief", "--set", "brief.anwsers=3", fails=True)
    assert "unknown key brief.anwsers (did you mean brief.answers?)" in fault


def test_the_summary_has_its_phase_and_its_agent_is_measured(folder: Path) -> None:
    summary = json.loads(coevolve(folder, "summary", "run", "--json"))
    assert (summary["method"], summary["world"]) == ("brief:Brief", "brief:Sums")
    assert [round(part["shorten"]["length"]) > 0 for part in summary["iterations"][1:]] == [True, True]
    assert all(part["held_out"]["n"] > 0 for part in summary["iterations"])
    assert (folder / "run/checkpoints/iteration-2/speaker/model.safetensors").is_file()


def test_the_page_shows_its_quantity(folder: Path) -> None:
    page = (folder / "run/report/index.html").read_text(encoding="utf-8")
    assert "answer length" in page
    assert "shorten" in page


def test_it_is_compared_by_its_quantity_over_seeds(folder: Path) -> None:
    coevolve(folder, "run", "--config", "settings.yaml", "--set", "seed=1", "--set", "run.dir=brief-s1", "--quiet")
    assert "answer length" in coevolve(folder, "compare", "run", "brief-s1")


def test_its_agent_answers_a_question(folder: Path) -> None:
    assert "answer:" in coevolve(folder, "solve", "run", "Let a = 12 + 30. Find a.")


def test_its_agent_is_exported_with_a_card(folder: Path) -> None:
    said = coevolve(folder, "export", "run", "--to", "out")
    assert "no pools of tasks, so there is no data set" in said
    assert not (folder / "out/dataset").exists()
    assert (folder / "out/speaker/model.safetensors").is_file()
    assert "terse speaker" in (folder / "out/speaker/README.md").read_text(encoding="utf-8")


def test_after_a_kill_it_resumes_to_the_same_bytes(folder: Path) -> None:
    run = folder / "killed"
    process = subprocess.Popen(
        command("run", "--config", "settings.yaml", "--set", "run.dir=killed", "--quiet"), cwd=folder, env=environment()
    )
    deadline = time.monotonic() + 300
    metrics = run / "metrics.jsonl"
    while not (metrics.is_file() and "shorten_step" in metrics.read_text(encoding="utf-8")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert json.loads((run / "manifest.json").read_text(encoding="utf-8"))["status"] == "running"
    live = live_state(RunRecords.open(run))
    assert [phase["name"] for phase in live["phases"]] == ["evaluate", *["shorten", "evaluate"] * 2]
    assert live["current"] == {"iteration": 1, "name": "shorten", "steps": 3}
    assert 1 <= live["done"] <= 3
    assert live["left_s"] > 0
    coevolve(folder, "resume", "killed", "--quiet")
    assert metrics.read_bytes() == (folder / "run/metrics.jsonl").read_bytes()


def test_elsewhere_the_error_names_the_key_and_the_module(folder: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command("summary", str(folder / "run")), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "there is no module brief" in done.stderr
    assert "PYTHONPATH" in done.stderr
