"""The model card: how the base model was made and what it can do, all from the plan and the measurement."""

from __future__ import annotations

from coevolve.worlds.miniature.calibration import LevelFigures, StartFigures
from coevolve.worlds.miniature.corpus import MOST_TURNS, Mixture
from coevolve.worlds.miniature.training import BUDGET_TOKENS, DIALOGUE_TOKENS, Training

_COLUMNS = ("mean", "majority", "greedy", "with_tool", "first_code")


def model_card(plan: Training, parameters: int, figures: StartFigures) -> str:
    """The text of ``README.md``, in Markdown with the metadata block of the Hugging Face Hub."""
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags: [coevolve, miniature, agent0]
---

# coevolve miniature base model{_kind(plan)}

A plain Qwen3 of {parameters:,} parameters that stands in for a large base model: it has read a
synthetic textbook of mixed quality about chains of integer operations, knows every format in it (questions,
answers in the head, Python blocks with their output) and solves little. It is the start of
{_run(plan)}, and good for nothing else.

{_made(plan)}

## Corpus
{_corpus(plan.mixture)}
Questions whose SHA-256 starts with a byte divisible by 16 are reserved for measuring, not in the corpus.

## At the start
Held-out questions, {figures.tasks} a level, {figures.samples} samples each at temperature 1; measured at
the end of the same command. Shares in per cent.

| level (steps) | mean | majority | greedy | with a tool call | first code right | calls per answer |
|---|---|---|---|---|---|---|
{_rows(figures)}
{_dialogues(figures)}
Of {figures.written} freely written questions {100 * figures.malformed:.1f} % are malformed; by number of
steps (0 = malformed): {_histogram(figures.steps)}.

## Texts
A question is `<question>Let a = 43 * 80. Let b = a mod 61. Find b.</question>` and a newline. Each step of an
answer is `b = 24. ` or `b:` and a Python block that prints; the host runs it and writes an output block. The
end is `\\boxed{{24}}`. The tokenizer splits the longest known piece first, has one token per digit, and turns
any foreign text into `<|unk|>`.
"""


def _kind(plan: Training) -> str:
    if plan.mixture.dialogues:
        return " that has read dialogues"
    return " that has read less" if plan.budget_tokens < BUDGET_TOKENS else ""


def _run(plan: Training) -> str:
    if plan.mixture.dialogues:
        return "`coevolve run agent0 --preset dialogues`"
    return "the studies of stability" if plan.budget_tokens < BUDGET_TOKENS else "`coevolve run agent0`"


def _made(plan: Training) -> str:
    amount = f"{plan.budget_tokens / 1e6:.1f} million tokens of generated documents, no other data."
    if not plan.mixture.dialogues:
        command = f"coevolve world build{_tokens(plan, BUDGET_TOKENS)} --out DIR --seed {plan.seed}"
        return f"Made by `{command}`, in one process on one thread:\n{amount}"
    options = f"{_tokens(plan, DIALOGUE_TOKENS)} --dialogues {plan.mixture.dialogues:g}"
    command = f"coevolve world build{options} --out DIR --seed {plan.seed}"
    return f"Made from the first base model by `{command}`, in one process\non one thread: {amount}"


def _tokens(plan: Training, usual: int) -> str:
    return f" --tokens {plan.budget_tokens}" if plan.budget_tokens != usual else ""


def _corpus(mixture: Mixture) -> str:
    mental, mixed, tool = mixture.styles
    broken = 1.0 - mixture.code_right - mixture.code_wrong
    steps = " / ".join(f"{100 * share:.0f}" for share in mixture.steps)
    return (
        f"- documents with 1 to {len(mixture.steps)} steps: {steps} %\n"
        f"- style: {100 * mental:.0f} % in the head, {100 * mixed:.0f} % step by step either way, "
        f"{100 * tool:.0f} % with the tool only\n"
        f"- code: {100 * mixture.code_right:.0f} % right, {100 * mixture.code_wrong:.0f} % plausible and "
        f"wrong, {100 * broken:.0f} % failing\n"
        f"- questions damaged and left without an answer: {100 * mixture.damaged:.0f} %\n"
        + (_talk(mixture) if mixture.dialogues else "")
    )


def _talk(mixture: Mixture) -> str:
    return (
        f"- dialogues of 2 to {MOST_TURNS} user turns, none damaged: {100 * mixture.dialogues:.0f} % of the documents\n"
        f"- follow-ups that go on from the answer before: {100 * mixture.recalled:.0f} %; the others take another "
        f"number of the dialogue for it\n"
    )


def _dialogues(figures: StartFigures) -> str:
    """A table, if dialogues were measured."""
    if not figures.dialogues:
        return ""
    rows = "\n".join(
        f"| {row.turns} | {100 * row.mean:.1f} | {100 * row.majority:.1f} | {100 * row.recalled:.1f} |"
        for row in figures.dialogues
    )
    return f"""
Held-out dialogues, as many in each row; the answer to the last turn counts. Recalled: of the code right after a
user turn, that with the answer before it.

| user turns | mean | majority | recalled |
|---|---|---|---|
{rows}
"""


def _rows(figures: StartFigures) -> str:
    rows = [_row(str(level.level), level) for level in figures.levels]
    means = " | ".join(f"{100 * figures.mean(column):.1f}" for column in _COLUMNS)
    return "\n".join([*rows, f"| all | {means} | {figures.mean('calls'):.2f} |"])


def _row(name: str, level: LevelFigures) -> str:
    cells = " | ".join(f"{100 * float(getattr(level, column)):.1f}" for column in _COLUMNS)
    return f"| {name} | {cells} | {level.calls:.2f} |"


def _histogram(steps: dict[int, int]) -> str:
    total = sum(steps.values())
    return ", ".join(f"{n}: {100 * count / total:.0f} %" for n, count in steps.items())
