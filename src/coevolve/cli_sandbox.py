"""``coevolve sandbox ...``: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# Whether a folder can be read is said by who reads it, with what to do.
RunArgument = Annotated[
    Path | None, typer.Argument(metavar="RUN", readable=False, help="Folder of a run; default: the newest one.")
]
RunArguments = Annotated[
    list[Path] | None,
    typer.Argument(metavar="RUN...", readable=False, help="Folders of runs; default: the newest ones."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]
MaxRestarts = Annotated[
    int,
    typer.Option(min=0, metavar="N", help="Go on so many times where the process that trains is killed."),
]
FolderTo = Annotated[int | None, typer.Option("--folder-to", hidden=True)]  # given by the parent of such a process
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One key over all; repeatable.")
]


sandbox_app = typer.Typer(help="The confined processes that run model-written code.", no_args_is_help=True)

Preload = Annotated[
    str | None, typer.Option(metavar="NAMES", help="Packages it may import, e.g. numpy,sympy; '' = none.")
]
Cpu = Annotated[float | None, typer.Option(metavar="S", help="CPU seconds (sandbox.cpu_s).")]
Wall = Annotated[float | None, typer.Option(metavar="S", help="Wall seconds (sandbox.wall_s).")]
Memory = Annotated[int | None, typer.Option(metavar="MB", help="Address space (sandbox.memory_mb).")]
Output = Annotated[int | None, typer.Option(metavar="BYTES", help="Output (sandbox.output_bytes).")]


@sandbox_app.command("run")
def sandbox_run(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Python; - = standard input."),
    ],
    preload: Preload = None,
    cpu: Cpu = None,
    wall: Wall = None,
    memory: Memory = None,
    output: Output = None,
    session: Annotated[bool, typer.Option("--session", help="Run the files as cells of one session.")] = False,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file instead.")] = False,
) -> None:
    """Run files as a model's snippets are run; exits with 0 unless the sandbox itself fails."""
    from coevolve.commands import sandbox_run as running
    from coevolve.methods.registry import load_config

    asked = _as_keys(preload, cpu, wall, memory, output)
    box = load_config(overrides=[*(overrides or []), *asked]).sandbox
    running.run_files(box, files, session=session, as_json=as_json)


@sandbox_app.command("check")
def sandbox_check(overrides: Overrides = None, as_json: Json = False) -> None:
    """Check whether model code may run here: the isolation layers and their speed; exits with 1 if it may not."""
    from coevolve.commands.sandbox_check import check
    from coevolve.methods.registry import load_config

    check(load_config(overrides=overrides or []).sandbox, as_json=as_json)


@sandbox_app.command("serve")
def sandbox_serve(
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback needs a token.")] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 = any free one.")] = 8765,
    workers: Annotated[int, typer.Option(min=0, help="Snippets that run at once; 0 = one per core.")] = 0,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the token; default: $COEVOLVE_SANDBOX_TOKEN, or none.")
    ] = None,
    preload: Preload = None,
    cpu: Cpu = None,
    wall: Wall = None,
    memory: Memory = None,
    output: Output = None,
    queue: Annotated[int, typer.Option(min=0, help="Snippets that may wait; more are rejected for now.")] = 1024,
    queue_wait: Annotated[float, typer.Option(metavar="S", min=0.1, help="How long one may wait.")] = 60.0,
    sessions: Annotated[int, typer.Option(min=0, help="Sessions open at once, of all clients together.")] = 512,
    session_idle: Annotated[
        float | None,
        typer.Option(metavar="S", min=1.0, help="An idle session ends after this (sandbox.session_idle_s)."),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Run snippets for trainers on this or other machines, until Ctrl-C."""
    from coevolve.commands.sandbox_serve import serve_sandbox
    from coevolve.methods.registry import load_config
    from coevolve.system import usable_cores

    asked = _as_keys(preload, cpu, wall, memory, output, session_idle)
    serve_sandbox(
        load_config(overrides=[*(overrides or []), *asked]).sandbox,
        host=host,
        port=port,
        workers=workers or usable_cores(),
        token_file=token_file,
        queue=queue,
        wait_s=queue_wait,
        sessions=sessions,
    )


def _as_keys(
    preload: str | None,
    cpu: float | None,
    wall: float | None,
    memory: int | None,
    output: int | None,
    session_idle: float | None = None,
) -> list[str]:
    """Options of a sandbox as the overrides that they stand for."""
    given = {"preload": None if preload is None else f"[{preload}]", "cpu_s": cpu, "wall_s": wall, "memory_mb": memory}
    given |= {"output_bytes": output, "session_idle_s": session_idle}
    return [f"sandbox.{key}={value}" for key, value in given.items() if value is not None]
