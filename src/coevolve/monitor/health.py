"""Whether a run is healthy: the findings of its phases and of all training steps, with the numbers that say so."""

from __future__ import annotations

from collections.abc import Sequence

from coevolve.methods.reporting import Finding, Judgement, PhaseReport, Row, Summary

_ORDER = {"bad": 0, "watch": 1, "good": 2}


def health(
    summary: Summary, metrics: Sequence[Row], reports: Sequence[PhaseReport], more: Sequence[Finding] = ()
) -> list[Finding]:
    """Findings about the run, those that need attention first; a check without numbers is left out.

    The limits are those that the embedded world is expected to keep; they are stated in each text. ``more`` are what
    others have found out that is not in the metrics.
    """
    checks: list[Judgement] = [check for report in reports for check in report.findings]
    found = [finding for check in (*checks, _agreement, _skipped) if (finding := check(summary, metrics))]
    return sorted([*found, *more], key=lambda finding: _ORDER[finding.tone])


def _agreement(summary: Summary, metrics: Sequence[Row]) -> Finding | None:
    gaps = [row["max_logp_gap"] for row in metrics if row.get("max_logp_gap") is not None]
    if not gaps:
        return None
    text = f"Largest gap of a log-probability in {len(gaps)} checks after a sync: {max(gaps):.1e}."
    return Finding("good", "Sampler and trainer agree", text)


def _skipped(summary: Summary, metrics: Sequence[Row]) -> Finding | None:
    counts = [row["skipped_updates"] for row in metrics if row.get("skipped_updates") is not None]
    if not counts:
        return None
    if not any(counts):
        return Finding("good", "No update was skipped", f"Training steps: {len(counts)}; no update was skipped.")
    text = f"{sum(counts)} updates in {len(counts)} training steps were skipped: not finite, or an explosion."
    return Finding("watch", "Updates were skipped", text)
