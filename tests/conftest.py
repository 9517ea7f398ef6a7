"""The real command line, and one finished run that many tests look at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import coevolve

# The whole loop, small: two iterations of a few questions each, rollouts in the main process.
TINY = (
    "pool.size=8",
    "curriculum.questions=8",
    "curriculum.group_size=8",
    "curriculum.votes=2",
    "pool.votes=4",
    "executor.tasks=2",
    "evaluation.levels=2",
    "evaluation.per_level=2",
)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int  # negative: the signal that ended it
    stdout: str
    stderr: str
    left: tuple[str, ...]  # processes that it left running

    def assert_clear(self, *words: str, code: int = 1) -> None:
        """It failed as a program should: this exit code, a message with a fix, no traceback, nobody left."""
        assert self.code == code, self.stderr
        assert "Traceback" not in self.stderr + self.stdout
        assert self.stderr.startswith("error: ")
        assert "fix: " in self.stderr
        for word in words:
            assert word in self.stderr, self.stderr
        assert not self.left


Cli = Callable[..., Ended]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests leave nothing in the cache folder of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """``cli("run", ..., cwd=..., environment={}, fault={}, largest_file=bytes)``: see cli_server.py for the faults."""
    scratch = tmp_path_factory.mktemp("cli")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(coevolve.__file__).parents[1])}
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("cli_server.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=scratch,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"

    def call(*arguments: str, cwd: Path = scratch, **how: object) -> Ended:
        assert server.stdin is not None
        assert server.stdout is not None
        streams = {name: str(scratch / name) for name in ("stdout", "stderr")}
        request = {"arguments": [str(a) for a in arguments], "cwd": str(cwd), **streams, **how}
        print(json.dumps(request), file=server.stdin, flush=True)
        answer = json.loads(server.stdout.readline())
        texts = [Path(streams[name]).read_text() for name in ("stdout", "stderr")]
        return Ended(answer["code"], texts[0], texts[1], tuple(answer["left"]))

    yield call
    server.stdin.close()
    server.wait(timeout=20)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., list[str]]:
    """Arguments of ``coevolve run`` for a small whole run into a folder: ``tiny(path, "seed=1")``."""

    def arguments(path: Path, *overrides: str) -> list[str]:
        settings = [f"--set={one}" for one in (*TINY, f"run.dir={path}", *overrides)]
        return ["run", "agent0", "--preset", "nano", "--quiet", *settings]

    return arguments


@pytest.fixture(scope="session")
def finished(cli: Cli, tiny: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small finished run. Tests only read it."""
    path = tmp_path_factory.mktemp("finished") / "run"
    ended = cli(*tiny(path))
    assert ended.code == 0, ended.stderr
    assert not ended.left
    return path
