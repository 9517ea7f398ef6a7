"""``tool.state=session``: the tool calls of one trajectory share their variables, and those of others do not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from coevolve.config import Config
from coevolve.engine.base import Pause
from coevolve.rollout.asking import solve
from coevolve.rollout.base import RolloutSettings, Snapshot
from coevolve.rollout.service import LocalRollouts
from coevolve.sandbox.base import Limits, ToolResult
from coevolve.sandbox.pool import SandboxPool
from coevolve.types import SOLVER, Origin, StopReason, Task, Trajectory
from coevolve.worlds.miniature.learner import ASSETS, MiniatureContract

from .scripted import ANSWER, CALL, Segment, TableTool, play, tool_environment


def block(code: str) -> list[str]:
    return ["```python\n", code, "\n```\n", "```output\n"]


TWO_TURNS: list[Segment] = [
    (block("a = 41\nprint(a)"), Pause.STOP),
    (block("print(a + 1)"), Pause.STOP),
    (ANSWER, Pause.EOS),
]


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    with SandboxPool(limits=Limits(cpu_s=0.3), cache_size=99, max_sessions=8) as pool:
        yield pool


def observations(t: Trajectory) -> list[str]:
    return [call.observation for call in t.tool_calls]


def test_two_turns_share_a_variable_in_a_session_only(pool: SandboxPool) -> None:
    shared = play(*[TWO_TURNS] * 3, tool=pool, sessions=True).trajectories
    fresh = play(*[TWO_TURNS] * 3, tool=pool).trajectories
    assert [observations(t) for t in shared] == [["41", "42"]] * 3
    assert [observations(t) for t in fresh] == [["41", "error"]] * 3
    assert not pool._sessions._names


def test_a_trajectory_finds_nothing_of_another_one(pool: SandboxPool) -> None:
    reads: list[Segment] = [(block("print(a)"), Pause.STOP), (ANSWER, Pause.EOS)]
    shared = play(TWO_TURNS, reads, tool=pool, sessions=True, passes=2).trajectories
    assert observations(shared[1]) == ["error"]


def test_the_calls_of_a_lost_session_are_errors_that_say_so(pool: SandboxPool) -> None:
    script: list[Segment] = [TWO_TURNS[0], (block("print(9**9**9)"), Pause.STOP), *TWO_TURNS[1:]]
    (t,) = play(script, tool=pool, sessions=True, max_turns=3).trajectories
    assert [call.status for call in t.tool_calls] == ["ok", "cpu_limit", "session_lost"]
    assert observations(t) == ["41", "error", "error"], "the miniature has no other word for it"
    assert (t.stop, t.answer) == (StopReason.EOS, "3"), "it is an observation, not the loss of the sandbox"


class Verbose(MiniatureContract):
    """A world whose model can read."""

    def observation(self, status: str, stdout: str, stderr: str) -> str:
        return stdout + stderr


def test_a_model_that_can_read_learns_that_its_variables_are_gone(pool: SandboxPool) -> None:
    environment = tool_environment(Verbose(), 3)
    for code in ("a = 41", "while True: pass", "print(a)"):
        environment.step("".join(block(code)), Pause.STOP)
        shown = environment.observe(pool.run(code, "read"))
    pool.end_session("read")
    assert "this was not run. The session's variables are gone: an earlier cell ended its process (cpu_limit)" in shown


def test_every_trajectory_has_a_session_of_its_own_which_ends_with_it() -> None:
    tool = TableTool(lost=frozenset({"print(9)"}))
    call, lost = (CALL, Pause.STOP), (block("print(9)"), Pause.STOP)
    scripts: list[list[Segment]] = [
        [call, call, (ANSWER, Pause.EOS)],
        [call, (ANSWER, Pause.LENGTH)],
        [call, call, call],  # too many turns
        [lost],
        [(ANSWER, Pause.EOS)],
        [call, (["```output\n"], Pause.STOP)],  # no code
    ]
    play(*scripts, tool=tool, sessions=True, passes=2)
    names = set(tool.sessions)
    assert None not in names
    assert len(names) == 2 * 5, "unique over passes; none without a call"
    assert sorted(tool.ended) == sorted(str(name) for name in names), "each is ended once"
    stateless = TableTool(lost=tool.lost)
    play(*scripts, tool=stateless)
    assert set(stateless.sessions) == {None}
    assert not stateless.ended


def test_sessions_are_ended_when_the_loop_breaks() -> None:
    class Broken(TableTool):
        def submit(self, code: str, session: str | None = None) -> Future[ToolResult]:
            future = super().submit(code, session)
            if len(self.asked) == 3:
                raise RuntimeError("no descriptors left")
            return future

    tool = Broken()
    with pytest.raises(RuntimeError, match="no descriptors"):
        play(*[TWO_TURNS] * 3, tool=tool, sessions=True)
    assert sorted(tool.ended) == sorted(str(name) for name in tool.sessions)


def with_sessions(config: Config) -> Config:
    return config.model_copy(update={"tool": config.tool.model_copy(update={"state": "session"})})


def test_the_contract_of_answers_knows_the_state(nano: Config) -> None:
    one, other = (RolloutSettings.of(config, MiniatureContract()) for config in (nano, with_sessions(nano)))
    assert one.hash != other.hash


def test_no_more_sessions_live_at_once_than_rows(nano: Config, base: Snapshot) -> None:
    config = with_sessions(nano)
    config = config.model_copy(update={"engine": config.engine.model_copy(update={"workers": 1, "max_rows": 4})})
    question = "Let a = 43 * 80. Find a."
    rollouts = LocalRollouts(RolloutSettings.of(config, MiniatureContract()), ASSETS)
    try:
        task = Task(question, (question,), "chain", Origin("test", SOLVER, 0))
        (answers,) = solve(rollouts, base, [task], 32, seed=5, opening="a:\n```python\n")
    finally:
        rollouts.close()
    assert sum(bool(t.tool_calls) for t in answers) > 8
    assert not any(t.stop is StopReason.INFRASTRUCTURE for t in answers)


def test_a_run_in_sessions_gives_equal_bytes_twice(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for name in ("one", "two"):
        done = cli(
            *("run", "agent0", "--preset", "nano", "--set", f"run.dir={name}", "--set", "tool.state=session"),
            *("--set", "iterations=1"),
            cwd=tmp_path,
        )
        assert done.code == 0, done.stderr
    first, second = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("one", "two"))
    assert first == second
