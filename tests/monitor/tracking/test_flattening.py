"""Nested rows become names with one value each; histograms have the bins that the metrics mean."""

from __future__ import annotations

from coevolve.monitor.tracking.base import Histogram
from coevolve.monitor.tracking.flattening import flat


def test_nested_numbers_get_paths_and_null_is_left_out() -> None:
    row = {
        "event": "evaluation",
        "iteration": 2,
        "held_out": {"greedy": 0.5, "ci95": [0.25, 0.75], "kl": None},
        "ok": True,
    }
    assert flat(row) == {
        "evaluation/iteration": 2.0,
        "evaluation/held_out/greedy": 0.5,
        "evaluation/held_out/ci95/0": 0.25,
        "evaluation/held_out/ci95/1": 0.75,
        "evaluation/ok": 1.0,
    }


def test_text_stays_text_and_a_row_without_an_event_has_a_name() -> None:
    assert flat({"reason": "the gate kept nothing"}) == {"row/reason": "the gate kept nothing"}


def test_a_list_of_shares_is_centred_on_its_shares() -> None:
    counts = [0.0] * 11
    counts[3] = 7.0  # p_hat 0.3
    found = flat({"event": "pool", "p_hat_histogram": counts})["pool/p_hat_histogram"]
    assert isinstance(found, Histogram)
    assert len(found.edges) == len(found.counts) + 1 == 12
    low, high = found.edges[3], found.edges[4]
    assert low < 0.3 < high
    assert abs((low + high) / 2 - 0.3) < 1e-12
    assert abs(found.edges[0] + 0.05) < 1e-12


def test_a_mapping_of_whole_numbers_is_a_histogram_with_empty_bins_between() -> None:
    found = flat({"event": "pool", "steps_histogram": {"1": 5, "4": 2}})["pool/steps_histogram"]
    assert found == Histogram((0.5, 1.5, 2.5, 3.5, 4.5), (5.0, 0.0, 0.0, 2.0))


def test_what_is_no_histogram_is_flattened_whatever_its_name() -> None:
    row = {
        "event": "e",
        "a_histogram": {"sum": 3},
        "b_histogram": [1],
        "c_histogram": {},
        "d_histogram": {"0": 1, "9999": 1},
    }
    assert flat(row) == {"e/a_histogram/sum": 3, "e/b_histogram/0": 1, "e/d_histogram/0": 1, "e/d_histogram/9999": 1}
