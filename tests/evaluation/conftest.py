"""A world of sums whose truths are known by hand, and rollouts whose answers are written down in advance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
from answering import Answering

from coevolve.config import EvaluationSection
from coevolve.engine.base import Arrays
from coevolve.rollout.base import RolloutCost, Snapshot
from coevolve.types import PROPOSER, Origin, StopReason, Task, ToolCall, Trajectory
from coevolve.worlds.base import Problem, Suite

POLICY = Snapshot("solver", 3, Arrays({}))
Answers = Callable[[Task, int], tuple[str | None, int]]  # (task, sample) -> (answer, number of tool calls)


def make_task(name: str) -> Task:
    return Task(name, (f"What is {name}?",), "sum", Origin("test", PROPOSER, 0))


def make_trajectory(task: Task, sample: int, answer: str | None, calls: int = 0) -> Trajectory:
    return Trajectory(
        task_id=task.id,
        sample=sample,
        prompt=np.zeros(1, np.int32),
        tokens=np.zeros(1, np.int32),
        mask=np.ones(1, np.bool_),
        logprobs=np.zeros(1, np.float32),
        text="",
        tool_calls=(ToolCall("print(1)", "1", "ok"),) * calls,
        answer=answer,
        stop=StopReason.EOS if answer is not None else StopReason.LENGTH,
        policy=POLICY.name,
        policy_versions=(POLICY.version,),
        contract="c",
    )


@dataclass
class HandMeter:
    """Level l, problem i has the answer 10 l + i. Tasks named in ``unanswerable`` have none."""

    knows_labels: ClassVar[bool] = True
    knows_all_labels: ClassVar[bool] = True
    unanswerable: tuple[str, ...] = ()

    def truth(self, task: Task) -> str | None:
        return None if task.id in self.unanswerable else str(sum(int(part) for part in task.id.split("+")))

    def suites(self, section: EvaluationSection, seed: int) -> list[Suite]:
        levels = {str(level): 10 * level for level in range(1, section.levels + 1)}
        others = {"longer": 1000, "rare": 2000} if section.transfer_per_set else {}
        return [
            *(self._suite("held_out", key, start, section.per_level, section.samples) for key, start in levels.items()),
            *(
                self._suite("transfer", key, start, section.transfer_per_set, section.transfer_samples)
                for key, start in others.items()
            ),
        ]

    def _suite(self, part: str, key: str, start: int, n: int, samples: int) -> Suite:
        tasks = [make_task(f"{start}+{i}") for i in range(n)]
        level = part == "held_out"
        load = partial(list, [Problem(task, self.truth(task)) for task in tasks])
        return Suite(part, key, n, samples, load, greedy=level, is_level=level)


@dataclass(frozen=True)
class Call:
    policy: Snapshot
    tasks: tuple[Task, ...]
    samples: int
    seed: int
    greedy: bool
    opening: str


@dataclass
class ScriptedRollouts(Answering):
    """Answers as scripted and remembers what it was asked."""

    sampled: Answers
    greedy: Answers | None = None
    calls: list[Call] = field(default_factory=list)

    def solve(
        self,
        policy: Snapshot,
        tasks: Sequence[Task],
        samples: int,
        *,
        seed: int,
        greedy: bool = False,
        opening: str = "",
    ) -> list[tuple[Trajectory, ...]]:
        self.calls.append(Call(policy, tuple(tasks), samples, seed, greedy, opening))
        script = self.greedy if greedy and self.greedy else self.sampled
        return [tuple(make_trajectory(t, s, *script(t, s)) for s in range(samples)) for t in tasks]

    def write(self, policy: Snapshot, n: int, *, seed: int) -> list[Trajectory]:
        raise AssertionError("evaluation writes no questions")

    @property
    def cost(self) -> RolloutCost:
        return RolloutCost()

    def close(self) -> None:
        return


@pytest.fixture
def meter() -> HandMeter:
    return HandMeter()


@pytest.fixture
def meter_without() -> Callable[..., HandMeter]:
    """``meter_without("10+0", ...)``: a meter that knows no truth for these tasks."""
    return lambda *names: HandMeter(unanswerable=names)


@pytest.fixture
def task() -> Callable[[str], Task]:
    return make_task


@pytest.fixture
def trajectory() -> Callable[..., Trajectory]:
    return make_trajectory


@pytest.fixture
def policy() -> Snapshot:
    return POLICY


@pytest.fixture
def scripted() -> type[ScriptedRollouts]:
    return ScriptedRollouts
