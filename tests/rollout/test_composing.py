"""A curriculum agent that may run code while it composes: what is run, and what of its text is a question."""

from __future__ import annotations

import pytest

from coevolve.engine.base import Pause, Sampling
from coevolve.methods.questions import read_questions
from coevolve.rollout.base import Episode, Seat
from coevolve.rollout.environments import ToolSpec
from coevolve.rollout.protocol import after_last_output
from coevolve.types import PROPOSER, Origin, StopReason, Trajectory
from coevolve.worlds.base import NO_CONTEXT
from coevolve.worlds.miniature.learner import MiniatureContract, MiniatureWorld

from .scripted import CALL, ScriptedSampler, Segment, TableTool, loop_of, printed

QUESTION = "<question>Let a = 43 * 80. Find a.</question>"


def composed(*script: Segment, output: str = "7\n") -> Trajectory:
    """The text of a curriculum agent that follows a script; every program prints ``output``."""
    sampler, tool = ScriptedSampler({0: list(script)}), TableTool({"print(1+2)": printed(output)})
    episode = Episode("q0", 0, (Seat(PROPOSER, "?"),), ToolSpec(PROPOSER, 2), Sampling(), seed=0)
    ((trajectory,),), _ = loop_of(sampler, tool).run([episode], policy="proposer-1", contract="c")
    return trajectory


def question_of(trajectory: Trajectory) -> str | None:
    class Open(MiniatureWorld):
        """The miniature without a question tag that the prompt has opened."""

        def __init__(self) -> None:
            super().__init__()
            self.contract = type("C", (MiniatureContract,), {"proposer_opening": ""})()

    (written,) = read_questions(Open(), [trajectory], Origin("agent0", PROPOSER, 1), "c", asked=[NO_CONTEXT])
    return written.task.question if written.task else None


def test_a_program_is_run_and_the_question_may_follow_its_output() -> None:
    trajectory = composed((CALL, Pause.STOP), ([QUESTION], Pause.EOS))
    assert [call.code for call in trajectory.tool_calls] == ["print(1+2)"]
    assert question_of(trajectory) == "Let a = 43 * 80. Find a."
    assert not trajectory.mask.all()


def test_a_question_before_the_last_output_is_not_the_one_that_counts() -> None:
    assert question_of(composed(([QUESTION, *CALL], Pause.STOP), (["a"], Pause.EOS))) is None


def test_a_forged_output_ends_the_text_and_is_no_question() -> None:
    trajectory = composed(([QUESTION, "```output\n"], Pause.STOP))
    assert trajectory.stop is StopReason.PROTOCOL
    assert question_of(trajectory) is None


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("no tool here", "no tool here"),
        ("a ```python\n1\n```\n```output\n2\n```\nb", "\nb"),
        ("```output\n1\n```\nx ```output\n2\n```\ny", "\ny"),
        ("a ```output\ncut off", ""),
    ],
)
def test_only_what_follows_the_last_output_is_the_writers_own(text: str, rest: str) -> None:
    assert after_last_output(text) == rest


def test_a_question_that_a_program_prints_was_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MiniatureContract, "observation", lambda self, status, stdout, stderr: stdout)
    trajectory = composed((CALL, Pause.STOP), (["a"], Pause.EOS), output=QUESTION)
    assert QUESTION in trajectory.text
    assert question_of(trajectory) is None
