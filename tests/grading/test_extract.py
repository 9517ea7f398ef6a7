"""Where the answer of a text stands, by our rule and by those of published evaluations."""

from __future__ import annotations

from time import thread_time

import pytest

from coevolve.grading.extract import first_boxed, last_boxed, last_complete_box, stated_answer


@pytest.mark.parametrize(
    ("text", "first", "last", "complete"),
    [
        (r"so \boxed{4}.", "4", "4", "4"),
        ("no box", None, None, None),
        (r"\boxed{ }", None, None, None),
        ("\\boxed{1}\nno, \\boxed{2}", "1", "2", "2"),
        (r"\boxed{1} or \boxed{2}", r"1} or \boxed{2", "2", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", r"\frac{1}{2}", r"\frac{1}{2}"),
        ("\\boxed{1}\n\\boxed{2 and then cut", "1", None, "1"),
        ("\\boxed{1\n}\nlater \\boxed{3}", "3", "3", "3"),
        (r"{\boxed{a}", "a", "a", "a"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}", r"\{1, 2\}", r"\{1, 2\}"),
        (r"\boxed{\boxed{7}}", r"\boxed{7}", "7", r"\boxed{7}"),
    ],
)
def test_which_box_counts(text: str, first: str | None, last: str | None, complete: str | None) -> None:
    assert first_boxed(text) == first
    assert last_boxed(text) == last
    assert last_complete_box(text) == complete


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is: 7\n", "7"),
        ("The answer is: 7", None),
        ("The answer is: 7\nFinal Answer: 8 \nThe answer is: 9\n", "8"),
        ("Final Answer: 1\nFinal Answer: 2\n", "2"),
        ("Final Answer:\nThe answer is: 3\n", "3"),
        ("7", None),
    ],
)
def test_a_stated_answer_is_the_rest_of_its_line(text: str, answer: str | None) -> None:
    assert stated_answer(text) == answer


@pytest.mark.parametrize("find", [first_boxed, last_boxed, last_complete_box, stated_answer])
@pytest.mark.parametrize("piece", ["\\boxed{", "{", "}", "\\", "\\boxed{1}", "\n", "Final Answer:"])
def test_long_texts_take_no_long_time(find: object, piece: str) -> None:
    assert callable(find)
    began = thread_time()
    find(piece * 200_000)
    assert thread_time() - began < 10
