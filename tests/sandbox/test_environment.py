"""Snippets import from a folder of their own, which holds what was asked for and nothing of the trainer's."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coevolve.errors import SandboxInfraError, SandboxUnavailable
from coevolve.sandbox.environment import _install_command, folder_for
from coevolve.sandbox.pool import SandboxPool


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site-packages folder with a small distribution `outer` that requires `inner`, and a stranger."""
    site = tmp_path / "site"
    _install(site, "outer", "import inner; VALUE = inner.VALUE", requires=["Inner>=1", 'absent; extra == "x"'])
    _install(site, "inner", "VALUE = 42")
    _install(site, "stranger", "raise SystemError")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return site


def _install(site: Path, name: str, code: str, *, requires: list[str] | None = None) -> None:
    info = site / f"{name}-1.0.dist-info"
    (site / name).mkdir(parents=True)
    info.mkdir()
    (site / name / "__init__.py").write_text(code)
    (site / name / "more.py").write_text("here = __file__\n")
    (info / "direct_url.json").write_text('{"url": "file:///home/trainer/secret"}')
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0", *(f"Requires-Dist: {r}" for r in requires or [])]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    files = [f"{name}/__init__.py", f"{name}/more.py", f"{name}-1.0.dist-info/direct_url.json"]
    files += [f"{name}-1.0.dist-info/METADATA", "../../bin/tool", f"{name}-1.0.dist-info/RECORD"]
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_it_holds_the_wanted_distributions_and_what_they_require(installed: Path) -> None:
    folder = folder_for(("outer",), None)
    assert folder is not None
    assert _names(folder) == {"outer", "inner", "outer-1.0.dist-info", "inner-1.0.dist-info"}
    assert _names(folder / "outer-1.0.dist-info") == {"METADATA"}
    compiled = f"more.{sys.implementation.cache_tag}.pyc"
    assert compiled in _names(folder / "outer" / "__pycache__")
    assert str(folder / "outer" / "more.py").encode() in (folder / "outer" / "__pycache__" / compiled).read_bytes()
    with SandboxPool(preload=("outer",)) as pool:
        assert pool.run("import outer, outer.more; print(outer.VALUE, outer.more.here)").stdout == (
            f"42 {folder}/outer/more.py\n"
        )
        assert "No module named 'stranger'" in pool.run("import stranger").stderr


def test_it_is_built_once_and_again_when_a_version_changes(installed: Path) -> None:
    first = folder_for(("outer",), None)
    assert first is not None
    born = first.stat().st_ctime_ns
    assert folder_for(("outer",), None) == first
    assert first.stat().st_ctime_ns == born
    record = installed / "inner-1.0.dist-info" / "RECORD"
    record.write_text(record.read_text().replace("more.py,,", "more.py,sha256=x,9"))
    assert folder_for(("outer",), None) != first


def test_without_preloads_nothing_is_built(installed: Path) -> None:
    assert folder_for((), None) is None
    assert folder_for(("json", "os.path"), None) is None
    assert not (installed.parent / "cache").exists()


def test_a_damaged_one_is_built_anew_and_leftovers_go(installed: Path) -> None:
    folder = folder_for(("outer",), None)
    assert folder is not None
    (folder / "outer" / "__init__.py").unlink()
    (folder.parent / "complete.json").unlink()
    (folder.parents[1] / ".building-killed").mkdir()
    assert folder_for(("outer",), None) == folder
    assert (folder / "outer" / "__init__.py").exists()
    assert _names(folder.parents[1]) == {folder.parent.name, "lock"}


def test_many_may_build_it_at_once(installed: Path) -> None:
    code = "from coevolve.sandbox.environment import folder_for; print(folder_for(('outer',), None))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(installed), *sys.path])}

    def build(_: int) -> str:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor(3) as threads:
        folders = set(threads.map(build, range(3)))
    assert len(folders) == 1
    assert (Path(folders.pop().strip()) / "inner" / "__init__.py").exists()


def test_every_user_can_read_it_whatever_the_umask(installed: Path) -> None:
    (installed / "outer" / "more.py").chmod(0o600)
    before = os.umask(0o077)
    try:
        folder = folder_for(("outer",), None)
    finally:
        os.umask(before)
    assert folder is not None
    for path in [folder.parent, *folder.rglob("*")]:
        assert path.stat().st_mode & 0o005 == (0o005 if path.is_dir() else 0o004), path
    assert (installed / "outer" / "more.py").stat().st_mode & 0o777 == 0o600


def test_a_folder_of_the_users_own_is_used_as_it_is(installed: Path) -> None:
    with SandboxPool(environment=str(installed)) as pool:
        assert pool.run("import inner; print(inner.VALUE)").stdout == "42\n"
    assert not (installed.parent / "cache").exists()


def test_a_virtual_environment_is_used(installed: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (site,) = venv.glob("lib/python3*/site-packages")
    _install(site, "mine", "VALUE = 7")
    with SandboxPool(environment=str(venv), preload=("mine",)) as pool:
        assert pool.run("import mine; print(mine.VALUE)").stdout == "7\n"
    with pytest.raises(SandboxUnavailable, match="'outer'") as caught:
        folder_for(("outer",), str(venv))
    assert caught.value.fix == f"Install it: {venv}/bin/python -m pip install outer"
    site.parent.rename(site.parents[1] / "python3.1")
    with pytest.raises(SandboxUnavailable, match=r"is for python3\.1, snippets run in python3\."):
        folder_for((), str(venv))


def test_what_is_missing_is_named_with_the_fix(installed: Path, tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match=r"'no_such_package'.*not installed") as caught:
        folder_for(("no_such_package",), None)
    assert caught.value.where == "sandbox.preload"
    with pytest.raises(SandboxUnavailable, match="does not exist") as caught:
        folder_for((), str(tmp_path / "nowhere"))
    assert caught.value.where == "sandbox.environment"
    with pytest.raises(SandboxUnavailable, match="'nothing'") as caught:
        folder_for(("nothing",), str(installed))
    assert f"-m pip install --target {installed} nothing" in caught.value.fix
    assert _install_command(Path("/libs")).endswith("-m pip install --target /libs")
    (installed / "inner-1.0.dist-info" / "RECORD").unlink()
    with pytest.raises(SandboxUnavailable, match=r"belong to inner 1\.0 is not recorded") as caught:
        folder_for(("inner",), None)
    assert "pip" in caught.value.fix


def test_a_cache_folder_that_cannot_be_written_is_named(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    with pytest.raises(SandboxUnavailable, match="cannot be built") as caught:
        folder_for(("outer",), None)
    assert caught.value.where == "/proc/coevolve/sandbox"
    assert "XDG_CACHE_HOME" in caught.value.fix


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()", "a thread"),
        ("import os; os.dup2(0, 900)", "a file that snippets would keep open"),
        ("import mmap; board = mmap.mmap(-1, 4096)", "memory that all snippets would share"),
        ("raise OSError('no luck')", "OSError: no luck"),
    ],
)
def test_a_preload_that_snippets_would_inherit_something_from_is_refused(
    tmp_path: Path, code: str, reason: str
) -> None:
    (tmp_path / "careless.py").write_text(code)
    with pytest.raises(SandboxInfraError, match=reason):
        SandboxPool(preload=("careless",), environment=str(tmp_path), max_sessions=0)
