"""Starts a real SkyRL server (JAX backend, one process tree) on loopback, and ends it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx

ENVIRONMENT = Path(__file__).parents[3] / ".venv-cluster"
_START_S = 300
# SkyRL 0.3.0 takes TypedDict from typing, which its pydantic refuses before Python 3.12.
_SHIM = "import typing\nimport typing_extensions\n\ntyping.TypedDict = typing_extensions.TypedDict\n"


class SkyRL:
    """A server over a model folder. What it saves outlives it: ``start`` goes on with the same files and address."""

    def __init__(self, folder: Path, model: Path) -> None:
        self._folder, self._model = folder, model
        (folder / "shim").mkdir()
        (folder / "shim" / "sitecustomize.py").write_text(_SHIM)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What it wrote."""
        return self._folder / "server.log"

    def start(self) -> None:
        """Start it, and wait until it answers. Its engine may still load the model then."""
        bin, folder = ENVIRONMENT / "bin", self._folder
        backend = {"max_lora_adapters": 6, "max_lora_rank": 8, "train_micro_batch_size": 8}
        # The server insists on being a child of uv, which is told to use this interpreter and to install nothing.
        command = [str(bin / "uv"), "run", "--no-project", "--python", str(bin / "python"), "-m", "skyrl.tinker.api"]
        command += ["--host", "127.0.0.1", "--port", str(self._port), "--base-model", str(self._model)]
        command += ["--backend", "jax", "--backend-config", json.dumps(backend | {"sample_max_num_sequences": 64})]
        command += ["--checkpoints-base", str(folder / "saved"), "--database-url", f"sqlite:///{folder / 'server.db'}"]
        command += ["--session-cleanup-interval-sec", "1", "--session-timeout-sec", "30"]
        cache = os.environ.get("COEVOLVE_JAX_CACHE", str(ENVIRONMENT / "jax-cache"))
        environment = os.environ | {
            "PATH": f"{bin}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "shim"),
            "HF_HUB_OFFLINE": "1",
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=folder
            )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                httpx.get(f"{self.url}/api/v1/healthz", timeout=5).raise_for_status()
                return
            except httpx.HTTPError:
                time.sleep(0.5)
        raise AssertionError(f"the server did not start: {self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """End all of its processes at once, as a lost machine would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
