"""What self-play tells: the facts of a step, the measures by play, and where they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from coevolve.methods.metrics import sampled_entropy, training_alarms, training_figures
from coevolve.methods.reporting import (
    Better,
    Finding,
    Labels,
    PhaseReport,
    Quantity,
    Row,
    Seen,
    Summary,
    Unit,
    at,
    iterations,
    listed,
    part_of,
    percent,
    series,
    two_digits,
)
from coevolve.rollout.table import is_fault
from coevolve.types import SOLVER, Trajectory
from coevolve.worlds.play import PLAY

SELF_PLAY = "self_play"
STEP = f"{SELF_PLAY}_step"
ILLEGAL_ALARM = 0.5  # share of matches that end by an illegal move

Seated = tuple[str, int, Trajectory]  # game, seat of the game, what was written there


def step_facts(played: Sequence[Seated], baselines: Mapping[str, float], gap: float | None) -> dict[str, object]:
    """What a step found before its update.

    Args:
        played: the seats that learn.
        baselines: by game and seat, after this step.
        gap: the largest difference between the sampler's and the trainer's log-probability.
    """
    games = list(dict.fromkeys(game for game, _, _ in played))
    texts = [trajectory for _, _, trajectory in played]

    def of(game: str) -> dict[str, object]:
        mine = [(seat, text) for name, seat, text in played if name == game]
        first = [text.reward for seat, text in mine if seat == 0 and text.reward is not None]
        return {
            "first_seat": float(np.mean(first)) if first else None,
            "illegal": float(np.mean([is_fault(text) for _, text in mine])),
            "tokens": float(np.mean([text.sampled for _, text in mine])),
        }

    return {
        "illegal": float(np.mean([is_fault(text) for text in texts])),
        "by_game": {game: of(game) for game in games},
        "baselines": dict(sorted(baselines.items())),
        "policy_entropy": sampled_entropy(texts),
        "tokens_sampled": sum(text.sampled for text in texts),
        "max_logp_gap": gap,
    }


def shown_facts(row: Row) -> dict[str, object]:
    """What a step shows while the phase goes on."""
    return {"illegal": row["illegal"], "entropy": row["entropy"]}


def self_play_report(labels: Labels) -> PhaseReport:
    """The report of the phase for a method that calls its agent so."""
    player = labels[SOLVER]
    return PhaseReport(
        name=SELF_PLAY,
        title="self-play",
        activity="playing itself",
        share=2.0,
        headline=_headline,
        summary=_parts,
        quantities=_quantities(),
        step_event=STEP,
        step_facts=(("illegal", "illegal moves"), ("policy_entropy", "entropy")),
        alarms={**training_alarms(STEP, SELF_PLAY, player), "illegal moves": partial(_illegal, player)},
        figures=(partial(training_figures, event=STEP, agent=SOLVER),),
        agent=SOLVER,
        findings=(partial(_exploited, player), partial(_lost, player)),
    )


def _quantities() -> tuple[Quantity, ...]:
    share, lower = Unit.SHARE, Better.LOWER
    against = ("negotiation", "pig", "nim", "liarsdice")
    return (
        Quantity(
            "exploitability",
            "exploitability, Kuhn",
            (PLAY, "kuhn", "exploitability"),
            Unit.NUMBER,
            lower,
            column="Kuhn exploitability",
            meaning="chips that best responses win from the player in Kuhn poker, mean over the seats",
            metric="evaluation/play/kuhn/exploitability",
        ),
        Quantity(
            "lost_to_perfect",
            "lost to perfect",
            (PLAY, "tictactoe_perfect", "loss"),
            share,
            lower,
            column="lost to perfect",
            meaning="matches of tic-tac-toe lost to a perfect player",
            interval=(PLAY, "tictactoe_perfect", "ci95"),
            metric="evaluation/play/tictactoe_perfect/loss",
        ),
        *(
            Quantity(
                f"{game}_won",
                f"{game} won",
                (PLAY, f"{game}_random", "win"),
                share,
                Better.HIGHER,
                default=False,
                column=game,
                meaning=f"matches of {game} won against random legal play",
                metric=f"evaluation/play/{game}_random/win",
            )
            for game in against
        ),
        Quantity(
            "illegal",
            "illegal moves",
            (SELF_PLAY, "illegal"),
            share,
            lower,
            first=1,
            default=False,
            column="illegal",
            meaning="seats of the last step that ended their match by an illegal move",
            metric=f"{STEP}/illegal",
        ),
    )


def _parts(rows: Sequence[Row], iteration: int) -> dict[str, object]:
    return {SELF_PLAY: part_of(Seen(rows, iteration).last(STEP))}


def _headline(rows: Sequence[Row], iteration: int) -> str:
    row = Seen(rows, iteration).last(STEP)
    if not row:
        return "nothing was played"
    games = " · ".join(f"{game} {two_digits(found['first_seat'])}" for game, found in row["by_game"].items())
    return f"first seat's mean result: {games} · illegal {percent(row['illegal'], 1)}"


def _illegal(player: str, seen: Seen) -> str:
    row = seen.last(STEP)
    share = row.get("illegal") if row else None
    if share is None or 2 * share <= ILLEGAL_ALARM:
        return ""
    return f"{percent(share)} of the seats of the {player} ended their match by an illegal move"


def _exploited(player: str, summary: Summary, rows: Sequence[Row]) -> Finding | None:
    values = series(summary, PLAY, "kuhn", "exploitability")
    if len(values) < 2:
        return None
    shown = " → ".join(f"{value:.3f}" for _, value in values)
    text = f"Exploitability in Kuhn poker by iteration, in chips: {shown}."
    if values[-1][1] < values[0][1]:
        return Finding("good", f"The {player} is harder to exploit than the base model", text)
    return Finding("watch", f"The {player} is no harder to exploit than the base model", text)


def _lost(player: str, summary: Summary, rows: Sequence[Row]) -> Finding | None:
    values = series(summary, PLAY, "tictactoe_perfect", "loss")
    if len(values) < 2:
        return None
    text = f"Matches of tic-tac-toe lost to a perfect player, by iteration: {listed(values)}."
    bounds = {at(row, "iteration"): at(row, PLAY, "tictactoe_perfect", "ci95") for row in iterations(summary)}
    first, last = (bounds.get(values[n][0]) for n in (0, -1))
    if isinstance(first, list) and isinstance(last, list) and last[1] < first[0]:
        return Finding("good", f"The {player} loses less often to a perfect player", text)
    told = text + " The 95 % intervals of the first and the last overlap, or the share rose."
    return Finding("watch", f"It is not shown that the {player} loses less often to a perfect player", told)
