"""The suites of a run, held against its model: what is measured, and whether the model can read every question."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from coevolve.config import EvaluationSection
from coevolve.errors import ConfigError
from coevolve.rollout.codec import Codec
from coevolve.suites.base import Loaded, Source, subset
from coevolve.worlds.base import Contract, Problem, PromptContext


def described(source: Source, loaded: Loaded, section: EvaluationSection) -> str:
    """``gsm8k: 100 of 1,319 problems, 4 answers and a greedy one to each; MIT; openai/gsm8k@..., digest 01234567``."""
    size = len(loaded.problems)
    n = min(section.suite_limit, size) if section.suite_limit else size
    part = f"{n:,} of {size:,} problems" if n < size else f"{n:,} problem{'s' if n > 1 else ''}"
    k = section.suite_samples
    sampled = "an answer" if k == 1 else f"{k} answers" if k else ""
    greedy = "a greedy one" if k else "a greedy answer"
    answers = " and ".join(filter(None, (sampled, greedy if section.suite_greedy else "")))
    return f"{source.name}: {part}, {answers} to each; {source.licence}; {loaded.copy}, digest {loaded.digest[:12]}"


@dataclass(frozen=True, slots=True)
class Reader:
    """A model that will be asked questions.

    Args:
        model: what it is called.
        contract: makes prompts of questions.
        agent: who answers.
        codec: the tokenizer of the model.
        positions: tokens of the longest sequence that it takes; None where that is not known.
        answer: tokens that an answer may have.
    """

    model: str
    contract: Contract
    agent: str
    codec: Codec
    positions: int | None
    answer: int


def require_short_prompts(
    reader: Reader, sources: Sequence[Source], section: EvaluationSection, note: Callable[[str], None]
) -> None:
    """See that the answer to every question of the suites still fits into the positions of the model.

    Args:
        reader: who will be asked.
        sources: of the suites.
        section: says how many problems of each are asked.
        note: told how many questions the tokenizer cannot write as they are.

    Raises:
        ConfigError: one is too long; names it, with what would fit.
    """
    for source in sources:
        problems = subset(source.load().problems, section.suite_limit)
        prompts = [_prompt(reader, problem) for problem in problems]
        tokens = [reader.codec.encode(prompt) for prompt in prompts]
        _refuse_long(
            reader, source.name, {problem.task.id: len(x) for problem, x in zip(problems, tokens, strict=True)}
        )
        unlike = sum(reader.codec.decode(x) != prompt for prompt, x in zip(prompts, tokens, strict=True))
        if unlike:
            note(
                f"{source.name}: the tokenizer of {reader.model} cannot write {unlike} of {len(problems)} questions as "
                "they are: the model reads something else"
            )


def _prompt(reader: Reader, problem: Problem) -> str:
    task = problem.task
    return reader.contract.prompt(reader.agent, PromptContext(task.turns[0], kind=task.kind))


def _refuse_long(reader: Reader, suite: str, lengths: Mapping[str, int]) -> None:
    limit, most = reader.positions, reader.answer
    too_long = {id: n for id, n in lengths.items() if limit is not None and n + most > limit}
    if limit is None or not too_long:
        return
    id = max(too_long, key=lambda id: too_long[id])
    room = limit - too_long[id]
    raise ConfigError(
        f"{len(too_long)} of {len(lengths)} questions of {suite} are too long: the prompt of {id} has {too_long[id]:,} "
        f"tokens, and with sampling.max_tokens={most} that does not fit into {limit:,} positions",
        where=f"evaluation.suites: {suite}",
        fix=f"sampling.max_tokens of at most {room}" if room >= 8 else "leave such questions out",
    )
