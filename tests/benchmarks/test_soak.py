"""The soak's own checks: each kind of fault that a sandbox could have is noticed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from coevolve.errors import SandboxInfraError
from coevolve.sandbox.base import Status, ToolResult

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FAILED = ToolResult(Status.ERROR, "", "", False, 1, None, 1.0, 1.0)


@pytest.fixture(scope="module")
def soak() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("soak_feeder")
    sys.path.remove(str(BENCHMARKS))


def tally_of(
    soak: ModuleType, end: Callable[[int], ToolResult | Exception], *, hostile: float = 0.0, sessions: float = 0.0
) -> SimpleNamespace:
    """Ten snippets in a pool that ends them in this way; all sessions must be ended by name."""
    calls = iter(range(1000))
    begun: set[str] = set()
    ended: set[str] = set()

    def submit(code: str, session: str | None) -> Future[ToolResult]:
        begun.update({session} if session else ())
        future: Future[ToolResult] = Future()
        outcome = end(next(calls))
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
        return future

    mixture = soak.Mixture(hostile=hostile, sessions=sessions, in_flight=64, kill_every=0, seed=0)
    one = soak.Soak(SimpleNamespace(submit=submit, end_session=ended.add), mixture)
    one.run(range(10))
    assert begun == ended
    assert len(begun) == 10 * sessions
    tally: SimpleNamespace = one.tally
    return tally


def right(soak: ModuleType, n: int) -> ToolResult:
    snippet = soak.good(n)
    status = Status.ERROR if snippet.error else Status.OK
    return replace(
        FAILED, status=status, stdout=snippet.stdout, stderr=snippet.error and f"Traceback\n{snippet.error}\n"
    )


def test_right_ends_are_right(soak: ModuleType) -> None:
    tally = tally_of(soak, lambda n: right(soak, n))
    assert (tally.good, tally.wrong, tally.lost, tally.examples) == (10, 0, 0, [])


def test_answers_of_other_snippets_and_false_ends_are_wrong(soak: ModuleType) -> None:
    assert tally_of(soak, lambda n: right(soak, n + 6)).wrong == 10
    assert tally_of(soak, lambda n: replace(right(soak, n), status=Status.TIMEOUT)).wrong == 10


def test_a_lost_sandbox_is_tried_again_but_not_for_ever(soak: ModuleType) -> None:
    once = tally_of(soak, lambda n: SandboxInfraError("gone") if n == 0 else right(soak, n if n < 10 else 0))
    assert (once.infra, once.good, once.lost, once.wrong) == (1, 10, 0, 0)
    assert tally_of(soak, lambda n: SandboxInfraError("gone")).lost == 10


def test_a_hostile_snippet_that_succeeds_is_odd(soak: ModuleType) -> None:
    tally = tally_of(soak, lambda n: replace(FAILED, status=Status.OK, stdout="42\n"), hostile=1.0)
    assert (tally.hostile, tally.odd) == (10, 10)


def test_a_session_that_is_lost_while_nothing_was_killed_is_wrong(soak: ModuleType) -> None:
    assert tally_of(soak, lambda n: replace(FAILED, status=Status.SESSION_LOST), sessions=1.0).wrong == 10


def test_a_session_must_find_its_own_value_in_every_cell(soak: ModuleType) -> None:
    """The second cell of each of ten sessions in step answers with the value of another one."""
    tally = tally_of(soak, lambda n: replace(FAILED, status=Status.OK, stdout="" if n < 10 else "8\n"), sessions=1.0)
    assert (tally.sessions, tally.wrong) == (10, 10)
