"""Folders as ``coevolve eval`` leaves them, with chosen results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coevolve.harness import results
from coevolve.harness.results import EvalResult, Rates, SuiteResult, TargetResult

TEN = {
    "amc": 40, "minerva": 272, "math-500": 500, "gsm8k": 1319, "olympiad": 675, "aime25": 30, "aime24": 30,
    "supergpqa": 26529, "mmlu-pro": 12032, "bbeh": 4520,
}  # fmt: skip
SAMPLED = ("amc", "aime25", "aime24")


def suite(name: str, rate: float, paper: float | None = None, **changed: Any) -> SuiteResult:
    """AMC and AIME with 32 samples, other sets greedy; ``paper`` 0.1 above the strict rate."""
    sampled = name in SAMPLED
    lenient = rate + 0.1 if paper is None else paper
    known: dict[str, Any] = {
        "n": TEN.get(name, 100),
        "k": 32 if sampled else 0,
        "greedy": None if sampled else rate,
        "mean": rate if sampled else None,
        "se": 0.01,
        "ci95": (rate - 0.04, rate + 0.02),
        "majority": None,
        "pass_at": {},
        "answers": 0,
        "unparsed": 0,
        "cut_off": 0,
        "lost": 0,
        "tool_timeouts": 0,
        "tokens": 0,
        "tool_calls": 0,
        "wall_s": 0.0,
        "paper": Rates(mean=lenient) if sampled else Rates(greedy=lenient),
        "digest": f"digest of {name}",
        "copy": f"copy of {name}",
        "licence": "MIT",
    }
    return SuiteResult(**{**known, **changed})


def evaluation(
    folder: Path,
    suites: dict[str, SuiteResult] | None = None,
    *,
    name: str = "Qwen3-4B-Base",
    complete: bool = True,
    **target: Any,
) -> Path:
    """Write one; without suites all ten, at 30, 32, 34 ... %."""
    found = suites if suites is not None else {one: suite(one, 0.3 + i / 50) for i, one in enumerate(TEN)}
    folder.mkdir(parents=True, exist_ok=True)
    results.write(folder, EvalResult(TargetResult(name, **{"facts": {}, **target}), complete, found))
    return folder
