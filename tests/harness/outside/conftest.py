"""inspect_ai and lm-eval with coevolve, all on this machine.

Only where they are installed: `make test-eval` makes an environment for them and runs what is marked so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from .commands import EXAMPLES, Command


@pytest.fixture(scope="session", autouse=True)
def _needs_harnesses() -> None:
    for package in ("inspect_ai", "inspect_evals", "lm_eval"):
        if find_spec(package) is None:  # asked for, and not there: nothing here may pass for tested
            pytest.fail(f"{package} is not installed: make test-eval", pytrace=False)


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """``command("inspect", "eval", ..., cwd=..., KEY=value)``: what a command of this environment prints.

    It finds no hub, and leaves nothing outside the folders of this session. coevolve is the one that is installed: on a
    path of its own inspect would not take its tasks for those of a package.
    """
    scratch = tmp_path_factory.mktemp("commands")
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(scratch / "hf"), "HOME": str(scratch)}
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    plain |= {"XDG_DATA_HOME": str(scratch), "OMP_NUM_THREADS": "1"}

    def run(name: str, *arguments: object, cwd: Path = EXAMPLES, **environment: str) -> str:
        program = Path(sys.executable).with_name(name)
        done = subprocess.run(
            [program, *map(str, arguments)],
            cwd=cwd,
            env=plain | offline | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run
