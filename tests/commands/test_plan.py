"""``--dry-run`` with real models: memory is told before a model is there, and nothing is started."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from coevolve.cli import app
from coevolve.config.loading import preset_names
from coevolve.engine.planning import devices
from coevolve.engine.planning.devices import Gpu
from coevolve.methods.registry import load_config
from coevolve.runs import estimate
from coevolve.runs.estimate import fit_of, forewords, sentence
from coevolve.runs.plan import planned, shape_of, workload

H100 = Gpu("NVIDIA H100 80GB HBM3", 85_000_000_000, 84_000_000_000, True)


@pytest.fixture(autouse=True)
def in_an_empty_folder_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(estimate, "gpus", list)
    monkeypatch.setattr(devices, "gpus", list)


def dry(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["run", "--dry-run", *arguments], catch_exceptions=False)


def test_without_a_gpu_the_plan_says_what_one_would_need(tmp_path: Path) -> None:
    result = dry("--preset", "qwen3-4b-1gpu")
    assert result.exit_code == 0
    for words in (
        "base model",
        "key-value cache",
        "memory plan: 68.8 GB at its fullest",
        "No GPU is here",
        "is not estimated",
    ):
        assert words in result.output
    assert not any(tmp_path.iterdir())


def test_the_plan_of_eight_gpus_is_shown_and_its_run_refused(tmp_path: Path) -> None:
    result = dry("--preset", "qwen3-8b-paper")
    assert result.exit_code == 0
    assert "memory of each of 8 GPUs" in result.output
    run = CliRunner().invoke(app, ["run", "--preset", "qwen3-8b-paper"])
    assert run.exit_code == 2
    assert "laid out for 8 GPUs" in run.stderr
    assert "--preset qwen3-4b-1gpu" in run.stderr
    assert not any(tmp_path.iterdir())


def test_on_a_gpu_that_is_here_the_plan_is_held_against_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "gpus", lambda: [H100])
    text = dry("--preset", "qwen3-4b-1gpu").output
    assert "memory plan: 68.8 of 85.0 GB on NVIDIA H100 80GB HBM3; micro-batches of up to" in text
    content = json.loads(dry("--preset", "qwen3-4b-1gpu", "--json").output)
    memory = content["memory"]
    assert memory["fits"] is True
    assert memory["gpu"]["name"] == H100.name
    always, sampling = (sum(p["bytes"] for p in memory["parts"] if p["when"] == w) for w in ("always", "sampling"))
    assert memory["peak_bytes"] == always + sampling


def test_a_plan_that_does_not_fit_names_what_would() -> None:
    config = load_config("qwen3-4b-1gpu", None, ["engine.micro_batch_tokens=20000"])
    shape, load = shape_of(config), workload(config)
    fit = fit_of(shape, load, H100)
    assert fit is not None
    assert fit.fits is False
    assert f"engine.micro_batch_tokens={fit.micro_batch} would fit" in sentence(fit)
    tiny = fit_of(shape, load, Gpu("NVIDIA L4", 24_000_000_000, 24_000_000_000, True))
    assert tiny is not None
    assert "too much for any micro-batch; smaller: engine.max_rows" in sentence(tiny)


def test_memory_that_another_program_holds_does_not_count() -> None:
    config = load_config("qwen3-4b-1gpu")
    fit = fit_of(shape_of(config), workload(config), Gpu(H100.name, H100.total, 50_000_000_000, True))
    assert fit is not None
    assert fit.fits is False
    assert "68.8 of 50.0 GB that are free on NVIDIA H100" in sentence(fit)


def test_a_run_begins_with_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "gpus", lambda: [H100])
    qwen, mini = load_config("qwen3-4b-1gpu"), load_config("mini")
    plan, parts = forewords(shape_of(qwen), workload(qwen), qwen.world)
    assert plan.startswith("memory plan: 68.8 of 85.0 GB on NVIDIA H100")
    assert "base model 8.0, adapters 0.7, " in parts
    assert forewords(shape_of(mini), workload(mini), mini.world) == []


def test_a_model_whose_sizes_are_not_known_is_planned_without_memory() -> None:
    result = dry("--set", "world=open", "--set", "model.path=somebody/something")
    assert result.exit_code == 0
    assert "The sizes of somebody/something are not known before it is here." in result.output


def test_the_documented_memory_of_the_presets_is_that_of_their_plans() -> None:
    page = (Path(__file__).parents[2] / "docs/memory.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \|.*\| ([\d.]+) GB(?: each)? \|$", page, re.MULTILINE)
    configs = {name: load_config(name) for name, _ in rows}
    planned_gb = {name: fit_of(shape_of(config), workload(config), None) for name, config in configs.items()}
    assert set(planned_gb) == {name for name in preset_names() if load_config(name).engine.device == "cuda"}
    assert {name: f"{fit.memory.peak / 1e9:.1f}" for name, fit in planned_gb.items() if fit} == dict(rows)


def test_the_paper_writes_and_answers_what_its_schedule_says() -> None:
    plan = {p.name: p for p in planned(load_config("qwen3-4b-paper"))}
    questions, answers = 5 * 2048, 5 * 2048 * 10
    assert plan["iteration-1/curriculum"].trajectories == questions + answers
    assert plan["iteration-1/curriculum"].tokens_sampled == questions * 2048 + answers * 2048  # half of what is allowed
    assert plan["iteration-1/pool"].prompts == 8000
    assert plan["iteration-1/executor"].trajectories == 40 * 128 * 16


def test_every_executor_that_votes_is_counted_in_the_phase_that_asks_it() -> None:
    """agent0-stable: executors 3, 2, 1 for the reward of iteration 4, and the base model too for its labels."""
    config = load_config("agent0-stable")
    prompts = {p.name: p.prompts for p in planned(config)}
    steps, questions = 4, config.proposer.questions
    assert [prompts[f"iteration-{t}/curriculum"] // questions for t in (1, 2, 3, 4)] == [8, steps, 2 * steps, 3 * steps]
    assert [prompts[f"iteration-{t}/pool"] // config.pool.size for t in (1, 2, 3, 4, 10)] == [1, 2, 3, 4, 4]
