"""What it costs when one of two sandbox servers is cut off: nothing lost, and how long it takes until that is noticed.

    python benchmarks/sandbox_hosts.py [--snippets 400]        as root; each server in a network namespace of its own

The link to one of them is taken down when a third of the snippets are done: what was on its way never comes back. Where
the machine forbids network namespaces the reason is printed, and nothing is measured.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.base import Limits
from coevolve.sandbox.remote.client import RemoteTool

HOSTS, PORT, TOKEN = 2, 8765, "a-token-for-this-benchmark"
INSIDE = "COEVOLVE_BENCHMARK_INSIDE"
LIMITS = Limits(cpu_s=2.0, wall_s=8.0, memory_mb=128, output_bytes=16384)
NAP = "import time; time.sleep(0.1); print({})"


@dataclass(frozen=True, slots=True)
class Row:
    """One pass over all snippets."""

    way: str
    seconds: float
    wrong: int
    attempts_lost: int
    longest_gap_s: float  # between two snippets that ended


def main() -> None:
    """Enter a network namespace, then measure there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snippets", type=int, default=400)
    snippets = parser.parse_args().snippets
    if os.environ.get(INSIDE):
        measure(snippets)
        return
    reason = forbidden()
    if reason:
        print(f"nothing is measured: {reason}")
        return
    command = ["unshare", "--net", sys.executable, *sys.argv]
    sys.exit(subprocess.run(command, env=os.environ | {INSIDE: "1"}, check=False).returncode)


def forbidden() -> str | None:
    """Why there can be no namespaces here; None where there can."""
    missing = [name for name in ("unshare", "nsenter", "ip") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (util-linux, iproute2)"
    probe = "ip link set lo up && ip link add probe0 type veth peer name probe1"
    tried = subprocess.run(["unshare", "--net", "sh", "-c", probe], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"this machine forbids network namespaces: {tried.stderr.strip()}"


def measure(snippets: int) -> None:
    """Print a row for an unbroken pass and one for a pass in which a link goes down."""
    ip("link", "set", "lo", "up")
    with ExitStack() as stack:
        urls = [stack.enter_context(host(n)) for n in range(HOSTS)]
        tool = stack.enter_context(RemoteTool(*urls, token=TOKEN, limits=LIMITS, requests=16))
        rows = [one_pass(tool, snippets, "unbroken", cut=False), one_pass(tool, snippets, "one link down", cut=True)]
        told = tool.stats.told
    print(f"{snippets} snippets of 0.1 s, {HOSTS} servers of 2 workers each\n")
    print("| | seconds | snippets lost or wrong | attempts lost | longest wait for an end, s |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row.way} | {row.seconds:.1f} | {row.wrong} | {row.attempts_lost} | {row.longest_gap_s:.1f} |")
    print("\n" + "\n".join(told))


def one_pass(tool: RemoteTool, snippets: int, way: str, *, cut: bool) -> Row:
    """Run all of them; with ``cut`` the link to the first server goes down after a third."""
    begin = last = time.perf_counter()
    failures, gap, was_cut = tool.stats.infra_failures, 0.0, not cut
    futures = [tool.submit(NAP.format(n)) for n in range(snippets)]
    pending = set(futures)
    while pending:
        _, pending = wait(pending, return_when=FIRST_COMPLETED)
        now = time.perf_counter()
        gap, last = max(gap, now - last), now
        if not was_cut and len(pending) <= snippets * 2 // 3:
            ip("link", "set", "host0", "down")
            was_cut = True
    wrong = 0
    for n, future in enumerate(futures):
        try:
            wrong += future.result().stdout != f"{n}\n"
        except SandboxInfraError:
            wrong += 1
    return Row(way, time.perf_counter() - begin, wrong, tool.stats.infra_failures - failures, gap)


@contextmanager
def host(number: int) -> Iterator[str]:
    """A namespace with a server in it, behind the link ``host<number>``; its address."""
    ours, theirs = f"10.77.{number}.1", f"10.77.{number}.2"
    with ExitStack() as stack:
        place = stack.enter_context(subprocess.Popen(["unshare", "--net", "sleep", "infinity"]))
        stack.callback(place.kill)
        while os.readlink(f"/proc/{place.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)
        ip("link", "add", f"host{number}", "type", "veth", "peer", "name", "up0", "netns", str(place.pid))
        ip("address", "add", f"{ours}/24", "dev", f"host{number}")
        ip("link", "set", f"host{number}", "up")
        there = ["nsenter", "--target", str(place.pid), "--net"]
        for command in (
            ["link", "set", "lo", "up"],
            ["address", "add", f"{theirs}/24", "dev", "up0"],
            ["link", "set", "up0", "up"],
        ):
            subprocess.run([*there, "ip", *command], check=True)
        serve = ["sandbox", "serve", "--host", theirs, "--port", str(PORT), "--workers", "2", "--queue", "64"]
        limits = ["--cpu", "2", "--wall", "8", "--memory", "128", "--output", "16384"]
        server = stack.enter_context(
            subprocess.Popen(
                [*there, sys.executable, "-m", "coevolve", *serve, *limits],
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"COEVOLVE_SANDBOX_TOKEN": TOKEN},
            )
        )
        stack.callback(server.kill)
        assert server.stdout is not None
        assert "ready" in server.stdout.readline()
        yield f"http://{theirs}:{PORT}"


def ip(*arguments: str) -> None:
    """Configure the network of this namespace."""
    subprocess.run(["ip", *arguments], check=True)


if __name__ == "__main__":
    main()
