"""The prompts of the world of programs in plain language, for models that can read (``model.prompts=plain``)."""

from __future__ import annotations

from coevolve.grading.extract import last_box
from coevolve.types import PROPOSER
from coevolve.worlds.base import NO_CONTEXT, PromptContext
from coevolve.worlds.code.contract import CodeContract
from coevolve.worlds.code.items import ABDUCTION, DEDUCTION, INDUCTION, PAIRS
from coevolve.worlds.code.language import MODULES

_FORM = """<task>
def f(a):
    return a
f(3)
</task>"""
_RULES = (
    "The program defines one function named f, takes and returns plain Python values (numbers, strings, lists, tuples, "
    "dictionaries), and always returns the same for the same arguments. It prints nothing, reads nothing, and imports "
    f"nothing but {', '.join(sorted(MODULES))}. All arguments in the call are literals."
)
_SOLVERS = {
    DEDUCTION: "to say what the call returns, without running it",
    ABDUCTION: "to find arguments that make the call return the same, knowing the program and what it returns",
}
_ASKED = {
    DEDUCTION: "What does the call of f return? Put the value, as a Python literal, into \\boxed{}.",
    ABDUCTION: "With which arguments does f return this? Any that do are right. Put the arguments, as Python literals, "
    "into \\boxed{}.",
    INDUCTION: "Above are a message about a function f and some of its calls. Write the function, so that it returns "
    "the right values for other arguments as well. Put the whole function, which begins with def f, into \\boxed{}.",
}


class WordsContract(CodeContract):
    """Prompts as plain text, for base models.

    Args:
        beginning: the text of the token that every text of the model's family begins with; empty where there is none.
    """

    name = "code-words"
    proposer_opening = "<task>\n"
    close = "</task>"

    def __init__(self, beginning: str = "") -> None:
        self._beginning = beginning

    def prompt(self, agent: str, context: PromptContext = NO_CONTEXT) -> str:
        """What to write or to answer, by the type of the task, in words."""
        if agent != PROPOSER:
            return f"{self._beginning}{self._question(context.question, context.kind)}"
        if context.kind == INDUCTION:
            text = (
                f"Here is a Python program:\n\n{''.join(context.examples)}\n\nWrite a message of one line that hints "
                f"at what it computes and does not give it away, then {PAIRS} calls of it with different literals, one "
                f"a line, in this form:\n\n<task>\nmessage\nf(3)\n...\n</task>\n\n"
            )
        else:
            purpose = _SOLVERS.get(context.kind, _SOLVERS[DEDUCTION])
            earlier = "".join(f"\n\n<task>\n{text}\n</task>" for text in context.examples)
            text = (
                f"A task is a short Python program and one call of it, in this form:\n\n{_FORM}\n\n{_RULES}\n\n"
                f"Somebody else will have {purpose}. A good task needs several steps of thought and can be solved.\n\n"
                f"These tasks exist already, with what the calls return; write one that differs from them:{earlier}\n\n"
            )
        return f"{self._beginning}{text}{self.proposer_opening}"

    def stops(self, agent: str) -> tuple[str, ...]:
        """A task ends with its closing tag, an answer with the line that closes its box, or with an end token."""
        return (self.close,) if agent == PROPOSER else ("}\n",)

    def follow_up(self, turn: str, *, ended: bool) -> str:
        """A further turn begins as a question does."""
        return f"\n\n{self._question(turn, '')}"

    def finished(self, agent: str, text: str) -> str | None:
        """The text up to its tag, or up to the end of a complete box."""
        if agent == PROPOSER:
            return text
        box = last_box(text)
        return text if box is not None and not text[box.end :].strip() else None

    def _question(self, question: str, kind: str) -> str:
        asked = _ASKED.get(kind) or "Put the answer into \\boxed{}."
        return f"{question}\n\n{asked} Think step by step first.\n\nAnswer:"
