"""``coevolve sandbox run``: any file is run or refused clearly, and how it ended is told outside of its output."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from coevolve.cli import app

KEYS = ["status", "stdout", "stderr", "truncated", "exit_code", "signal", "wall_ms", "cpu_ms"]


def call(*arguments: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["sandbox", "run", *arguments], input=given, catch_exceptions=False)


def result_of(source: bytes, *arguments: str) -> dict[str, Any]:
    called = call("-", "--json", *arguments, given=source)
    assert called.exit_code == 0, called.stderr
    content = json.loads(called.stdout)
    assert list(content) == KEYS
    assert isinstance(content, dict)
    return content


def test_a_file_runs_and_its_streams_stay_apart(tmp_path: Path) -> None:
    file = tmp_path / "snippet.py"
    file.write_text("import sys; print(6*7); sys.exit('no')")
    called = call(str(file))
    assert called.exit_code == 0
    assert called.stdout == "42\n"
    assert called.stderr.startswith("no\n[error: exit code 1, ")
    assert called.stderr.count("\n") == 2


def test_several_files_are_snippets_of_their_own(tmp_path: Path) -> None:
    for name, code in {"a": "x = 1; print(x)", "b": "print(x)"}.items():
        (tmp_path / name).write_text(code)
    called = call(str(tmp_path / "a"), str(tmp_path / "b"), "--json")
    first, second = (json.loads(line) for line in called.stdout.splitlines())
    assert (first["status"], second["status"]) == ("ok", "error")
    assert "NameError" in second["stderr"]


def test_several_files_are_cells_of_one_session(tmp_path: Path) -> None:
    cells = {"a": b"x = 1", "b": b"\xff", "c": b"print(x, flush=True); import os; os._exit(0)", "d": b"print(x)"}
    for name, code in cells.items():
        (tmp_path / name).write_bytes(code)
    called = call(*(str(tmp_path / name) for name in cells), "--session", "--json")
    assert called.exit_code == 0
    results = [json.loads(line) for line in called.stdout.splitlines()]
    assert [list(result) for result in results] == [KEYS] * 4
    assert [result["status"] for result in results] == ["ok", "error", "ok", "session_lost"]
    assert results[2]["stdout"] == "1\n"


@pytest.mark.parametrize(
    ("source", "stdout"),
    [
        (b"print('caf\xc3\xa9')", "café\n"),
        (b"\xef\xbb\xbfprint('mark')", "mark\n"),
        (b"# coding: latin-1\nprint('\xe9')", "é\n"),
        (b"if 1:\r\n\tprint('''a\r\nb''')\r\n", "a\nb\n"),
        (b"print('\\ud800')", "\\ud800\n"),
        (b"", ""),
    ],
    ids=["utf-8", "byte-order mark", "coding line", "CRLF", "prints a surrogate", "empty"],
)
def test_bytes_become_code_as_python_reads_a_file(source: bytes, stdout: str) -> None:
    content = result_of(source)
    assert (content["status"], content["stdout"]) == ("ok", stdout)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"print('a\0')", "null bytes"),
        (b"\n\n\nprint('\xff')", "can't decode byte 0xff"),
        (b"print('\xed\xa0\x80')", "SyntaxError"),
        (b"# coding: nothing\n", "unknown encoding: nothing"),
        (b"# coding: hex\n", "unknown encoding: hex"),
        (b"\xff\xfep\0r\0i\0n\0t\0", "SyntaxError"),
        (b"x" * 10_000_000, "SnippetTooLong: more than 65000 bytes"),
        (b"```python\nprint(1)\n```", "SyntaxError"),
        (b"(" * 5_000, "SyntaxError"),
    ],
    ids=["NUL", "no UTF-8", "surrogate", "no coding", "no text", "UTF-16", "10 MB", "fences", "nested"],
)
def test_what_is_no_code_is_an_error_of_the_snippet(source: bytes, says: str) -> None:
    content = result_of(source)
    assert (content["status"], content["exit_code"], content["stdout"]) == ("error", 1, "")
    assert says in content["stderr"]


def test_limits_and_packages_can_be_asked_for() -> None:
    assert result_of(b"while True: pass", "--cpu", "0.1")["status"] == "cpu_limit"
    assert result_of(b"import time; time.sleep(9)", "--wall", "0.2")["status"] == "timeout"
    assert result_of(b"bytearray(80 << 20)", "--memory", "64")["status"] == "memory"
    flood = result_of(b"print('x' * 999)", "--output", "100")
    assert (flood["status"], flood["truncated"], flood["stdout"]) == ("output_limit", True, "x" * 100)
    code = b"import numpy as n, sympy as s; print(n.ones(2).sum(), s.factorint(6))"
    assert result_of(code, "--preload", "numpy,sympy")["stdout"] == "2.0 {2: 1, 3: 1}\n"


def test_no_packages_can_be_asked_for() -> None:
    assert "No module named 'numpy'" in result_of(b"import numpy", "--preload", "")["stderr"]


def test_an_endless_file_is_not_read_to_its_end() -> None:
    called = call("/dev/zero")
    assert called.exit_code == 0
    assert "SnippetTooLong" in called.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere.py",), "nowhere.py"),
        ((os.sep,), "Is a directory"),
        (("-", "-"), "once"),
        (("-", "--cpu", "-1"), "sandbox.cpu_s"),
        (("-", "--preload", "no_such_package"), "no_such_package"),
        (("-", "--set", "sandbox.cpu=1"), "did you mean"),
    ],
)
def test_a_wrong_request_is_told_and_nothing_runs(arguments: tuple[str, ...], says: str) -> None:
    called = call(*arguments, given=b"print('ran')")
    assert called.exit_code in (1, 2)
    assert says in called.stderr
    assert "fix: " in called.stderr
    assert called.stdout == ""
