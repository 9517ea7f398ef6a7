"""The commands of inspect and lm-eval on the tasks of examples/harnesses, and what they found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

EXAMPLES = Path(__file__).parents[3] / "examples" / "harnesses"
Command = Callable[..., str]


class Scored(NamedTuple):
    """What a harness says of a model."""

    accuracy: float
    se: float
    taken: dict[str, str | None]  # the answer that it took, by question


def lm_eval(command: Command, folder: Path, url: str, model: str, out: Path) -> Scored:
    """own_questions.yaml in a folder, by lm-eval."""
    where = f"model={model},base_url={url}/chat/completions,num_concurrent=8"
    task = ("--include_path", folder, "--tasks", "own_questions", "--apply_chat_template")
    asked = ("--model", "local-chat-completions", "--model_args", where)
    command("lm_eval", "run", *task, *asked, "--output_path", out, "--log_samples", cwd=folder)
    (results,), (samples,) = out.rglob("results_*.json"), out.rglob("samples_*.jsonl")
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    figures = json.loads(results.read_text())["results"]["own_questions"]
    taken = {line["doc"]["question"]: line["filtered_resps"][0] for line in lines}
    return Scored(figures["exact_match,last-box"], figures["exact_match_stderr,last-box"], taken)


def inspect(command: Command, folder: Path, url: str, model: str, out: Path) -> Scored:
    """own_questions.py in a folder, by inspect."""
    from inspect_ai.log import read_eval_log

    asked = ("--model", f"openai-api/coevolve/{model}", "--log-dir", out / "logs", "--display", "plain")
    command("inspect", "eval", "own_questions.py", *asked, cwd=folder, COEVOLVE_BASE_URL=url, COEVOLVE_API_KEY="none")
    (file,) = (out / "logs").glob("*.eval")
    log = read_eval_log(str(file))
    assert log.status == "success"
    (score,) = log.results.scores
    taken = {sample.input: sample.scores["pattern"].answer for sample in log.samples}
    return Scored(score.metrics["accuracy"].value, score.metrics["stderr"].value, taken)
