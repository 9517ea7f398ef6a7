"""``--max-restarts``: a small parent that starts a run again where the process that trains was killed.

The run is a process of its own, so that whatever kills it (a shortage of memory, a broken driver) leaves the parent.
What ends by an error of its own is not started again: it would end so once more.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import typer

from coevolve.commands import faults
from coevolve.runs.stopping import Stopped
from coevolve.store import manifest
from coevolve.studies.members import ending_with

OPTION, FOLDER_TO = "--max-restarts", "--folder-to"
_FIRST_REST_S, _LONGEST_REST_S = 1.0, 60.0  # before a restart; twice as long before each further one
_ASKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def supervise(most: int, *, same_again: bool, quiet: bool, as_json: bool) -> None:
    """Do what this command line says in a process of its own, and go on with its run whenever that is killed.

    Args:
        most: how many times it is started again.
        same_again: the same command goes on with what it began (a set of seeds); otherwise ``coevolve resume`` does.
        quiet: say nothing of restarts.
        as_json: one JSON object is printed, by whichever process ends the run.

    Raises:
        Exit: with the exit code of the run, if it is not 0; 128 + the signal where it was killed once too often.
    """
    command, restarts = without_option(sys.argv[1:]), 0
    shown = [flag for flag, wanted in (("--quiet", quiet), ("--json", as_json)) if wanted]
    run: Path | None = None
    while True:
        code, told, asked = _once(command)
        run = told or run
        if run:
            faults.working_on(run)
        if code >= 0 or asked or -code in _ASKED:
            break
        if run and not same_again and (run / manifest.NAME).exists():
            command = ["resume", str(run), *shown]
        killed = f"the process of this run was ended by {signal.Signals(-code).name}"
        if restarts == most:
            _say(f"error: {killed}, and {OPTION} {most} allows no further start{_way_on(run)}")
            break
        rest_s = min(_FIRST_REST_S * 2**restarts, _LONGEST_REST_S)
        restarts += 1
        if not quiet:
            _say(f"{killed}; start {restarts} of {most} follows in {rest_s:g} s: coevolve {' '.join(command)}")
        with _asked_to_stop(None):
            time.sleep(rest_s)
    if code:
        raise typer.Exit(code if code > 0 else 128 - code)


def without_option(arguments: Sequence[str]) -> list[str]:
    """A command line without ``--max-restarts N``."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and argument != OPTION and not argument.startswith(f"{OPTION}="):
            kept.append(argument)
        skip = argument == OPTION
    return kept


def _once(command: Sequence[str]) -> tuple[int, Path | None, bool]:
    """Run a command; returns its exit code (negative: the signal that ended it), the folder of its run, and whether it
    was asked to stop.
    """
    read_end, write_end = os.pipe()
    with open(read_end, encoding="utf-8") as folder:
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "coevolve", *command, FOLDER_TO, str(write_end)],
                pass_fds=[write_end],
                process_group=0,  # Ctrl-C of the terminal reaches us only, and we pass it on
                preexec_fn=ending_with(os.getpid()),
            )
        finally:
            os.close(write_end)
        with _asked_to_stop(process) as asked:
            code = process.wait()
        os.set_blocking(read_end, False)  # a process that the run has left behind may hold the other end
        lines = (folder.read() or "").splitlines()
    return code, Path(lines[-1]) if lines else None, bool(asked)


@contextmanager
def _asked_to_stop(process: subprocess.Popen[bytes] | None) -> Iterator[list[int]]:
    """Pass signals on to a process; without one they end the block.

    Raises:
        Stopped: there was nobody to pass it on to.
    """
    asked: list[int] = []

    def take(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if process is None:
            raise Stopped(number)
        process.send_signal(number)

    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    wanted = [number for number in _ASKED if number != signal.SIGHUP or not ignored]
    before = {number: signal.signal(number, take) for number in wanted}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def tell_folder(descriptor: int, run: Path) -> None:
    """To the parent: where the run is."""
    os.write(descriptor, f"{run}\n".encode())


def _way_on(run: Path | None) -> str:
    return f"\n  fix: look for an out-of-memory kill, then: coevolve resume {run}" if run else ""


def _say(words: str) -> None:
    sys.stdout.flush()
    print(words, file=sys.stderr, flush=True)
