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


def test_the_plan_of_eight_gpus_is_shown_where_its_run_is_refused_for_want_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "gpus", lambda: [H100])
    result = dry("--preset", "qwen3-8b-paper")
    assert result.exit_code == 0
    assert "memory of each of 8 GPUs" in result.output
    run = CliRunner().invoke(app, ["run", "--preset", "qwen3-8b-paper"])
    assert run.exit_code == 2
    assert "asks for 8 GPUs, and torch finds 1" in run.stderr
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
    keys = ("engine.device=cpu", "model.dtype=float32", "lora.enabled=false")
    result = dry("--set", "world=open", "--set", "model.path=somebody/something", *(f"--set={key}" for key in keys))
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


def test_a_model_that_a_preset_was_made_for_is_run_with_it() -> None:
    """The first command of docs/real-models.md; the numbers of the embedded model would take 461 GB."""
    for arguments in (["--set", "world=open"], []):
        result = dry(*arguments, "--set", "model.path=Qwen/Qwen3-4B-Base")
        assert result.exit_code == 0
        assert "preset: qwen3-4b-1gpu" in result.output
        assert "memory plan: 68.8 GB at its fullest" in result.output


def test_a_model_of_which_nothing_is_known_needs_the_keys_that_matter() -> None:
    result = CliRunner().invoke(
        app, ["run", "--dry-run", "--set", "world=open", "--set", "model.path=somebody/something"]
    )
    assert result.exit_code == 2
    for words in ("engine.device=cuda, model.dtype=bfloat16, lora.enabled=true", "--preset qwen3-4b-1gpu"):
        assert words in result.stderr


def test_a_plan_that_this_machine_cannot_carry_is_shown_and_ends_with_an_error() -> None:
    keys = ("engine.device=cpu", "model.dtype=float32", "lora.enabled=false", "engine.workers=64")
    arguments = [f"--set={key}" for key in ("world=open", "model.path=Qwen/Qwen3-4B-Base", *keys)]
    result = CliRunner().invoke(app, ["run", "--preset", "mini", "--dry-run", *arguments])
    assert result.exit_code == 1
    assert "memory plan:" in result.stdout
    assert re.search(r"the run needs [0-9]+\.[0-9] GB of memory, and this machine has [0-9.]+ GB", result.stderr)
    assert "the three keys that matter" in result.stderr
    content = CliRunner().invoke(app, ["run", "--preset", "mini", "--dry-run", "--json", *arguments])
    assert content.exit_code == 1
    assert json.loads(content.stdout)["obstacles"][0].startswith("the run needs")
    assert json.loads(dry("--preset", "mini", "--json").stdout)["obstacles"] == []


def test_a_gpu_that_is_too_small_ends_a_dry_run_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "gpus", lambda: [Gpu("NVIDIA L4", 24_000_000_000, 24_000_000_000, True)])
    result = CliRunner().invoke(app, ["run", "--dry-run", "--preset", "qwen3-4b-1gpu"])
    assert result.exit_code == 1
    assert "68.8 of 24.0 GB on NVIDIA L4: too much for any micro-batch" in result.stderr


def test_the_plan_of_dialogues_counts_their_turns() -> None:
    plain, talks = (load_config("dialogues", None, [f"dialogue.turns={n}"]) for n in (1, 4))
    before, after = ({p.name: p for p in planned(config)} for config in (plain, talks))
    question, answer, turns = 25, 35, 2.5  # tokens of finished runs; one to four turns, equally often
    pool = talks.pool.size  # type: ignore[attr-defined]
    asked = pool * talks.pool.votes  # type: ignore[attr-defined]
    assert before["iteration-1/pool"].tokens_sampled == pool * question + asked * answer
    assert after["iteration-1/pool"].tokens_sampled == pool * question + asked * turns * answer
    assert after["iteration-1/pool"].trajectories == before["iteration-1/pool"].trajectories
    trained = [plan["iteration-1/executor"].tokens_trained for plan in (before, after)]
    assert trained[1] == turns * trained[0]
    held_out = load_config("dialogues", None, ["evaluation.transfer_per_set=0", "evaluation.forced_fence=false"])
    section = held_out.evaluation
    single = section.levels * section.per_level * (section.samples + 1)
    several = section.dialogues * section.transfer_samples * (2 + 3 + 4)
    assert planned(held_out)[0].tokens_sampled == (single + several) * answer
