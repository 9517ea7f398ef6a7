"""What is remembered of a snippet: only what would come out again."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from coevolve.sandbox.base import Status, ToolResult
from coevolve.sandbox.cache import ResultCache


def _runs(status: Status, stderr: str) -> int:
    """How many times a snippet runs that is asked for twice and ends like this."""
    cache, runs = ResultCache(8), []

    def start(code: str, future: Future[ToolResult]) -> None:
        runs.append(code)
        future.set_result(ToolResult(status, "", stderr, False, 0, None, 1.0, 1.0))

    for _ in range(2):
        cache.submit("code", start).result()
    return len(runs)


@pytest.mark.parametrize(
    ("status", "stderr"),
    [
        (Status.ERROR, "Traceback ...\nRuntimeError: can't start new thread\n"),
        (Status.OK, "Exception in thread A:\nRuntimeError: can't start new thread\n"),
        (Status.ERROR, "BlockingIOError: [Errno 11] Resource temporarily unavailable\n"),
        (Status.ERROR, "OSError: [Errno 12] Cannot allocate memory\n"),
        (Status.ERROR, "OSError: [Errno 23] Too many open files in system\n"),
        (Status.ERROR, "OSError: [Errno 105] No buffer space available\nduring cleaning up\n"),
        *((status, "") for status in Status if status not in (Status.OK, Status.ERROR)),
    ],
)
def test_an_end_that_the_machine_may_have_caused_is_not_remembered(status: Status, stderr: str) -> None:
    assert _runs(status, stderr) == 2


@pytest.mark.parametrize(
    "stderr",
    [
        "",
        "ZeroDivisionError: division by zero\n",
        "PermissionError: [Errno 1] Operation not permitted\n",
        "FileNotFoundError: [Errno 2] No such file or directory: 'x'\n",
        "OSError: [Errno 24] Too many open files\n",
        "OSError: [Errno 111] Connection refused\n",
        "RecursionError: maximum recursion depth exceeded\n",
    ],
)
def test_an_end_of_the_snippets_own_is_remembered(stderr: str) -> None:
    assert _runs(Status.ERROR, stderr) == _runs(Status.OK, stderr) == 1
