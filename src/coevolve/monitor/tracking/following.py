"""The process of one tracker: it follows metrics.jsonl as ``tail -f`` does, so that the run never waits for it.

    python -m coevolve.monitor.tracking.following RUN NAME PARENT

Its standard input is a pipe from the run's process, which writes how the run has ended. Where the pipe ends without a
word, or the parent is gone, the run was killed. A resumed run cuts metrics.jsonl off and writes the same lines again:
lines are known by their number, and none is logged twice.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from coevolve.errors import RunError
from coevolve.methods.reporting import Better, PhaseReport
from coevolve.monitor.tracking.base import TrackedRun, Tracker
from coevolve.monitor.tracking.flattening import flat
from coevolve.monitor.tracking.state import TrackerState, read_state, state_file, write_state
from coevolve.store import manifest, settings
from coevolve.store.manifest import METRICS

LOOK_S = 1.0
OLDER_LIFE_S = 30.0
KILLED = "killed"


class Tail:
    """The complete lines of a file that grows, and may be cut off and grow again with the same lines."""

    def __init__(self, path: Path, after: int) -> None:
        self._path, self._last = path, after
        self._offset, self._line = 0, -1

    def new(self) -> Iterator[tuple[int, bytes]]:
        """Lines with their numbers, each number once and rising."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < self._offset:
                self._offset, self._line = 0, -1
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                self._line += 1
                if self._line > self._last:
                    self._last = self._line
                    yield self._line, line


def follow(run: Path, name: str, tracker: Tracker, parent: int) -> None:
    """Log every row until the run has ended; the state says how far it is and what stopped it."""
    with _only_one(run, name):
        state = read_state(run, name)
        state.fault = None
        write_state(run, name, state)  # the id, before anything is known by it
        try:
            _follow(run, name, tracker, state, parent)
        except Exception as error:
            _record(run, name, state, error)
            raise


def _record(run: Path, name: str, state: TrackerState, error: BaseException) -> None:
    state.fault = f"{type(error).__name__}: {error}".splitlines()[0]
    with suppress(OSError):
        write_state(run, name, state)


def end_with_any_thread(run: Path, name: str) -> None:
    """End the process when a thread of a tracker's dies: one that writes files would be waited for without end."""
    show = threading.excepthook

    def ended(fault: threading.ExceptHookArgs) -> None:
        show(fault)
        sys.stderr.flush()
        if fault.exc_value is not None:
            _record(run, name, read_state(run, name), fault.exc_value)
        os._exit(1)

    threading.excepthook = ended


def _follow(run: Path, name: str, tracker: Tracker, state: TrackerState, parent: int) -> None:
    state.step = tracker.start(_tracked(run, state), state.step)
    tail, status = Tail(run / METRICS, state.step), None
    while True:
        before = state.step
        for step, line in tail.new():
            tracker.log(flat(json.loads(line)), step)
            state.step = step
        if state.step > before:
            tracker.flush()
            write_state(run, name, state)
        if status is not None:
            tracker.finish(status)
            return
        status = _ending(parent)


def _ending(parent: int) -> str | None:
    """How the run has ended, after a moment; None while it goes on."""
    readable, _, _ = select.select([sys.stdin], [], [], LOOK_S)
    if readable:
        return sys.stdin.readline().strip() or KILLED
    return KILLED if os.getppid() != parent else None


def _tracked(run: Path, state: TrackerState) -> TrackedRun:
    from coevolve.evaluation.phase import run_reports

    config = settings.read(run, manifest.read(run))
    track = config.track
    return TrackedRun(
        folder=run,
        project=track.project,
        name=track.name or run.name,
        id=state.id,
        online=track.online,
        config=config.model_dump(),
        best=lambda: _best(run_reports(config)),
    )


def _best(reports: Iterable[PhaseReport]) -> dict[str, str]:
    """Whether the largest or the smallest value of a metric is the best, where a phase says so."""
    verbs = {Better.HIGHER: "max", Better.LOWER: "min"}
    quantities = (q for report in reports for q in report.quantities)
    return {q.metric: verbs[q.better] for q in quantities if q.metric and q.better in verbs}


@contextmanager
def _only_one(run: Path, name: str) -> Iterator[None]:
    """Wait until the follower of a killed run's earlier life has ended.

    Raises:
        RunError: it does not end.
    """
    path = state_file(run, name).with_suffix(".lock")
    path.parent.mkdir(exist_ok=True)
    deadline = time.monotonic() + OLDER_LIFE_S
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RunError("an earlier process of this tracker does not end", where=str(path)) from None
                time.sleep(0.2)
        yield


def open_tracker(name: str) -> Tracker:
    """The tracker of a name in ``track.to``."""
    if name == "tensorboard":
        from coevolve.monitor.tracking.tensorboard import TensorBoard

        return TensorBoard()
    if name == "wandb":
        from coevolve.monitor.tracking.weights_and_biases import WeightsAndBiases

        return WeightsAndBiases()
    from coevolve.monitor.tracking.trackio import Trackio

    return Trackio()


def main() -> None:
    """Entry point of the process; nobody waits for it, so it is the one that gives way."""
    os.nice(10)
    sys.modules["torch"] = None  # type: ignore[assignment]  # tensorboardX would load it where it is there, for nothing
    run, name, parent = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    end_with_any_thread(run, name)
    follow(run, name, open_tracker(name), parent)


if __name__ == "__main__":
    main()
