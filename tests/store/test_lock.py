"""Who holds the lock of a run folder, asked without touching it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coevolve.errors import RunError
from coevolve.store.lock import FolderLock, holder

HOLD = """
import sys
from pathlib import Path
from coevolve.store.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_lock_is_held_until_it_is_released(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    lock = FolderLock(tmp_path)
    assert holder(tmp_path) == os.getpid()
    with pytest.raises(RunError, match="another process is writing"):
        FolderLock(tmp_path)
    lock.release()
    assert holder(tmp_path) is None


def test_a_killed_process_holds_nothing_although_its_number_stands_in_the_file(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        assert holder(tmp_path) == owner.pid
        owner.kill()
        owner.wait()
        assert holder(tmp_path) is None
        assert (tmp_path / ".lock").read_text().strip() == str(owner.pid)


def test_a_lock_on_another_folder_is_not_taken_for_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    lock = FolderLock(tmp_path / "a")
    (tmp_path / "b" / ".lock").touch()
    assert holder(tmp_path / "b") is None
    lock.release()


def test_a_folder_that_does_not_exist_is_held_by_nobody(tmp_path: Path) -> None:
    assert holder(tmp_path / "absent") is None
