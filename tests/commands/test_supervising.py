"""``--max-restarts``: a run whose process is killed goes on to the same bytes; what ends by itself is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import coevolve
from coevolve.commands.supervising import without_option

Tiny = Callable[..., list[str]]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(coevolve.__file__).parents[1])}
COEVOLVE = [sys.executable, "-m", "coevolve"]


def trainer_of(run: Path) -> int | None:
    """The process that holds the run's lock."""
    text = (run / ".lock").read_text() if (run / ".lock").exists() else ""
    return int(text) if text.strip() else None


@contextmanager
def killing(run: Path, times: int) -> Iterator[list[int]]:
    """Kill so many processes that work on a run, each once the manifest has a finished phase."""
    killed: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while len(killed) < times and not over.wait(0.02):
            manifest = run / "manifest.json"
            if not manifest.exists() or "iteration-0/evaluate" not in manifest.read_text():
                continue
            process = trainer_of(run)
            if process and process not in killed:
                os.kill(process, signal.SIGKILL)
                killed.append(process)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def supervised(arguments: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    command = [*COEVOLVE, *arguments, *options]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=600, check=False)


def test_a_killed_run_is_started_again_and_comes_to_the_bytes_of_an_unbroken_one(
    tiny: Tiny, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with killing(run, 1) as killed:
        ended = supervised([a for a in tiny(run) if a != "--quiet"], "--max-restarts", "3")
    assert ended.returncode == 0, ended.stderr
    assert len(killed) == 1
    assert f"ended by SIGKILL; start 1 of 3 follows in 1 s: coevolve resume {run}" in ended.stderr
    assert (run / "metrics.jsonl").read_bytes() == (finished / "metrics.jsonl").read_bytes()


@pytest.mark.slow
def test_a_run_that_is_killed_once_too_often_ends_with_the_code_of_its_signal(tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with killing(run, 2) as killed:
        ended = supervised(tiny(run), "--max-restarts=1")
    assert len(killed) == 2
    assert ended.returncode == 128 + signal.SIGKILL
    assert "--max-restarts 1 allows no further start" in ended.stderr
    assert f"coevolve resume {run}" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_parent_stops_the_run_for_good(number: signal.Signals, tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [*COEVOLVE, *tiny(run), "--max-restarts", "3"]
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as parent:
        deadline = time.monotonic() + 300
        while trainer_of(run) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process = trainer_of(run)
        parent.send_signal(number)
        _, said = parent.communicate(timeout=300)
    assert parent.returncode == 128 + number, said
    assert "SIGKILL" not in said
    assert not Path(f"/proc/{process}").exists()


def test_what_ends_by_an_error_of_its_own_is_not_started_again(tiny: Tiny, tmp_path: Path) -> None:
    wrong = supervised(tiny(tmp_path / "run", "pool.size=0"), "--max-restarts", "3")
    assert wrong.returncode == 2
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    occupied = supervised(tiny(tmp_path / "full"), "--max-restarts", "3")
    assert occupied.returncode == 1
    assert occupied.stderr.count("error: ") == 1
    assert "start 1 of 3" not in occupied.stderr


def test_the_option_is_taken_out_of_a_command_line() -> None:
    assert without_option(["run", "--max-restarts", "3", "agent0", "--set", "seed=3"]) == [
        "run", "agent0", "--set", "seed=3"
    ]  # fmt: skip
    assert without_option(["resume", "--max-restarts=3", "runs/a"]) == ["resume", "runs/a"]
