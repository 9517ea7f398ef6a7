"""A set-uid bubblewrap is the wall around files where there is no Landlock and nobody else may make namespaces."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import coevolve
from coevolve.sandbox import bubblewrap

from .processes import alive, eventually

NOBODY = 65534
# As root, so that set-uid programs still work: no Landlock, no new user namespaces. Then an ordinary user.
MACHINE = """
import os, platform, struct, sys
from coevolve.sandbox import confine
from coevolve.sandbox import syscalls
machine = platform.machine()
calls = syscalls.numbers(machine)
program = [(0x20, 0, 0, 0), (0x15, 0, 1, calls["landlock_create_ruleset"]), (0x06, 0, 0, 0x50026)]
program += [(0x15, 0, 3, calls["clone"]), (0x20, 0, 0, 16), (0x45, 0, 1, 0x10000000), (0x06, 0, 0, 0x50001)]
program += [(0x06, 0, 0, 0x7FFF0000)]
confine.SystemCallFilter(machine, b"".join(struct.pack("=HBBI", *line) for line in program)).load()
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""


def _reachable(path: str) -> bool:
    """Whether every user can get to a file and read it."""
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in Path(path).resolve().parents) and bool(
        os.stat(path).st_mode & 0o004
    )


@pytest.fixture
def elderly(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], subprocess.Popen[str]]:
    """Starts a script on a machine that has nothing but a set-uid bubblewrap."""
    program = shutil.which("bwrap")
    pythons = [sys.executable, f"/usr/bin/python3.{sys.version_info.minor}", "/usr/bin/python3"]
    python = next((path for path in pythons if os.path.exists(path) and _reachable(path)), None)
    folder = Path("/tmp") / tmp_path_factory.mktemp("bubblewrap").name
    if program is None or os.geteuid() != 0 or python is None or not _reachable(coevolve.__file__):
        pytest.skip("needs bubblewrap, root, and an interpreter and a checkout that every user can read")
    if os.statvfs("/tmp").f_flag & os.ST_NOSUID:
        pytest.skip("/tmp takes no set-uid programs")
    version = subprocess.run([python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True)
    if tuple(map(int, version.stdout.split())) < (3, 11):
        pytest.skip("the interpreter that every user can read is too old")
    folder.mkdir()
    shutil.copy(program, folder / "bwrap")
    os.chmod(folder / "bwrap", 0o4755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "PYTHONPATH": str(Path(coevolve.__file__).parents[1])}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}

    def start(script: str) -> subprocess.Popen[str]:
        command = [python, "-c", MACHINE, script]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    yield start
    shutil.rmtree(folder)


def test_it_takes_the_place_of_landlock(elderly: Callable[[str], subprocess.Popen[str]]) -> None:
    script = """
from coevolve.sandbox.pool import SandboxPool
with SandboxPool() as pool:
    print(pool.layers["landlock"])
    print(pool.layers["namespaces"])
    print(all(finding.passed for finding in pool.findings))
    print(pool.run("import os, ssl, sqlite3; print(os.getuid(), os.path.exists('/etc/passwd'))").stdout, end="")
    print(pool.run("while True: pass").status)
"""
    with elderly(script) as trainer:
        landlock, namespaces, passed, seen, ended = trainer.communicate(timeout=60)[0].splitlines()
    assert landlock.startswith("on, by the mount namespace (landlock is missing: [Errno 38]")
    assert namespaces == "on: mount, network, ipc, uts, pid, by bubblewrap"
    assert passed == "True"
    assert seen == f"{NOBODY} False"
    assert ended == "cpu_limit"


def test_its_processes_end_with_the_trainer(elderly: Callable[[str], subprocess.Popen[str]]) -> None:
    script = """
import time
from coevolve.sandbox.pool import SandboxPool
pool = SandboxPool()
print(pool._supervisor.zygote_pid, flush=True)
time.sleep(60)
"""
    with elderly(script) as trainer:
        assert trainer.stdout is not None
        zygote = int(trainer.stdout.readline())
        assert alive(zygote)
        trainer.kill()
    assert eventually(lambda: not alive(zygote))


def test_without_the_set_uid_bit_it_may_do_no_more_than_we_may(elsewhere: Callable[..., str]) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    script = """
try:
    SandboxPool()
except SandboxUnavailable as error:
    print(error.what)
"""
    said = elsewhere(script, {"landlock_create_ruleset": 38}, namespaces=False)
    assert "namespaces, which could take its place, are not available: [Errno 1] clone" in said
    assert "; by bubblewrap: bwrap: " in said


def test_the_command_shows_the_readable_paths_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bwrap").touch(mode=0o755)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    monkeypatch.setenv("PATH", str(tmp_path))
    words = bubblewrap.command([str(tmp_path / "link"), str(tmp_path / "folder" / "inside")])
    assert words is not None
    real = str((tmp_path / "folder").resolve())
    text = " ".join(words)
    assert f"--symlink folder {tmp_path / 'link'} " in text
    assert text.count("--ro-bind") == 2
    assert f"--ro-bind {real} {real} " in text
    assert f"--ro-bind {Path(bubblewrap.__file__).parent} " in text
    monkeypatch.setenv("PATH", str(tmp_path / "folder"))
    assert bubblewrap.command([]) is None
