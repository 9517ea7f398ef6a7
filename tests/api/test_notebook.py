"""The notebook of the examples runs as it stands; as a program, so that it needs nothing but the package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import coevolve

ROOT = Path(__file__).parents[2]


@pytest.mark.slow  # two workers that load torch: half a minute of CPU
def test_the_cells_of_the_notebook_run_one_after_the_other(tmp_path: Path) -> None:
    cells = json.loads((ROOT / "examples/first-steps.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5
    program = tmp_path / "cells.py"
    program.write_text("\n\n".join(code), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(Path(coevolve.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("coevolve run agent0") == 1  # workers do not run the program again
    assert "3440" in done.stdout
