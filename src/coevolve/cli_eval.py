"""``coevolve eval``, ``table`` and ``serve``: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Prompts of a model: agent0 (with the tool), r-zero, plain, arithmetic, grade-school, school, "
            "or a YAML file.",
        ),
    ] = None,
    contract: Annotated[str | None, typer.Option(metavar="NAME", hidden=True)] = None,
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
    from coevolve.commands.eval import run
    from coevolve.harness.request import EndpointOptions, EvalRequest, JudgeOptions

    run(
        EvalRequest(
            target,
            suite or [],
            samples=samples,
            limit=limit,
            tool=not no_tool,
            seed=seed,
            preset=preset,
            prompts=prompts or contract,
            overrides=overrides or [],
            data=data,
            any_copy=any_copy,
            folder=folder,
            endpoint=EndpointOptions(model, api_key_env, plain, system, instruction, concurrency, timeout),
            judge=JudgeOptions(judge, judge_model, judge_key_env),
        ),
        quiet=quiet,
        as_json=as_json,
    )


def table(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Folders of `coevolve eval`, or runs with all their evaluations."),
    ] = None,
    published: Annotated[
        str | None,
        typer.Option(metavar="4b|8b|none", help="Published rows of this base model; default: those that fit."),
    ] = None,
    scoring: Annotated[
        str | None,
        typer.Option(metavar="SCORING", help="strict, paper, judged; default strict, beside published rows all."),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As Markdown.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="As LaTeX, for the packages booktabs and graphicx.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
    into: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it between the markers of a Markdown file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Results on benchmarks in the layout of the papers' tables, published rows beside them."""
    from coevolve.commands import table as tabling

    forms: dict[tabling.Form, bool] = {"markdown": markdown, "latex": latex, "csv": as_csv, "json": as_json}
    wanted = [form for form, is_wanted in forms.items() if is_wanted]
    if len(wanted) > 1:
        given = ", ".join(f"--{form}" for form in wanted)
        raise ConfigError("a table has one form", where=given, fix="leave the others out")
    tabling.run(paths or [], published, scoring, wanted[0] if wanted else "terminal", into)


def serve(
    target: Annotated[
        str, typer.Argument(metavar="RUN[@N]|MODEL", help="Folder of a run, model folder, hub id, or miniature.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback gets a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 = any free one.")] = 8000,
    token: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="What requests must bear; default: $COEVOLVE_TOKEN, or none.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the model, for clients; default: RUN@N or the model's.")
    ] = None,
    show: Annotated[
        Literal["final", "all"],
        typer.Option(help="What a client is shown: the text after the last tool output, or code and output as well."),
    ] = "final",
    system: Annotated[
        Literal["refuse", "ignore"], typer.Option(help="Messages of the system: the agent knows no other instructions.")
    ] = "refuse",
    queue: Annotated[int, typer.Option(min=1, help="Answers that are written or wait; more get a 429.")] = 512,
    deadline: Annotated[float, typer.Option(metavar="S", min=1, help="How long one request may take.")] = 600.0,
    grace: Annotated[
        float, typer.Option(metavar="S", min=0, help="How long what is in flight may take after Ctrl-C.")
    ] = 60.0,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="For a model: world, sampling, tool and engine.")
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For a model: prompts; agent0, r-zero, plain, arithmetic, grade-school, school, or a YAML file.",
        ),
    ] = None,
    contract: Annotated[str | None, typer.Option(metavar="NAME", hidden=True)] = None,
    no_tool: Annotated[bool, typer.Option("--no-tool", help="Without the tool.")] = False,
    overrides: Overrides = None,
) -> None:
    """Serve an agent with its tool as a model, behind an OpenAI-compatible endpoint."""
    from coevolve.commands import serve as serving

    serving.serve(
        serving.ServeRequest(
            target=target,
            host=host,
            port=port,
            token=token,
            name=name,
            show=show,
            system=system,
            queue=queue,
            deadline_s=deadline,
            grace_s=grace,
            preset=preset,
            prompts=prompts or contract,
            tool=not no_tool,
            overrides=overrides or [],
        )
    )
