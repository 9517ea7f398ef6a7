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
from typing import ClassVar

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
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b"{}", "model.safetensors": b"weights", "weights.bin": b"pickled: never wanted"}
CODES = {"terms": (403, "GatedRepo"), "nothing": (404, "RepoNotFound"), "broken": (500, "")}


class Hub(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Faults by the name of the model; ``whole`` can be downloaded."""
        path = self.path.partition("?")[0]
        self.asked.append(path)
        if "whole" in path:
            name = path.rpartition("/")[2]
            tree = [{"type": "file", "path": f, "oid": "0" * 40, "size": len(FILES[f])} for f in FILES]
            whole = {"main": {"id": "someone/whole", "sha": COMMIT}, COMMIT: tree}
            content = FILES[name] if "/resolve/" in path else json.dumps(whole[name]).encode()
            self.send_response(200)
            for header, value in {"X-Repo-Commit": COMMIT, "ETag": f'"{name}"', "Content-Length": len(content)}.items():
                self.send_header(header, str(value))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)
            return
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
    store = cache / f"models--{name.replace('/', '--')}"
    snapshot = store / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (store / "refs").mkdir()
    (store / "refs" / "main").write_text(COMMIT)
    return snapshot


def test_an_id_in_the_cache_is_its_folder_and_nobody_is_asked(tmp_path: Path, hub: str) -> None:
    snapshot = cached(tmp_path / "cache", "someone/terms")
    for offline in (False, True):
        found = ask("someone/terms", tmp_path / "cache", hub, offline=offline)
        assert found == {"here": str(snapshot), "folder": str(snapshot)}


def test_what_the_cache_lacks_is_downloaded_once_without_pickled_weights(tmp_path: Path, hub: str) -> None:
    first = ask("someone/whole", tmp_path / "cache", hub)
    assert first["here"] == "someone/whole"
    folder = Path(first["folder"])
    assert {file.name for file in folder.iterdir()} == {"config.json", "model.safetensors"}
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    Hub.asked.clear()
    assert ask("someone/whole", tmp_path / "cache", hub) == {"here": str(folder), "folder": str(folder)}
    assert Hub.asked == []
    (folder / "model.safetensors").unlink()
    assert "HF_HUB_OFFLINE" in ask("someone/whole", tmp_path / "cache", hub, offline=True)["what"]
    assert ask("someone/whole", tmp_path / "cache", hub)["folder"] == str(folder)
    assert (folder / "model.safetensors").read_bytes() == b"weights"


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
