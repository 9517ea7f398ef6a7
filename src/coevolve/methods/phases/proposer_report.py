"""What the training of a proposer tells: the facts of a step, and where they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from coevolve.curriculum.archive import Archive
from coevolve.curriculum.rewards import RewardParts
from coevolve.curriculum.voting import vote_entropy
from coevolve.methods.metrics import mean, training_alarms, without_advantage
from coevolve.methods.obstacles import Obstacle, unanswered, unasked, unrun
from coevolve.methods.phases.figures import proposer_figures
from coevolve.methods.polling import ByVoter
from coevolve.methods.questions import Written
from coevolve.methods.reporting import (
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
from coevolve.types import PROPOSER, SOLVER, Group

CURRICULUM = "curriculum"
STEP = f"{CURRICULUM}_step"


def step_facts(
    texts: Sequence[Written],
    by_voter: ByVoter,
    groups: Sequence[Group],
    rewards: Sequence[RewardParts],
    zero_groups: int,
    gap: float | None,
) -> dict[str, object]:
    """What a step found before its update.

    Args:
        texts: everything that the proposer wrote.
        by_voter: the answers to its questions, by voter and task.
        groups: the questions with the vote of all voters.
        rewards: of the texts.
        zero_groups: groups of texts that all had the same reward.
        gap: the largest difference between the sampler's and the trainer's log-probability; None where not checked.
    """
    votes = [g.vote for g in groups]
    written = [w.trajectory for w in texts]
    return {
        **reward_facts(rewards),
        "duplicates": Archive().duplicate_share([w.question for w in texts if w.task]),
        "p_hat": mean([v.p_hat for v in votes]),
        "vote_entropy": mean([vote_entropy(v) for v in votes]),
        "pairs_unfinished": sum(v.timeouts for v in votes),
        "pairs_skipped": sum(v.skipped for v in votes),
        "tool_calls": mean([len(x.tool_calls) for g in groups for x in g.trajectories]),
        "own_tool_calls": mean([len(x.tool_calls) for x in written]),
        "zero_groups": zero_groups,
        "tokens_sampled": sum(x.sampled for x in written)
        + sum(x.sampled for answers in by_voter for group in answers for x in group),
        "max_logp_gap": gap,
    }


def reward_facts(rewards: Sequence[RewardParts]) -> dict[str, object]:
    """Means over the batch; the parts are those of well-formed questions, weighted as they enter the reward."""
    asked = [r for r in rewards if r.format]
    extra = {path: mean([r.extra[path] for r in asked]) for path in (asked[0].extra if asked else ())}
    more = {
        f"r_{name}": mean(values)
        for name in ("memory", "code")
        if (values := [value for r in asked if (value := getattr(r, name)) is not None])
    }
    return {
        "reward": mean([r.total for r in rewards]),
        "r_unc": mean([r.uncertainty for r in asked]),
        "r_tool": mean([r.tool for r in asked]),
        "r_rep": mean([r.repetition for r in asked]),
        "r_novelty": mean([r.novelty for r in asked]),
        "format": mean([r.format for r in rewards]),
        **more,
    } | ({"r_extra": extra} if extra else {})


def shown_facts(row: Row, scored: int, *, learns: bool) -> Mapping[str, object]:
    """What a step shows while the phase goes on.

    Args:
        row: of the step.
        scored: answers that were held against the votes.
        learns: some text was rewarded above another of its group.
    """
    return {
        "reward": row["reward"],
        "uncertainty": row["r_unc"],
        "tool": row["r_tool"],
        "repetition": _penalty(row.get("r_rep")),
        "scored": scored,
        "advantage": None if learns else "none",
    }


def proposer_report(labels: Labels) -> PhaseReport:
    """The report of the phase for a method that calls its agents so."""
    proposer = labels[PROPOSER]
    return PhaseReport(
        name=CURRICULUM,
        title=proposer.removesuffix(" agent"),
        activity=f"training the {proposer}",
        share=3.0,
        headline=_headline,
        summary=lambda rows, iteration: {CURRICULUM: part_of(Seen(rows, iteration).last(STEP), _PART, rest=False)},
        quantities=(replace(_REWARD, heading=f"reward of the {proposer}"),),
        step_event=STEP,
        step_facts=(("reward", "reward"), ("r_unc", "uncertainty"), ("r_tool", "tool")),
        alarms={
            **training_alarms(STEP, CURRICULUM, proposer),
            f"{CURRICULUM} without advantage": partial(_no_advantage, proposer),
        },
        stops=_stops,
        figures=(partial(proposer_figures, STEP),),
        agent=PROPOSER,
    )


def _no_advantage(proposer: str, seen: Seen) -> str:
    if seen.config is None:
        return ""
    section = seen.config.proposer
    return without_advantage(seen, STEP, proposer, section.questions // section.group_size)


def _stops(seen: Seen) -> list[Obstacle]:
    """What the first step of all shows: texts that are all malformed, or questions that nobody answers."""
    steps = [row for row in seen.now(STEP) if seen.iteration == 1 and row.get("step") == 1]
    if not steps:
        return []
    row, section, n = steps[0], seen.config.proposer, seen.config.proposer.questions
    where = f"the first step of the {CURRICULUM}"
    if not number(row, "format", 1.0):
        return [unasked(where, n)]
    if not number(row, "p_hat", 1.0):
        return [unanswered(where)]
    paid = section.train and seen.config.has_tool(SOLVER) and seen.config.reward.lambda_tool > 0
    return [unrun(where)] if paid and not number(row, "tool_calls", 1.0) else []


_REWARD = Quantity(
    "proposer_reward",
    "reward",
    (CURRICULUM, "reward"),
    Unit.NUMBER,
    first=1,
    default=False,
    meaning="mean over the last step's texts",
    metric=f"{STEP}/reward",
)
_PART = ("reward", "r_unc", "r_tool", "r_rep", "format", "step", "steps")


def _headline(rows: Sequence[Row], iteration: int) -> str:
    row = Seen(rows, iteration).last(STEP)
    return (
        f"reward {two_digits(row.get('reward'))} (uncertainty {two_digits(row.get('r_unc'))} · "
        f"tool {two_digits(row.get('r_tool'))} · repetition {two_digits(_penalty(row.get('r_rep')))})"
        f" · {percent(row.get('format'))} well-formed"
    )


def _penalty(value: object) -> float | None:
    """What the repetition term takes from the reward, as it enters it; never shown as -0.00."""
    return 0.0 - round(value, 2) if isinstance(value, int | float) else None
