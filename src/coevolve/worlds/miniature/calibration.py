"""What the base model can do at the start: the figures of its model card.

It has a small batched sampler of its own, so that a world can be built and measured without engine and sandbox. Code
blocks are evaluated by the oracle's allow-list evaluator; code outside the allow-list counts as an error, as does any
failure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from coevolve.types import PROPOSER, SOLVER, Task
from coevolve.worlds.base import PromptContext
from coevolve.worlds.miniature.grammar import is_well_formed, parse
from coevolve.worlds.miniature.learner import CLOSE, MiniatureContract
from coevolve.worlds.miniature.meter import CORPUS_LEVELS, DIALOGUE_TURNS, MiniatureMeter, held_out, held_out_dialogues
from coevolve.worlds.miniature.truth import evaluate

MAX_NEW_TOKENS = 200
DIALOGUE_TOKENS = 320  # of all turns of a dialogue, user turns and outputs included
_WRITTEN = 512  # questions that the proposer writes
_PRINT = re.compile(r"```python\nprint\(([^\n]*)\)\n```\n```output\n$")
_GLUED = re.compile(r"[0-9][a-z]|\b0[0-9]")  # no Python, and the parser would warn on every one
_FOLLOWED = re.compile(  # an answer, a user turn, and the code that opens the next answer
    r"\\boxed\{-?(?P<answer>[0-9]+)\}<\|endoftext\|><question>[^\n]*</question>\n[a-h]:\n```python\nprint\((?P<code>[^\n]*)\)\n"
)
_BOX = re.compile(r"\\boxed\{(-?[0-9]+)\}$")


@dataclass(slots=True)
class _Row:
    """One sequence while it grows; ``fed`` of its tokens are in the cache, the others are waiting."""

    tokens: list[int]
    prompt: int
    follow_ups: list[str]
    calls: list[str] = field(default_factory=list)
    done: bool = False


@torch.no_grad()
def sample(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[str],
    *,
    seed: int,
    greedy: bool = False,
    stop: str | None = None,
    follow_ups: Sequence[Sequence[str]] = (),
    max_tokens: int = MAX_NEW_TOKENS,
) -> list[tuple[str, list[str]]]:
    """Continuations of ``prompts`` with tool outputs and, after each answer, the next of ``follow_ups``; and the code
    they ran.

    All rows start together and take one token per step, prompt and tool output included, so every row is
    always at the same position and no padding is needed.
    """
    random = torch.Generator().manual_seed(seed)
    encoded = tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
    further = follow_ups or [()] * len(encoded)
    rows = [_Row(ids, len(ids), list(asked)) for ids, asked in zip(encoded, further, strict=True)]
    fence, eos = tokenizer.convert_tokens_to_ids("```output\n"), tokenizer.eos_token_id
    last = tokenizer.convert_tokens_to_ids(stop) if stop else eos
    cache: Any = None
    living, position = list(range(len(rows))), 0
    while living:
        feed_B1 = torch.tensor([[rows[i].tokens[position]] for i in living])
        out = model(input_ids=feed_B1, past_key_values=cache, use_cache=True)
        cache, position = out.past_key_values, position + 1
        logits_BV = out.logits[:, -1]
        drawn = logits_BV.argmax(-1) if greedy else torch.multinomial(logits_BV.softmax(-1), 1, generator=random)[:, 0]
        for i, token in zip(living, drawn.tolist(), strict=True):
            row = rows[i]
            if len(row.tokens) > position:
                continue
            row.tokens.append(eos if row.done else token)
            if row.done:
                continue
            if token == fence:
                row.tokens += _run(tokenizer, row)
            if token == eos and row.follow_ups:
                asked = MiniatureContract().follow_up(row.follow_ups.pop(0), ended=True)
                row.tokens += tokenizer.encode(asked, add_special_tokens=False)
                token = row.tokens[-1]
            row.done = token in (eos, last) or len(row.tokens) - row.prompt >= max_tokens
        stay = [place for place, i in enumerate(living) if not rows[i].done]
        if len(stay) < 0.8 * len(living):
            cache.batch_select_indices(torch.tensor(stay, dtype=torch.long))
            living = [living[place] for place in stay]
    return [(_text(tokenizer, row), row.calls) for row in rows]


def _text(tokenizer: PreTrainedTokenizerFast, row: _Row) -> str:
    """The continuation up to its last end token."""
    end = len(row.tokens)
    while row.tokens[end - 1] == tokenizer.eos_token_id:
        end -= 1
    return str(tokenizer.decode(row.tokens[row.prompt : end]))


def _run(tokenizer: PreTrainedTokenizerFast, row: _Row) -> list[int]:
    """Evaluate the block that was just closed; its output as tokens."""
    found = _PRINT.search(str(tokenizer.decode(row.tokens)))
    row.calls.append(found[1] if found else "")
    value = evaluate(found[1], {}) if found and not _GLUED.search(found[1]) else None
    observation = MiniatureContract().observation("ok" if value is not None else "error", str(value), "")
    return list(tokenizer.encode(f"{observation}\n```\n", add_special_tokens=False))


@dataclass(frozen=True, slots=True)
class LevelFigures:
    """Shares in 0..1 over the held-out tasks of one level."""

    level: int
    mean: float  # right samples
    majority: float  # tasks whose most frequent answer is right
    greedy: float
    calls: float  # tool calls per sample
    with_tool: float  # samples with a tool call
    first_code: float  # of the samples that open with code: right for the first step


@dataclass(frozen=True, slots=True)
class DialogueFigures:
    """Shares in 0..1 over the held-out dialogues of one number of user turns."""

    turns: int
    mean: float  # samples whose last answer is right
    majority: float  # dialogues whose most frequent last answer is right
    recalled: float  # of the code right after a user turn: has the answer before that turn in it


@dataclass(frozen=True, slots=True)
class StartFigures:
    """What the model card prints."""

    levels: tuple[LevelFigures, ...]
    tasks: int  # per level
    samples: int  # per task
    written: int  # questions written freely
    malformed: float  # share of those
    steps: dict[int, int]  # written questions by number of steps; 0 = malformed
    dialogues: tuple[DialogueFigures, ...] = ()  # of a model that has read some

    def mean(self, figure: str) -> float:
        """Mean of a figure over the levels."""
        return sum(float(getattr(level, figure)) for level in self.levels) / len(self.levels)


def start_figures(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    *,
    tasks: int = 60,
    samples: int = 8,
    seed: int = 0,
    dialogues: bool = False,
) -> StartFigures:
    """Measure the base model on held-out tasks of all corpus levels, on questions it writes and, if it has read
    dialogues, on held-out ones."""
    levels = tuple(_level(model, tokenizer, level, tasks, samples, seed) for level in range(1, CORPUS_LEVELS + 1))
    prompts = [MiniatureContract().prompt(PROPOSER)] * _WRITTEN
    written = [text.split(CLOSE)[0] for text, _ in sample(model, tokenizer, prompts, seed=seed, stop=CLOSE)]
    steps = Counter(len(parse(question) or ()) for question in written)
    malformed = sum(not is_well_formed(question) for question in written) / len(written)
    turns = DIALOGUE_TURNS if dialogues else ()
    talks = tuple(_dialogues(model, tokenizer, held_out_dialogues(n, tasks, seed), samples, seed) for n in turns)
    return StartFigures(levels, tasks, samples, len(written), malformed, dict(sorted(steps.items())), talks)


def _level(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, level: int, n: int, samples: int, seed: int
) -> LevelFigures:
    contract, meter = MiniatureContract(), MiniatureMeter()
    tasks = held_out(level, n, seed)
    truths = [meter.truth(task) for task in tasks]
    prompts = [contract.prompt(SOLVER, PromptContext(task.turns[0])) for task in tasks]
    drawn = sample(model, tokenizer, [p for p in prompts for _ in range(samples)], seed=seed + level)
    greedy = sample(model, tokenizer, prompts, seed=seed, greedy=True)
    answers = [_answer(text) for text, _ in drawn]
    groups = [answers[i * samples : (i + 1) * samples] for i in range(n)]
    opened = [(calls[0], tasks[i // samples]) for i, (text, calls) in enumerate(drawn) if _opens_with_code(text, calls)]
    return LevelFigures(
        level=level,
        mean=sum(a == t for group, t in zip(groups, truths, strict=True) for a in group) / len(drawn),
        majority=sum(_majority(group) == t for group, t in zip(groups, truths, strict=True)) / n,
        greedy=sum(_answer(text) == t for (text, _), t in zip(greedy, truths, strict=True)) / n,
        calls=sum(len(calls) for _, calls in drawn) / len(drawn),
        with_tool=sum(bool(calls) for _, calls in drawn) / len(drawn),
        first_code=sum(code == _first_code(task) for code, task in opened) / max(1, len(opened)),
    )


def _dialogues(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, tasks: Sequence[Task], samples: int, seed: int
) -> DialogueFigures:
    contract, meter = MiniatureContract(), MiniatureMeter()
    asked = [task for task in tasks for _ in range(samples)]
    drawn = sample(
        model,
        tokenizer,
        [contract.prompt(SOLVER, PromptContext(task.turns[0])) for task in asked],
        seed=seed,
        follow_ups=[task.turns[1:] for task in asked],
        max_tokens=DIALOGUE_TOKENS,
    )
    answers = [_answer(text) for text, _ in drawn]
    truths = [meter.truth(task) for task in asked]
    groups = [answers[i : i + samples] for i in range(0, len(asked), samples)]
    recalls = [recalled for text, _ in drawn for recalled in recalls_in(text)]
    return DialogueFigures(
        turns=len(tasks[0].turns),
        mean=sum(a == t for a, t in zip(answers, truths, strict=True)) / len(drawn),
        majority=sum(_majority(group) == t for group, t in zip(groups, truths[::samples], strict=True)) / len(tasks),
        recalled=sum(recalls) / max(1, len(recalls)),
    )


def recalls_in(text: str) -> list[bool]:
    """Of each answer to a follow-up that opens with code: whether the number in the box before it is in the code."""
    return [found["answer"] in re.findall(r"[0-9]+", found["code"]) for found in _FOLLOWED.finditer(text)]


def _answer(text: str) -> str | None:
    found = _BOX.search(text)
    return found[1] if found else None


def _opens_with_code(text: str, calls: Sequence[str]) -> bool:
    """Whether the first step was done with the tool."""
    return bool(calls) and text[1:].startswith(":\n")


def _majority(group: Sequence[str | None]) -> str | None:
    given = [answer for answer in group if answer is not None]
    return Counter(given).most_common(1)[0][0] if given else None


def _first_code(task: Task) -> str:
    """The right expression for the first step."""
    steps = parse(task.question)
    assert steps is not None
    return steps[0].operation.expression.format(x=steps[0].x, n=steps[0].n)
