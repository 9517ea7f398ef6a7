"""Episodes that come one after the other to a loop that is playing already, and some that nobody waits for any more."""

from __future__ import annotations

from concurrent.futures import Future

from coevolve.engine.base import Pause
from coevolve.rollout.loop import RolloutLoop
from coevolve.sandbox.base import ToolResult
from coevolve.types import StopReason, Trajectory

from .scripted import ANSWER, CALL, ScriptedSampler, Segment, TableTool, episode, loop_of, play, printed

SHORT: list[Segment] = [(ANSWER, Pause.EOS)]
WITH_CALL: list[Segment] = [(CALL, Pause.STOP), (ANSWER, Pause.EOS)]
Loop = tuple[RolloutLoop, ScriptedSampler, TableTool]


def loop(*scripts: list[Segment], sessions: bool = False, tool: TableTool | None = None) -> Loop:
    sampler, tool = ScriptedSampler({i: list(script) for i, script in enumerate(scripts)}), tool or TableTool()
    begun = loop_of(sampler, tool, sessions=sessions)
    begun.begin(policy="solver-1", contract="c")
    return begun, sampler, tool


def drain(loop: RolloutLoop) -> dict[int, Trajectory]:
    out: dict[int, Trajectory] = {}
    while loop.living:
        out |= {number: only for number, (only,) in loop.step().items()}
    return out


def test_who_joins_late_gets_the_trajectory_of_a_pass_of_its_own() -> None:
    playing, _, _ = loop(WITH_CALL, SHORT, SHORT)
    first, second = (playing.join(episode(i)) for i in range(2))
    ended = playing.step()
    assert list(ended) == [second], "a short answer does not wait for a long one"
    third = playing.join(episode(2))
    ended |= {number: (only,) for number, only in drain(playing).items()}
    for i, (number, script) in enumerate(((first, WITH_CALL), (second, SHORT), (third, SHORT))):
        alone = play(*[SHORT] * i, script).trajectories[i]
        (t,) = ended[number]
        assert (t.text, t.answer, t.stop, t.tool_calls) == (alone.text, alone.answer, alone.stop, alone.tool_calls)
        assert (t.policy, t.contract, t.tokens.tolist()) == ("solver-1", "c", alone.tokens.tolist())


class PromisingTool(TableTool):
    """Its results come when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.promises: list[Future[ToolResult]] = []

    def submit(self, code: str, session: str | None = None) -> Future[ToolResult]:
        super().submit(code, session)
        self.promises.append(Future())
        return self.promises[-1]


def test_an_episode_grows_by_what_is_written_and_by_what_the_tool_prints() -> None:
    tool = PromisingTool()
    playing, _, _ = loop(WITH_CALL, tool=tool)
    number = playing.join(episode(0))
    code = "a:\n```python\nprint(1+2)\n```\n```output\n"
    assert playing.step() == {}
    assert playing.grown == {number: code}
    assert (playing.step(), playing.grown) == ({}, {})
    tool.promises[0].set_result(printed("7\n"))
    assert playing.step() == {}
    assert playing.grown == {number: code + "7\n```\n"}
    ((only,),) = playing.step().values()
    assert only.text == code + "7\n```\n\\boxed{3}"


def test_a_slow_tool_call_holds_up_nobody_else() -> None:
    tool = PromisingTool()
    playing, _, _ = loop(WITH_CALL, WITH_CALL, SHORT, tool=tool)
    slow, quick = (playing.join(episode(i)) for i in range(2))
    assert playing.step() == {}
    third = playing.join(episode(2))
    tool.promises[1].set_result(printed("7\n"))
    ended: list[int] = []
    while playing.living > 1:
        ended += playing.step()
    assert ended == [third, quick]
    tool.promises[0].set_result(printed("7\n"))
    assert list(drain(playing)) == [slow]


def test_who_is_given_up_while_it_writes_leaves_the_sampler() -> None:
    playing, sampler, _ = loop(SHORT, SHORT)
    gone, stays = playing.join(episode(0)), playing.join(episode(1))
    playing.give_up(gone)
    assert sampler.released == [0]
    assert list(drain(playing)) == [stays]


def test_who_is_given_up_while_its_tool_call_runs_is_waited_for_by_nobody() -> None:
    playing, sampler, tool = loop(WITH_CALL, SHORT, sessions=True, tool=PromisingTool())
    gone = playing.join(episode(0))
    playing.step()
    playing.give_up(gone)
    assert (tool.ended, sampler.released) == (tool.sessions, [0])
    stays = playing.join(episode(1))
    assert list(drain(playing)) == [stays]


def test_a_lost_sandbox_ends_one_episode_and_no_other() -> None:
    lost = TableTool(lost=frozenset({"print(1+2)"}), table={"print(2)": printed("2\n")})
    other: list[Segment] = [(["```python\n", "print(2)", "\n```\n", "```output\n"], Pause.STOP), (ANSWER, Pause.EOS)]
    playing, _, _ = loop(WITH_CALL, other, tool=lost)
    numbers = [playing.join(episode(i)) for i in range(2)]
    ended = drain(playing)
    assert [ended[number].stop for number in numbers] == [StopReason.INFRASTRUCTURE, StopReason.EOS]


def test_a_new_beginning_forgets_who_was_playing() -> None:
    playing, sampler, tool = loop(WITH_CALL, sessions=True)
    playing.join(episode(0))
    playing.step()
    playing.begin(policy="solver-2", contract="c")
    assert (playing.living, tool.ended) == (0, tool.sessions)
    sampler.scripts = {0: list(SHORT)}
    number = playing.join(episode(0))
    assert drain(playing)[number].policy == "solver-2"
