"""How answers are compared, what is measured beside the learning, and when a run stops itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from coevolve.config.section import Section


class EvaluationSection(Section):
    levels: int = Field(5, ge=1, description="levels of held-out problems")
    per_level: int = Field(60, ge=1, description="held-out problems per level")
    problem_set: int = Field(
        0,
        ge=0,
        description="which held-out and transfer problems: 0 = those on which settings were chosen; others: fresh ones",
    )
    samples: int = Field(8, ge=1, description="answers per problem at the sampling temperature: mean@k, maj@k")
    transfer_per_set: int = Field(40, ge=0, description="problems per transfer set; 0 = none")
    transfer_samples: int = Field(4, ge=1, description="answers per transfer problem")
    dialogues: int = Field(0, ge=0, description="held-out dialogues of 2, of 3 and of 4 user turns; 0 = none")
    matches: int = Field(
        100, ge=0, description="matches in each seat against each fixed player, in a world of games; 0 = none"
    )
    pool_samples: int = Field(
        2, ge=0, description="answers of the first executor per task of each pool; 0 = not measured"
    )
    forced_fence: bool = Field(True, description="measure the base model once with the code fence forced at the start")
    suites: list[str] = Field(
        default_factory=list,
        description="problems of your choice, measured in any world: files of questions with answers, sums, "
        "word-problems, gym:SET, or names of benchmarks; one text with commas between them will do",
    )
    suite_samples: int = Field(
        4,
        ge=0,
        description="answers per problem of a suite at the sampling temperature",
    )
    suite_greedy: bool = Field(
        True, description="a greedy answer to each problem of a suite as well, or alone with suite_samples=0"
    )
    suite_limit: int = Field(0, ge=0, description="problems that are measured of each suite at most; 0 = all")
    suite_data: str | None = Field(
        None, description="folder with copies of benchmarks, for machines without a network; default: the cache"
    )

    @model_validator(mode="after")
    def _something_is_asked(self) -> Self:
        if not self.suite_samples and not self.suite_greedy:
            raise ValueError("with suite_samples=0 and suite_greedy=false nothing is asked: set one of them")
        return self

    @field_validator("suites", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """A text stands for a list; files are named so that the run can be taken up from another folder."""
        names = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        if not isinstance(names, list):
            return names
        return [_absolute(name) if isinstance(name, str) and _is_file(name) else name for name in names]

    @field_validator("suite_data", mode="after")
    @classmethod
    def _from_anywhere(cls, value: str | None) -> str | None:
        return _absolute(value) if value else None


SUITE_FILES = (".jsonl", ".json", ".parquet", ".csv")  # endings of files with questions


def _is_file(suite: str) -> bool:
    path = Path(suite).expanduser()
    return not suite.startswith("gym:") and (path.suffix.lower() in SUITE_FILES or path.is_file())


def _absolute(path: str) -> str:
    return os.path.abspath(Path(path).expanduser())


class GradingSection(Section):
    symbolic: Literal["auto", "on", "off"] = Field(
        "auto",
        description="ask math-verify about pairs of answers that our own rules leave open; auto: if it is installed",
    )
    timeout_s: float = Field(2.0, gt=0, le=3600, description="wall seconds of one pair, then it counts as different")
    refuse_errors: bool = Field(
        False, description="a box that repeats an error line, a traceback or (nothing was printed) is no answer"
    )
    refuse_unevaluated: bool = Field(
        False, description="a box that is the question's own expression, 24 + 32 and not its value, is no answer"
    )

    @field_validator("symbolic", mode="before")
    @classmethod
    def _on_or_off(cls, value: object) -> object:
        """YAML reads a bare ``on`` or ``off`` as a truth value."""
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


class HealthSection(Section):
    explosion: float = Field(
        20.0,
        ge=0,
        description="an update whose gradient norm is this many times the median of its phase is left out; 0 = none is",
    )
    max_skipped: int = Field(5, ge=1, description="updates left out in a row after which the run stops")
    probe: int = Field(
        64, ge=0, description="fixed unlabelled tasks on which each new executor is held against the best; 0 = none"
    )
    probe_samples: int = Field(4, ge=1, description="answers per task of the probe")
    rollback: bool = Field(
        True, description="go back to the last good executor when a new one is worse on the probe beyond noise"
    )
    trial: int = Field(
        24,
        ge=0,
        description="texts of the first look at the model of a run in world open, and about as many answers; where "
        "nothing can be learned from them, or from the first step or pool, the run stops; 0 = no such look",
    )
