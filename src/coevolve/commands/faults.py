"""How a command ends when something goes wrong: a message with the fix, an exit code, no traceback."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from coevolve import permissions
from coevolve.errors import CoevolveError
from coevolve.runs.stopping import Stopped

INTERRUPTED = 130  # 128 + SIGINT, what shells expect
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}

# The run that a command is working on, where known; an interrupted command says how to go on with it.
_current: dict[str, Path] = {}
_ways_on: list[str] = []  # commands, of which the last one counts


def working_on(run: Path) -> None:
    """Remember the run folder for the message after Ctrl-C."""
    _current["run"] = run


def goes_on_with(command: str) -> None:
    """Remember the command that goes on with what this one does, where that is no run."""
    _ways_on.append(command)


class FaultReporting(TyperGroup):
    """The group of all commands: turns the faults that a user can do something about into messages."""

    def invoke(self, ctx: Any) -> Any:
        _ways_on.clear()  # of an earlier command in this process
        try:
            return super().invoke(ctx)
        except CoevolveError as error:
            _say(str(error))
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as interruption:
            _say(_after_interruption())
            number = interruption.number if isinstance(interruption, Stopped) else signal.SIGINT
            raise typer.Exit(128 + number) from interruption
        except BrokenPipeError:
            if not _reader_is_gone():
                raise  # not our output: some other pipe broke, and that is a fault worth a traceback
            raise typer.Exit(1) from None
        except OSError as error:
            message = _environment_fault(error)
            if message is None:
                raise
            _say(message)
            raise typer.Exit(1) from error


def _say(message: str) -> None:
    sys.stdout.flush()
    print(f"error: {message}" if not message.startswith("interrupted") else message, file=sys.stderr, flush=True)


def _after_interruption() -> str:
    way = _way_on()
    return f"interrupted; what was finished is kept\n  resume with: {way}" if way else "interrupted"


def _way_on() -> str | None:
    """The command that goes on; None where there is nothing to go on with."""
    if _ways_on:
        return _ways_on[-1]
    return f"coevolve resume {_current['run']}" if _has_begun() else None


def _has_begun() -> bool:
    """Whether there is a run to go on with: a start that fails takes its folder away again."""
    from coevolve.store.manifest import NAME

    return "run" in _current and (_current["run"] / NAME).exists()


def _environment_fault(error: OSError) -> str | None:
    """A message for a fault of the machine, None for one that can only be ours."""
    place = f"\n  in {error.filename}" if error.filename else ""
    if error.errno in DISK_FULL:
        again = _way_on() or "the same command"
        return f"the disk is full{place}\n  fix: make room, then: {again} (what was finished is kept)"
    if error.errno in FORBIDDEN and error.filename:
        path = Path(os.fsdecode(error.filename))
        if permissions.may_read(path):
            return f"{error.strerror}{place}\n  fix: choose a place that you can write to"
        refusal = permissions.reading(path, error, path)
        return f"{path.name} {refusal.what}{place}\n  fix: {refusal.fix}"
    return None


def _reader_is_gone() -> bool:
    """Whether the reader of our output (``| head``) has left; if so, nothing is written at exit either."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False
