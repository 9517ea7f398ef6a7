"""What the first look at a model tells: its row, its line, and what leaves nothing to learn."""

from __future__ import annotations

from collections.abc import Sequence

from coevolve.methods.counting import numbers_of
from coevolve.methods.figures import Part, RunView
from coevolve.methods.obstacles import Counts, Obstacle, fatal
from coevolve.methods.reporting import PhaseReport, Row, Seen, at, part_of

TRIAL, OBSTACLES = "trial", "obstacles"


def trial_facts(counts: Counts) -> dict[str, object]:
    """What was counted."""
    return {
        "event": TRIAL,
        "iteration": 0,
        "texts": numbers_of(counts.texts),
        "answers": numbers_of(counts.answers),
        "votes": counts.votes,
        "p_hat": {"own": list(counts.own), "plain": list(counts.plain)},
    }


def obstacle_facts(found: Sequence[Obstacle]) -> dict[str, object]:
    """What does not work, where anything does not, with a text for whoever must read it."""
    text = " · ".join(obstacle.advice for obstacle in found)
    return {"event": OBSTACLES, "iteration": 0, "found": [obstacle.row() for obstacle in found], "text": text}


def trial_report() -> PhaseReport:
    """The report of the phase."""
    return PhaseReport(
        name=TRIAL,
        title="first look",
        activity="looking at what the model writes",
        share=0.2,
        headline=_headline,
        summary=_parts,
        notices={OBSTACLES: "First look"},
        stops=_stops,
        figures=(_no_figures,),
    )


def _headline(rows: Sequence[Row], iteration: int) -> str:
    row = Seen(rows, iteration).last(TRIAL)
    texts, answers = row.get("texts"), row.get("answers")
    return (
        f"{at(texts, 'well_formed')} of {at(texts, 'texts')} questions well-formed · "
        f"{at(answers, 'answered')} of {at(answers, 'answers')} answers can be read · "
        f"programs ran in {at(answers, 'ran')}"
    )


def _parts(rows: Sequence[Row], iteration: int) -> dict[str, object]:
    """Of the base model alone."""
    seen = Seen(rows, iteration)
    return {} if iteration else {event: part_of(seen.last(event)) for event in (TRIAL, OBSTACLES)}


def _no_figures(view: RunView) -> tuple[Part, ...]:
    """It is made once, so there is nothing to draw by iteration."""
    return ()


def _stops(seen: Seen) -> list[Obstacle]:
    return fatal([Obstacle(**row) for row in seen.last(OBSTACLES).get("found", ())])
