"""What proposing and solving tells: the facts of a step, and where they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from coevolve.methods.figures import AgentNote, LineFigure, Part, RunView, Series
from coevolve.methods.metrics import mean, training_alarms, training_figures
from coevolve.methods.reporting import (
    Better,
    Labels,
    PhaseReport,
    Quantity,
    Row,
    Seen,
    Unit,
    number,
    part_of,
    percent,
    two_digits,
)
from coevolve.types import SOLVER, Trajectory
from coevolve.worlds.code.items import KINDS, Triplet
from coevolve.worlds.code.judging import Verdict

PHASE = "propose_and_solve"
STEP = f"{PHASE}_step"
PROPOSE, SOLVE = "propose", "solve"  # roles


@dataclass(frozen=True, slots=True)
class Proposed:
    """A text of the role propose.

    Args:
        kind: type of the task that it was asked for.
        trajectory: what was written.
        triplet: None where it is no task, or one whose program does not run.
        reserved: its program belongs to the meter: nothing is trained on it.
        solved: share of its answers that are right; None where it has none.
        reward: what it earns.
    """

    kind: str
    trajectory: Trajectory
    triplet: Triplet | None
    reserved: bool
    solved: float | None
    reward: float

    @property
    def key(self) -> tuple[str, str]:
        """Role and type, which have a baseline of their own."""
        return PROPOSE, self.kind


@dataclass(frozen=True, slots=True)
class Solved:
    """A text of the role solve: the one answer to a task."""

    kind: str
    trajectory: Trajectory
    verdict: Verdict
    reward: float

    @property
    def key(self) -> tuple[str, str]:
        """Role and type, which have a baseline of their own."""
        return SOLVE, self.kind


def step_facts(
    proposed: Sequence[Proposed],
    solved: Sequence[Solved],
    new: Mapping[str, int],
    buffers: Mapping[str, int],
    gap: float | None,
) -> dict[str, object]:
    """What a step found before its update.

    Args:
        proposed, solved: all texts of the step.
        new: tasks of each type that were not there before.
        buffers: tasks of each type that are kept.
        gap: the largest difference between the sampler's and the trainer's log-probability.
    """
    facts: dict[str, object] = {
        "reward_propose": mean([one.reward for one in proposed]),
        "reward_solve": mean([one.reward for one in solved]),
        "valid": mean([one.triplet is not None for one in proposed]),
        "learnable": mean([one.solved is not None and 0 < one.solved < 1 for one in proposed]),
        "right": mean([one.verdict is Verdict.RIGHT for one in solved]),
        "ill_formed": mean([one.verdict is Verdict.ILL_FORMED for one in solved]),
        "reserved": sum(one.reserved for one in proposed),
        "new": sum(new.values()),
    }
    for kind in KINDS:
        mine, answers = [one for one in proposed if one.kind == kind], [one for one in solved if one.kind == kind]
        facts |= {
            f"valid_{kind}": mean([one.triplet is not None for one in mine]),
            f"solved_{kind}": mean([one.solved for one in mine if one.solved is not None]),
            f"right_{kind}": mean([one.verdict is Verdict.RIGHT for one in answers]),
            f"new_{kind}": new[kind],
            f"buffer_{kind}": buffers[kind],
        }
    sampled = sum(one.trajectory.sampled for one in proposed) + sum(one.trajectory.sampled for one in solved)
    return facts | {"tokens_sampled": sampled, "max_logp_gap": gap}


def shown_facts(row: Row) -> dict[str, object]:
    """What a step shows while the phase goes on."""
    return {"valid": row["valid"], "learnable": row["learnable"], "right": row["right"], "new": row["new"]}


def propose_and_solve_report(labels: Labels) -> PhaseReport:
    """The report of the phase for a method that calls its agent so."""
    return PhaseReport(
        name=PHASE,
        title="proposing and solving",
        activity="proposing tasks and solving them",
        share=2.0,
        headline=_headline,
        summary=_parts,
        quantities=_QUANTITIES,
        step_event=STEP,
        step_facts=(("valid", "valid"), ("learnable", "learnable"), ("right", "right")),
        alarms={**training_alarms(STEP, PHASE, labels[SOLVER]), "nothing valid": _nothing_valid},
        figures=(_figures,),
        agent=SOLVER,
    )


_PART = ("valid", "learnable", "right", "new", "reward_propose", "reward_solve", "entropy", "step", "steps")


def _parts(rows: Sequence[Row], iteration: int) -> dict[str, object]:
    return {PHASE: part_of(Seen(rows, iteration).last(STEP), (*_PART, *(f"right_{kind}" for kind in KINDS)))}


def _quantity(name: str, heading: str, better: Better, meaning: str) -> Quantity:
    path, metric = (PHASE, name), f"{STEP}/{name}"
    return Quantity(name, heading, path, Unit.SHARE, better, 1, default=False, meaning=meaning, metric=metric)


_QUANTITIES = (
    _quantity("valid", "valid", Better.HIGHER, "proposed tasks of the last step whose programs run"),
    _quantity("learnable", "learnable", Better.NEITHER, "of them and all others, solved by some answers, not by all"),
    _quantity("right", "right", Better.HIGHER, "answers of the last step that the sandbox finds right"),
)


def _headline(rows: Sequence[Row], iteration: int) -> str:
    row = Seen(rows, iteration).last(STEP)
    return (
        f"valid {percent(row.get('valid'))} · learnable {percent(row.get('learnable'))} · right "
        f"{percent(row.get('right'))} · reward {two_digits(row.get('reward_propose'))} proposing, "
        f"{two_digits(row.get('reward_solve'))} solving"
    )


def _nothing_valid(seen: Seen) -> str:
    steps = seen.now(STEP)
    if not steps or any(number(row, "valid") for row in steps):
        return ""
    return "no proposed task was valid: the buffers hold what they held before"


def _figures(run: RunView) -> Iterator[Part]:
    yield AgentNote(SOLVER, "proposes tasks over programs and solves them; the sandbox is the judge")
    for key, title, note in (
        ("right", "Right answers in training", "share of the tasks of each step, new and earlier ones"),
        ("valid", "Valid proposals", "share of the proposed texts whose program runs, always with the same output"),
    ):
        shades = zip(KINDS, (0, 3, 5), ("solid", "dash", "dot"), strict=True)
        lines = tuple(_line(run, f"{key}_{kind}", kind, shade, style) for kind, shade, style in shades)
        yield LineFigure(title, note, "health", lines, Unit.SHARE, x="step")
    line = _line(run, "learnable", "learnable", 0, "solid")
    note = "share of the proposed texts that are tasks which some answers solve and some do not"
    yield LineFigure("Learnable proposals", note, "health", (line,), Unit.SHARE, x="step")
    yield from training_figures(run, STEP, SOLVER)


def _line(run: RunView, key: str, name: str, shade: int, style: str) -> Series:
    look = partial(Series, name, run.over_steps(STEP, key), SOLVER, shade, tasks={})
    return look() if style == "solid" else look(style=style)  # type: ignore[arg-type]
