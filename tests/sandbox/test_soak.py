"""A short soak: hostile snippets and killed interpreters among good snippets, none of which ends wrongly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


def test_hostile_snippets_and_killed_zygotes_spoil_nothing() -> None:
    """In a process of its own, where every process found below it is the soak's.

    Everything but the flatness of memory, which takes longer to show. The wall limit is generous: the checks
    hold on a busy machine too.
    """
    command = [sys.executable, str(SOAK), "--json", "--snippets", "1500", "--kill-every", "0.7", "--wall", "1"]
    command += ["--workers", "8"]  # most of its time, hostile snippets sleep
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert all(found["checks"].values()), found
    assert done.returncode == 0
    assert found["figures"]["interpreters_killed"] > 0
    assert found["figures"]["hostile"] > 20
