"""What a run on a CPU was planned to take beside what it took: memory of all its processes, and CPU time.

    python benchmarks/plans.py [--model FOLDER] [--json]

Every row is a run of its own, made in a temporary folder: preset nano, the same with two rollout processes, a shortened
smoke-hf, and with ``--model`` a few steps of a real language model as adapters. Planned memory is that of --dry-run;
what was used is the highest resident memory of the main process (the kernel's VmHWM, less what it had mapped twice) and
that of each worker without the pages of files that it shares. CPU time is planned where the model was timed, or is the
embedded one; it is left out below a minute.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

STARTS_S = 60  # CPU seconds below which a plan says little: starting takes several, and is not in it
SHORT = ["pool.size=16", "pool.votes=4", "proposer.steps=1", "health.probe=0", "evaluation.pool_samples=0"]
REAL = [
    "sampling.max_tokens=64", "sampling.question_tokens=48", "engine.max_rows=32", "engine.micro_batch_tokens=1024",
    "proposer.questions=8", "proposer.group_size=8", "proposer.votes=2", "solver.steps=1", "gate.enabled=false",
    "lora.rank=16", "health.trial=0",
]  # fmt: skip
ROWS = {
    "nano": ["--preset", "nano"],
    "nano, 2 workers": ["--preset", "nano", "--set", "engine.workers=2"],
    "smoke-hf, short": ["--preset", "smoke-hf", *(f"--set={key}" for key in SHORT)],
}


def with_model(folder: Path) -> dict[str, list[str]]:
    """The rows of a real model, in one process and with two workers."""
    keys = [*SHORT, *REAL, f"model.path={folder}"]
    one = ["--preset", "smoke-hf", *(f"--set={key}" for key in keys)]
    return {folder.name: one, f"{folder.name}, 2 workers": [*one, "--set", "engine.workers=2"]}


def measure(arguments: list[str]) -> dict[str, object]:
    """Planned and taken, of one run."""
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        command = [sys.executable, "-m", "coevolve", "run", "agent0", "--quiet", *arguments, "--set", f"run.dir={run}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
        manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
        return {"planned": manifest["planned"], "taken": manifest["taken"]}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a real language model")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = ROWS | (with_model(options.model) if options.model else {})
    found = {}
    for name, arguments in rows.items():
        found[name] = measure(arguments)
        if not options.json:
            print(_line(name, found[name]["planned"], found[name]["taken"]), flush=True)  # type: ignore[arg-type]
    if options.json:
        print(json.dumps(found))


def _line(name: str, planned: dict[str, float], taken: dict[str, float]) -> str:
    memory = f"{planned['memory_bytes'] / 1e9:5.2f} GB planned, {taken['memory_bytes'] / 1e9:5.2f} used"
    memory += f" ({planned['memory_bytes'] / taken['memory_bytes'] - 1:+.0%})"
    if planned.get("cpu_s", 0) < STARTS_S:
        return f"{name:28} {memory}"
    ratio = planned["cpu_s"] / taken["cpu_s"] - 1
    return f"{name:28} {memory}; {planned['cpu_s']:6.0f} CPU s planned, {taken['cpu_s']:6.0f} taken ({ratio:+.0%})"


if __name__ == "__main__":
    main()
