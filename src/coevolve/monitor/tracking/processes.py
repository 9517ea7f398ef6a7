"""The run's side of its trackers: it starts their processes, says when one has stopped, and tells them how it ended."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from coevolve.config import TrackSection
from coevolve.errors import ConfigError
from coevolve.monitor.tracking.state import read_state

PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "trackio": "trackio"}
Note = Callable[[str], None]


def require_installed(names: Sequence[str]) -> None:
    """Refuse a tracker whose package is missing, before anything begins.

    Raises:
        ConfigError: one is missing.
    """
    for name in names:
        if importlib.util.find_spec(PACKAGES[name]) is None:
            raise ConfigError(
                f"the tracker {name} needs the package {PACKAGES[name]}, which is not installed",
                where="track.to",
                fix="pip install 'coevolve[track]'",
            )


class Trackers:
    """The processes of a run's trackers. Nothing here raises or waits while the run goes on."""

    def __init__(self, run: Path, section: TrackSection, note: Note) -> None:
        self._run, self._section, self._note = run, section, note
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in section.to:
            try:
                self._processes[name] = _started(run, name)
            except OSError as error:
                self._tell(name, f"it cannot be started: {error}")

    def notice(self) -> None:
        """Tell once of each tracker that has stopped."""
        for name, process in list(self._processes.items()):
            if process.poll() is not None:
                del self._processes[name]
                self._close(process)
                if process.returncode:
                    reason = read_state(self._run, name).fault or f"its process ended with {process.returncode}"
                    self._tell(name, reason)

    def finish(self, status: str) -> None:
        """Say how the run ended, and wait a while for the trackers to store everything."""
        for process in self._processes.values():
            with suppress(OSError):  # it has stopped: told below
                process.stdin.write(f"{status}\n".encode())  # type: ignore[union-attr]
                process.stdin.flush()  # type: ignore[union-attr]
        deadline = time.monotonic() + self._section.wait_s
        for name, process in self._processes.items():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except (subprocess.TimeoutExpired, KeyboardInterrupt):  # the run itself has ended already
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                self._tell(name, f"it did not finish within {self._section.wait_s:g} s (track.wait_s)")
                self._close(process)
        self._processes = {name: p for name, p in self._processes.items() if p.returncode != -signal.SIGKILL}
        self.notice()

    def _tell(self, name: str, reason: str) -> None:
        log = self._run / "track" / f"{name}.log"
        self._note(f"the tracker {name} has stopped: {reason}   (the run is not affected; see {log})")

    @staticmethod
    def _close(process: subprocess.Popen[bytes]) -> None:
        with suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]


@contextmanager
def tracking(run: Path, section: TrackSection, note: Note) -> Iterator[Trackers]:
    """Trackers for the block, which is the run: how it ends is how the run has ended."""
    trackers = Trackers(run, section, note)
    try:
        yield trackers
    except KeyboardInterrupt:
        trackers.finish("interrupted")
        raise
    except BaseException:
        trackers.finish("failed")
        raise
    trackers.finish("finished")


def _started(run: Path, name: str) -> subprocess.Popen[bytes]:
    """A process of its own session, which Ctrl-C does not reach, with its output in ``RUN/track/NAME.log``."""
    (run / "track").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "coevolve.monitor.tracking.following", str(run.resolve()), name, str(os.getpid())]
    with (run / "track" / f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
