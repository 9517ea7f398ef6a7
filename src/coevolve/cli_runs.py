"""Commands over stored runs (``coevolve summary``, ``list``, ``report``, ...): parse, call, print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from coevolve.cli_sandbox import Json, RunArgument, RunArguments
from coevolve.errors import ConfigError


def summary(
    run: RunArgument = None,
    as_json: Json = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say what each column of the table is.")] = False,
    tasks: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Print N kept tasks of each iteration instead, to judge by eye."),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="These tasks as CSV, with a column to fill in.")] = False,
) -> None:
    """Summarise a run, iteration by iteration."""
    from coevolve.runs.existing import newest_run

    run = run or newest_run()
    if tasks is not None or as_csv:
        from coevolve.commands.judging import print_tasks
        from coevolve.report.judging import SAMPLE

        print_tasks(run, tasks or SAMPLE, as_csv=as_csv, as_json=as_json)
        return
    from coevolve.monitor.summary import reports_of, summarise

    content = summarise(run)
    if as_json:
        print(json.dumps(content))
        return
    from rich.console import Console

    from coevolve.commands.results import print_summary

    print_summary(Console(), content, reports_of(run), explain=explain)


def list_runs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with runs below it.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List the runs of a folder, the newest first: what they are and how they stand."""
    from coevolve.commands.overview import print_runs

    print_runs(folder, as_json=as_json)


def metrics(run: RunArgument = None) -> None:
    """Print every row of metrics.jsonl as CSV: steps, pools and evaluations of a whole run."""
    from coevolve.api.stored import load

    load(run).metrics.to_csv(sys.stdout)


def report(runs: RunArguments = None) -> None:
    """Rewrite the run's page (RUN/report/index.html); for several runs, the page of `coevolve compare`."""
    from coevolve.runs.existing import newest_run

    runs = runs or [newest_run()]
    if len(runs) > 1:
        from coevolve.commands.compare import compare_page

        print(compare_page(runs))
        return
    from coevolve.report.build import build_report

    print(build_report(runs[0]))


def compare(
    runs: RunArguments = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with curves and intervals as well.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the tables between the markers of a Markdown file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare runs, with intervals over problems and seeds; runs that differ in their seed alone are one setting."""
    from coevolve.commands import compare as comparing
    from coevolve.runs.existing import newest_run, runs_below

    comparing.compare(runs or runs_below()[:2] or [newest_run()], as_json=as_json, html=html, into=into)


def export(
    to: Annotated[Path, typer.Option(metavar="DIR", help="Folder to create; it must not exist.")],
    run: RunArgument = None,
    what: Annotated[str, typer.Option(metavar="KINDS", help="models, dataset, or both.")] = "models,dataset",
    iteration: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Agents of this iteration, data up to it; default: newest.")
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Merge adapters (LoRA) into full models.")] = False,
    as_json: Json = False,
) -> None:
    """Write folders of both agents and of the data, with cards, ready to push to a hub; uploads nothing."""
    from coevolve.commands import export as exporting
    from coevolve.runs.existing import newest_run

    exporting.run(run or newest_run(), to, what, iteration, merge=merge, as_json=as_json)


def watch(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]", readable=False, help="Folder of a run, or of several; default: the newest run."
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 = any free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback gets a token.")] = "127.0.0.1",
    open_browser: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open a browser; default: where there is a display.")
    ] = None,
) -> None:
    """Follow a run in the browser, live."""
    from coevolve.commands import watch as watching

    watching.watch(run, host=host, port=port, open_browser=open_browser)


def solve(
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Folder of a run; default: the newest one.")],
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help='"Let a = 43 * 80. Find a."', show_default=False)
    ] = None,
) -> None:
    """Ask the trained solver a question and watch it use the tool."""
    from coevolve.runs.existing import newest_run
    from coevolve.store.manifest import NAME as MANIFEST

    if question is None and (Path(run) / MANIFEST).exists():
        raise ConfigError("no question is given", where="QUESTION", fix=f'coevolve solve {run} "..."')
    path, asked = (newest_run(), run) if question is None else (Path(run), question)
    from rich.console import Console

    from coevolve.commands.answer import print_answer
    from coevolve.runs.ask import solve as ask

    print_answer(Console(), ask(path, asked))
