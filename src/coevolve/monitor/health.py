"""Whether a run is healthy: findings in words, with the numbers that say so. Pure functions over the summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

Summary = Mapping[str, Any]
Finding = dict[str, str]  # tone ("good", "watch" or "bad"), title, text


def health(summary: Summary, metrics: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Findings about the run, those that need attention first; a check without numbers is left out.

    The limits are those that the embedded world is expected to keep; they are stated in each text.
    """
    checks: list[Callable[[], Finding | None]] = [
        lambda: _progress(summary),
        lambda: _labels(summary),
        lambda: _kept(summary),
        lambda: _difficulty(summary),
        lambda: _writing(summary),
        lambda: _duplicates(summary),
        lambda: _paid(summary),
        lambda: _agreement(metrics),
        lambda: _skipped(metrics),
        lambda: _probe(metrics),
    ]
    order = {"bad": 0, "watch": 1, "good": 2}
    found = [finding for check in checks if (finding := check())]
    return sorted(found, key=lambda finding: order[finding["tone"]])


def percent(value: float | None) -> str:
    """A fraction as a percentage with one digit; a dash when it was not measured."""
    return "–" if value is None else f"{100 * value:.1f}\u00a0%"


def _series(summary: Summary, part: str, key: str) -> list[tuple[int, float]]:
    """(iteration, value) for all iterations that have one."""
    entries = ((entry["iteration"], (entry[part] or {}).get(key)) for entry in summary["iterations"])
    return [(iteration, value) for iteration, value in entries if value is not None]


def _finding(tone: str, title: str, text: str) -> Finding:
    return {"tone": tone, "title": title, "text": text}


def _listed(values: Sequence[tuple[int, float]], show: Callable[[float], str] = percent) -> str:
    return " → ".join(show(value) for _, value in values)


def _progress(summary: Summary) -> Finding | None:
    values = _series(summary, "held_out", "mean_at_8")
    if len(values) < 2:
        return None
    worse = [later[0] for earlier, later in pairwise(values) if later[1] < earlier[1]]
    text = f"mean@8 after iterations {values[0][0]} to {values[-1][0]}: {_listed(values)}."
    if not worse:
        return _finding("good", "The executor became better in every iteration", text)
    names = ", ".join(map(str, worse))
    return _finding("watch", f"The executor became worse in iteration {names}", text)


def _labels(summary: Summary) -> Finding | None:
    values = _series(summary, "pool", "label_accuracy_kept")
    if not values:
        return None
    last = values[-1][1]
    text = f"Right labels among kept tasks, by iteration: {_listed(values)} (known to the meter only). "
    if last >= 0.75:
        return _finding("good", "Most pseudo-labels are right", text + "Below 75 % would be a warning.")
    tone = "watch" if last >= 0.6 else "bad"
    reason = "The majority is often wrong in one and the same way, and such tasks pass the gate."
    return _finding(tone, "Many pseudo-labels are wrong", text + reason)


def _kept(summary: Summary) -> Finding | None:
    pools = [entry["pool"] for entry in summary["iterations"] if entry["pool"]]
    if not pools or not pools[-1]["size"]:
        return None
    text = "Kept: " + ", ".join(f"{pool['kept']} of {pool['size']}" for pool in pools) + "."
    share = pools[-1]["kept"] / pools[-1]["size"]
    if share >= 0.1:
        return _finding("good", "The gate finds enough tasks at the frontier", text)
    tone = "watch" if pools[-1]["kept"] else "bad"
    return _finding(tone, "Hardly any task is at the frontier", text + " The executor has little to learn from.")


def _difficulty(summary: Summary) -> Finding | None:
    values = _series(summary, "pool", "first_executor_pass_rate")
    if len(values) < 2:
        return None
    text = f"Pass rate of the first executor on the pools, by iteration: {_listed(values)}."
    if values[-1][1] < values[0][1]:
        return _finding("good", "The tasks become harder for the first executor", text)
    return _finding("watch", "The tasks do not become harder for the first executor", text)


def _writing(summary: Summary) -> Finding | None:
    values = _series(summary, "pool", "well_formed")
    if not values:
        return None
    text = f"Well-formed share of written questions, by iteration: {_listed(values)}."
    if values[-1][1] >= 0.9:
        return _finding("good", "Questions are well formed", text)
    text += " Below 90 % is unusual."
    if values[-1][1] >= 0.7:
        return _finding("watch", "Some questions are malformed", text)
    return _finding("bad", "Many questions are malformed", text)


def _duplicates(summary: Summary) -> Finding | None:
    values = _series(summary, "pool", "duplicates")
    if not values:
        return None
    text = f"Questions that were written before, by iteration: {_listed(values)}."
    if values[-1][1] <= 0.05:
        return _finding("good", "Questions are new", text)
    tone = "watch" if values[-1][1] <= 0.2 else "bad"
    return _finding(tone, "The curriculum agent repeats itself", text + " Above 5 % is unusual.")


def _paid(summary: Summary) -> Finding | None:
    paid, right = (dict(_series(summary, "executor", key)) for key in ("reward", "true_accuracy"))
    both = sorted(set(paid) & set(right))
    if not both:
        return None
    last = both[-1]
    text = (
        f"In the last step of iteration {last} the executor agreed with {percent(paid[last])} of the labels "
        f"and was right in {percent(right[last])} (known to the meter only)."
    )
    if paid[last] - right[last] <= 0.15:
        return _finding("good", "What is rewarded is mostly right", text)
    return _finding("watch", "A part of what is rewarded is wrong", text)


def _agreement(metrics: Sequence[Mapping[str, Any]]) -> Finding | None:
    gaps = [row["max_logp_gap"] for row in metrics if row.get("max_logp_gap") is not None]
    if not gaps:
        return None
    text = f"Largest gap of a log-probability in {len(gaps)} checks after a sync: {max(gaps):.1e}."
    return _finding("good", "Sampler and trainer agree", text)


def _skipped(metrics: Sequence[Mapping[str, Any]]) -> Finding | None:
    counts = [row["skipped_updates"] for row in metrics if row.get("skipped_updates") is not None]
    if not counts:
        return None
    if not any(counts):
        return _finding("good", "Every update was made", f"Training steps: {len(counts)}; no update was left out.")
    text = f"{sum(counts)} updates in {len(counts)} training steps were left out: not finite, or an explosion."
    return _finding("watch", "Updates were left out", text)


def _probe(metrics: Sequence[Mapping[str, Any]]) -> Finding | None:
    rows = [row for row in metrics if row.get("event") == "probe"]
    if not rows:
        return None
    base = (0, rows[0]["best_agreement"])
    values = [base, *((row["iteration"], row["agreement"]) for row in rows)]
    text = f"Answers that agree with the fixed labels of {rows[-1]['tasks']} tasks, by iteration: {_listed(values)}."
    worse = ", ".join(str(row["iteration"]) for row in rows if row["worse"])
    if worse:
        return _finding("bad", f"The executor became worse on the probe in iteration {worse}", text)
    return _finding("good", "No executor became worse on the probe", text)
