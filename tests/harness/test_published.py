"""Published figures: that they agree with the averages printed beside them, and what they can be compared with."""

from __future__ import annotations

import pytest

from coevolve.harness.published import (
    MATHS_MEAN,
    OVERALL,
    PUBLISHED,
    SIZES,
    WITHOUT_AIME,
    WITHOUT_AIME_MEAN,
    Published,
    base_spread,
    published,
)
from coevolve.suites.catalogue import GENERAL, MATHS

PRINTED = 0.11  # points that rounding of the sets and of the average can make


def mean(row: Published, keys: tuple[str, ...]) -> float:
    return sum(row.figures[key] for key in keys) / len(keys)


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row.name}-{row.base}".replace(" ", "_"))
def test_printed_averages_are_those_of_the_printed_sets(row: Published) -> None:
    for average, keys in (
        (MATHS_MEAN, MATHS),
        (WITHOUT_AIME_MEAN, WITHOUT_AIME),
        (OVERALL, (MATHS_MEAN, *GENERAL)),
    ):
        if {average, *keys} <= row.figures.keys():
            assert mean(row, keys) == pytest.approx(row.figures[average], abs=PRINTED), average


def test_every_method_is_there_for_the_base_models_that_it_was_published_for() -> None:
    names = {size: {row.name.partition(",")[0] for row in published(size)} for size in SIZES}
    both = {"Base", "Base + tool", "R-Zero", "Absolute Zero", "R-Diverse", "Agent0", "Base (DARC's)", "DARC"}
    assert names == {"4b": both | {"SPIRAL"}, "8b": both | {"Socratic-Zero"}}


def test_figures_are_per_cent_of_known_sets_and_have_a_source() -> None:
    known = {*MATHS, *GENERAL, MATHS_MEAN, WITHOUT_AIME_MEAN, OVERALL}
    for row in PUBLISHED:
        assert row.figures.keys() <= known
        assert all(0 < value < 100 for value in row.figures.values())
        assert "arXiv" in row.source.citation or "github.com" in row.source.citation


def test_two_measurements_of_one_base_model_differ_by_many_points() -> None:
    assert base_spread("8b") == ("amc", 9.5)
    assert base_spread("4b") == ("gsm8k", 15.2)
