"""Bad input through the real program: an exit code, a message that names the fault and the fix, no traceback."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from coevolve.store import manifest
from coevolve.worlds.miniature.learner import ASSETS

Cli = Callable[..., Any]
Tiny = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "agent1"], ["unknown method agent1", "did you mean agent0?"]),
        (["run", "--preset", "nan0"], ["unknown preset nan0", "did you mean nano?", "mini-paper"]),
        (["run", "--set", "gate.lowr=0.2"], ["unknown key gate.lowr", "did you mean gate.lower?"]),
        (["run", "--set", "gates.lower=0.2"], ["unknown key gates.lower", "did you mean gate.lower?"]),
        (["run", "--set", "curriculum.steps=2"], ["curriculum.steps is now proposer.steps"]),
        (["run", "--set", "executor.lr=0.1"], ["executor.lr is now solver.lr", "coevolve config solver"]),
        (["run", "--set", "gate=0.2"], ["gate is a section", "coevolve config gate"]),
        (["run", "--set", "gate.lower=1.2"], ["gate.lower = 1.2", "from 0 to 1"]),
        (["run", "--set", "seed=-1"], ["seed = -1"]),
        (["run", "--set", "iterations=0"], ["iterations = 0"]),
        (["run", "--set", "iterations=two"], ["iterations = two"]),
        (["run", "--set", "objective=ppo"], ["objective = ppo", "adpo", "grpo"]),
        (["run", "--set", "tool.max_turns=0"], ["tool.max_turns = 0"]),
        (["run", "--set", "reward.gamma=nan"], ["reward.gamma"]),
        (["run", "--set", "seed"], ["--set"]),
        (["run", "--set", "gate.lower=0.9", "--set", "gate.upper=0.2"], ["gate.lower", "gate.upper"]),
        (["run", "--set", "proposer.questions=10", "--set", "proposer.group_size=4"], ["multiple"]),
        (["run", "--set", "adpo.lower=0.8"], ["adpo.lower", "adpo.upper"]),
        (["run", "--config", "nowhere.yaml"], ["nowhere.yaml"]),
    ],
)
def test_a_wrong_configuration_starts_nothing(arguments: list[str], words: list[str], cli: Cli, tmp_path: Path) -> None:
    cli(*arguments, cwd=tmp_path).assert_clear(*words, code=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: 1\nseed: 2\n", ["stands twice"]),
        ("gate: {lower: 2}\n", ["gate.lower = 2"]),
        ("curriculum: {steps: 2}\n", ["curriculum.steps is now proposer.steps", "write proposer in place"]),
        ("executor.tasks: 4\n", ["executor.tasks is now solver.tasks"]),
        ("gate:\n  lower: [0.1\n", ["not valid YAML"]),
        ("- seed\n", ["not a mapping"]),
    ],
)
def test_a_wrong_file_is_named(text: str, words: list[str], cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(text)
    cli("run", "--config", "my.yaml", cwd=tmp_path).assert_clear("my.yaml", *words, code=2)


def without_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()


def truncated(model: Path) -> None:
    file = model / "model.safetensors"
    os.truncate(file, file.stat().st_size - 1000)


def no_safetensors(model: Path) -> None:
    (model / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")


def header_only(model: Path) -> None:
    (model / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")


def other_shape(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"hidden_size": 64}))


def unknown_architecture(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"model_type": "qwen99", "architectures": ["Qwen99"]}))


def without_config(model: Path) -> None:
    (model / "config.json").unlink()


def broken_config(model: Path) -> None:
    (model / "config.json").write_text("{")


def without_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").unlink()


def other_vocabulary(model: Path) -> None:
    content = json.loads((model / "tokenizer.json").read_text())
    content["model"]["vocab"] = {t: i for t, i in content["model"]["vocab"].items() if t != "\\boxed{"}
    content["model"].pop("merges", None)
    (model / "tokenizer.json").write_text(json.dumps(content))


def too_many_words(model: Path) -> None:
    content = json.loads((model / "tokenizer.json").read_text())
    content["model"]["vocab"]["zzz"] = 5000
    (model / "tokenizer.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without_weights, ["model.safetensors is missing"]),
        (truncated, ["model.safetensors is damaged"]),
        (no_safetensors, ["model.safetensors is damaged"]),
        (header_only, ["weights"]),
        (other_shape, ["do not fit config.json", "mismatched"]),
        (unknown_architecture, ["no causal language model"]),
        (without_config, ["config.json is missing"]),
        (broken_config, ["config.json is damaged"]),
        (without_tokenizer, ["tokenizer.json is missing"]),
        (other_vocabulary, ["tokenizer"]),
        (too_many_words, ["5000", "90"]),
    ],
)
def test_a_base_model_that_cannot_be_used_is_refused(
    damage: Callable[[Path], None], words: list[str], cli: Cli, tiny: Tiny, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(ASSETS, model)
    damage(model)
    run = tmp_path / "run"
    cli(*tiny(run, f"model.path={model}")).assert_clear(str(model), *words)
    assert not (run / "checkpoints").exists()


def test_a_base_model_that_is_not_there_leaves_no_run(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    cli(*tiny(tmp_path / "run", "model.path=nowhere")).assert_clear("no model folder", "nowhere")
    assert not (tmp_path / "run").exists()


def test_another_base_model_cannot_go_on_with_a_run(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    model, run = tmp_path / "model", tmp_path / "run"
    shutil.copytree(ASSETS, model)
    fault = {"method": "finish", "phase": "iteration-0/evaluate", "when": "after", "kind": "none"}
    kill = fault | {"method": "begin", "phase": None, "kind": "kill"}
    assert cli(*tiny(run, f"model.path={model}"), fault=kill).code == -9
    content = bytearray((model / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (model / "model.safetensors").write_bytes(content)
    cli("resume", str(run)).assert_clear("not the one this run began with", str(model), "put the old base model back")


def test_a_finished_run_is_not_overwritten(cli: Cli, tiny: Tiny, finished: Path) -> None:
    before = (finished / "manifest.json").read_bytes()
    cli(*tiny(finished)).assert_clear(str(finished))
    assert (finished / "manifest.json").read_bytes() == before


def test_a_folder_with_other_things_in_it_is_left_alone(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    cli(*tiny(tmp_path)).assert_clear(str(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_place_of_a_folder(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    cli(*tiny(tmp_path / "file")).assert_clear(str(tmp_path / "file"))
    cli(*tiny(tmp_path / "file" / "run")).assert_clear(str(tmp_path / "file"))


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A run that may be damaged; it stands at its last phase."""
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    state = manifest.read(run)
    manifest.save(run, state.model_copy(update={"phases": state.phases[:-1], "status": "interrupted"}))
    return run


def test_a_run_in_use_is_refused_and_says_by_whom(cli: Cli, copy: Path) -> None:
    with (copy / ".lock").open("w") as lock:
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        cli("resume", str(copy)).assert_clear("another process", str(os.getpid()))
        assert cli("summary", str(copy)).code == 0, "reading is always possible"
    assert cli("resume", str(copy), "--quiet").code == 0


def no_manifest(run: Path) -> None:
    (run / "manifest.json").unlink()


def empty_manifest(run: Path) -> None:
    (run / "manifest.json").write_text("")


def newer_schema(run: Path) -> None:
    for name in (manifest.NAME, manifest.COPY):
        content = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps(content | {"schema": 7, "coevolve": "9.9"}))


def half_a_log(run: Path) -> None:
    os.truncate(run / "metrics.jsonl", 100)


def changed_checkpoint(run: Path) -> None:
    file = run / "checkpoints/iteration-2/solver/model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def lost_table(run: Path) -> None:
    (run / "tasks/iteration-1.parquet").unlink()


def changed_configuration(run: Path) -> None:
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("seed: 0", "seed: 1"))


def no_configuration(run: Path) -> None:
    (run / "config.yaml").unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_manifest, ["manifest.json"]),
        (empty_manifest, ["manifest is damaged"]),
        (newer_schema, ["coevolve 9.9", "schema 7", "coevolve==9.9"]),
        (half_a_log, ["metrics.jsonl has 100 bytes"]),
        (changed_checkpoint, ["changed", "checkpoints/iteration-2/solver"]),
        (lost_table, ["missing", "tasks/iteration-1.parquet"]),
        (changed_configuration, ["config.yaml"]),
        (no_configuration, ["config.yaml"]),
    ],
)
def test_a_damaged_run_says_what_is_damaged(
    damage: Callable[[Path], None], words: list[str], cli: Cli, copy: Path
) -> None:
    damage(copy)
    cli("resume", str(copy)).assert_clear(str(copy), *words)


@pytest.mark.parametrize("command", [["resume"], ["summary"], ["report"], ["solve"]])
def test_a_run_that_is_not_there(command: list[str], cli: Cli, tmp_path: Path) -> None:
    question = ["Find a."] if command == ["solve"] else []
    cli(*command, "nowhere", *question, cwd=tmp_path).assert_clear("nowhere")
    (tmp_path / "empty").mkdir()
    cli(*command, "empty", *question, cwd=tmp_path).assert_clear("empty")
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_run_without_an_executor_yet_cannot_answer(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    kill = {"method": "begin", "phase": None, "when": "before", "kind": "kill"}
    assert cli(*tiny(run), fault=kill).code == -9
    cli("solve", str(run), "Let a = 1 + 2. Find a.").assert_clear("no trained executor", f"coevolve resume {run}")


def test_reduced_precision_needs_a_tolerance_and_says_so(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    ended = cli(*tiny(tmp_path / "run", "engine.autocast=bfloat16"))
    ended.assert_clear("sampler and trainer disagree", "engine.probe_tolerance")


def test_a_base_model_with_one_matrix_for_embedding_and_head(cli: Cli, tiny: Tiny, tmp_path: Path) -> None:
    model, run = tmp_path / "model", tmp_path / "run"
    shutil.copytree(ASSETS, model)
    weights = {name: w for name, w in load_file(model / "model.safetensors").items() if name != "lm_head.weight"}
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    # Its head is the embedding of another model, so it writes at random; half a question is enough here.
    ended = cli(*tiny(run, f"model.path={model}", "solver.kl=0.01", "gate.lower=0", "gate.upper=1"))
    assert ended.code == 0, ended.stderr


@pytest.mark.parametrize(
    "overrides",
    [
        ("sampling.max_tokens=8",),
        ("sampling.max_tokens=9", "sampling.question_tokens=200"),
        ("engine.max_rows=1", "evaluation.per_level=1"),
        ("evaluation.levels=1", "evaluation.per_level=1", "evaluation.samples=1", "evaluation.pool_samples=0"),
        ("pool.size=1", "solver.tasks=50"),
        ("proposer.questions=2", "proposer.group_size=2"),
        ("sandbox.cpu_s=0.05", "sandbox.wall_s=0.05", "tool.cache=0"),
        ("solver.kl=0.01", "proposer.kl=0", "solver.loss=fixed"),
        ("model.dtype=bfloat16",),
        ("engine.autocast=bfloat16", "engine.probe_tolerance=1", "run.keep_trajectories=false"),
        ("evaluation.transfer_per_set=1", "sampling.temperature=0.7"),
        ("engine.micro_batch_tokens=16", "solver.loss=sequence", "pool.voters=[base, current]"),
    ],
)
def test_an_unusual_but_allowed_configuration_runs(
    overrides: tuple[str, ...], cli: Cli, tiny: Tiny, tmp_path: Path
) -> None:
    ended = cli(*tiny(tmp_path / "run", "iterations=1", "solver.steps=1", *overrides))
    assert ended.code == 0, ended.stderr
    assert not ended.left
