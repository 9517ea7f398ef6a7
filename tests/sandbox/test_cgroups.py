"""A control group for all snippets of a pool. Where the tests run it can rarely be made, so what is written into its
files is also tested on a folder that looks like one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coevolve.sandbox import cgroups, supervisor
from coevolve.sandbox.base import Status
from coevolve.sandbox.pool import SandboxPool

from .processes import children, eventually, zygote


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`top` hands memory and pids on to `slice`, that to the groups in it; we are in `slice/ours`."""
    for folder, handed_on in (("top", "cpu memory pids"), ("top/slice", "memory pids"), ("top/slice/ours", "")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cgroup.subtree_control").write_text(handed_on)
        (tmp_path / folder / "cgroup.procs").write_text("")
    monkeypatch.setattr(cgroups, "_mount_point", lambda: (tmp_path / "top", "/"))
    monkeypatch.setattr(cgroups, "_own_group", lambda: "/slice/ours")
    return tmp_path / "top"


def test_the_group_is_made_beside_our_own_and_bounded(tree: Path) -> None:
    group = cgroups.make(5, 256 << 20)
    assert group.path is not None
    assert group.path.parent == tree / "slice"
    assert (group.path / "memory.max").read_text() == str((512 + 5 * 256) << 20)
    assert (group.path / "pids.max").read_text() == "640"
    assert group.state == "on: 1792 MiB and 640 processes for all snippets together"
    group.add(4711)
    assert (group.path / "cgroup.procs").read_text() == "4711"


def test_groups_that_killed_trainers_left_behind_are_removed(tree: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    (tree / "slice" / f"coevolve-sandbox-{dead.pid}-1").mkdir()
    (tree / "slice" / f"coevolve-sandbox-{os.getpid()}-1").mkdir()
    cgroups.make(1, 1 << 20)
    names = {path.name for path in (tree / "slice").glob("coevolve-*")}
    assert f"coevolve-sandbox-{dead.pid}-1" not in names
    assert f"coevolve-sandbox-{os.getpid()}-1" in names


def test_without_the_controllers_the_reason_is_told_and_nothing_made(tree: Path) -> None:
    for folder in (tree, tree / "slice"):
        (folder / "cgroup.subtree_control").write_text("pids")
    group = cgroups.make(5, 256 << 20)
    assert group.path is None
    assert group.state.startswith(f"not available: {tree}/slice/ours does not delegate memory and pids; ")
    group.add(1)
    group.remove()
    assert not list(tree.rglob("coevolve-*"))


def test_a_group_that_takes_no_process_is_given_up(tmp_path: Path) -> None:
    group = cgroups.Group(tmp_path / "gone", "on: this and that")
    group.add(os.getpid())
    assert group.path is None
    assert group.state.startswith("not available: a process cannot be moved into")


def test_this_machine_has_the_layer_or_says_why_not() -> None:
    with SandboxPool() as pool:
        assert pool.layers["cgroup"].startswith(("on: ", "not available: "))
        assert len(pool.layers["cgroup"]) > len("not available: ")
    with SandboxPool(namespaces=False) as pool:
        assert pool.layers["cgroup"] == "off"


def test_all_processes_of_a_pool_are_in_the_group_and_it_goes_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a real group, which does not need to bound anything for this."""
    group = cgroups.make(1, 1 << 20, controllers=())
    if group.path is None:
        pytest.skip(f"no control group can be made here: {group.state}")
    monkeypatch.setattr(supervisor, "make", lambda *_: group)
    with SandboxPool() as pool:
        assert pool.layers["cgroup"].startswith("on")
        assert pool.run("print(6*7)").status is Status.OK
        assert eventually(lambda: len(children(zygote(pool))) == 2)
        inside = {int(line) for line in (group.path / "cgroup.procs").read_text().split()}
        assert inside >= {zygote(pool), *children(zygote(pool))}
        assert os.getpid() not in inside
        path = group.path
    assert not path.exists()
