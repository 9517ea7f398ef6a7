"""A model by its hub id: from the cache, or a fault in words. A small server stands for the hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import coevolve

SCRIPT = """
import json, sys
from coevolve.engine.hub import fetch_model, model_folder
from coevolve.errors import ModelError
name = sys.argv[1]
try:
    print(json.dumps({"here": str(model_folder(name)), "folder": str(fetch_model(name))}))
except ModelError as error:
    print(json.dumps({"here": str(model_folder(name)), "what": error.what, "fix": error.fix}))
"""
CODES = {"terms": (403, "GatedRepo"), "nothing": (404, "RepoNotFound"), "broken": (500, "")}


class Hub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, code = next((found for name, found in CODES.items() if name in self.path), (404, "EntryNotFound"))
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, format: str, *arguments: object) -> None: ...


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def ask(name: str, cache: Path, endpoint: str, *, offline: bool = False, cwd: Path | None = None) -> dict[str, str]:
    """What a process with this cache and hub makes of a name; both are read when the library is imported."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(coevolve.__file__).parents[1]),
        "HF_HUB_CACHE": str(cache),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": str(int(offline)),
    }
    command = [sys.executable, "-c", SCRIPT, name]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def cached(cache: Path, name: str) -> Path:
    """The cache as a download leaves it."""
    commit, store = "0123456789abcdef0123456789abcdef01234567", cache / f"models--{name.replace('/', '--')}"
    snapshot = store / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (store / "refs").mkdir()
    (store / "refs" / "main").write_text(commit)
    return snapshot


def test_an_id_in_the_cache_is_its_folder_and_nobody_is_asked(tmp_path: Path, hub: str) -> None:
    snapshot = cached(tmp_path / "cache", "someone/terms")
    for offline in (False, True):
        found = ask("someone/terms", tmp_path / "cache", hub, offline=offline)
        assert found == {"here": str(snapshot), "folder": str(snapshot)}


def test_a_folder_goes_before_an_id_of_the_same_name(tmp_path: Path, hub: str) -> None:
    cached(tmp_path / "cache", "someone/model")
    (tmp_path / "someone" / "model").mkdir(parents=True)
    assert ask("someone/model", tmp_path / "cache", hub, cwd=tmp_path)["folder"] == "someone/model"


@pytest.mark.parametrize(
    ("name", "offline", "what", "fix"),
    [
        ("someone/terms", False, "accepts their terms", "hf auth login"),
        ("someone/nothing", False, "knows none of this name", "look at the name"),
        ("someone/broken", False, "cannot be downloaded", "give a folder"),
        ("someone/model", True, "HF_HUB_OFFLINE forbids", "where there is a network"),
    ],
)
def test_an_id_that_cannot_be_had_says_why(
    tmp_path: Path, hub: str, name: str, offline: bool, what: str, fix: str
) -> None:
    found = ask(name, tmp_path, hub, offline=offline)
    assert found["here"] == name
    assert what in found["what"]
    assert found["what"].startswith(f"{name} is no folder here")
    assert fix in found["fix"]


def test_without_a_network_the_fault_is_named(tmp_path: Path) -> None:
    assert "cannot be downloaded" in ask("someone/model", tmp_path, "http://127.0.0.1:9")["what"]


def test_what_cannot_be_an_id_is_a_folder_that_is_not_there(tmp_path: Path, hub: str) -> None:
    for name in ("/no/such/folder", "./a/b", "a/b/c", "alone"):
        assert Path(ask(name, tmp_path, hub)["folder"]) == Path(name)
