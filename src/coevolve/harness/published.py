"""What others have published on the ten benchmarks of the papers, as data: who printed it where, and what was measured.

Figures are in per cent with the digits that were printed. Nothing here was measured by this project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from coevolve.suites.catalogue import GENERAL, MATHS

Size = Literal["4b", "8b"]
SIZES: tuple[Size, ...] = ("4b", "8b")
BASES: dict[Size, str] = {"4b": "Qwen3-4B-Base", "8b": "Qwen3-8B-Base"}

WITHOUT_AIME = MATHS[:5]
MATHS_MEAN, WITHOUT_AIME_MEAN, GENERAL_MEAN, OVERALL = "maths", "maths-without-aime", "general", "overall"


@dataclass(frozen=True, slots=True)
class Source:
    """Where figures were printed, and what a reader must know of how they were measured."""

    citation: str
    measured: str


@dataclass(frozen=True, slots=True)
class Published:
    """One row of somebody's table.

    Args:
        figures: per cent by benchmark, and by average where that was printed; what was not printed is missing.
    """

    name: str
    base: Size
    source: Source
    figures: Mapping[str, float]


AGENT0 = Source(
    "Agent0, arXiv 2511.16043v1, tables of results; rows of other methods as quoted there",
    "greedy, but mean@32 of AMC and AIME; answers that rules call wrong may be turned right by GPT-4o; the best"
    " checkpoint of the training",
)
R_DIVERSE = Source(
    "R-Diverse, arXiv 2602.13103; github.com/Gengsheng-Li/R-Diverse, figs/table1.png and figs/figure3.png",
    "the suite and the averages of R-Zero; of the mathematics sets only the average is taken over here",
)
DARC = Source(
    "DARC, github.com/RUCBM/DARC, README, table of results",
    "another suite: no AIME, so no average over seven sets and no overall as here, and GPQA-Diamond, which is left"
    " out; the base model was measured anew",
)


def _agent0(name: str, base: Size, maths: Sequence[float], general: Sequence[float]) -> Published:
    """``maths``: the average, then the seven sets; ``general``: the overall average, then the three sets."""
    keys = (MATHS_MEAN, *MATHS, OVERALL, *GENERAL)
    return Published(name, base, AGENT0, dict(zip(keys, (*maths, *general), strict=True)))


def _darc(name: str, base: Size, maths: Sequence[float], general: Sequence[float]) -> Published:
    """``maths``: five sets, then their average; ``general``: MMLU-Pro, SuperGPQA, BBEH."""
    keys = (*WITHOUT_AIME, WITHOUT_AIME_MEAN, "mmlu-pro", "supergpqa", "bbeh")
    return Published(name, base, DARC, dict(zip(keys, (*maths, *general), strict=True)))


PUBLISHED: tuple[Published, ...] = (
    _agent0("Base", "4b", (42.6, 45.7, 38.2, 68.2, 87.8, 41.0, 6.15, 10.9), (27.1, 20.9, 37.4, 7.57)),
    _agent0("Base + tool", "4b", (44.2, 46.3, 39.6, 71.0, 88.6, 43.7, 7.71, 12.3), (30.3, 25.8, 42.9, 8.32)),
    _agent0("R-Zero", "4b", (49.1, 57.3, 52.9, 79.6, 92.1, 44.6, 4.27, 12.7), (34.6, 27.6, 51.5, 10.4)),
    _agent0("Absolute Zero", "4b", (46.4, 50.0, 41.9, 76.2, 89.3, 41.5, 13.4, 12.2), (33.6, 27.1, 52.6, 8.3)),
    _agent0("SPIRAL", "4b", (47.0, 57.5, 42.4, 76.4, 91.0, 38.4, 10.0, 13.3), (34.2, 27.1, 53.2, 9.57)),
    _agent0("Agent0", "4b", (52.5, 60.6, 55.6, 80.5, 92.6, 46.7, 14.1, 17.4), (37.6, 29.9, 55.9, 12.0)),
    Published("R-Diverse", "4b", R_DIVERSE, {MATHS_MEAN: 52.59, OVERALL: 36.68}),
    _darc("Base (DARC's)", "4b", (47.5, 42.3, 68.2, 72.6, 34.8, 53.1), (51.6, 25.4, 8.1)),
    _darc("DARC", "4b", (60.3, 57.7, 77.6, 91.9, 45.8, 66.7), (56.9, 29.2, 11.2)),
    _agent0("Base", "8b", (49.2, 52.0, 50.0, 78.0, 89.1, 44.7, 16.7, 13.9), (34.5, 28.3, 51.8, 8.6)),
    _agent0("Base + tool", "8b", (53.2, 60.3, 54.9, 79.2, 90.7, 47.9, 18.7, 20.9), (36.7, 29.5, 54.8, 9.37)),
    _agent0("R-Zero", "8b", (54.7, 61.7, 60.7, 82.0, 94.1, 48.9, 19.2, 16.4), (38.7, 31.4, 58.2, 10.6)),
    _agent0("Absolute Zero", "8b", (52.6, 62.5, 52.9, 76.6, 92.0, 47.8, 18.2, 18.4), (39.9, 33.5, 62.5, 10.8)),
    _agent0("Socratic-Zero", "8b", (56.1, 63.7, 52.4, 81.2, 87.3, 55.1, 24.5, 28.4), (39.2, 30.1, 60.9, 9.5)),
    _agent0("Agent0", "8b", (58.2, 62.4, 61.3, 82.4, 94.5, 54.0, 24.8, 28.0), (42.1, 33.0, 63.4, 13.7)),
    Published(
        "R-Diverse, 5 iterations",
        "8b",
        R_DIVERSE,
        {MATHS_MEAN: 56.46, "supergpqa": 32.52, "mmlu-pro": 61.79, "bbeh": 12.23, OVERALL: 40.75},
    ),
    _darc("Base (DARC's)", "8b", (61.5, 49.3, 74.4, 90.9, 40.4, 63.3), (58.0, 30.4, 10.5)),
    _darc("DARC", "8b", (68.9, 61.4, 83.0, 94.0, 48.4, 71.1), (62.3, 32.8, 11.8)),
)


def published(size: Size) -> tuple[Published, ...]:
    """The rows of one base model, in the order in which they are shown."""
    return tuple(row for row in PUBLISHED if row.base == size)


def base_spread(size: Size) -> tuple[str, float]:
    """The benchmark on which two published measurements of the same base model differ most, and by how many points."""
    first, second = (row.figures for row in published(size) if row.name.startswith("Base") and "tool" not in row.name)
    apart = {key: abs(first[key] - second[key]) for key in (*MATHS, *GENERAL) if key in first and key in second}
    most = max(apart, key=apart.__getitem__)
    return most, round(apart[most], 2)
