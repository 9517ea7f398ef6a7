"""What `coevolve eval` itself costs: the ten benchmarks at their full size against a server that answers at once.

    python benchmarks/eval_overhead.py [--samples 52000] [--concurrency 32] [--json]

The rows are invented, in the layouts and numbers of the ten benchmarks: one greedy answer each, and 32 sampled ones of
AMC and AIME. With another number of samples every benchmark is larger or smaller in proportion. The server is a process
of its own, whose time is not counted; its answers are texts of about 400 tokens, six in ten of them right. All that the
command does is real: reading rows, requests, grading in both modes, answers on the disk, figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from string import ascii_uppercase
from time import perf_counter
from typing import Any

SAMPLED = 32
ROWS = {  # of the benchmarks
    "amc": 40,
    "aime24": 30,
    "aime25": 30,
    "minerva": 272,
    "math-500": 500,
    "gsm8k": 1319,
    "olympiad": 675,
    "supergpqa": 26529,
    "mmlu-pro": 12032,
    "bbeh": 4520,
}
REPEATED = ("amc", "aime24", "aime25")
ALL = sum(rows * (1 + SAMPLED * (name in REPEATED)) for name, rows in ROWS.items())
LIMIT_S, GROWTH = 20 * 60.0, 1.5
_THOUGHT = "Let us look at what is given, write it down in order, and take one small step after the other. "


@dataclass(frozen=True, slots=True)
class Cost:
    """What the command took."""

    samples: int
    wall_s: float
    cpu_s: float  # of the command and of the processes that it started
    early_mb: float  # resident memory at most, after a tenth of the answers
    peak_mb: float  # and at the end

    @property
    def per_second(self) -> float:
        return self.samples / self.wall_s


def truth(name: str, n: int) -> str:
    """The true answer to row n. One in five of the harder sets is no number."""
    if name in ("supergpqa", "mmlu-pro"):
        return ascii_uppercase[n * 7 % 10]
    if name == "bbeh":
        return f"({ascii_uppercase[n * 5 % 6]})"
    if name in ("minerva", "math-500", "olympiad") and n % 5 == 0:
        return f"\\frac{{{n + 2}\\sqrt{{3}}}}{{{n + 7}}}"
    return str(n % 997)


def spelled(answer: str) -> str:
    """A right answer in a form of its own."""
    return answer.replace("\\frac{", "\\dfrac{ ") if answer.startswith("\\frac") else answer


def fields(name: str, n: int) -> dict[str, Any]:
    """Row n in the layout of the benchmark."""
    question = f"In plot {n} of {name} a row of trees is planted, counted, cut and counted again. How many are left?"
    answer = truth(name, n)
    options = [f"{n + step} trees" for step in range(10)]
    match name:
        case "gsm8k":
            return {"question": question, "answer": f"Count them.\n#### {answer}"}
        case "olympiad":
            return {"question": question, "final_answer": [answer], "subfield": "Algebra"}
        case "supergpqa":
            return {"question": question, "options": options, "answer_letter": answer, "discipline": "Agronomy"}
        case "mmlu-pro":
            return {"question": question, "options": options, "answer": answer, "category": "other"}
        case "bbeh":
            return {"task": "counting", "question": question, "answer": answer}
        case "amc":
            return {"question": question, "answer": answer}
    return {"problem": question, "answer": answer, "solution": "", "level": 1 + n % 5, "subject": "Algebra"}


class Instant(asyncio.Protocol):
    """Answers every request as soon as it is complete."""

    def __init__(self, answered: Synchronized[int]) -> None:
        self._answered, self._data = answered, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, rest = self._data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        needed = int(length[1]) if length else 0
        if not found or len(rest) < needed:
            return
        self._data = rest[needed:]
        body = self._answer(rest[:needed]) if needed else json.dumps({"data": [{"id": "instant"}]})
        content = body.encode()
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(content) + content
        )

    def _answer(self, request: bytes) -> str:
        n, name = re.search(rb"In plot (\d+) of ([a-z0-9-]+)", request).groups()  # type: ignore[union-attr]
        self._answered.value += 1
        right = self._answered.value % 10 < 6
        answer = spelled(truth(name.decode(), int(n) + (not right)))
        message = {"role": "assistant", "content": f"{_THOUGHT * 16}\nSo it is \\boxed{{{answer}}}."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return json.dumps({"model": "instant", "choices": [choice], "usage": {"completion_tokens": 400}})


def serve(port: Synchronized[int], ready: Event, answered: Synchronized[int]) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Instant(answered), "127.0.0.1", 0)
        port.value = server.sockets[0].getsockname()[1]
        ready.set()
        await server.serve_forever()

    asyncio.run(main())


def measure(command: list[str], samples: int, answered: Synchronized[int]) -> Cost:
    """Run one command that asks for so many samples."""
    start, before = perf_counter(), answered.value
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    early, ended = 0.0, threading.Event()

    def look() -> None:
        nonlocal early
        while not ended.wait(0.02):
            if answered.value - before >= samples / 10:
                early = resident_mb(process.pid)
                return

    watcher = threading.Thread(target=look)
    watcher.start()
    said = process.stderr.read() if process.stderr else ""
    _, status, used = os.wait4(process.pid, 0)
    wall = perf_counter() - start
    ended.set()
    watcher.join()
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(said)
    return Cost(answered.value - before, wall, used.ru_utime + used.ru_stime, early, used.ru_maxrss / 1024)


def resident_mb(pid: int) -> float:
    """Resident memory of a process at most so far."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=52_000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--json", action="store_true", dest="as_json")
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    port, answered, ready = context.Value("i", 0), context.Value("i", 0), context.Event()
    server = context.Process(target=serve, args=(port, ready, answered), daemon=True)
    server.start()
    ready.wait()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        counts = {name: max(1, round(rows * args.samples / ALL)) for name, rows in ROWS.items()}
        for name, count in counts.items():
            lines = (json.dumps(fields(name, n)) + "\n" for n in range(count))
            (data / f"{name}.jsonl").write_text("".join(lines))
        command = [sys.executable, "-m", "coevolve", "eval", f"http://127.0.0.1:{port.value}/v1", "--quiet"]
        command += ["--data", folder, "--any-copy", "--dir", f"{folder}/out", "--concurrency", str(args.concurrency)]
        command += [f"--suite={name}" for name in ROWS]
        samples = sum(count * (1 + SAMPLED * (name in REPEATED)) for name, count in counts.items())
        cost = measure(command, samples, answered)
    server.terminate()
    report(cost, as_json=args.as_json)


def report(cost: Cost, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(cost) | {"samples_per_s": cost.per_second}, indent=1))
        return
    print(f"samples                 {cost.samples:>10,}")
    print(f"wall                    {cost.wall_s:>10.1f} s   (goal: {LIMIT_S:.0f} s at most for 52,000)")
    print(f"CPU of the command      {cost.cpu_s:>10.1f} s   {1e3 * cost.cpu_s / cost.samples:.2f} ms per sample")
    print(f"samples per second      {cost.per_second:>10.1f}")
    print(f"peak memory at 10 %     {cost.early_mb:>10.0f} MB")
    print(f"peak memory at the end  {cost.peak_mb:>10.0f} MB  (goal: flat, x {GROWTH:g} at most)")


if __name__ == "__main__":
    main()
