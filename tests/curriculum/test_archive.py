"""The archive: what counts as the same question, shares, a copy."""

from __future__ import annotations

from coevolve.curriculum.archive import Archive


def test_case_width_and_spaces_do_not_make_a_question_new() -> None:
    archive = Archive(["What is  2 + 2?"])
    assert "what is ２ + 2?\n" in archive
    assert "What is 2 + 3?" not in archive


def test_duplicates_are_counted_against_the_archive_and_within_the_list() -> None:
    archive = Archive(["old 1"])
    assert archive.duplicate_share(["Old 1", "new 2", "NEW 2", "new 3"]) == 0.5
    assert archive.duplicate_share([]) == 0.0


def test_templates_are_counted_with_numbers_masked() -> None:
    archive = Archive(["add 1 and 2", "add 30 and 4", "add 1 and 2", "halve 8"])
    assert archive.template_shares(["Add 9 and 9", "halve 10", "double 3"]).tolist() == [0.75, 0.25, 0.0]


def test_an_empty_archive_knows_nothing() -> None:
    archive = Archive()
    assert len(archive) == 0
    assert archive.template_shares(["a", "b"]).tolist() == [0.0, 0.0]


def test_iteration_carries_the_whole_archive() -> None:
    archive = Archive(["a 1", "A 1", "b 2"])
    copy = Archive(archive)
    copy.add(["c 3"])
    archive.add(["c 3"])
    assert list(copy) == list(archive)
    assert len(copy) == 4
    assert copy.template_shares(["a 7"]).tolist() == [0.5]
