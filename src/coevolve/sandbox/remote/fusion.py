"""SandboxFusion's POST /run_code, from both sides.

Its vocabulary is smaller than ours: snippets stopped for time, CPU or output differ only in run status and return code.
Our server rejects standard input, files and other languages; our client never asks for them."""

from __future__ import annotations

from dataclasses import dataclass

from coevolve.sandbox.base import Limits, Status, ToolResult
from coevolve.sandbox.child import status_of_exit
from coevolve.sandbox.remote.wire import LATE_S, Body, Malformed, take, take_optional, take_within

_RETURN_CODES = range(-64, 256)  # minus a signal, or an exit code
_LATE = (Status.TIMEOUT, Status.CPU_LIMIT)


class Refused(Exception):
    """A request that this server cannot serve as asked."""


class Spoilt(Exception):
    """The server says that it could not run the snippet."""


@dataclass(frozen=True, slots=True)
class RunCode:
    """A valid request: the snippet, and the wall seconds after which it counts as late."""

    code: str
    run_timeout: float


def request_from_body(body: Body, limits: Limits) -> RunCode:
    """Read a request.

    Raises:
        Malformed: a field has another type than it must have.
        Refused: it asks for something that is not done here.
    """
    code = take(body, "code", str)
    language = take_optional(body, "language", str) or "python"
    if language != "python":
        raise Refused(f"language {language[:40]!r}: this server runs python only")
    for key in ("files", "fetch_files", "args", "stdin"):
        if body.get(key):
            raise Refused(f"{key}: snippets have no files, no arguments and no input on this server")
    memory_mb = take_optional(body, "memory_limit_MB", int)
    if memory_mb is not None and 0 < memory_mb < limits.memory_mb:
        raise Refused(
            f"memory_limit_MB {memory_mb}: every snippet has {limits.memory_mb} MB on this server; "
            f"start it with --memory {memory_mb}"
        )
    run_timeout = take_optional(body, "run_timeout", float)
    if run_timeout is not None and run_timeout <= 0:
        raise Refused(f"run_timeout {run_timeout:g}: no snippet ends before it begins")
    return RunCode(code, limits.wall_s if run_timeout is None else run_timeout)


def result_to_body(result: ToolResult, run_timeout: float) -> dict[str, object]:
    """The body of an answer. A snippet slower than the client asked for is late, even within our own limit."""
    late = result.status in _LATE or result.wall_ms > run_timeout * 1e3
    code = result.exit_code if result.signal is None else -result.signal
    return {
        "status": "Success" if code == 0 and not late else "Failed",
        "message": "",
        "compile_result": None,
        "run_result": {
            "status": "TimeLimitExceeded" if late else "Finished",
            "execution_time": result.wall_ms / 1e3,
            "return_code": None if late else code,
            "stdout": result.stdout,
            "stderr": result.stderr,
        },
        "executor_pod_name": None,
        "files": {},
    }


def error_to_body(message: str) -> dict[str, object]:
    """The answer to a request that was not done."""
    return {
        "status": "SandboxError",
        "message": message,
        "compile_result": None,
        "run_result": None,
        "executor_pod_name": None,
        "files": {},
    }


def request_to_body(code: str, limits: Limits) -> dict[str, object]:
    """Ask for a snippet within these limits, as far as the protocol has words for them."""
    return {
        "code": code,
        "language": "python",
        "run_timeout": limits.wall_s,
        "compile_timeout": limits.wall_s,
        "memory_limit_MB": limits.memory_mb,
        "stdin": None,
        "files": {},
        "fetch_files": [],
    }


def result_from_body(body: Body, limits: Limits) -> ToolResult:
    """Read an answer; output beyond the limit is cut here.

    Raises:
        Malformed: it is not a valid answer.
        Spoilt: the server could not run the snippet.
    """
    status = take(body, "status", str)
    run = take_optional(body, "run_result", dict)
    if status == "SandboxError" or (run is not None and run.get("status") == "Error"):
        raise Spoilt(str(body.get("message") or "no reason given")[:300])
    if status not in ("Success", "Failed") or run is None:
        raise Malformed(f"status {status[:40]!r} with{'out' if run is None else ''} run_result")
    stdout, stderr = take_optional(run, "stdout", str) or "", take_optional(run, "stderr", str) or ""
    kept_out, kept_err = _cut(stdout, limits.output_bytes), _cut(stderr, limits.output_bytes)
    kept_err = _cut(kept_err, limits.output_bytes - len(kept_out.encode("utf-8", "replace")))
    truncated = (kept_out, kept_err) != (stdout, stderr)
    told = run.get("execution_time") is not None
    seconds = take_within(run, "execution_time", limits.longest_wall_s + LATE_S) if told else 0.0
    code = None
    if take(run, "status", str) == "TimeLimitExceeded":
        ending = Status.TIMEOUT
    elif run["status"] == "Finished":
        code = take(run, "return_code", int)
        if code not in _RETURN_CODES:
            raise Malformed(f"return code {str(code)[:20]}")
        ending = status_of_exit(code, stderr)
    else:
        raise Malformed(f"run status {str(run['status'])[:40]!r}")
    return ToolResult(
        status=Status.OUTPUT_LIMIT if truncated else ending,
        stdout=kept_out,
        stderr=kept_err,
        truncated=truncated,
        exit_code=code if code is not None and code >= 0 else None,
        signal=-code if code is not None and code < 0 else None,
        wall_ms=seconds * 1e3,
        cpu_ms=0.0,
    )


def _cut(text: str, size: int) -> str:
    """The text cut to at most this many bytes, at a character boundary."""
    data = text.encode("utf-8", "replace")
    return text if len(data) <= size else data[:size].decode("utf-8", "ignore")
