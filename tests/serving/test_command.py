"""The command itself, as a process with signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import coevolve
from coevolve.errors import ConfigError

from .conftest import PATIENCE_S

QUESTION = "Let a = 12 + 30. Find a."


def test_a_signal_lets_what_is_in_flight_finish_and_the_exit_code_is_0(tmp_path: Path) -> None:
    """Takes seconds: it is the only test of the whole process, with its model and sandbox."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(coevolve.__file__).parents[1])}
    command = [sys.executable, "-m", "coevolve", "serve", "miniature", "--port", "0", "--set", "engine.workers=1"]
    environment.pop("COEVOLVE_TOKEN", None)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as server:
        try:
            assert server.stdout is not None
            first = server.stdout.readline()
            assert first.startswith(" serving miniature   http://127.0.0.1:")
            body = {"prompt": [QUESTION] * 16, "n": 16, "stream": True}
            texts = []
            with httpx.stream("POST", f"{first.split()[-1]}/completions", json=body, timeout=PATIENCE_S) as response:
                assert response.status_code == 200  # it is in flight
                server.send_signal(signal.SIGTERM)
                for line in response.iter_lines():
                    texts.append(line.removeprefix("data: "))
            ended = [json.loads(text)["choices"][0] for text in texts if text.startswith("{")]
            assert sum(choice["finish_reason"] is not None for choice in ended) == 256
            assert "[DONE]" in texts
            assert server.wait(PATIENCE_S) == 0
            assert "finishing 1 request" in server.stdout.read()
        finally:
            server.kill()


def test_what_the_command_cannot_do_is_said_with_its_fix(cli: Callable[..., Any]) -> None:
    cli("serve", "no-such-model").assert_clear("no-such-model", code=2)
    cli("serve", "miniature", "--token", "short").assert_clear("can be guessed", code=2)
    cli("serve", "miniature", "--host", "host.invalid").assert_clear("cannot listen", code=2)


def test_without_its_packages_the_command_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from coevolve.commands import serve as command

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigError, match=r"coevolve\[serve\]"):
        command._require_packages()
