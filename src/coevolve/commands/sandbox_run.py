"""``coevolve sandbox run``: files, run as snippets of a model are."""

from __future__ import annotations

import io
import json
import sys
import tokenize
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from coevolve.commands.markdown import harmless
from coevolve.config import SandboxSection
from coevolve.errors import ConfigError
from coevolve.sandbox.base import LONGEST_CODE, Tool, ToolResult, refused
from coevolve.sandbox.factory import open_tool

STANDARD_INPUT = Path("-")
_SESSION = "command-line"
_SHOWN = ("status", "stdout", "stderr", "truncated", "exit_code", "signal", "wall_ms", "cpu_ms")


def run_files(box: SandboxSection, files: Sequence[Path], *, session: bool, as_json: bool) -> None:
    """Run each file as one snippet, or all of them as the cells of one session, and print what came of each.

    Raises:
        ConfigError: a file cannot be read, or standard input is named twice.
        SandboxUnavailable: no code may run on this machine.
        SandboxInfraError: the sandbox itself failed.
    """
    if list(files).count(STANDARD_INPUT) > 1:
        raise ConfigError("standard input can be read once only", where="- -", fix="name it once")
    sources = [_read(file) for file in files]
    with closing(open_alone(box, sessions=int(session))) as tool:
        for source in sources:
            _print(_run(tool, source, _SESSION if session else None), as_json=as_json)


def open_alone(box: SandboxSection, *, sessions: int = 0) -> Tool:
    """The tool that a run with these keys would have, for one snippet at a time and without a memory."""
    return open_tool(box.model_copy(update={"workers": 1}), cache=0, sessions=sessions)


def _read(file: Path) -> bytes:
    """Not more than it takes to know that it is too long: the file may be a device without an end."""
    if file == STANDARD_INPUT:
        return sys.stdin.buffer.read(LONGEST_CODE + 1)
    try:
        with file.open("rb") as stream:
            return stream.read(LONGEST_CODE + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read the file to run: {error.strerror}",
            where=str(file),
            fix="name a file, or - for standard input",
        ) from error


def _run(tool: Tool, source: bytes, session: str | None) -> ToolResult:
    if len(source) > LONGEST_CODE:
        return refused(f"SnippetTooLong: more than {LONGEST_CODE} bytes of code, the most that is run")
    try:
        code = text_of(source)
    except SyntaxError as error:
        return refused(f"SyntaxError: {error.msg}")
    return tool.run(code, session)


def text_of(source: bytes) -> str:
    """The code in a file, decoded as ``python FILE`` would: a byte-order mark or a coding line count, else UTF-8.

    Raises:
        SyntaxError: the coding line names no encoding of text, or the bytes are not in the encoding.
    """
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    try:
        return source.decode(encoding)
    except LookupError as error:
        raise SyntaxError(f"unknown encoding: {encoding}") from error
    except UnicodeError as error:
        raise SyntaxError(f"the code is not text: {error}") from error


def _print(result: ToolResult, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({name: getattr(result, name) for name in _SHOWN}), flush=True)
        return
    for text, stream in ((result.stdout, sys.stdout), (result.stderr, sys.stderr)):
        # A file or a program gets every byte; a terminal would obey some of them.
        print(harmless(text) if stream.isatty() else text, end="", file=stream, flush=True)
    ended = f"signal {result.signal}" if result.signal else f"exit code {result.exit_code}"
    cut = ", output cut" if result.truncated else ""
    took = f"{result.wall_ms:.1f} ms, {result.cpu_ms:.1f} ms of CPU"
    print(f"[{result.status}: {ended}, {took}{cut}]", file=sys.stderr, flush=True)
