"""What keeps a model from learning, in words: pure functions of what was counted in its texts and of the settings.

``coevolve try`` prints them, and the first phase of a run in the open world stops where one of them is fatal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from coevolve.methods.counting import AnswerCounts, TextCounts
from coevolve.methods.reporting import Row
from coevolve.methods.setup import Setup

NOISE = 2.5  # nats per token: fluent text of a language model has about 1
ENOUGH = 0.5  # share of texts below which it is told that something seldom works
USED = 0.25  # share of answers in which a program should run, where there is a tool: not every question needs one
ECHOES = 0.1  # share of boxes that repeat what went wrong
FEW = 3  # tasks below which nothing is said of votes, and well-formed questions below which of their likeness


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One thing that does not work.

    Args:
        code: its name, one of those in ``docs/try.md``.
        text: a sentence with the counts.
        change: the key that would change it, with what to set it to.
        fatal: nothing can be learned as long as it stands.
    """

    code: str
    text: str
    change: str
    fatal: bool = False

    def row(self) -> dict[str, object]:
        """As it stands in metrics.jsonl and in JSON."""
        return asdict(self)

    @property
    def advice(self) -> str:
        """The sentence and the keys in one line."""
        return f"{self.text}. Try {self.change}"


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted in the first texts of a model.

    Args:
        texts: of the proposer.
        answers: of the solver, to its own questions and to plain ones.
        votes: answers to each question.
        own: p_hat of each question of the proposer that was answered.
        plain: p_hat of each plain question.
    """

    texts: TextCounts
    answers: AnswerCounts
    votes: int
    own: tuple[float, ...]
    plain: tuple[float, ...]


def obstacles(counts: Counts, setup: Setup) -> list[Obstacle]:
    """Everything that does not work: what leaves nothing to learn first, then in the order in which a text is made.

    Noise comes before the faults that it explains.
    """
    found = [*_noise(counts, setup), *_questions(counts.texts, setup), *_answers(counts.answers, setup)]
    found += [*_tool(counts.answers, setup), *_ends(counts, setup), *_votes(counts, setup)]
    return sorted(found, key=lambda obstacle: not obstacle.fatal)


def _of(part: int, whole: int, what: str) -> str:
    """``none of 16 texts``, ``all 16 texts``, ``3 of 16 texts``."""
    return f"{part or 'none'} of {whole} {what}" if part < whole else f"all {whole} {what}"


def _noise(counts: Counts, setup: Setup) -> Iterator[Obstacle]:
    found = [
        (agent, entropy, heat)
        for agent, entropy, heat in (
            ("proposer", counts.texts.entropy, setup.proposer_heat),
            ("solver", counts.answers.entropy, setup.solver_heat),
        )
        if entropy is not None and entropy > NOISE
    ]
    if not found:
        return
    said = " and ".join(f"{entropy:.1f} nats a token of the {agent}" for agent, entropy, _ in found)
    cooler = dict.fromkeys(f"{key}={max(round(0.6 * heat, 1), 0.1)} (now {heat})" for _, _, (key, heat) in found)
    yield Obstacle(
        "noise",
        f"the texts are close to noise at this temperature ({said}; fluent text has about 1)",
        f"{', '.join(cooler)}, or a top_p below 1",
        fatal=not (counts.texts.well_formed and counts.answers.answered),
    )


def _questions(texts: TextCounts, setup: Setup) -> Iterator[Obstacle]:
    if not texts.texts:
        return
    if texts.well_formed < ENOUGH * texts.texts:
        yield _malformed(texts, setup, fatal=not texts.well_formed)
    if texts.well_formed >= FEW and texts.different <= ENOUGH * texts.well_formed:
        only = texts.different == 1
        key, heat = setup.proposer_heat
        yield Obstacle(
            "same questions",
            f"all {texts.well_formed} well-formed questions are the same"
            if only
            else f"only {texts.different} of {texts.well_formed} well-formed questions are different",
            f"model.prompts with topics (arithmetic, grade-school, school), or {key} above {heat}"
            if setup.prompts
            else f"{key} above {heat}",
            fatal=only,
        )


def _malformed(texts: TextCounts, setup: Setup, *, fatal: bool) -> Obstacle:
    """Why questions are not well formed: the first step on the way to one that most texts do not take."""
    n = texts.texts
    so = f"{_of(texts.well_formed, n, 'questions')} can be asked"
    if texts.empty > n / 2:
        form = "a prompt file with `form: text` (model.prompts=FILE)" if setup.chat and setup.prompts else ""
        return Obstacle(
            "empty",
            f"{so}: {_of(texts.empty, n, 'texts')} end at once, without a word",
            form or setup.better_prompts,
            fatal,
        )
    if texts.tagged <= n / 2:
        return Obstacle(
            "no tag",
            f"{so}: {_of(texts.tagged, n, 'texts')} hold the tag <question>",
            f"{setup.better_prompts} and open the tag" if setup.prompts and not setup.led else setup.better_prompts,
            fatal,
        )
    if texts.cut_off > n / 2:
        return Obstacle(
            "questions cut off",
            f"{so}: {_of(texts.cut_off, n, 'texts')} are cut off after {setup.question_tokens} tokens",
            f"sampling.question_tokens={2 * setup.question_tokens}, or {setup.better_prompts}",
            fatal,
        )
    if setup.own_answer and texts.boxed <= n / 2:
        return Obstacle(
            "no own answer",
            f"{so}: {_of(texts.boxed, n, 'texts')} hold the writer's own answer in a box (proposer.own_answer)",
            f"proposer.own_answer=false, or {setup.better_prompts}",
            fatal,
        )
    return Obstacle(
        "malformed",
        f"{so}: what stands in the tag is no question in words, or not one that asks for one answer",
        setup.better_prompts,
        fatal,
    )


def _answers(answers: AnswerCounts, setup: Setup) -> Iterator[Obstacle]:
    m = answers.answers
    if not m:
        return
    if answers.answered < ENOUGH * m:
        yield _unanswered(answers, setup, fatal=not answers.answered)
    if answers.echoes > ECHOES * max(answers.boxed, 1) and not setup.refuses_errors:
        yield Obstacle(
            "errors as answers",
            f"{_of(answers.echoes, answers.boxed, 'boxes')} repeat what went wrong in a program, and would vote",
            "grading.refuse_errors=true",
        )
    if answers.unevaluated > ECHOES * max(answers.boxed, 1) and not setup.refuses_unevaluated:
        yield Obstacle(
            "question as answer",
            f"{_of(answers.unevaluated, answers.boxed, 'boxes')} hold the question's own expression, and count as its "
            "value",
            "grading.refuse_unevaluated=true",
        )


def _unanswered(answers: AnswerCounts, setup: Setup, *, fatal: bool) -> Obstacle:
    """Why answers cannot be read."""
    m = answers.answers
    so = f"{_of(answers.answered, m, 'answers')} can be read"
    if answers.forged > m / 2:
        return Obstacle(
            "forged output",
            f"{so}: {_of(answers.forged, m, 'answers')} write the output of a program themselves",
            "tool.call_at=fence" if not setup.at_fence else setup.better_prompts,
            fatal,
        )
    if answers.too_many_calls > m / 2:
        return Obstacle(
            "too many calls",
            f"{so}: {_of(answers.too_many_calls, m, 'answers')} call the tool more than {setup.max_turns} times",
            f"tool.max_turns={2 * setup.max_turns}, or {setup.better_prompts}",
            fatal,
        )
    if answers.cut_off > m / 2:
        behind = f", {answers.boxed} of them behind a box" if answers.boxed > m / 2 else ""
        return Obstacle(
            "answers cut off",
            f"{so}: {_of(answers.cut_off, m, 'answers')} are cut off after {setup.max_tokens} tokens{behind}",
            f"sampling.max_tokens={2 * setup.max_tokens}, or {setup.better_prompts}",
            fatal,
        )
    return Obstacle(
        "no box",
        f"{so}: {_of(answers.boxed, m, 'answers')} hold a box",
        setup.better_prompts,
        fatal,
    )


def _tool(answers: AnswerCounts, setup: Setup) -> Iterator[Obstacle]:
    m = answers.answers
    if not (m and setup.tool):
        return
    if answers.ran < USED * m:
        yield _no_calls(answers, setup, fatal=setup.paid and not answers.calls)
    if answers.calls and not answers.calls_ok:
        yield Obstacle("programs fail", f"all {answers.calls} programs that ran failed", setup.better_prompts)
    if answers.silent > ENOUGH * answers.calls:
        yield Obstacle(
            "nothing printed",
            f"{_of(answers.silent, answers.calls, 'programs')} printed nothing",
            "tool.echo=last, which shows the value of the last line"
            if not setup.echo
            else f"{setup.better_prompts} and print",
        )


def _no_calls(answers: AnswerCounts, setup: Setup, *, fatal: bool) -> Obstacle:
    """Why programs do not run, where in most answers none does."""
    m = answers.answers
    so = f"a program ran in {_of(answers.ran, m, 'answers')}"
    if answers.unrun > answers.calls and not setup.at_fence:
        return Obstacle(
            "unrun programs",
            f"{so}: {answers.unrun} programs were closed and never ran, since the line ```output does not follow",
            "tool.call_at=fence",
            fatal,
        )
    if answers.opened <= m / 2:
        return Obstacle(
            "no programs",
            f"{so}: {_of(answers.opened, m, 'answers')} begin one with ```python",
            setup.better_prompts,
            fatal,
        )
    return Obstacle(
        "fence not closed",
        f"{so}: {_of(answers.opened, m, 'answers')} begin one, {answers.closed} close its fence",
        f"sampling.max_tokens={2 * setup.max_tokens}, or {setup.better_prompts}"
        if answers.cut_off > m / 2
        else setup.better_prompts,
        fatal,
    )


def _ends(counts: Counts, setup: Setup) -> Iterator[Obstacle]:
    texts, answers = counts.texts, counts.answers
    written, cut = texts.texts + answers.answers, texts.cut_off + answers.cut_off
    if not written or texts.end_tokens + answers.end_tokens or cut < ENOUGH * written:
        return
    yield Obstacle(
        "no end",
        f"none of {written} texts ends with an end token of the model, and {cut} are cut off",
        "a prompt file with `form: text` and examples, as for a base model (model.prompts=FILE)"
        if setup.prompts and setup.chat
        else setup.better_prompts,
    )


def _votes(counts: Counts, setup: Setup) -> Iterator[Obstacle]:
    """Whether there is a frontier at all; only where answers can be read."""
    everything = (*counts.own, *counts.plain)
    key, heat = setup.solver_heat
    if len(everything) < FEW or counts.answers.answered < ENOUGH * counts.answers.answers:
        return
    if min(everything) == 1:
        yield Obstacle(
            "all agree",
            f"all {counts.votes} answers to each of {len(everything)} questions agree: what is asked is too easy",
            f"harder levels (model.prompts=FILE), or {key} above {heat}",
        )
    elif max(everything) <= 1 / counts.votes:
        yield Obstacle(
            "none agree",
            f"no two of {counts.votes} answers to any of {len(everything)} questions agree: it is too hard, or chance",
            f"easier levels (model.prompts=FILE), or {key} below {heat}",
        )


def fatal(found: Sequence[Obstacle]) -> list[Obstacle]:
    """Those that leave nothing to learn."""
    return [obstacle for obstacle in found if obstacle.fatal]


_TRY = "coevolve try MODEL, with the settings of this run, shows what is written and which key would change it"


def unasked(where: str, texts: int) -> Obstacle:
    """Of a step or pool of so many texts."""
    return Obstacle("nothing well formed", f"in {where} none of {texts} texts is a well-formed question", _TRY, True)


def unanswered(where: str) -> Obstacle:
    """Of a step or pool whose questions were asked."""
    return Obstacle("no answers", f"in {where} no answer to any question can be read", _TRY, True)


def unrun(where: str) -> Obstacle:
    """Of a step or pool in which tool calls are rewarded."""
    return Obstacle(
        "no tool calls",
        f"in {where} no program ran, though tool calls are rewarded",
        f"reward.lambda_tool=0; {_TRY}",
        True,
    )


def unkept(pool: Row, lower: float, upper: float) -> Obstacle:
    """Of the row of a pool of which the gate, with these bounds, kept nothing."""
    reasons = pool.get("reasons") or {}
    most = max(reasons, key=reasons.__getitem__) if any(reasons.values()) else ""
    said = f"; most often: {_REASONS.get(most, most)}" if most else ""
    return Obstacle(
        "nothing kept",
        f"of the first pool the gate kept none of {pool['size']} texts{said}",
        f"gate.lower (now {lower:g}), gate.upper (now {upper:g}), more pool.votes or a larger pool.size",
        True,
    )


_REASONS = {
    "no_answer": "nobody answered",
    "below": "the votes are too divided (p_hat below gate.lower)",
    "above": "the votes agree (p_hat above gate.upper)",
    "narrow": "the majority is too narrow (gate.margin)",
    "malformed": "not well formed",
    "duplicate": "asked before",
}
