"""The two agents of Agent0 and R-Zero, with what their cards say."""

from __future__ import annotations

from collections.abc import Mapping

from coevolve.types import PROPOSER, SOLVER, AgentSpec


def proposer(labels: Mapping[str, str], *, trained: bool, for_tool: bool) -> AgentSpec:
    """The agent that writes tasks at the frontier of the other.

    Args:
        labels: what the method calls its agents, by id.
        trained: whether it is trained.
        for_tool: whether it is rewarded for tasks that need the tool.
    """
    solver = labels[SOLVER]
    tool = ", and such as need the tool" if for_tool else ""
    return AgentSpec(
        PROPOSER,
        labels[PROPOSER],
        trained,
        does=f"writes questions at the edge of what the {solver} can do{tool}.",
        usage="A question ends at its closing tag. Many are too easy, too hard or malformed: a vote of the "
        f"{solver} and a gate decide what is worth training on.",
        limits=(
            f"It was rewarded for questions that are uncertain for one particular {solver}, not for good or true ones.",
            "It imitates the texts of its base model; nothing keeps it from writing nonsense or repeating itself.",
        ),
    )


def solver(labels: Mapping[str, str], *, trained: bool, tool: bool) -> AgentSpec:
    """The agent that answers, and learns from its own majority votes.

    Args:
        labels: what the method calls its agents, by id.
        trained: whether it is trained.
        tool: whether it has the Python tool.
    """
    usage = (
        "It pauses where the output of its code belongs. Run the Python block in a sandbox (never in a process of "
        "yours), append what is still missing of a block of output (a line with three backticks and `output`, what the "
        "program printed, a line of three backticks), and generate on; the answer stands in `\\boxed{}`. "
        "`coevolve solve RUN QUESTION` does all of this."
    )
    limits = (
        "It was trained on its own majority votes, not on true answers: what most of its answers get wrong alike, it "
        "has learned wrong.",
        "The numbers are of the world that it was trained in, on problems kept apart for measuring. They say nothing "
        "of other tasks.",
    )
    sandbox = ("It writes code and expects it to be run: use a sandbox without network and with limits.",)
    return AgentSpec(
        SOLVER,
        labels[SOLVER],
        trained,
        does=f"answers questions{' and calls a Python tool on the way' if tool else ''}. Its labels were the majority "
        "votes of its own answers.",
        usage=usage if tool else "The answer stands in `\\boxed{}`; `coevolve solve RUN QUESTION` asks it.",
        limits=limits + (sandbox if tool else ()),
    )
