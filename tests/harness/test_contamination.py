"""What of a run's suites it has trained on, over a real run and over questions written here."""

from pathlib import Path

import pytest

from coevolve.harness.contamination import (
    MOST_SHOWN,
    Questions,
    as_json,
    finding,
    footnote,
    from_json,
    measured_by,
    overlaps,
    questions_of,
    table,
)
from coevolve.report.build import page_data
from coevolve.store.records import RunRecords

BEES = "a keeper has twelve hives and every hive gives four jars of honey in june and five jars in july"
TRAIN = "the train leaves the station at nine and drives for three hours at eighty miles per hour without a stop"
SHORT = "What is 7 times 8?"


def test_a_run_never_trains_on_its_own_held_out_problems(finished: Path) -> None:
    folder = RunRecords.open(finished)
    questions, suites = questions_of(folder), measured_by(folder)
    assert len(questions.trained) > 0
    assert len(questions.written) > len(questions.trained)
    assert "held-out" in suites
    found = overlaps(suites, questions)
    assert {name: one.exact for name, one in found.items()} == dict.fromkeys(suites, 0)
    assert all(one.n == len(suites[name]) > 0 for name, one in found.items())
    leaked = overlaps({"leaked": suites["held-out"]}, Questions(tuple(suites["held-out"][:3]), ()))["leaked"]
    assert leaked.exact == leaked.run == 3


def test_the_page_of_a_finished_run_shows_how_much_of_its_problems_it_trained_on(finished: Path) -> None:
    folder = RunRecords.open(finished)
    data = page_data(folder)
    figure = next(one for one in data["figures"] if one["title"] == "Problems that resemble training tasks")
    assert [row[0] for row in figure["rows"]] == list(measured_by(folder))
    assert {row[2] for row in figure["rows"]} == {"0"}
    assert any("equal one" in one["text"] and ": 0 equal one" in one["text"] for one in data["health"])
    live = page_data(folder, {})
    assert figure["title"] not in {one["title"] for one in live["figures"]}


def test_a_checkpoint_is_held_against_the_tasks_before_it(finished: Path) -> None:
    folder = RunRecords.open(finished)
    sizes = [len(questions_of(folder, t).written) for t in range(folder.config.iterations + 1)]
    assert sizes[0] == 0
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == len(questions_of(folder).written)


def test_problems_are_counted_once_however_they_overlap() -> None:
    trained = (
        BEES,
        TRAIN.replace("nine", "ten"),
        f"Before anything else tell me in plain words: {SHORT} Then add nothing.",
    )
    found = overlaps({"own": [BEES, TRAIN, SHORT, "Name a prime."]}, Questions(trained, (*trained, "name a prime")))
    one = found["own"]
    assert (one.n, one.trained, one.exact, one.run, one.alike, one.any, one.written) == (4, 3, 1, 3, 2, 3, 2)
    assert [pair.how for pair in one.pairs] == ["exact", "BLEU", "run"]
    assert one.pairs[0].bleu == 1.0
    assert one.pairs[1].problem == TRAIN
    assert 0.5 < one.pairs[1].bleu < 1


def test_the_nearest_pairs_are_shown_and_no_more() -> None:
    problems = [f"{BEES} and {n} more" for n in range(10)]
    one = overlaps({"bees": problems}, Questions((BEES,), ()))["bees"]
    assert one.any == 10
    assert len(one.pairs) == MOST_SHOWN


@pytest.mark.parametrize(
    ("trained", "tone"), [((BEES,), "bad"), ((BEES + " again",), "watch"), ((TRAIN,), "good")], ids=str
)
def test_the_page_judges_by_the_worst_overlap(trained: tuple[str, ...], tone: str) -> None:
    found = overlaps({"bees": [BEES, SHORT]}, Questions(trained, ()))
    judged = finding(found)
    assert judged is not None
    assert judged.tone == tone
    row = table(found).rows[0]
    assert row[:2] == ("bees", "2")
    assert row[-1] == ("–" if tone == "good" else (trained[0], f"problem: {BEES}"))


def test_the_footnote_says_which_suites_are_touched_and_by_which_rule() -> None:
    found = overlaps({"bees": [BEES, SHORT], "trains": [TRAIN]}, Questions((BEES,), ()))
    assert footnote(found) == (
        "Contamination: held against 1 training tasks (equal after normalisation; 13 words in a row in common "
        "(GPT-3, arXiv 2005.14165), or all of a shorter question; BLEU of 0.5 or more), "
        "near-duplicates: bees 1 of 2 (1 exact); none in trains."
    )
    clean = overlaps({"trains": [TRAIN]}, Questions((BEES,), ()))
    assert footnote(clean).endswith("no problem of trains has a near-duplicate.")
    assert footnote({}) == ""
    assert finding({}) is None


def test_overlaps_come_back_from_json() -> None:
    found = overlaps({"bees": [BEES, SHORT]}, Questions((BEES,), (SHORT,)))
    assert from_json(as_json(found)) == found
    assert from_json({}) == {}
