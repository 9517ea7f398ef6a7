"""The reward of the curriculum agent, one function per part.

Source: Agent0 (arXiv 2511.16043), section 3.2: R_C = R_format * max(0, lambda_unc R_unc + lambda_tool R_tool
- R_rep). The paper leaves gamma and most weights open; the defaults of the configuration name what is used
  here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

ToolCount = Literal["mean", "majority", "max"]


@dataclass(frozen=True, slots=True)
class RewardParts:
    """The reward of one question and its parts, which are already weighted and can simply be added.

    ``total = format * max(0, uncertainty + tool + extra - repetition - novelty - memory - code)``, unless a negative
    reward is asked for.
    """

    format: float  # 1 when the question is well formed, else 0
    uncertainty: float  # lambda_unc * R_unc
    tool: float  # lambda_tool * R_tool
    repetition: float  # R_rep, lambda_rep included
    novelty: float  # penalty for templates that the archive already holds; 0 without one
    total: float
    extra: Mapping[str, float] = field(default_factory=dict)  # terms of one's own, by name
    memory: float | None = None  # penalty for nearness to earlier questions; None where no key asks for it
    code: float | None = None  # penalty for a program of a frequent shape; None likewise


def r_unc(p_hat: float, peak: float = 0.5) -> float:
    """Uncertainty reward: 1 at ``peak``, falling linearly to 0 at p_hat = 0 and p_hat = 1.

    With the paper's peak of 0.5 this is 1 - 2|p_hat - 0.5|. A question that nobody answered (p_hat = 0)
    earns nothing under any peak.

    Args:
        p_hat: share of the k answers that agree with the majority, in [0, 1].
        peak: p_hat with the largest reward, in [0, 1].
    """
    if p_hat <= 0:
        return 0.0
    return p_hat / peak if p_hat <= peak else (1 - p_hat) / (1 - peak)


def r_tool(n_tool: float, gamma: float = 0.25, cap: int = 4) -> float:
    """Tool reward gamma * min(N_tool, C): the solver's executed tool calls count, up to the cap.

    Args:
        n_tool: executed tool calls per trajectory, from ``count_tool_calls``.
        gamma: reward per call.
        cap: calls beyond it earn nothing (the paper's C).
    """
    return gamma * min(n_tool, cap)


def count_tool_calls(counts: Sequence[int], majority: Sequence[bool], mode: ToolCount = "mean") -> float:
    """N_tool of a question from its k trajectories. The paper does not say how; ``mean`` is the default.

    Args:
        counts: [k] executed tool calls of each trajectory.
        majority: [k] whether the trajectory's answer is the majority answer.
        mode: ``mean`` over all k, ``majority``: mean over those that agree with the majority, ``max``: the
            largest.

    Returns:
        Calls per trajectory, >= 0; 0 when no trajectory qualifies.
    """
    chosen = [count for count, agreed in zip(counts, majority, strict=True) if agreed or mode != "majority"]
    if not chosen:
        return 0.0
    return float(max(chosen)) if mode == "max" else sum(chosen) / len(chosen)


def r_rep(share: float, lambda_rep: float = 1.0) -> float:
    """Repetition penalty lambda_rep * |C_i| / B; ``share`` is |C_i| / B, its cluster's part of the batch."""
    return lambda_rep * share


def r_memory(largest: float, mean: float, lambda_memory: float) -> float:
    """Penalty for nearness to the questions before: half the largest and half the mean similarity, weighted.

    The largest alone would not tell a question with one twin from one with a thousand; the mean alone hardly sees a
    twin in a long memory.

    Source: R-Diverse (arXiv 2602.13103) has both terms; weights and measure are ours.
    """
    return lambda_memory * (largest + mean) / 2


def curriculum_reward(
    *,
    well_formed: bool,
    uncertainty: float,
    tool: float,
    repetition: float,
    lambda_unc: float = 1.0,
    lambda_tool: float = 0.6,
    archive_share: float = 0.0,
    lambda_novelty: float = 0.0,
    clip_at_zero: bool = True,
    malformed: float = 0.0,
    memory: float | None = None,
    code: float | None = None,
    extra: Mapping[str, float] | None = None,
) -> RewardParts:
    """R_C = R_format * max(0, lambda_unc R_unc + lambda_tool R_tool - R_rep - lambda_novelty * archive
    share).

    Args:
        well_formed: the format gate, R_format.
        uncertainty: R_unc, from ``r_unc``.
        tool: R_tool, from ``r_tool``.
        repetition: R_rep, from ``r_rep``.
        archive_share: share of the archive that has this question's template, in [0, 1]. Not in the paper,
            which corresponds to ``lambda_novelty`` = 0.
        clip_at_zero: the max(0, ...). R-Zero's published code has none.
        malformed: reward of a malformed text in place of the gains, without ``clip_at_zero`` (R-Zero's code: -1, from
            which its repetition penalty is still subtracted).
        memory: from ``r_memory``; not in the paper.
        code: share of questions whose programs have the same shape, weighted; not in the paper.
        extra: terms of one's own, which are added to the gains of a well-formed text. Not in the paper.
    """
    format_reward = 1.0 if well_formed else 0.0
    gains = lambda_unc * uncertainty + lambda_tool * tool + sum((extra or {}).values())
    novelty = lambda_novelty * archive_share
    earned = gains if well_formed else malformed
    left = earned - repetition - novelty - (memory or 0.0) - (code or 0.0)
    total = format_reward * max(0.0, left) if clip_at_zero else left
    return RewardParts(
        format=format_reward,
        uncertainty=lambda_unc * uncertainty,
        tool=lambda_tool * tool,
        repetition=repetition,
        novelty=novelty,
        total=total,
        extra=extra or {},
        memory=memory,
        code=code,
    )
