"""Each real tracker, in its real process, over two lives of a run; and runs whose trackers fail or hang."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import coevolve
from coevolve.config import TrackSection
from coevolve.errors import ConfigError
from coevolve.methods.config import CoevolutionConfig
from coevolve.monitor.tracking import processes
from coevolve.monitor.tracking.base import Histogram
from coevolve.monitor.tracking.flattening import flat
from coevolve.monitor.tracking.processes import Trackers, require_installed, tracking
from coevolve.monitor.tracking.state import read_state, write_state
from coevolve.store.folder import RunFolder

from .readers import READERS, Stored

# Tells of every connection that Python code opens to anything but this machine.
LISTENING = """
import os, sys
def hook(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        if not str(arguments[1][0]).startswith(("127.", "::1")):
            with open(os.environ["CONNECTIONS"], "a") as file: print(arguments[1], file=file)
sys.addaudithook(hook)
"""


def rows(count: int) -> list[dict[str, object]]:
    made: list[dict[str, object]] = []
    for n in range(count):
        made.append({"event": "curriculum_step", "iteration": 1, "step": n, "reward": n / 8, "kl": None})
    made[2] = {"event": "pool", "p_hat_histogram": [0, 3, 0, 0, 4], "steps_histogram": {"1": 2, "3": 5}, "why": "text"}
    made[1] = {"event": "evaluation", "held_out": {"ci95": [0.25, 0.5], "by_level": {"1": 0.125}}}
    return made


def expected(made: list[dict[str, object]]) -> Stored:
    found: Stored = {}
    for step, row in enumerate(made):
        for name, value in flat(json.loads(json.dumps(row))).items():
            found[name, step] = (*value.edges, *value.counts) if isinstance(value, Histogram) else value
    return found


def nearly(found: Stored, wanted: Stored) -> None:
    """The same names and steps; numbers up to the digits that metrics.jsonl and 32-bit floats keep."""
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert found[key] == (value if isinstance(value, str) else pytest.approx(value, abs=1e-6)), key


def ended(run: Path, name: str) -> None:
    """Wait until no process holds the tracker's lock."""
    with (run / "track" / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_resumed_run_is_one_run_with_every_row_once_and_no_network(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(LISTENING)
    source = Path(coevolve.__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", f"{site}{os.pathsep}{source}")
    monkeypatch.setenv("CONNECTIONS", str(tmp_path / "connections"))
    run, made, notes = tmp_path / "run", rows(9), list[str]()
    section = TrackSection(to=[name], wait_s=120)  # type: ignore[list-item]
    folder = RunFolder.create(run, CoevolutionConfig(track=section))
    first = Trackers(run, section, notes.append)
    folder.begin("a")
    for row in made[:4]:
        folder.log(row)
    folder.finish("a", [])
    folder.begin("b")
    for row in made[4:6]:
        folder.log(row)
    folder.close()
    first.finish("interrupted")
    again = RunFolder.open(run)
    second = Trackers(run, section, notes.append)
    again.begin("b")
    for row in made[4:]:
        again.log(row)
    again.finish("b", [])
    second.finish("finished")
    again.close()
    assert notes == []
    assert read_state(run, name).step == 8
    nearly(READERS[name](run / "track"), expected(made))
    assert not (tmp_path / "connections").exists()


@pytest.mark.parametrize("name", ["tensorboard", "trackio"])
def test_rows_that_were_stored_just_before_a_crash_are_not_there_twice(name: str, tmp_path: Path) -> None:
    """The state was not written any more: it is two rows behind what the tracker holds."""
    run, made, notes = tmp_path / "run", rows(5), list[str]()
    section = TrackSection(to=[name], wait_s=120)  # type: ignore[list-item]
    folder = RunFolder.create(run, CoevolutionConfig(track=section))
    folder.begin("a")
    for row in made:
        folder.log(row)
    folder.finish("a", [])
    folder.close()
    Trackers(run, section, notes.append).finish("failed")
    state = read_state(run, name)
    assert state.step == 4
    state.step = 2
    write_state(run, name, state)
    Trackers(run, section, notes.append).finish("finished")
    assert notes == []
    nearly(READERS[name](run / "track"), expected(made))


def test_a_killed_run_leaves_its_tracker_whole_and_alone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    code = f"""
import sys, time
from pathlib import Path
from coevolve.config import TrackSection
from coevolve.methods.config import CoevolutionConfig
from coevolve.store.folder import RunFolder
from coevolve.monitor.tracking.processes import Trackers
section = TrackSection(to=["tensorboard"])
folder = RunFolder.create(Path({str(run)!r}), CoevolutionConfig(track=section))
trackers = Trackers(folder.path, section, print)
folder.begin("a")
folder.log({{"event": "pool", "kept": 7}})
print("logged", flush=True)
time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "logged\n"
    while not (run / "track" / "tensorboard.lock").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    ended(run, "tensorboard")
    assert READERS["tensorboard"](run / "track") == {("pool/kept", 0): 7.0}
    assert read_state(run, "tensorboard").fault is None


def test_a_tracker_that_cannot_write_is_told_once_and_the_rows_are_kept(tmp_path: Path) -> None:
    run, notes = tmp_path / "run", list[str]()
    section = TrackSection(to=["tensorboard"], wait_s=60)
    folder = RunFolder.create(run, CoevolutionConfig(track=section))
    (run / "track").mkdir()
    (run / "track" / "tensorboard").write_text("a file where its folder should be")
    with tracking(run, section, notes.append) as trackers:
        folder.begin("a")
        folder.log({"event": "pool"})
        folder.finish("a", [])
        deadline = time.monotonic() + 60
        while not notes and time.monotonic() < deadline:
            trackers.notice()
            time.sleep(0.05)
        trackers.notice()
    assert len(notes) == 1
    assert "the tracker tensorboard has stopped: NotADirectoryError" in notes[0]
    assert str(run / "track" / "tensorboard.log") in notes[0]
    assert "Traceback" in (run / "track" / "tensorboard.log").read_text()
    assert (read_state(run, "tensorboard").fault or "").startswith("NotADirectoryError")
    assert folder.records.metrics() == [{"event": "pool"}]
    folder.close()


def test_a_full_disk_stops_the_tracker_and_is_told(tmp_path: Path) -> None:
    """No file of the tracker's process may grow beyond 8 kB: as where the disk has no more room."""
    run, notes = tmp_path / "run", list[str]()
    section = TrackSection(to=["tensorboard"], wait_s=60)
    folder = RunFolder.create(run, CoevolutionConfig(track=section))
    folder.begin("a")
    for n in range(200):
        folder.log({"event": "curriculum_step", "reward": n, "kl": n, "entropy": n})
    folder.finish("a", [])
    folder.close()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
        trackers = Trackers(run, section, notes.append)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    trackers.finish("finished")
    assert len(notes) == 1
    assert "File too large" in notes[0]


def test_a_run_with_hanging_and_broken_trackers_is_the_run_without_them(
    cli: Callable[..., object],
    tiny: Callable[..., list[str]],
    finished: Path,
    tmp_path: Path,
) -> None:
    site = tmp_path / "site"
    (site / "trackio").mkdir(parents=True)
    (site / "tensorboardX.py").write_text("import time\ntime.sleep(600)\n")
    (site / "trackio" / "__init__.py").write_text("raise RuntimeError('no such server')\n")
    source = Path(coevolve.__file__).parents[1]
    arguments = [
        part
        for part in tiny(tmp_path / "run", "track.to=[tensorboard,trackio]", "track.wait_s=10")
        if part != "--quiet"
    ]
    done = cli(*arguments, environment={"PYTHONPATH": f"{site}{os.pathsep}{source}"})
    assert done.code == 0, done.stderr  # type: ignore[attr-defined]
    assert not done.left  # type: ignore[attr-defined]
    said = " ".join(done.stdout.split())  # type: ignore[attr-defined]
    assert said.count("the tracker trackio has stopped: RuntimeError: no such server") == 1
    assert said.count("the tracker tensorboard has stopped: it did not finish within 10 s") == 1
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (finished / "metrics.jsonl").read_bytes()


def test_a_missing_package_is_an_error_at_the_start_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    require_installed(["tensorboard", "wandb", "trackio"])
    monkeypatch.setitem(processes.PACKAGES, "wandb", "a_package_that_nobody_has")
    with pytest.raises(ConfigError, match="not installed") as caught:
        require_installed(["wandb"])
    assert (caught.value.where, caught.value.fix) == ("track.to", "pip install 'coevolve[track]'")


@pytest.mark.parametrize(
    ("error", "status"), [(None, "finished"), (KeyboardInterrupt(), "interrupted"), (ValueError(), "failed")]
)
def test_trackers_are_told_how_the_run_ended(
    error: BaseException | None, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(Trackers, "finish", lambda self, said: told.append(said))
    try:
        with tracking(tmp_path, TrackSection(), print):
            if error:
                raise error
    except (KeyboardInterrupt, ValueError):
        pass
    assert told == [status]
