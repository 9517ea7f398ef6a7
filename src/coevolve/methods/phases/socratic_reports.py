"""What the phases of Socratic-Zero tell: the facts they log, and where these are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from coevolve.learning.guard import largest_finite
from coevolve.methods.figures import LineFigure, Part, RunView, Series, Stat, TableFigure
from coevolve.methods.metrics import mean
from coevolve.methods.phases.curriculum_tables import Entry
from coevolve.methods.questions import Written
from coevolve.methods.reporting import (
    ABSENT,
    Better,
    Labels,
    PhaseReport,
    Quantity,
    Row,
    Seen,
    Span,
    Unit,
    part_of,
    percent,
    two_digits,
)
from coevolve.types import GENERATOR, SOLVER, TrainStats

TEACHING, REFERENCES = "teaching", "teaching_references"
PREFERENCES, SKIPPED = "preferences", "preferences_skipped"
GENERATED, GENERATOR_SKIPPED = "generator_written", "generator_skipped"
_STEP, _GENERATOR_STEP = f"{PREFERENCES}_step", f"{GENERATOR}_step"
_TEACHER = "teacher"
_COSTS = ("teacher_requests", "teacher_read", "teacher_written", "teacher_usd")  # in the row of a round


def curriculum_facts(
    iteration: int,
    asked: Sequence[Entry],
    new: Sequence[Entry],
    size: int,
    refused: Mapping[str, int],
    unread: int,
) -> dict[str, object]:
    """The row of a round.

    Args:
        asked: the questions that it began with, with the success rates of their answers.
        new: the problems that the teacher wrote from failures, likewise.
        size: questions of the curriculum after it.
        refused: problems of the teacher that cannot be used, by reason.
        unread: verdicts that could not be read.
    """
    rates = [x.success for x in asked if x.success is not None]
    return {
        "event": TEACHING,
        "iteration": iteration,
        "asked": len(asked),
        "success": mean(rates),
        "mastered": sum(x == 1.0 for x in rates),
        "learning": sum(0.0 < x < 1.0 for x in rates),
        "too_hard": sum(x == 0.0 for x in rates),
        "new": len(new),
        "new_success": mean([x.success for x in new if x.success is not None]),
        "size": size,
        "refused_problems": dict(sorted(refused.items())),
        "unread_verdicts": unread,
    }


def preference_facts(iteration: int, step: int, steps: int, stats: TrainStats) -> dict[str, object]:
    """The row of a step of DPO; means over its pairs, at the weights before the update."""
    known = stats.pairs > 0 and not stats.skipped
    return {
        "event": _STEP,
        "iteration": iteration,
        "step": step,
        "steps": steps,
        "loss": stats.loss if known else None,
        "preferred": stats.preferred / stats.pairs if known else None,
        "margin": stats.margin / stats.pairs if known else None,
        "pairs": stats.pairs,
        **_training(stats),
    }


def generator_facts(iteration: int, step: int, steps: int, stats: TrainStats, utility: float) -> dict[str, object]:
    """The row of a step of supervised training: its loss is a mean over tokens, each weighted by utility."""
    return {
        "event": _GENERATOR_STEP,
        "iteration": iteration,
        "step": step,
        "steps": steps,
        "loss": None if stats.skipped else stats.loss,
        "utility": utility,
        **_training(stats),
    }


def generated_facts(iteration: int, written: Sequence[Written], known: set[str]) -> dict[str, object]:
    """What a trained generator writes from the failures of its round."""
    tasks = [w for w in written if w.task is not None]
    return {
        "event": GENERATED,
        "iteration": iteration,
        "written": len(written),
        "well_formed": len(tasks) / len(written),
        "new": len({w.question for w in tasks} - known) / len(written),
        "tokens_sampled": sum(w.trajectory.sampled for w in written),
    }


def _training(stats: TrainStats) -> dict[str, object]:
    return {
        "entropy": stats.entropy / stats.tokens if stats.tokens else None,
        "grad_norm": largest_finite([stats.grad_norm]),
        "skipped_updates": int(stats.skipped),
        "tokens_trained": stats.tokens,
    }


def curriculum_report(labels: Labels) -> PhaseReport:
    """The report of the phase that asks, judges and lets the teacher write."""
    return PhaseReport(
        name=TEACHING,
        activity="answering the curriculum, which the teacher judges and extends",
        share=2.0,
        headline=_curriculum_line,
        summary=partial(_latest, {TEACHING: TEACHING, REFERENCES: REFERENCES}),
        whole=_whole,
        quantities=_CURRICULUM_QUANTITIES,
        alarms={"teacher refused": _refused},
        figures=(partial(_curriculum_figures, labels),),
        agent=SOLVER,
    )


def preference_report(labels: Labels) -> PhaseReport:
    """The report of the solver's training."""
    solver = labels[SOLVER]
    return PhaseReport(
        name=PREFERENCES,
        title=solver,
        activity=f"training the {solver}",
        headline=_preference_line,
        summary=partial(_latest, {PREFERENCES: _STEP}),
        quantities=(
            Quantity(
                "preferred",
                "preferred",
                (PREFERENCES, "preferred"),
                Unit.SHARE,
                Better.HIGHER,
                1,
                default=False,
                meaning="pairs of the last step whose right answer has gained more",
                metric=f"{_STEP}/preferred",
            ),
        ),
        step_event=_STEP,
        step_facts=(("loss", "loss"), ("preferred", "preferred")),
        alarms={f"{solver} without pairs": partial(_nothing, SKIPPED, solver)},
        figures=(
            partial(_training_figures, _STEP, SOLVER, "Preference loss", "log 2 = 0.69 where nothing is learned"),
        ),
        agent=SOLVER,
    )


def generator_report(labels: Labels) -> PhaseReport:
    """The report of the generator's training."""
    generator = labels[GENERATOR]
    note = "nats per token of the teacher's problems, weighted by utility"
    return PhaseReport(
        name=GENERATOR,
        activity=f"training the {generator}",
        headline=_generator_line,
        summary=partial(_latest, {GENERATOR: _GENERATOR_STEP, GENERATED: GENERATED}),
        quantities=(
            Quantity(
                "generator_well_formed",
                "generator well-formed",
                (GENERATED, "well_formed"),
                Unit.SHARE,
                Better.HIGHER,
                1,
                default=False,
                meaning="problems of the generator that are well-formed",
                metric=f"{GENERATED}/well_formed",
            ),
        ),
        step_event=_GENERATOR_STEP,
        step_facts=(("loss", "loss"), ("utility", "utility")),
        alarms={f"{generator} without problems": partial(_nothing, GENERATOR_SKIPPED, generator)},
        figures=(partial(_training_figures, _GENERATOR_STEP, GENERATOR, "Loss of the generator", note),),
        agent=GENERATOR,
    )


_CURRICULUM_QUANTITIES = (
    Quantity(
        "success", "success", (TEACHING, "success"), Unit.SHARE, Better.NEITHER, 1, default=False,
        meaning="answers to the curriculum that the teacher calls right", metric=f"{TEACHING}/success",
    ),
    Quantity(
        "curriculum", "questions", (TEACHING, "size"), Unit.COUNT, Better.NEITHER, 1, default=False,
        column="questions", meaning="questions of the curriculum after the round", metric=f"{TEACHING}/size",
    ),
    Quantity(
        "reference_accuracy", "true references", (REFERENCES, "label_accuracy"), Unit.SHARE, Better.HIGHER, 1,
        default=False, meaning="reference answers of the round's new problems that are true",
        metric=f"{REFERENCES}/label_accuracy",
    ),
    Quantity(
        "round_requests", "requests to the teacher", (TEACHING, "teacher_requests"), Unit.COUNT, Better.LOWER, 1,
        default=False, column="teacher requests", meaning="different requests to the teacher",
        metric=f"{TEACHING}/teacher_requests",
    ),
    Quantity(
        "round_tokens", "tokens of the teacher", (TEACHING, "teacher_tokens"), Unit.COUNT, Better.LOWER, 1,
        default=False, column="teacher tokens", meaning="tokens that these read and wrote",
        metric=f"{TEACHING}/teacher_tokens",
    ),
    Quantity(
        "round_usd", "cost of the teacher (USD)", (TEACHING, "teacher_usd"), Unit.NUMBER, Better.LOWER, 1,
        default=False, column="teacher USD", meaning="what they cost", metric=f"{TEACHING}/teacher_usd",
    ),
    Quantity(
        "teacher_requests", "requests to the teacher", (_TEACHER, "requests"), Unit.COUNT, Better.LOWER,
        span=Span.RUN, default=False,
    ),
    Quantity(
        "teacher_tokens", "tokens of the teacher (million)", (_TEACHER, "tokens"), Unit.TOKENS, Better.LOWER,
        span=Span.RUN, default=False,
    ),
    Quantity(
        "teacher_usd", "cost of the teacher (USD)", (_TEACHER, "usd"), Unit.NUMBER, Better.LOWER, span=Span.RUN,
        default=False,
    ),
)  # fmt: skip


def _latest(events: Mapping[str, str], rows: Sequence[Row], iteration: int) -> dict[str, object]:
    seen = Seen(rows, iteration)
    return {part: part_of(seen.last(event)) for part, event in events.items()}


def _whole(rows: Sequence[Row]) -> dict[str, object]:
    """What the teacher has cost in all rounds; None before the first."""
    mine = [row for row in rows if row.get("event") == TEACHING]
    if not mine:
        return {_TEACHER: None}
    requests, read, written, usd = (sum(row[key] for row in mine) for key in _COSTS)
    return {_TEACHER: {"requests": requests, "tokens": read + written, "read": read, "written": written, "usd": usd}}


def _curriculum_line(rows: Sequence[Row], iteration: int) -> str:
    row = Seen(rows, iteration).last(TEACHING)
    return (
        f"{row.get('asked')} questions, {percent(row.get('success'))} of the answers right · {row.get('new')} new · "
        f"teacher: {row.get('teacher_requests')} requests, {row.get('teacher_usd', 0.0):.2f} USD"
    )


def _preference_line(rows: Sequence[Row], iteration: int) -> str:
    row = Seen(rows, iteration).last(_STEP)
    if not row:
        return "no pairs; unchanged"
    return f"loss {two_digits(row.get('loss'))} · right answer preferred in {percent(row.get('preferred'))} of pairs"


def _generator_line(rows: Sequence[Row], iteration: int) -> str:
    seen = Seen(rows, iteration)
    row, written = seen.last(_GENERATOR_STEP), seen.last(GENERATED)
    if not row:
        return "no problems; unchanged"
    sound = f" · {percent(written['well_formed'])} of its problems well-formed" if written else ""
    return f"loss {two_digits(row.get('loss'))}{sound}"


def _refused(seen: Seen) -> str:
    row = seen.last(TEACHING)
    refused, unread = sum(row.get("refused_problems", {}).values()), row.get("unread_verdicts", 0)
    if refused + unread <= max(row.get("new", 0), 1):
        return ""
    return f"of the teacher's replies {refused} problems and {unread} verdicts could not be used"


def _nothing(event: str, label: str, seen: Seen) -> str:
    row = seen.last(event)
    return f"the {label} learned nothing: {row['reason']}" if row else ""


def _curriculum_figures(labels: Labels, run: RunView) -> Iterator[Part]:
    of = partial(run.over_iterations, TEACHING, first=1)
    lines = (
        Series("the curriculum", of("success"), SOLVER),
        Series("new problems", of("new_success"), SOLVER, 3, "dash", thin=True),
    )
    title = f"Success of the {labels[SOLVER]}"
    note = "answers that the teacher calls right, of the questions of a round and of the problems it wrote from them"
    yield LineFigure(title, note, "agents", lines, Unit.SHARE, first=1)
    line = Series("questions", of("size"), SOLVER)
    yield LineFigure("Size of the curriculum", "questions after each round", "agents", (line,), Unit.COUNT, first=1)
    rounds = run.with_part(TEACHING)
    if rounds:
        cells = [[str(t), *(_cost(row, key) for key in _COSTS)] for t, row in rounds]
        head = ("iteration", "requests", "tokens read", "tokens written", "USD")
        note = "what was asked for the first time in a round; nothing is asked twice"
        yield TableFigure("What the teacher cost", note, "agents", head, tuple(tuple(row) for row in cells))
        total = sum(row.get("teacher_usd") or 0.0 for _, row in rounds)
        asked = sum(row.get("teacher_requests") or 0 for _, row in rounds)
        yield Stat("requests to the teacher", (f"{asked:,}",), f" for {total:.2f} USD")


def _cost(row: Row, key: str) -> str:
    value = row.get(key)
    if value is None:
        return ABSENT
    return f"{value:.2f}" if isinstance(value, float) else f"{value:,}"


def _training_figures(event: str, agent: str, title: str, note: str, run: RunView) -> Iterator[Part]:
    line = Series(run.label(agent), run.over_steps(event, "loss"), agent)
    yield LineFigure(title, note, "health", (line,), Unit.NATS, x="step", digits=2)
