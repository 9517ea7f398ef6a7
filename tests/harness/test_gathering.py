from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import anyio

from coevolve.errors import EngineError
from coevolve.harness.gathering import Gathering
from coevolve.harness.target import Place, Reply
from coevolve.suites.base import task_of
from coevolve.worlds.base import Problem


class Echo:
    """Answers with the id of the task; a batch ends only when ``go`` is set."""

    name = "echo"
    facts: Mapping[str, object] = MappingProxyType({})

    def __init__(self) -> None:
        self.go = threading.Event()
        self.batches: list[list[Place]] = []
        self.fails = False

    def answer(self, problems: Sequence[Problem], places: Sequence[Place], seed: int) -> Iterator[tuple[Place, Reply]]:
        self.batches.append(list(places))
        self.go.wait()
        for place in reversed(places):
            yield place, Reply(problems[place.problem].task.id, None, "eos")
            if self.fails:
                raise EngineError("no memory")

    def close(self) -> None: ...


def problem(number: int) -> Problem:
    return Problem(task_of("p", str(number), "?"), "1")


def test_all_that_arrive_during_a_batch_are_the_next_one() -> None:
    echo, replies = Echo(), {}
    gathering = Gathering(echo, threading.Lock(), seed=0)

    async def ask(number: int) -> None:
        replies[number] = (await gathering.answer(problem(number), -1)).text

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(ask, number)
            while not echo.batches:
                await anyio.sleep(0.001)
            for number in range(5, 1000):
                group.start_soon(ask, number)
            await anyio.wait_all_tasks_blocked()
            echo.go.set()

    anyio.run(main)
    assert replies == {number: f"p-{number}" for number in range(1000)}
    assert [len(batch) for batch in echo.batches] == [5, 995]


def test_a_target_that_fails_keeps_what_it_had_answered() -> None:
    echo = Echo()
    echo.go.set()
    echo.fails = True
    gathering = Gathering(echo, threading.Lock(), seed=0)
    ends = []

    async def ask(number: int) -> None:
        try:
            ends.append((await gathering.answer(problem(number), 0)).text)
        except EngineError as error:
            ends.append(error.what)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(ask, number)

    anyio.run(main)
    assert sorted(ends) == ["no memory", "no memory", "p-2"]


def test_one_that_is_cancelled_before_its_turn_is_not_asked() -> None:
    echo = Echo()
    gathering = Gathering(echo, threading.Lock(), seed=0)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(gathering.answer, problem(0), -1)
            while not echo.batches:
                await anyio.sleep(0.001)
            async with anyio.create_task_group() as later:
                later.start_soon(gathering.answer, problem(1), -1)
                await anyio.wait_all_tasks_blocked()
                later.cancel_scope.cancel()
            echo.go.set()

    anyio.run(main)
    assert echo.batches == [[Place(0, -1)]]


def test_samples_of_one_problem_are_places_of_that_problem() -> None:
    echo = Echo()
    echo.go.set()
    gathering = Gathering(echo, threading.Lock(), seed=0)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for sample in range(2):
                for number in range(2):
                    group.start_soon(gathering.answer, problem(number), sample)

    anyio.run(main)
    assert [sorted(batch) for batch in echo.batches] == [[Place(number, k) for number in range(2) for k in range(2)]]
