"""The graders of the evaluation on rows as benchmarks have them, in both modes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from coevolve.errors import ConfigError
from coevolve.grading.equivalence import Judge
from coevolve.grading.grade import Grade, Item, tally
from coevolve.grading.graders import grader

OPTIONS = ("$\\frac{1}{2}$", "the heart", "The liver", "5 cm", "0.5", "5 m", "b", "Aa", "aa", "none of these")


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    judge = Judge(symbolic=False)
    yield judge
    judge.close()


def graded(judge: Judge, kind: str, mode: str, response: str, gold: str, options: tuple[str, ...] = ()) -> Grade:
    return grader(kind, mode, judge)(response, Item(gold, options, key="row-1"))


@pytest.mark.parametrize("box", ["C", "(C)", "C.", "C)", "(C).", r"\text{C}", r"\text{(C)}", "$C$", "c", "(c)", " C "])
def test_a_letter_names_its_option(box: str, judge: Judge) -> None:
    grade = graded(judge, "choice", "strict", f"so \\boxed{{{box}}}", "C", OPTIONS)
    assert grade == Grade(True, "C", "the letter")
    assert not graded(judge, "choice", "strict", f"so \\boxed{{{box}}}", "D", OPTIONS).right


@pytest.mark.parametrize(
    ("box", "letter"),
    [
        ("the heart", "B"),
        ("The liver", "C"),
        ("the liver", "C"),
        (r"\text{the liver}", "C"),
        ("C. The liver", "C"),
        ("(C) The liver", "C"),
        ("C: the liver", "C"),
        ("5 cm", "D"),
        ("5 m", "F"),
        ("b", "G"),  # the very text of G, not the letter B
        ("B", "B"),
        ("Aa", "H"),
        ("aa", "I"),
        ("none of these", "J"),
    ],
)
def test_an_options_own_text_names_it(box: str, letter: str, judge: Judge) -> None:
    grade = graded(judge, "choice", "strict", f"\\boxed{{{box}}}", letter, OPTIONS)
    assert (grade.right, grade.answer, grade.parsed) == (True, letter, True)


@pytest.mark.parametrize(
    "response",
    [
        "The answer is C",
        r"\boxed{}",
        r"\boxed{C} I mean \boxed{",
        r"\boxed{K}",  # there are ten options
        r"\boxed{the spleen}",
        r"\boxed{C or D}",
        r"\boxed{C and the heart}",
        r"\boxed{C. the heart}",  # letter and text disagree
        r"\boxed{50\%}",  # is the same as two options
        r"\boxed{5}",  # is the same as 5 cm and as 5 m
    ],
)
def test_what_names_no_single_option_is_wrong_and_unparsed(response: str, judge: Judge) -> None:
    for gold in "ABCDEFGHIJ":
        grade = graded(judge, "choice", "strict", response, gold, OPTIONS)
        assert (grade.right, grade.parsed, grade.drawn) == (False, False, False)


def test_letters_are_graded_without_knowing_the_options(judge: Judge) -> None:
    assert graded(judge, "choice", "strict", r"\boxed{(E)}", "(E)").right
    assert not graded(judge, "choice", "strict", r"\boxed{E}", "D").right
    assert not graded(judge, "choice", "strict", r"\boxed{the heart}", "B").parsed


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        (r"\boxed{(E)}", "E"),
        (r"\boxed{\text{The CAT}}", "A"),  # first in the alphabet, not in the text
        (r"\boxed{Heart}", "H"),
        (r"\boxed{E} and \boxed{cut", "E"),
        ("Final Answer: D\n", "D"),
    ],
)
def test_paper_compatible_takes_any_letter_in_the_box(response: str, letter: str, judge: Judge) -> None:
    grade = graded(judge, "choice", "paper-compatible", response, letter, OPTIONS)
    assert (grade.right, grade.answer, grade.parsed, grade.drawn) == (True, letter, True, False)


def test_paper_compatible_draws_a_letter_where_none_is_given(judge: Judge) -> None:
    responses = [f"I give up, number {number}" for number in range(2000)]
    draw = grader("choice", "paper-compatible", judge, seed=1)
    grades = [draw(response, Item("C", OPTIONS, "row")) for response in responses]
    letters = Counter(grade.answer for grade in grades)
    assert set(letters) == set("ABCDEFGHIJ")
    assert min(letters.values()) > 140
    assert all(grade.drawn and not grade.parsed for grade in grades)
    counts = tally(grades)
    assert (counts.unparsed, counts.drawn, counts.drawn_right) == (2000, 2000, counts.right)
    assert counts.accuracy == pytest.approx(0.1, abs=0.03)
    again = grader("choice", "paper-compatible", judge, seed=1)
    assert [again(response, Item("C", OPTIONS, "row")) for response in reversed(responses)] == grades[::-1]
    other = grader("choice", "paper-compatible", judge, seed=2)
    assert [other(response, Item("C", OPTIONS, "row")) for response in responses] != grades
    assert draw(r"\boxed{42}", Item("C", OPTIONS)).drawn


@pytest.mark.parametrize("gold", ["K", "", "AB", "the heart"])
@pytest.mark.parametrize("mode", ["strict", "paper-compatible"])
def test_a_gold_answer_that_is_no_option_is_an_error(gold: str, mode: str, judge: Judge) -> None:
    with pytest.raises(ConfigError, match="row-1"):
        graded(judge, "choice", mode, r"\boxed{A}", gold, OPTIONS)


@pytest.mark.parametrize(
    ("box", "gold", "strict", "lenient"),
    [
        ("(B)", "(B)", True, True),
        ("b", "(B)", True, True),
        ("(B)", "B", True, True),
        ("(B)", "(C)", False, False),
        ("AB, C, D", "ab,c,d", True, True),
        ("AB , C, D", "AB, C, D", True, True),
        ("C, AB, D", "AB, C, D", False, False),
        ("yes, no", "yes, no, no", False, False),
        (r"\text{Ambiguous}", "ambiguous", True, True),
        ("Ambiguous.", "ambiguous", True, True),
        ("3.0", "3", True, True),
        ("3", "3.5", False, False),
        ("9007199254740993", "9007199254740992", False, False),
        ("01-02-2020", "1-2-2020", False, False),
        ("it's", "its", False, True),
        ("[1,2]", "1,2", False, True),
        ("1,2", "[1,2]", False, True),
        ("**no**", "no", False, True),
        ("is it?", "is it", False, True),
        ("no\nbecause", "no", False, True),
        ("proved", "unproved", False, False),
    ],
)
def test_short_answers_differ_only_by_what_is_overlooked(
    box: str, gold: str, strict: bool, lenient: bool, judge: Judge
) -> None:
    response = f"so \\boxed{{{box}}}"
    assert graded(judge, "fuzzy", "strict", response, gold).right is strict
    assert graded(judge, "fuzzy", "paper-compatible", response, gold).right is lenient


def test_a_stated_answer_counts_in_paper_compatible_fuzzy_only(judge: Judge) -> None:
    response = "I think.\nThe answer is: yes, no\n"
    assert graded(judge, "fuzzy", "paper-compatible", response, "yes,no").right
    strict = graded(judge, "fuzzy", "strict", response, "yes,no")
    assert (strict.right, strict.answer, strict.parsed) == (False, None, False)


def test_the_last_box_decides_strictly_and_the_first_as_published(judge: Judge) -> None:
    response = "\\boxed{3}\nwait\n\\boxed{2/4}"
    for kind, gold in (("math", "0.5"), ("exact", "2/4")):
        assert graded(judge, kind, "strict", response, gold).right
        assert not graded(judge, kind, "paper-compatible", response, gold).right
        assert graded(judge, kind, "paper-compatible", response, "3").right
        assert not graded(judge, kind, "strict", "0.5", gold).parsed


def test_exact_answers_are_compared_by_character(judge: Judge) -> None:
    for box, gold, right in [("a  b", "a b", True), ("A", "a", False), ("0.50", "0.5", False), ("é", "e\u0301", True)]:
        assert graded(judge, "exact", "strict", f"\\boxed{{{box}}}", gold).right is right


def test_counts_keep_parse_failures_apart_from_wrong_answers(judge: Judge) -> None:
    responses = [r"\boxed{1}", r"\boxed{2}", "no answer", r"\boxed{01}"]
    counts = tally(graded(judge, "math", "strict", response, "1") for response in responses)
    assert (counts.responses, counts.right, counts.unparsed, counts.drawn) == (4, 2, 1, 0)
    assert counts.accuracy == 0.5
    assert tally([]).accuracy is None


@pytest.mark.parametrize(("kind", "mode"), [("maths", "strict"), ("math", "lenient"), ("", "strict")])
def test_an_unknown_grader_is_an_error(kind: str, mode: str, judge: Judge) -> None:
    with pytest.raises(ConfigError, match="one of"):
        grader(kind, mode, judge)
