"""Every attack, by every kind of user: one test each, named by lane and number."""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import coevolve
from coevolve.sandbox.environment import folder_for

from .catalogue import ATTACKS
from .confinement import LANES

Rows = dict[str, dict[str, str]]
_PATIENCE_S = 900
_ELSEWHERE = set() if platform.machine() == "x86_64" else {76, 147}  # calls through tables that only x86-64 has


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Rows]]:
    """All lanes start at once, each with the attacks that were asked for; ``rows(lane)`` waits for one."""
    wanted: dict[str, list[str]] = {}
    for item in request.session.items:
        if item.path == Path(__file__) and isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            wanted.setdefault(item.callspec.params["lane"], []).append(item.callspec.params["key"])
    packages = str(folder_for(("numpy", "sympy"), None))
    done: dict[str, Rows] = {}
    with ExitStack() as stack:
        running = {lane: stack.enter_context(_started(lane, keys, packages)) for lane, keys in wanted.items()}

        def ended(lane: str) -> Rows:
            if lane not in done:
                out, err = running[lane].communicate(timeout=_PATIENCE_S)
                assert running[lane].returncode == 0, out + err
                done[lane] = {row["key"]: row for row in map(json.loads, out.splitlines())}
            return done[lane]

        yield ended


@contextmanager
def _started(lane: str, keys: list[str], packages: str) -> Iterator[subprocess.Popen[str]]:
    folder = tempfile.mkdtemp(prefix="coevolve-attack-")
    os.chmod(folder, 0o777)  # for whoever the lane becomes: what is refused there is refused by the sandbox
    paths = [Path(coevolve.__file__).parents[1], Path(__file__).parents[1]]
    process = subprocess.Popen(
        [sys.executable, "-m", f"{Path(__file__).parent.name}.lane"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    order = {
        "lane": lane,
        "folder": folder,
        "packages": packages,
        "secret": secrets.token_hex(16),
        "keys": keys,
    }
    assert process.stdin is not None
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


@pytest.mark.parametrize("key", [attack.key for attack in ATTACKS])
@pytest.mark.parametrize("lane", LANES)
def test_an_attack_is_survived(rows: Callable[[str], Rows], lane: str, key: str) -> None:
    row = rows(lane)[key]
    assert not row["problem"], row["problem"]


def test_no_two_attacks_have_one_name_and_the_whole_list_is_tried() -> None:
    keys = [attack.key for attack in ATTACKS]
    assert len(keys) == len(set(keys))
    assert {attack.number for attack in ATTACKS} >= set(range(1, 101)) - _ELSEWHERE


def test_the_documentation_says_what_each_attack_is_about() -> None:
    page = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text(encoding="utf-8")
    table = page.partition("## What is covered")[2].partition("## What is not covered")[0]
    named: set[int] = set()
    for row in re.findall(r"\| ([\d, -]+) \|$", table, re.MULTILINE):
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", row):
            named |= set(range(int(first), int(last or first) + 1))
    assert named == {attack.number for attack in ATTACKS} | _ELSEWHERE
