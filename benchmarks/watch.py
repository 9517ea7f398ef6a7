"""What `coevolve watch` costs: how soon its page is there, and what it takes of a core while a run goes on.

    python benchmarks/watch.py [--json] [--trajectories 50000] [--seconds 30]

The server is a process of its own. The run with many trajectories is synthetic (see page.py), the run in progress logs
a training step every second. A page that listens is played by this process, as a browser does it: it hears the events
and fetches the data that they announce. CPU is that of the server alone, user and system, in percent of one core, so
other work on the machine does not count; wall times do depend on it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from page import make

from coevolve.methods.config import CoevolutionConfig
from coevolve.store.folder import RunFolder

GOAL_IDLE = 2.0  # percent of a core


@contextmanager
def watching(run: Path) -> Iterator[tuple[subprocess.Popen[str], int, float]]:
    """The server, its port, and the seconds until its page was there."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "coevolve", "watch", str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            found = re.search(r":(\d+)/", server.stdout.readline())
            assert found
            port = int(found[1])
            get(port, "/")
            yield server, port, time.perf_counter() - begin
        finally:
            server.kill()


def get(port: int, path: str) -> bytes:
    """The body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
    body = connection.getresponse().read()
    connection.close()
    return body


def cpu_s(process: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def listen(port: int, stop: threading.Event, fetched: list[int]) -> None:
    """Be a page that follows its run until told to stop; ``fetched`` gets the bytes of each new data."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("GET", "/events")
    known: dict[str, str] = {}
    for line in connection.getresponse():
        if stop.is_set():
            break
        if line.startswith(b"data: "):
            versions = json.loads(line[6:])["versions"]
            if versions != known:
                fetched.append(len(get(port, f"/data?tasks={known.get('tasks', '')}")))
                known = versions
    connection.close()


def share_of_a_core(server: subprocess.Popen[str], port: int, seconds: float) -> tuple[float, int]:
    """Percent of a core while a page listens, and how often it fetched new data."""
    stop, fetched = threading.Event(), list[int]()
    page = threading.Thread(target=listen, args=(port, stop, fetched), daemon=True)
    page.start()
    time.sleep(3)  # the first look at everything is no part of following
    before, begin, first = cpu_s(server.pid), time.monotonic(), len(fetched)
    time.sleep(seconds)
    used, took = cpu_s(server.pid) - before, time.monotonic() - begin
    stop.set()
    return 100 * used / took, len(fetched) - first


def in_progress(path: Path, stop: threading.Event) -> None:
    """A run that logs a training step every second."""
    folder = RunFolder.create(path, CoevolutionConfig(iterations=1))
    folder.begin("iteration-0/evaluate")
    folder.finish("iteration-0/evaluate", [])
    folder.begin("iteration-1/curriculum")
    step = 0
    while not stop.wait(1.0):
        step += 1
        folder.log(
            {"event": "curriculum_step", "iteration": 1, "step": step, "steps": 1000, "reward": 0.5, "r_unc": 0.4}
        )
    folder.close()


def measure(scratch: Path, trajectories: int, seconds: float) -> dict[str, float]:
    """All numbers."""
    found: dict[str, Any] = {"trajectories": trajectories}
    make(scratch / "many", trajectories)
    with watching(scratch / "many") as (server, port, ready):
        found |= {"ready_s": ready, "ready_cpu_s": cpu_s(server.pid)}
        task = f"/trajectories?origin=0&iteration=2&task=i2-{trajectories // 48}"
        assert len(get(port, task)) > 100
        before, begin = cpu_s(server.pid), time.perf_counter()
        get(port, task)
        found |= {"task_s": time.perf_counter() - begin, "task_cpu_s": cpu_s(server.pid) - before}
        before, begin = cpu_s(server.pid), time.monotonic()
        time.sleep(seconds / 3)
        found["alone_percent"] = 100 * (cpu_s(server.pid) - before) / (time.monotonic() - begin)
        found["idle_percent"], _ = share_of_a_core(server, port, seconds)
        found["peak_mb"] = peak_mb(server.pid)
    stop = threading.Event()
    run = threading.Thread(target=in_progress, args=(scratch / "going", stop))
    run.start()
    try:
        with watching(scratch / "going") as (server, port, _):
            found["following_percent"], found["updates"] = share_of_a_core(server, port, seconds)
    finally:
        stop.set()
        run.join()
    return found


def peak_mb(process: int) -> float:
    """The most memory that a process has had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1000 if found else 0.0


def show(found: dict[str, float]) -> None:
    """The table."""
    kept = "kept" if found["idle_percent"] <= GOAL_IDLE else "MISSED"
    lines = [
        ("page there after the start", f"{found['ready_s']:.1f} s ({found['ready_cpu_s']:.1f} s CPU)"),
        ("a task opened", f"{1000 * found['task_s']:.0f} ms ({1000 * found['task_cpu_s']:.0f} ms CPU)"),
        ("no page open", f"{found['alone_percent']:.2f} % of a core"),
        ("a page open, run at rest", f"{found['idle_percent']:.2f} % of a core (goal {GOAL_IDLE:.0f} %: {kept})"),
        (
            "a page open, a step each second",
            f"{found['following_percent']:.2f} % of a core, {found['updates']} updates",
        ),
        ("most memory", f"{found['peak_mb']:.0f} MB"),
    ]
    print(f"a run of {found['trajectories']:,} trajectories")
    for name, value in lines:
        print(f"  {name:<32} {value}")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument("--trajectories", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each measurement of CPU")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(Path(scratch), asked.trajectories, asked.seconds)
    print(json.dumps(found)) if asked.json else show(found)


if __name__ == "__main__":
    main()
