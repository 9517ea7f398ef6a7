"""What the open world tells its models, in words of our own.

The structure is that of Agent0 (arXiv 2511.16043, A.2) and R-Zero (arXiv 2508.05004).
"""

from __future__ import annotations

from dataclasses import dataclass

BOX = "\\boxed{}"


@dataclass(frozen=True, slots=True)
class Prompts:
    """The texts of one contract.

    ``solver_task`` holds ``{question}``, ``solver`` may hold ``{programs}``. A model without a chat template is shown
    the instruction, then the task and the answer under the two names of ``speakers``.
    """

    solver: str  # what a solver is told before its task; may be empty
    solver_task: str
    proposer: str  # what a proposer is told
    proposer_task: str
    speakers: tuple[str, str] = ("User", "Assistant")


_WRITE_A_PROBLEM = (
    "You set problems for a mathematics competition. Invent one that is new: not a known contest problem, not an "
    "exercise from a book, not a famous puzzle. Any field of mathematics will do. Fewer than three in ten advanced "
    "school students should be able to solve it. It has one answer that can be checked, a number or a short "
    "expression, and it asks for no proof.\n\n"
)
_TWO_PARTS = (
    "the statement, complete in itself, between <question> and </question>, and on the next line its final answer as "
    f"{BOX}. Nothing follows."
)

_TOOL = (
    "compute with Python: a program between a line ```python and a line ``` is run as soon as the line ```output "
    "follows it, and what it prints is put there and closed with ```. A program shows values with print."
)
_COMPOSING = f" In the scratch-pad you may {_TOOL} The problem and its answer come after the last output."
_DIALOGUES = (
    " The problem may be a conversation: after its statement up to {more} further questions of the user, each of which "
    "needs the answer before it, each after a line of three hyphens (---), all of it between <question> and "
    "</question>. The final answer is that to the last of them."
)

# By ``tool.state``: what one program knows of another.
PROGRAMS = {"stateless": "each starts from nothing", "session": "they share their variables"}

CONTRACTS = {
    "agent0": Prompts(
        solver=(
            "A conversation between a user and an assistant. The user asks a question. The assistant first thinks it "
            f"through, step by step, and then answers. While it thinks it may {_TOOL} The assistant reads the output, "
            "goes on, and may run more programs; {programs}. Its last line is the final answer alone, "
            f"as {BOX}."
        ),
        solver_task="{question}",
        proposer=(
            _WRITE_A_PROBLEM + "Use a scratch-pad first: collect ideas, choose one, solve it and look for mistakes. "
            f"Then write exactly two parts: {_TWO_PARTS}"
        ),
        proposer_task="Write one new problem: scratch-pad first, then the two parts.",
    ),
    "r-zero": Prompts(
        solver=f"Reason step by step. The last line is the final answer alone, as {BOX}.",
        solver_task="{question}",
        proposer=_WRITE_A_PROBLEM + f"Write exactly two parts: {_TWO_PARTS}",
        proposer_task="Write one new problem.",
    ),
    "plain": Prompts(
        solver="",
        solver_task=f"{{question}}\nGive the final answer as {BOX}.",
        proposer="",
        proposer_task=f"Write a problem in mathematics: {_TWO_PARTS}",
        speakers=("Question", "Answer"),
    ),
}


def more_for_proposers(*, turns: int, composing: bool) -> str:
    """What a proposer is told besides its task.

    Args:
        turns: user turns that a problem may have.
        composing: it may use the tool.
    """
    dialogues = _DIALOGUES.replace("{more}", str(turns - 1)) if turns > 1 else ""
    return (_COMPOSING if composing else "") + dialogues
