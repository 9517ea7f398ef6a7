"""What may not be read is not damaged: every command says who can read it and what to do, and nothing is repaired.

Two lanes: another user than the one who made the run (as root only, which alone can become another user), and the
owner of a run whose files lack the right to be read.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from coevolve import permissions
from coevolve.errors import RunError
from coevolve.report.watched import Shelf, WatchedRun
from coevolve.runs.doctor import diagnose, repair
from coevolve.store import atomic, manifest
from coevolve.store.folder import RunFolder
from coevolve.worlds.miniature.learner import ASSETS

Cli = Callable[..., Any]
NOBODY = 65534
WEIGHTS = "checkpoints/iteration-1/solver/model.safetensors"
QUESTION = "Let a = 43 * 80. Find a."


@dataclass(frozen=True)
class Lane:
    """Who looks at a run, and what takes the right to read from them."""

    place: Path
    owner: int  # of the run
    user: int | None  # who looks, None: this process's user
    closed: int  # mode of a file that they may not read

    @property
    def how(self) -> dict[str, int]:
        return {} if self.user is None else {"user": self.user}

    def deny(self, *paths: Path) -> None:
        for path in paths:
            path.chmod(self.closed)

    def give(self, run: Path) -> Path:
        """Have the run belong to its owner."""
        if os.geteuid() == 0:
            for path in (run, *run.rglob("*")):
                os.chown(path, self.owner, self.owner)
        return run

    def look(self, ask: Callable[[], str]) -> str:
        """What a function answers to whoever looks."""
        if self.user is None:
            return ask()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(self.user)
                os.setuid(self.user)
                answer = ask()
            except BaseException as error:  # the copy of the test's process must end here, whatever was raised
                answer = f"raised {error!r}"
            os.write(writer, answer.encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as stream:
            answer = stream.read()
        os.waitpid(child, 0)
        return answer


@pytest.fixture(params=["another user", "owner without the right"])
def lane(request: pytest.FixtureRequest) -> Iterator[Lane]:
    root = os.geteuid() == 0
    if request.param == "another user" and not root:
        pytest.skip("only root can become another user; the other lane is for everybody")
    place = Path(tempfile.mkdtemp())  # that of pytest is closed to other users
    place.chmod(0o755)
    if request.param == "another user":
        yield Lane(place, owner=0, user=NOBODY, closed=0o600)
    else:
        yield Lane(place, owner=NOBODY if root else os.geteuid(), user=NOBODY if root else None, closed=0o000)
    for path in (place, *place.rglob("*")):
        path.chmod(0o700)
    shutil.rmtree(place)


@pytest.fixture
def run(lane: Lane, fabricated: Callable[..., Path]) -> Path:
    """A finished run with a trained executor."""

    def weights(folder: Path) -> None:
        for file in ASSETS.iterdir():
            if file.name != "README.md":
                shutil.copyfile(file, folder / file.name)

    path = fabricated(lane.place / "run", means=(0.1, 0.5), iterations=1, finished=False)
    folder = RunFolder.open(path)
    for phase, agent in (("curriculum", "proposer"), ("executor", "solver")):
        folder.begin(f"iteration-1/{phase}")
        folder.finish(f"iteration-1/{phase}", [folder.save_folder(f"checkpoints/iteration-1/{agent}", weights)])
    folder.set_status("finished")
    folder.close()
    return lane.give(path)


def contents(run: Path) -> dict[str, bytes]:
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def advises(lane: Lane, text: str, run: Path) -> None:
    """Who can read it, and what to do; a repair is not it."""
    assert "may not be read by" in text
    assert "--repair" not in text
    assert "Traceback" not in text
    if lane.closed:
        assert "belongs to root (mode 600)" in text
        assert f"work as root, or have root let you read it: chmod -R go+rX {run}" in text
    else:
        assert f"let yourself read it: chmod -R u+rX {run}" in text


def test_the_doctor_says_who_can_read_it_and_does_not_recommend_a_repair(lane: Lane, run: Path, cli: Cli) -> None:
    assert cli("doctor", run, **lane.how).code == 0
    lane.deny(run / WEIGHTS)
    ended = cli("doctor", run, **lane.how)
    assert ended.code == 1
    advises(lane, ended.stdout, run)
    assert f"unread    {WEIGHTS}: " in ended.stdout
    assert "damaged   " not in ended.stdout
    found = json.loads(cli("doctor", run, "--json", **lane.how).stdout)
    assert (found["intact"], found["damage"], found["resume"], found["repair"]) == (False, [], None, None)
    assert [one["file"] for one in found["unreadable"]] == [WEIGHTS]
    (run / WEIGHTS).chmod(0o644)
    assert cli("doctor", run, **lane.how).code == 0


@pytest.mark.parametrize("also_damaged", [False, True])
def test_a_repair_touches_nothing_while_something_cannot_be_read(
    also_damaged: bool, lane: Lane, run: Path, cli: Cli
) -> None:
    if also_damaged:
        (run / "meter/evaluation-0.parquet").write_bytes(b"damaged")
    before = contents(run)
    lane.deny(run / WEIGHTS)
    ended = cli("doctor", run, "--repair", **lane.how)
    ended.assert_clear("nothing was changed", WEIGHTS, "chmod -R")
    assert "--repair" not in ended.stderr
    (run / WEIGHTS).chmod(0o644)
    assert contents(run) == before


@pytest.mark.parametrize("command", ["solve", "export", "resume"])
def test_commands_that_need_an_unreadable_checkpoint_say_the_same(
    command: str, lane: Lane, run: Path, cli: Cli
) -> None:
    if command == "resume":
        folder = RunFolder.open(run)
        folder.set_status("interrupted")
        folder.close()
        lane.give(run)
        (run / ".lock").chmod(0o666)  # as a umask of 0 makes it
    lane.deny(run / WEIGHTS)
    arguments = {"solve": [run, QUESTION], "export": [run, "--to", lane.place / "out"], "resume": [run]}
    ended = cli(command, *arguments[command], **lane.how)
    ended.assert_clear(WEIGHTS)
    advises(lane, ended.stderr, run)


@pytest.mark.parametrize("command", ["report", "compare"])
def test_commands_that_need_an_unreadable_table_say_the_same(command: str, lane: Lane, run: Path, cli: Cli) -> None:
    lane.deny(run / "meter/evaluation-1.parquet")
    ended = cli(command, run, **lane.how)
    ended.assert_clear("evaluation-1.parquet")
    advises(lane, ended.stderr, run)


@pytest.mark.parametrize("denied", ["manifests", "configuration", "log", "folder"])
def test_a_run_that_is_closed_to_this_user_is_called_that(denied: str, lane: Lane, run: Path, cli: Cli) -> None:
    files = {
        "manifests": [run / "manifest.json", run / "manifest.copy.json"],
        "configuration": [run / "config.yaml"],
        "log": [run / "metrics.jsonl"],
        "folder": [run],
    }
    lane.deny(*files[denied])
    for arguments in (["summary", run], ["report", run], ["compare", run], ["solve", run, QUESTION], ["doctor", run]):
        if denied == "log" and arguments[0] == "solve":
            continue  # it reads no log
        ended = cli(*arguments, **lane.how)
        assert ended.code == 1, arguments
        told = ended.stdout if arguments[0] == "doctor" else ended.stderr
        assert "may not be read by" in told, (arguments, told)
        assert "chmod" in told
        assert "--repair" not in told
        assert "Traceback" not in ended.stderr


def test_a_page_that_follows_a_closed_run_says_the_same(lane: Lane, run: Path) -> None:
    lane.deny(run)
    news = json.loads(lane.look(lambda: json.dumps(WatchedRun(run).news())))
    assert news["state"] == "unreadable"
    assert "may not be read by" in news["problem"]
    assert "chmod -R" in news["problem"]
    assert lane.look(lambda: str(Shelf(run).is_one_run)) == "True"


def test_a_folder_above_the_run_is_named_where_it_is_what_keeps_this_user_out(lane: Lane, run: Path, cli: Cli) -> None:
    lane.give(lane.place)
    lane.deny(lane.place)
    ended = cli("summary", run, **lane.how)
    ended.assert_clear("may not be read by", f"chmod {'go' if lane.closed else 'u'}+x {lane.place}")


def test_what_needs_no_writing_asks_for_no_right_to_write(lane: Lane, run: Path, cli: Cli) -> None:
    (run / ".lock").chmod(0o444)
    run.chmod(0o555)
    for arguments in (["doctor", run, "--repair"], ["summary", run], ["compare", run]):
        ended = cli(*arguments, **lane.how)
        assert (ended.code, ended.stderr) == (0, ""), arguments


def test_who_may_not_write_is_told_who_may(lane: Lane, run: Path, cli: Cli) -> None:
    folder = RunFolder.open(run)
    folder.set_status("interrupted")
    folder.close()
    lane.give(run)
    (run / ".lock").chmod(0o444)
    run.chmod(0o555)
    told = "work as root" if lane.closed else "chmod u+w"
    cli("resume", run, **lane.how).assert_clear(told, f"coevolve run --config {run}/config.yaml --set run.dir=NEW")
    cli("report", run, **lane.how).assert_clear(told, f"coevolve watch {run}")
    if lane.closed:
        (run / "meter/evaluation-0.parquet").write_bytes(b"damaged")
        cli("doctor", run, "--repair", **lane.how).assert_clear(told)


def test_what_the_disk_does_not_give_is_not_damaged_either(
    fabricated: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fabricated(tmp_path / "run")
    real = atomic.digest

    def failing(path: Path, begin: int = 0, end: int | None = None) -> str:
        if path.name == "evaluation-1.parquet":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real(path, begin, end)

    monkeypatch.setattr(atomic, "digest", failing)
    found = diagnose(run)
    assert (found.damage, found.repair, found.start) == ([], None, None)
    assert found.unreadable[0].fault == "could not be read: Input/output error"
    before = contents(run)
    with pytest.raises(manifest.Unreadable, match="nothing was changed"):
        repair(run)
    assert contents(run) == before


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077, 0o027])
def test_files_and_folders_follow_the_umask(mask: int, tmp_path: Path) -> None:
    def private(folder: Path) -> None:
        """As libraries write that make a temporary file of their own."""
        (folder / "deeper").mkdir(mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=folder / "deeper")
        os.close(descriptor)
        os.rename(name, folder / "deeper" / "weights")

    before = os.umask(mask)
    try:
        assert permissions.umask() == mask
        atomic.replace_folder(tmp_path / "made", private)
        atomic.replace_file(tmp_path / "file", b"")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {
        "made": 0o777 & ~mask,
        "deeper": 0o777 & ~mask,
        "weights": 0o666 & ~mask,
        "file": 0o666 & ~mask,
    }


def test_everything_that_a_run_and_its_export_leave_follows_the_umask(
    cli: Cli, tiny: Callable[..., list[str]], tmp_path: Path
) -> None:
    run, mask = tmp_path / "run", 0o027
    fault = {"method": "save_point", "phase": "iteration-1/executor", "when": "after", "kind": "kill"}
    assert cli(*tiny(run, "iterations=1"), umask=mask, fault=fault).code == -9
    assert (run / "partial").is_dir()
    checked(run, mask)
    assert cli("resume", run, "--quiet", umask=mask).code == 0
    assert (run / "report/index.html").exists()
    assert cli("export", run, "--to", tmp_path / "out", umask=mask).code == 0
    assert cli("compare", run, "--html", tmp_path / "out/page.html", umask=mask).code == 0
    for place in (run, tmp_path / "out"):
        checked(place, mask)


def checked(place: Path, mask: int) -> None:
    for path in (place, *place.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o777 if path.is_dir() else 0o666) & ~mask, path


def test_a_lock_that_is_held_by_another_is_told_before_any_right(
    tmp_path: Path, fabricated: Callable[..., Path]
) -> None:
    run = fabricated(tmp_path / "run")
    folder = RunFolder.open(run)
    with pytest.raises(RunError, match=f"process {os.getpid()}"):
        RunFolder.open(run)
    folder.close()
