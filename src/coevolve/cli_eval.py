"""``coevolve eval``: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coevolve.cli_sandbox import Json, Overrides, Quiet
from coevolve.errors import ConfigError

HELP = """Measure a model on questions with known answers: your own, generated ones, public benchmarks.

\b
TARGET is one of
  RUN, RUN@ITERATION    the agent of a run that answers, with its tool; RUN@0 is its base model
  DIR, OWNER/MODEL      a model as it is, under the prompts and sampling of --preset
  miniature             the embedded base model
  http://HOST:PORT      a model behind an OpenAI-compatible server

\b
coevolve eval runs/first --suite questions.jsonl
coevolve eval runs/first@0 --suite questions.jsonl      the base model, for comparison
coevolve eval Qwen/Qwen3-4B-Base --preset qwen3-4b-1gpu --suite gsm8k,math-500
coevolve eval DIR --suite aime24 --samples 32 --set sampling.temperature=0.6
coevolve eval http://127.0.0.1:8000 --model NAME --suite gym:word-problems
coevolve eval --list

Every answer is on the disk as soon as it is known; the same command goes on after Ctrl-C, a kill or a fault, and asks
nothing twice. Each answer is graded strictly and as the published numbers were made.
"""

_FILE_OR_NAME = "A file of your own, or a name (--list); repeatable, or a list with commas."


def evaluate(
    target: Annotated[str | None, typer.Argument(metavar="TARGET", help="Who answers; see above.")] = None,
    suite: Annotated[list[str] | None, typer.Option(metavar="SUITE", help=_FILE_OR_NAME)] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="K",
            help="Answers per problem at the sampling temperature, beside the greedy one; default: 32 for AMC, AIME "
            "and HMMT, 0 for others.",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="Problems of a suite at most, always the same ones; 0 = all.")
    ] = 0,
    no_tool: Annotated[bool, typer.Option("--no-tool", help="Take the Python tool away.")] = False,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="World, prompts, sampling and engine of a model.")
    ] = None,
    contract: Annotated[
        str | None, typer.Option(metavar="NAME", help="Prompts of a model: agent0 (with the tool), r-zero, plain.")
    ] = None,
    overrides: Overrides = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sampled answers.")] = 0,
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Copies of benchmarks, for machines without a network.")
    ] = None,
    any_copy: Annotated[
        bool, typer.Option("--any-copy", help="Take a copy of a benchmark also if its content is not the known one.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="Folder of the results; default RUN/evals/NAME or evals/NAME."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Model of an endpoint; default: its only one.")
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option(metavar="VARIABLE", help="Environment variable with the key of an endpoint.")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Ask an endpoint for completions of plain text, not for chat.")
    ] = False,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="System message for an endpoint.")] = None,
    instruction: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What an endpoint reads behind each question; '' = nothing.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Requests at an endpoint at once; default 32.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, metavar="S", help="Seconds for one answer of an endpoint; default 300.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="URL", help="Let a model judge answers too; reported apart.")
    ] = None,
    judge_model: Annotated[str | None, typer.Option(metavar="NAME", help="Model of the judge.")] = None,
    judge_key_env: Annotated[
        str | None, typer.Option(metavar="VARIABLE", help="Environment variable with the key of the judge.")
    ] = None,
    list_suites: Annotated[bool, typer.Option("--list", help="Print the suites that have a name, and end.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    if list_suites:
        from coevolve.commands.eval import list_all

        list_all(as_json=as_json)
        return
    if target is None:
        raise ConfigError("no target is named", fix="coevolve eval RUN --suite FILE   (coevolve eval --help)")
    from coevolve.commands.eval import EndpointOptions, EvalRequest, JudgeOptions, run

    run(
        EvalRequest(
            target,
            suite or [],
            samples=samples,
            limit=limit,
            tool=not no_tool,
            seed=seed,
            preset=preset,
            contract=contract,
            overrides=overrides or [],
            data=data,
            any_copy=any_copy,
            folder=folder,
            as_json=as_json,
            quiet=quiet,
            endpoint=EndpointOptions(model, api_key_env, plain, system, instruction, concurrency, timeout),
            judge=JudgeOptions(judge, judge_model, judge_key_env),
        )
    )
