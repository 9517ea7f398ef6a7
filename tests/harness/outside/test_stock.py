"""The commands of inspect and lm-eval against an OpenAI-compatible server, with the tasks of examples/harnesses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_endpoint import MODEL, Asked, Says, ScriptedEndpoint

from .conftest import EXAMPLES, Command

pytestmark = pytest.mark.evals
ROWS = [json.loads(line) for line in (EXAMPLES / "questions.jsonl").read_text().splitlines()]
RIGHT = 27  # of 40


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ScriptedEndpoint]:
    """Knows the answers to 27 of the questions, in the last of two boxes; cannot read any other text."""
    known = {row["question"]: row["answer"] for row in ROWS[:RIGHT]} | {row["question"]: "no" for row in ROWS[RIGHT:]}

    def script(asked: Asked) -> Says:
        return Says(f"At first \\boxed{{1}}.\nThen \\boxed{{{known[asked.question]}}}.")

    with ScriptedEndpoint(script) as served:
        yield served


def lm_eval(command: Command, url: str, model: str, out: Path, *more: str, **environment: str) -> dict[str, Any]:
    """The figures of examples/harnesses/own_questions.yaml, and the answer that was taken for each question."""
    where = f"model={model},base_url={url}/chat/completions,num_concurrent=8"
    task = ("--include_path", EXAMPLES, "--tasks", "own_questions", "--apply_chat_template")
    model_of = ("--model", "local-chat-completions", "--model_args", where)
    command("lm_eval", "run", *task, *model_of, "--output_path", out, "--log_samples", *more, **environment)
    (results,), (samples,) = out.rglob("results_*.json"), out.rglob("samples_*.jsonl")
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    taken = {line["doc"]["question"]: line["filtered_resps"][0] for line in lines}
    figures: dict[str, Any] = json.loads(results.read_text())["results"]["own_questions"]
    return {"accuracy": figures["exact_match,last-box"], "se": figures["exact_match_stderr,last-box"], "taken": taken}


def inspect(command: Command, url: str, model: str, logs: Path, **environment: str) -> dict[str, Any]:
    """The same of examples/harnesses/own_questions.py."""
    from inspect_ai.log import read_eval_log

    where = {"COEVOLVE_BASE_URL": url, "COEVOLVE_API_KEY": "none"} | environment
    model_of = ("--model", f"openai-api/coevolve/{model}")
    command("inspect", "eval", "own_questions.py", *model_of, "--log-dir", logs, "--display", "plain", **where)
    (file,) = logs.glob("*.eval")
    log = read_eval_log(str(file))
    assert log.status == "success"
    (score,) = log.results.scores
    taken = {sample.input: sample.scores["pattern"].answer for sample in log.samples}
    return {"accuracy": score.metrics["accuracy"].value, "se": score.metrics["stderr"].value, "taken": taken}


def test_both_score_known_answers_to_the_last_digit(
    endpoint: ScriptedEndpoint, command: Command, tmp_path: Path
) -> None:
    for found in (
        lm_eval(command, endpoint.url, MODEL, tmp_path / "lm"),
        inspect(command, endpoint.url, MODEL, tmp_path / "logs"),
    ):
        assert found["accuracy"] == RIGHT / 40
        assert [found["taken"][row["question"]] for row in ROWS] == [row["answer"] for row in ROWS[:RIGHT]] + [
            "no"
        ] * 13
    assert len(endpoint.asked) == 80
    assert all(asked.greedy for asked in endpoint.asked)
