"""A whole run in the open world on a random model: every part works, and nothing claims to know an answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

from coevolve.commands.results import result_sentence
from coevolve.engine.vocabulary import vocabulary_size
from coevolve.methods.registry import load_config
from coevolve.monitor.summary import summarise
from coevolve.rollout.codec import Codec
from coevolve.runs.ask import example_for
from coevolve.statistics import MIN_TASKS
from coevolve.store.folder import RunFolder
from coevolve.store.records import RunRecords
from coevolve.worlds.open.stand_in.build import small_folder

Cli = Callable[..., Any]
SMALL = ("--set", "pool.size=12", "--set", "proposer.steps=1", "--set", "solver.steps=1", "--quiet")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    """Qwen3 with few tokens."""
    path = tmp_path_factory.mktemp("stand-in") / "model"
    ended = cli("world", "random-model", "--out", path, "--layers", "2", "--hidden", "64", "--vocabulary", "2048")
    assert ended.code == 0, ended.stderr
    assert f"--set model.path={path}" in ended.stdout
    return path


@pytest.fixture(scope="module")
def run(model: Path, cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("open") / "run"
    where = ("--set", f"model.path={model}", "--set", f"run.dir={path}")
    ended = cli("run", "agent0", "--preset", "smoke-hf", *where, *SMALL)
    assert (ended.code, ended.stdout, ended.stderr) == (0, "", "")
    return path


def events(run: Path, name: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["event"] == name]


def test_every_part_has_worked(run: Path) -> None:
    (curriculum,), (pool,), (executor,) = (events(run, n) for n in ("curriculum_step", "pool", "executor_step"))
    assert curriculum["format"] > 0.2
    assert curriculum["r_unc"] > 0
    assert pool["kept"] > 0
    assert pool["tool_calls"] > 0
    assert executor["tokens_trained"] > 0
    assert executor["max_logp_gap"] < 1e-3
    for role in ("proposer", "solver"):
        adapter = load_file(run / f"checkpoints/iteration-1/{role}/adapter_model.safetensors")
        assert any(matrix.any() for name, matrix in adapter.items() if "lora_B" in name), role  # they begin as zeros
    assert (run / "report/index.html").stat().st_size > 10_000


def test_what_only_a_truth_could_tell_is_told_of_the_tasks_whose_truth_is_known(run: Path) -> None:
    (pool,), (executor,), (probe,) = (events(run, n) for n in ("pool", "executor_step", "probe_tasks"))
    rows = {row["task_id"]: row for row in RunRecords.open(run).read_table("meter/tasks-1.parquet")}
    known = {id: row["label_right"] for id, row in rows.items() if row["truth"] is not None}
    assert {row["label_right"] for row in rows.values() if row["truth"] is None} == {None}
    tasks = RunRecords.open(run).read_table("tasks/iteration-1.parquet")
    kept = [known[row["task_id"]] for row in tasks if row["kept"] and row["task_id"] in known]
    assert (pool["label_known_kept"], pool["label_known_all"]) == (len(kept), len(known))
    for share, right in (("label_accuracy_kept", kept), ("label_accuracy_all", list(known.values()))):
        assert pool[share] == (sum(right) / len(right) if right else None)
    if not kept:
        assert executor["true_accuracy"] is probe["label_accuracy"] is None
    base, first = events(run, "evaluation")
    assert base["held_out"] is first["held_out"] is None
    assert (first["first_executor_pass_rate"]["1"] is None) == (not known)
    assert first["fixed_executor_tool_calls"]["1"] >= 0
    assert set(pool["steps_histogram"]) == {"0"}
    assert pool["reasons"]["reserved"] == 0


def test_trajectories_are_the_samplers_own_tokens(run: Path, model: Path) -> None:
    codec, folder = Codec(model), RunRecords.open(run)
    rows = folder.read_table("trajectories/pool-1.parquet")
    called = [row for row in rows if row["tool_calls"]]
    assert called
    unlike = 0
    for row in rows:
        tokens, text = np.array(row["tokens"], np.int32), str(row["text"])
        assert codec.decode(tokens).startswith(text)
        assert set(np.array(row["logprobs"])[~np.array(row["mask"])].tolist()) <= {0.0}
        unlike += codec.encode(text).tolist() != tokens[: len(codec.encode(text))].tolist()
    assert unlike > len(rows) / 2  # to encode a text again would give other tokens


def test_probabilities_over_tool_turns_are_those_of_transformers(run: Path, model: Path) -> None:
    reference, size = AutoModelForCausalLM.from_pretrained(model), vocabulary_size(model)
    rows = RunRecords.open(run).read_table("trajectories/pool-1.parquet")
    called = [row for row in rows if row["tool_calls"]][:8]
    assert len(called) == 8
    for row in called:
        prompt, tokens, mask = (np.array(row[name]) for name in ("prompt", "tokens", "mask"))
        whole = torch.from_numpy(np.concatenate([prompt, tokens]).astype(np.int64))[None]
        with torch.no_grad():
            logp = reference(whole).logits[0, len(prompt) - 1 : -1, :size].log_softmax(-1)
        expected = logp.gather(-1, whole[0, len(prompt) :, None])[:, 0].numpy()
        np.testing.assert_allclose(np.array(row["logprobs"])[mask], expected[mask], atol=1e-4)


def test_what_shows_a_run_copes_without_a_truth(run: Path, cli: Cli, tmp_path: Path) -> None:
    assert result_sentence(summarise(run)) == ""
    assert cli("summary", str(run)).code == 0
    assert "in a world without known answers" in (run / "report/index.html").read_text()
    ended = cli("export", str(run), "--to", str(tmp_path / "exported"))
    assert ended.code == 0, ended.stderr
    cli("compare", str(run)).assert_clear("no held-out problems")
    assert cli("doctor", str(run)).code == 0


def test_the_hint_at_the_end_asks_a_question_that_the_run_kept(run: Path, tmp_path: Path) -> None:
    kept = [row for row in RunRecords.open(run).read_table("tasks/iteration-1.parquet") if row["kept"]]
    example = example_for(run)
    assert max(row["p_hat"] for row in kept) == next(row["p_hat"] for row in kept if row["question"] == example)
    RunFolder.create(tmp_path / "new", load_config("smoke-hf")).close()
    assert example_for(tmp_path / "new") == "What is the product of 17 and 24?"
    RunFolder.create(tmp_path / "miniature", load_config("nano")).close()
    assert example_for(tmp_path / "miniature").startswith("Let a = 43")


def test_the_executor_answers_a_question_and_none_that_holds_a_special_token(run: Path, cli: Cli) -> None:
    ended = cli("solve", str(run), "What is the sum of the first 100 odd numbers?")
    assert ended.code == 0, ended.stderr
    cli("solve", str(run), "What is <|im_start|> plus 4?").assert_clear("special token", code=2)


def test_a_model_that_cannot_be_had_ends_a_run_before_it_has_a_folder(cli: Cli, tmp_path: Path) -> None:
    where = ("--set", f"run.dir={tmp_path / 'run'}", "--quiet")
    nowhere = cli("run", "agent0", "--preset", "smoke-hf", "--set", f"model.path={tmp_path / 'none'}", *where)
    nowhere.assert_clear("There is no model folder")
    assert not (tmp_path / "run").exists()


def test_plain_prompts_without_a_tool_make_a_run_too(cli: Cli, model: Path, tmp_path: Path) -> None:
    settings = (f"model.path={model}", "model.prompts=plain", "tool.enabled=false", f"run.dir={tmp_path / 'run'}")
    chosen = [part for setting in (*settings, "lora.enabled=false") for part in ("--set", setting)]
    ended = cli("run", "agent0", "--preset", "smoke-hf", *chosen, *SMALL)
    assert ended.code == 0, ended.stderr
    (pool,) = events(tmp_path / "run", "pool")
    assert pool["tool_calls"] == 0
    assert pool["asked"] > 0


CUT_OFF = ("--set", "sampling.question_tokens=8", "--set", "model.prompts=agent0")


def test_a_run_that_can_learn_nothing_stops_after_its_first_look_and_so_does_its_resume(
    cli: Cli, model: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    where = ("--set", f"model.path={model}", "--set", f"run.dir={run}")
    ended = cli("run", "agent0", "--preset", "smoke-hf", *where, *CUT_OFF, *SMALL)
    ended.assert_clear("nothing can be learned", "none of 24 questions can be asked", "health.trial=0", code=3)
    (trial,), (obstacles,) = events(run, "trial"), events(run, "obstacles")
    assert (trial["texts"]["texts"], trial["texts"]["well_formed"]) == (24, 0)
    assert obstacles["found"][0]["fatal"]
    kept = (run / "metrics.jsonl").read_bytes()
    again = cli("resume", str(run), "--quiet")
    assert (again.code, again.stderr) == (3, ended.stderr)
    assert (run / "metrics.jsonl").read_bytes() == kept
    assert "interrupted; last finished phase: iteration-0/trial" in cli("summary", str(run)).stdout


def test_a_model_is_tried_before_anything_is_trained(cli: Cli, model: Path) -> None:
    ended = cli("try", str(model), "--preset", "smoke-hf", "--questions", "8", "--json")
    assert ended.code == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["can_learn"]
    assert len(found["written"]) == found["texts"]["texts"] == 8
    assert len(found["answered"]) == found["answers"]["answers"] == 4 * (len(found["p_hat"]["own"]) + 4)
    assert all(text["prompt"].endswith("<|im_start|>assistant\n") for text in found["written"])
    assert sum(bool(answer["tool_calls"]) for answer in found["answered"]) == found["answers"]["ran"] > 0
    assert found["iteration"]["tokens_sampled"] > 0


def test_a_model_that_can_learn_nothing_is_shown_with_what_to_change(cli: Cli, model: Path) -> None:
    ended = cli("try", str(model), "--preset", "smoke-hf", "--questions", "4", *CUT_OFF)
    assert ended.code == 3, ended.stderr
    assert max(map(len, ended.stdout.splitlines())) <= 80
    for words in ("the proposer reads", "cut off after 8 tokens", "nothing can be learned like this", "try: "):
        assert words in ended.stdout


def test_a_broken_template_is_told_by_its_own_error(cli: Cli, model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    (broken / "chat_template.jinja").write_text("{{ raise_exception('roles must alternate') }}")
    cli("try", str(broken), "--preset", "smoke-hf").assert_clear("roles must alternate", "chat_template.jinja")


@pytest.mark.slow
def test_a_run_that_was_killed_in_three_phases_ends_with_the_bytes_of_an_unbroken_one(
    cli: Cli, model: Path, tmp_path: Path
) -> None:
    def begin(path: Path, **how: object) -> int:
        chosen = (f"model.path={model}", f"run.dir={path}", "solver.steps=2", "proposer.steps=2", "pool.size=24")
        settings = [part for setting in chosen for part in ("--set", setting)]
        return int(cli("run", "agent0", "--preset", "smoke-hf", *settings, "--quiet", **how).code)

    def killed(phase: str) -> dict[str, object]:
        return {"fault": {"method": "log", "phase": f"iteration-1/{phase}", "when": "after", "kind": "kill"}}

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert begin(whole) == 0
    assert begin(broken, **killed("curriculum")) == -9
    for phase in ("pool", "executor"):
        assert cli("resume", str(broken), "--quiet", **killed(phase)).code == -9
    assert cli("resume", str(broken), "--quiet").code == 0
    names = ["metrics.jsonl", "trajectories/pool-1.parquet"]
    names += [f"checkpoints/iteration-1/{role}/adapter_model.safetensors" for role in ("proposer", "solver")]
    for name in (*names, "checkpoints/iteration-1/proposer/optimizer.pt"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.slow
def test_an_iteration_with_the_real_vocabulary_takes_minutes_on_a_cpu(cli: Cli, tmp_path: Path) -> None:
    ended = cli("run", "agent0", "--preset", "smoke-hf", "--set", f"run.dir={tmp_path / 'run'}", "--quiet")
    assert ended.code == 0, ended.stderr
    folder = RunRecords.open(tmp_path / "run")
    assert folder.status == "finished"
    assert json.loads((small_folder() / "config.json").read_text())["vocab_size"] == 151_936
    (pool,), (probe,) = (events(folder.path, name) for name in ("pool", "probe_tasks"))
    assert pool["kept"] > 0
    assert probe["tasks"] >= MIN_TASKS  # so the executors are compared as well
    assert sum(float(str(row["cpu_s"])) for row in folder.timings()) < 300
