"""Copies of benchmarks from a hub: a small server stands for it, and the hub's own client asks it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from benchmark_rows import hub_rows, parquet_bytes

import coevolve

COMMIT = "0123456789abcdef0123456789abcdef01234567"
AIME = "".join(json.dumps(row) + "\n" for row in hub_rows("aime25", 30)).encode()
CODE = b"raise SystemExit('a script of a repository must never run')"
REPOSITORIES: dict[str, dict[str, bytes]] = {
    "HuggingFaceH4/MATH-500": {"test.jsonl": b"", "README.md": b"#", "MATH-500.py": CODE},
    "math-ai/aime25": {"test.jsonl": AIME, "aime25.py": CODE},
    "openai/gsm8k": {
        "main/test-00000-of-00001.parquet": parquet_bytes(hub_rows("gsm8k", 1319)),
        "socratic/test-00000-of-00001.parquet": parquet_bytes(hub_rows("gsm8k", 2)),
    },
    "m-a-p/SuperGPQA": {"data/validation.jsonl": b"{}"},
}
FAULTS = {
    "yentinglin/aime_2025": (403, "GatedRepo"),
    "zwhe99/simplerl-OlympiadBench": (500, ""),
    "Hothan/OlympiadBench": (404, "RevisionNotFound"),
}
SCRIPT = """
import json, sys
from coevolve.suites.registry import find
from coevolve.errors import ConfigError
for name in sys.argv[1:]:
    try:
        loaded = find(name, any_copy=name == "aime25").load()
        print(json.dumps({"n": len(loaded.problems), "copy": loaded.copy, "notes": loaded.notes}))
    except ConfigError as error:
        print(json.dumps({"what": error.what, "where": error.where, "fix": error.fix}))
"""


class Hub(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        owner, name, *rest = path.removeprefix("/api").removeprefix("/datasets/").split("/")
        repo = f"{owner}/{name}"
        files = REPOSITORIES.get(repo)
        if files is None:
            self._answer(*FAULTS.get(repo, (401, "RepoNotFound")))
        elif rest[0] == "resolve":
            self._answer(200, "", files["/".join(rest[2:])])
        elif rest[0] == "tree":
            tree = [{"type": "file", "path": f, "oid": "0" * 40, "size": len(files[f])} for f in files]
            self._answer(200, "", json.dumps(tree).encode())
        else:
            self._answer(200, "", json.dumps({"id": repo, "sha": COMMIT}).encode())

    do_HEAD = do_GET

    def _answer(self, status: int, code: str, content: bytes = b"") -> None:
        found = re.findall(r"/([0-9a-f]{40})", self.path)
        self.send_response(status)
        headers = {
            "X-Error-Code": code,
            "X-Repo-Commit": found[0] if found else COMMIT,
            "ETag": f'"{abs(hash(self.path))}"',
        }
        for header, value in {**headers, "Content-Length": str(len(content))}.items():
            if value:
                self.send_header(header, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None: ...


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def ask(names: list[str], cache: Path, endpoint: str, *, offline: bool = False) -> list[dict[str, Any]]:
    """What a process with this cache and hub makes of benchmarks; both are read when the library is imported."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(coevolve.__file__).parents[1]),
        "HF_HUB_CACHE": str(cache),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": str(int(offline)),
    }
    command = [sys.executable, "-c", SCRIPT, *names]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_the_hub_answers_decides_what_is_read(tmp_path: Path, endpoint: str) -> None:
    names = ["gsm8k", "aime25", "amc", "olympiad", "supergpqa", "math-500"]
    gsm8k, aime25, amc, olympiad, supergpqa, math500 = ask(names, tmp_path, endpoint)
    assert (gsm8k["n"], gsm8k["copy"], gsm8k["notes"]) == (1319, "openai/gsm8k@cc7b047 main/test", [])
    assert (aime25["n"], aime25["copy"]) == (30, "math-ai/aime25@563bb84 test")
    taken, answers = aime25["notes"]
    assert "yentinglin/aime_2025: not in the cache, and its makers give it only to who accepts their terms" in taken
    assert "the answers are not those of aime25" in answers
    assert "zwhe99/amc23: not in the cache, and the hub knows none of this name, or it is private" in amc["what"]
    assert "hf download" in amc["fix"]
    assert "zwhe99/simplerl-OlympiadBench: not in the cache, and it cannot be downloaded" in olympiad["what"]
    assert "Hothan/OlympiadBench: not in the cache, and the revision main is gone" in olympiad["what"]
    assert "no split 'train' (there is: validation)" in supergpqa["what"]
    assert math500["what"] == "the file has no rows"
    assert not [path for path in Hub.asked if path.endswith(".py") or "socratic" in path]

    Hub.asked.clear()
    again, lacking = ask(["gsm8k", "mmlu-pro"], tmp_path, endpoint, offline=True)
    assert again == gsm8k  # the cache has all of it
    assert "TIGER-Lab/MMLU-Pro: not in the cache, and HF_HUB_OFFLINE forbids to download it" in lacking["what"]
    assert "mmlu-pro.jsonl" in lacking["fix"]
    assert Hub.asked == []
