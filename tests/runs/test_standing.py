"""Whether a run is in progress is decided by whether its process lives, in every command alike."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coevolve.commands import running
from coevolve.errors import RunError
from coevolve.report.watched import Shelf, WatchedRun
from coevolve.store import lock
from coevolve.store.folder import RunFolder
from coevolve.store.standing import standing

Cli = Callable[..., Any]
WORK = """
import sys
from pathlib import Path
from coevolve.store.folder import RunFolder
folder = RunFolder.open(Path(sys.argv[1]))
folder.set_status("running")
print("ready", flush=True)
sys.stdin.read()
"""


def told(cli: Cli, run: Path) -> dict[str, str]:
    """What each command says of the run's status."""
    page = Path(cli("report", run).stdout.strip()).read_text()
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    notes = json.loads(cli("compare", run, "--json").stdout)["notes"]
    return {
        "summary": json.loads(cli("summary", run, "--json").stdout)["status"],
        "table": next(line for line in cli("summary", run).stdout.splitlines() if "last finished" in line).split(";")[
            0
        ],
        "doctor": json.loads(cli("doctor", run, "--json").stdout)["status"],
        "page": data["run"]["status"],
        "compare": notes[0].partition("not finished (")[2].partition(")")[0],
        "watch": WatchedRun(run).news()["state"],
        "list of runs": json.loads(Shelf(run.parent).data())["runs"][0]["state"],
    }


def test_every_command_says_running_while_the_process_lives_and_stopped_when_it_was_killed(
    cli: Cli, fabricated: Callable[..., Path], tmp_path: Path
) -> None:
    run = fabricated(tmp_path / "runs" / "one", means=(0.1, 0.5), finished=False)
    with subprocess.Popen(
        [sys.executable, "-c", WORK, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        while_it_works = told(cli, run)
        worker.kill()
        worker.wait()
        after = told(cli, run)
    assert json.loads((run / "manifest.json").read_text())["status"] == "running"
    assert set(while_it_works.values()) == {"running"}, while_it_works
    assert set(after.values()) == {"stopped"}, after


@pytest.mark.parametrize("written", ["failed", "interrupted"])
def test_a_run_that_is_taken_up_again_is_running(written: str, fabricated: Callable[..., Path], tmp_path: Path) -> None:
    run = fabricated(tmp_path / "run", finished=False)
    folder = RunFolder.open(run)
    folder.set_status(written)
    assert folder.records.status == "running"
    folder.close()
    assert folder.records.status == written


def test_a_holder_that_the_kernel_does_not_name_is_known_by_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of another container, or where there is no list of locks."""
    held = lock.FolderLock(tmp_path)
    for listed in (tmp_path / "no list", tmp_path / "empty list"):
        monkeypatch.setattr(lock, "_KERNEL_LOCKS", listed)
        assert lock.is_held(tmp_path)
        assert standing(tmp_path, "running") == "running"
        (tmp_path / "empty list").write_text("")
    held.release()
    assert not lock.is_held(tmp_path)
    assert standing(tmp_path, "running") == "stopped"


def test_looking_at_a_lock_does_not_make_a_start_fail(tmp_path: Path) -> None:
    looking = """
import sys
from pathlib import Path
from coevolve.store.lock import is_held
print("ready", flush=True)
while True:
    is_held(Path(sys.argv[1]))
"""
    (tmp_path / ".lock").touch()
    with subprocess.Popen([sys.executable, "-c", looking, str(tmp_path)], stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "ready\n"
        for _ in range(200):
            lock.FolderLock(tmp_path).release()
        watcher.kill()


def test_a_plain_resume_leaves_runs_in_progress_alone(
    fabricated: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = RunFolder.open(fabricated(Path("runs/one"), finished=False))
    with pytest.raises(RunError, match="no unfinished run but those in progress: runs/one"):
        running.resume_run(None, quiet=True, as_json=False)
    folder.close()
