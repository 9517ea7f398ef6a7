"""The ``coevolve`` command: parse, call, print.

Every command imports what it needs when it is called, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import coevolve
from coevolve import cli_runs
from coevolve.cli_eval import HELP as EVAL_HELP
from coevolve.cli_eval import evaluate, serve, table
from coevolve.cli_sandbox import FolderTo, Json, MaxRestarts, Overrides, Quiet, sandbox_app
from coevolve.commands.faults import FaultReporting
from coevolve.errors import ConfigError
from coevolve.system import let_waiting_threads_sleep

app = typer.Typer(
    cls=FaultReporting,
    help="Language models that teach themselves to reason with tools, from no data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
world_app = typer.Typer(help="The world that tasks and base model come from.", no_args_is_help=True)
app.add_typer(world_app, name="world")
app.add_typer(sandbox_app, name="sandbox")
app.command("eval", help=EVAL_HELP)(evaluate)
app.command()(table)
app.command()(serve)


def main() -> None:
    """Entry point of the console script."""
    let_waiting_threads_sleep()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows ? instead of ending the run
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"coevolve {coevolve.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


@app.command()
def run(
    method: Annotated[str | None, typer.Argument(metavar="METHOD", help="agent0 (default), r-zero")] = None,
    preset: Annotated[
        str | None, typer.Option(help="mini (default), nano, qwen3-4b-1gpu, ...; coevolve doctor lists all.")
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="YAML file over the preset.")] = None,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print configuration and plan, start nothing.")] = False,
    seed: Annotated[int | None, typer.Option(metavar="N", help="The key seed: one number for everything.")] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="0,1,2",
            help="A run per seed, one after the other, in runs/NAME-s<seed>; the same command takes them up again.",
        ),
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Train on N GPUs (engine.gpus); with more than one, engine.backend=fsdp."
        ),
    ] = None,
    oracle: Annotated[bool, typer.Option("--oracle", hidden=True)] = False,  # given by studies
    max_restarts: MaxRestarts = 0,
    folder_to: FolderTo = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Co-evolve both agents from the base model."""
    from coevolve.commands import running
    from coevolve.methods.registry import load_config

    asked = [*running.gpus_as_overrides(gpus), *(overrides or [])]
    asked += running.seeds_as_override(seed, seeds, overrides or [])
    resolved = load_config(preset, config, asked, method=method)
    running.refuse_oracle(resolved, of_a_study=oracle)
    if dry_run:
        running.show_plan(resolved, as_json=as_json)
    elif max_restarts:
        from coevolve.commands.supervising import supervise

        supervise(max_restarts, same_again=bool(resolved.run.seeds), quiet=quiet, as_json=as_json)
    else:
        running.start_run(resolved, quiet=quiet, as_json=as_json, folder_to=folder_to)


@app.command("try")
def try_model(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model folder, hub id, or miniature.")],
    preset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Settings of a run; default: one that fits the model and this machine."),
    ] = None,
    prompts: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Prompts of the open world: a packaged name or a file.")
    ] = None,
    overrides: Overrides = None,
    questions: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Questions to write; default: health.trial.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Try a model before anything is trained: what it writes, what does not work yet, and which key would change it.

    Ends with 0 where it can learn, with 3 where nothing can be learned.
    """
    from coevolve.commands import trying

    trying.run(model, preset=preset, prompts=prompts, overrides=overrides or [], questions=questions, as_json=as_json)


@app.command()
def resume(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", readable=False, help="Folder of a run; default: the newest unfinished one."),
    ] = None,
    max_restarts: MaxRestarts = 0,
    folder_to: FolderTo = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Resume an interrupted run, in the phase it was in; then what is left of the other seeds of its set."""
    from coevolve.commands import running

    if max_restarts:
        from coevolve.commands.supervising import supervise

        supervise(max_restarts, same_again=run is not None, quiet=quiet, as_json=as_json)
    else:
        running.resume_run(run, quiet=quiet, as_json=as_json, folder_to=folder_to)


@app.command()
def doctor(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", readable=False, help="Folder of a run; default: examine this machine."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whether this preset works here; default: all of them.")
    ] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Go back to before the earliest damage; moved files are in RUN/damaged."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check this machine; with RUN, check what is intact there and where resume would begin."""
    if run is not None:
        if preset is not None:
            raise ConfigError("--preset is for this machine, not for a run", fix="coevolve doctor --preset NAME")
        from coevolve.commands import doctor as examination

        examination.run(run, mend=repair, as_json=as_json)
        return
    if repair:
        raise ConfigError("--repair is for a run", fix="name its folder: coevolve doctor RUN --repair")
    from coevolve.commands import machine

    machine.run(preset, as_json=as_json)


app.command()(cli_runs.summary)
app.command("list")(cli_runs.list_runs)
app.command()(cli_runs.metrics)
app.command()(cli_runs.report)
app.command()(cli_runs.compare)


@app.command()
def study(
    name: Annotated[str, typer.Argument(metavar="NAME", help="ablations, or a YAML file with rows of settings.")],
    seeds: Annotated[str | None, typer.Option(metavar="0,1,2", help="Seeds; default: those of the study.")] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Cells that run at once; default: one per core, with one worker each.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Preset of all rows that name none.")] = None,
    overrides: Overrides = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Folder of the cells; default runs/studies/NAME.")
    ] = None,
    only: Annotated[str | None, typer.Option(metavar="ROW,ROW", help="Only these rows.")] = None,
    into: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table between the markers of a Markdown file.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, start nothing.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run a grid of settings and seeds, and print its table; the same command resumes an interrupted study."""
    from coevolve.commands.study import StudyRequest, run_study

    run_study(StudyRequest(name, seeds, jobs, preset, overrides or [], folder, only, dry_run, as_json, quiet, into))


app.command()(cli_runs.export)
app.command()(cli_runs.watch)
app.command()(cli_runs.solve)


@app.command(context_settings={"ignore_unknown_options": True})  # -3 is an answer, not an option
def grade(
    gold: Annotated[str | None, typer.Argument(metavar="GOLD", help="The true answer.")] = None,
    pred: Annotated[str | None, typer.Argument(metavar="PRED", help="The answer to grade.")] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='JSON lines {"gold", "pred"}; optional "expected", "mode": answer or text.'),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say how this was decided.")] = False,
    no_symbolic: Annotated[bool, typer.Option("--no-symbolic", help="Without math-verify.")] = False,
    as_json: Json = False,
) -> None:
    """Decide whether two answers are the same; for a file of pairs, measure the grader."""
    from coevolve.commands import grade as grading

    grading.run(gold, pred, pairs, symbolic=not no_symbolic, explain=explain, as_json=as_json)


@world_app.command("build")
def world_build(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the model to write.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of corpus and training.")] = 0,
    dialogues: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0, max=1, help="Continue from the shipped base model with this share of dialogues."
        ),
    ] = 0,
    tokens: Annotated[
        int | None, typer.Option(min=100_000, help="Tokens of the textbook; 1200000: a model that copies inexactly.")
    ] = None,
    world: Annotated[str, typer.Option(metavar="NAME", help="miniature, code or games")] = "miniature",
    quiet: Quiet = False,
) -> None:
    """Rebuild a world's tokenizer and base model (about 20 minutes on one core; code, games or --dialogues: 5)."""
    from coevolve.commands.building import build

    build(world, out, seed=seed, dialogues=dialogues, tokens=tokens, quiet=quiet)


@world_app.command("random-model")
def world_random_model(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the model to write.")],
    like: Annotated[
        str, typer.Option(metavar="FAMILY", help="qwen3-4b, qwen3-8b, octothinker-3b, octothinker-8b")
    ] = "qwen3-8b",
    layers: Annotated[int | None, typer.Option(min=1, help="Layers; default: the family's.")] = None,
    hidden: Annotated[int | None, typer.Option(min=1, help="Width; default: the family's.")] = None,
    vocabulary: Annotated[int | None, typer.Option(min=1, help="Tokens; default: the family's.")] = None,
    dtype: Annotated[str, typer.Option(metavar="TYPE", help="float32 or bfloat16")] = "float32",
    chat: Annotated[bool, typer.Option("--chat/--no-chat", help="With a chat template.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the weights.")] = 0,
) -> None:
    """Create a random model with the sizes and tokens of a family, whose texts use tool and box, for trying things."""
    from coevolve.worlds.open.stand_in.build import StandIn, build_stand_in

    build_stand_in(out, StandIn(like, layers, hidden, vocabulary, chat, dtype, seed))
    print(f"done: {out}\nnext: coevolve run agent0 --preset smoke-hf --set model.path={out}")


@app.command("config")
def config_keys(
    section: Annotated[str | None, typer.Argument(metavar="[SECTION]", help="reward, gate, solver, ...")] = None,
    method: Annotated[str, typer.Option(metavar="METHOD", help="Whose keys; each adds its own.")] = "agent0",
) -> None:
    """List every key with its default, range and meaning."""
    from rich.console import Console

    from coevolve.commands.listing import print_keys

    print_keys(Console(), section, method)
