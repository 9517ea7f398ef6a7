"""The alarm where nobody answers: a wrong stop string, template or box looks like a model that can do nothing."""

from __future__ import annotations

from coevolve.grading.extract import holds_box
from coevolve.harness.board import Board
from coevolve.harness.results import CUT_OFF, GREEDY, Answer

SILENT = 0.9  # share of answers without one that could be read
FIRST = 32  # answers after which it is looked for the first time
_OTHER_PROMPTS = "--prompts plain or r-zero (of an endpoint --plain or --instruction)"
_TAIL = 240  # characters of an answer that are shown


def alarm(board: Board) -> str:
    """Why nearly no answer could be read, with what to do; empty where enough can be."""
    if not board.answered or board.unparsed < SILENT * board.answered:
        return ""
    return f"{board.unparsed} of {board.answered} answers cannot be read: {_cause(board)}"


def _cause(board: Board) -> str:
    if board.stops[CUT_OFF] >= SILENT * board.answered:
        if any(holds_box(one.text) for one in board.shown):
            return (
                "they hold a box, but go on behind it until their tokens are used up. The end of the text is not seen: "
                "look at the stop strings and the end token, or at the chat template of the model"
            )
        return (
            "their tokens are used up before there is a box. Allow more (--set sampling.max_tokens=...), or the model "
            f"does not end its text: look at the chat template, or try {_OTHER_PROMPTS}"
        )
    if any(holds_box(one.text) for one in board.shown):
        return (
            "they hold a box, but end in a way that does not count, or with a box that stays open, is empty or names "
            "no option: look at how they stop"
        )
    return (
        f"they end without \\boxed{{}}. The model may not follow the prompt (try {_OTHER_PROMPTS}), or its text is "
        "cut by a stop string or a chat template that are not its own"
    )


def shown(board: Board) -> list[str]:
    """The ends of the first answers that could not be read, a few lines each."""
    return [f"{_named(one)} (stopped: {one.stop})\n{_tail(one)}" for one in board.shown]


def _named(answer: Answer) -> str:
    return f"{answer.problem}, {'greedy' if answer.sample == GREEDY else f'sample {answer.sample}'}"


def _tail(answer: Answer) -> str:
    text = answer.text.strip()
    return ("... " if len(text) > _TAIL else "") + text[-_TAIL:] if text else "(nothing was written)"
