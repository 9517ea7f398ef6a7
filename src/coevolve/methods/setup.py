"""What of a configuration a first look at a model depends on."""

from __future__ import annotations

from dataclasses import dataclass

from coevolve.types import PROPOSER, Origin

Heat = tuple[str, float]  # the key that sets a temperature, and the temperature


@dataclass(frozen=True, slots=True)
class Setup:
    """How texts are asked for and read.

    Args:
        world: its name.
        texts: to write.
        seed: of the run.
        turns: user turns that a question may have.
        method: of the run.
        prompts: name of the prompts; empty in a world that has prompts of its own.
        chat: prompts are written by the model's chat template.
        led: the proposer is shown worked examples, or its texts are made to begin with the tag.
        tool: the solver has the tool.
        paid: the proposer is rewarded for tool calls.
        at_fence: a program runs as soon as its fence closes.
        echo: the value of a last expression is shown.
        own_answer: a question without its writer's own box counts as malformed.
        refuses_errors, refuses_unevaluated: a box that repeats what went wrong, or the question, is no answer.
        max_tokens, question_tokens: of an answer and of a question.
        max_turns: tool calls of an answer.
        proposer_heat, solver_heat: what sets the temperature of each.
    """

    world: str = "open"
    texts: int = 24
    seed: int = 0
    turns: int = 1
    method: str = "agent0"
    prompts: str = "agent0"
    chat: bool = True
    led: bool = False
    tool: bool = True
    paid: bool = True
    at_fence: bool = False
    echo: bool = False
    own_answer: bool = False
    refuses_errors: bool = False
    refuses_unevaluated: bool = False
    max_tokens: int = 200
    question_tokens: int = 128
    max_turns: int = 6
    proposer_heat: Heat = ("sampling.temperature", 1.0)
    solver_heat: Heat = ("sampling.temperature", 1.0)

    @property
    def origin(self) -> Origin:
        """Of the questions that are written."""
        return Origin(self.method, PROPOSER, 0)

    @property
    def better_prompts(self) -> str:
        """Prompts that small and base models can follow."""
        if self.prompts and not self.led:
            return "model.prompts=arithmetic, grade-school or school, which show worked examples"
        if self.prompts:
            return "model.prompts=FILE with examples that this model can follow"
        return "model.path=MODEL that knows the format of this world"
