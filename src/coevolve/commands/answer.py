"""``coevolve solve``: one answer of the executor with its tool calls."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from coevolve.commands.markdown import harmless
from coevolve.types import StopReason, Trajectory

WHY_NO_ANSWER = {
    StopReason.EOS: "it ended without a boxed answer",
    StopReason.LENGTH: "its tokens were used up",
    StopReason.TURNS: "it called the tool more often than it may",
    StopReason.PROTOCOL: "it wrote tool output itself",
    StopReason.INFRASTRUCTURE: "the sandbox was lost",
}
WHY_REFUSED = {
    "error": "its box holds what a failing program said (grading.refuse_errors)",
    "unevaluated": "its box holds the question's own expression, not its value (grading.refuse_unevaluated)",
}


def print_answer(console: Console, trajectory: Trajectory) -> None:
    """The text as the model wrote it, what the tool said, and the answer."""
    console.print(Text(harmless(trajectory.text.strip())), soft_wrap=True)
    for number, call in enumerate(trajectory.tool_calls, start=1):
        if call.status != "ok":
            console.print(Text(f"tool call {number}: {call.status}", style="yellow"))
    calls = len(trajectory.tool_calls)
    used = f"{calls} tool call{'s' if calls != 1 else ''}, really run in the sandbox" if calls else "no tool call"
    if trajectory.answer is None:
        line = f"no answer: {WHY_REFUSED.get(trajectory.refused) or WHY_NO_ANSWER[trajectory.stop]}"
    else:
        line = f"answer: {harmless(trajectory.answer)}"
    console.print(Text(f"{line}   ({used})", style="bold"))
