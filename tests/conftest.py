"""The real command line, and one finished run that many tests look at."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import coevolve
from coevolve.methods.config import CoevolutionConfig
from coevolve.store.folder import RunFolder

# A shell starts what runs in the background with Ctrl-C ignored, and every process below inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The whole loop, small: two iterations of a few questions each, rollouts in the main process.
TINY = (
    "pool.size=8",
    "proposer.questions=8",
    "proposer.group_size=8",
    "proposer.votes=2",
    "pool.votes=4",
    "solver.tasks=2",
    "evaluation.levels=2",
    "evaluation.per_level=2",
    "reward.lambda_memory=0.5",  # what a step remembers of those before it must survive a kill
    "reward.lambda_code=0.5",
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
    """``cli("run", ..., cwd=..., environment={}, fault={}, largest_file=bytes, umask=0o027, user=65534)``.

    See cli_server.py for the faults; only root can be another user.
    """
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


Fabricated = Callable[..., Path]


@pytest.fixture(scope="session")
def fabricated() -> Fabricated:
    """Writes a run folder without running anything: ``fabricated(path, seed=1, means=(0.1, 0.5), finished=False)``.

    ``means`` has one entry per iteration that is evaluated: so say its metrics. In its tables (3 levels, 8 answers to
    each of ``per_level`` problems) problems differ in difficulty, the same way in every run, and the seed scatters the
    answers to them. ``dialogues`` adds held-out dialogues, so many of 2, of 3 and of 4 turns; in a row of n turns, the
    first n of 8 answers are right after iteration 3, one less per iteration before it.
    """

    def fabricate(
        path: Path,
        *,
        seed: int = 0,
        means: Sequence[float] = (0.12, 0.5, 0.6, 0.7),
        per_level: int = 20,
        labels: float = 0.9,
        dialogues: int = 0,
        finished: bool = True,
        **config: Any,
    ) -> Path:
        folder = RunFolder.create(path, CoevolutionConfig(**{"seed": seed, **config}))
        generator = np.random.default_rng(seed)
        hardness = np.random.default_rng(99).normal(0, 0.15, 3 * per_level)
        for t, mean in enumerate(means):
            chances = np.clip(mean + hardness, 0, 1)
            rows = [
                {
                    "set": f"level-{1 + i // per_level}",
                    "task_id": f"problem-{i}",
                    "question": "?",
                    "truth": "1",
                    "samples_right": int(generator.binomial(8, chance)),
                    "k": 8,
                    "majority": "1",
                    "majority_right": True,
                    "greedy_right": bool(generator.random() < chance),
                    "tool_calls": 1.0 + t,
                }
                for i, chance in enumerate(chances)
            ]
            rows += [
                {
                    **rows[0],
                    "set": f"transfer-dialogue_{turns}",
                    "task_id": f"dialogue-{turns}-{i}",
                    "samples_right": max(turns - 3 + t, 0),
                    "greedy_right": None,
                }
                for turns in (2, 3, 4)
                for i in range(dialogues)
            ]
            held_out = {
                "mean_at_8": mean,
                "greedy": mean,
                "by_level": {"1": 0.9, "2": 0.8, "3": 0.7},
                "tool_calls": 1.0 + t,
                "tool_calls_by_level": {str(level): level * 1.1 for level in (1, 2, 3, 4)},
            }
            later = {"first_executor_pass_rate": {str(t): 0.9 - t / 10}, "fixed_executor_tool_calls": {str(t): t / 10}}
            folder.begin(f"iteration-{t}/evaluate")
            if t == 0:
                folder.log({"event": "control", "name": "fence_forced_base", "mean_at_8": 0.4})
            folder.log({"event": "evaluation", "iteration": t, "held_out": held_out} | (later if t else {}))
            if t:
                pool = {"label_accuracy_kept": labels, "well_formed": 0.94, "duplicates": 0.01 * t}
                folder.log({"event": "pool", "iteration": t} | pool)
            folder.log_timing({"wall_s": 200.0 / len(means), "cpu_s": 300.0 / len(means)})
            folder.finish(f"iteration-{t}/evaluate", [folder.write_table(f"meter/evaluation-{t}.parquet", rows)])
        if finished:
            folder.set_status("finished")
        folder.close()
        return path

    return fabricate


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
