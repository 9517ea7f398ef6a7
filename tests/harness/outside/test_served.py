"""One agent by `coevolve eval`, by our solver within inspect, and as a served model by inspect and lm-eval."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import coevolve

from .commands import EXAMPLES, Command, Scored, inspect, lm_eval

pytestmark = pytest.mark.evals
SAMPLES = 3


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model after a few steps on documents that use the tool: its greedy answers do so, and are right."""
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    from coevolve.worlds.miniature.corpus import ALL_TOOL, documents
    from coevolve.worlds.miniature.learner import ASSETS
    from coevolve.worlds.miniature.training import _loss, _pad, encode_all

    folder = tmp_path_factory.mktemp("agent") / "model"
    shutil.copytree(ASSETS, folder)
    model = AutoModelForCausalLM.from_pretrained(ASSETS, dtype=torch.float32)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(ASSETS / "tokenizer.json"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    written = documents(ALL_TOOL, "served")
    for _ in range(8):
        _loss(model, *_pad(encode_all(tokenizer, list(islice(written, 16))))).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tasks of examples/harnesses, with another answer to every third question: no agent can be right in all."""
    folder = tmp_path_factory.mktemp("rows")
    for name in ("own_questions.py", "own_questions.yaml"):
        shutil.copy(EXAMPLES / name, folder)
    lines = [json.loads(line) for line in (EXAMPLES / "questions.jsonl").read_text().splitlines()]
    for line in lines[::3]:
        line["answer"] += "1"
    (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture(scope="module")
def url(agent: Path) -> Iterator[str]:
    """Where `coevolve serve` serves it."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(coevolve.__file__).parents[1])}
    command = [sys.executable, "-m", "coevolve", "serve", agent, "--preset", "nano", "--port", "0", "--name", "agent"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        said = next(line for line in server.stdout if "serving" in line)
        found = re.search(r"http://\S+", said)
        assert found is not None
        yield found[0]
        server.send_signal(signal.SIGTERM)
        server.stdout.read()
    assert server.returncode == 0


@pytest.fixture(scope="module")
def ours(agent: Path, rows: Path, command: Command, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `coevolve eval` says, and the answers that it took."""
    folder = tmp_path_factory.mktemp("eval")
    how = ("--preset", "nano", "--samples", SAMPLES, "--quiet", "--dir", folder)
    command("coevolve", "eval", agent, "--suite", "questions.jsonl", *how, cwd=rows)
    figures: dict[str, Any] = json.loads((folder / "eval.json").read_text())["suites"]["questions"]
    lines = [json.loads(line) for line in (folder / "answers/questions.jsonl").read_text().splitlines()]
    asked = [json.loads(line)["question"] for line in (rows / "questions.jsonl").read_text().splitlines()]
    taken = {asked[int(line["problem"].rpartition("-")[2]) - 1]: line["answer"] for line in lines if line["sample"] < 0}
    return figures | {"taken": taken}


def test_stock_harnesses_score_the_served_agent_as_coevolve_eval_does(
    url: str, rows: Path, ours: dict[str, Any], command: Command, tmp_path: Path
) -> None:
    assert 0.3 < ours["greedy"] < 0.7
    assert ours["tool_calls"] > 0
    for score in (lm_eval, inspect):
        found: Scored = score(command, rows, url, "agent", tmp_path)
        assert found.taken == ours["taken"]
        assert found.accuracy == ours["greedy"]


@pytest.mark.parametrize("samples", [0, SAMPLES])
def test_our_solver_and_scorer_within_inspect_find_the_same(
    samples: int, agent: Path, rows: Path, ours: dict[str, Any], command: Command, tmp_path: Path
) -> None:
    from inspect_ai.log import read_eval_log

    task = {"suite": "questions.jsonl", "model": agent, "preset": "nano", "samples": samples}
    given = [part for name, value in task.items() for part in ("-T", f"{name}={value}")]
    command("inspect", "eval", "coevolve/suite", *given, "--log-dir", tmp_path / "logs", "--display", "plain", cwd=rows)
    (file,) = (tmp_path / "logs").glob("*.eval")
    log = read_eval_log(str(file))
    assert log.status == "success"
    found = {score.name: score.metrics for score in log.results.scores}
    for name, expected in (("strict", ours), ("paper", ours["paper"])):
        figure = expected["mean" if samples else "greedy"]
        assert found[name]["accuracy"].value == pytest.approx(figure, abs=1e-12)
    if samples:
        assert found["strict"]["stderr"].value == pytest.approx(ours["se"], abs=1e-12)

    shown = json.loads(command("inspect", "log", "dump", file))
    assert {message["role"] for message in shown["samples"][0]["messages"]} == {"user", "assistant", "tool"}
    command("inspect", "view", "bundle", "--log-dir", tmp_path / "logs", "--output-dir", tmp_path / "www")
    assert (tmp_path / "www/index.html").is_file()
