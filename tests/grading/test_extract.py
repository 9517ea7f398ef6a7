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
        (r"\boxed {12}", "12"),
        ("\\boxed\n{12}", "12"),
        (r"\boxed 9", "9"),
        (r"\boxed 9.", "9"),
        (r"\boxed9", "9"),
        (r"\boxed -3.5", "-3.5"),
        (r"\boxed 1,250,", "1,250"),
        (r"\boxed k", "k"),
        (r"\boxed\frac{3}{4}.", r"\frac{3}{4}"),
        (r"\boxed \frac34", r"\frac34"),
        (r"\boxed\pi", r"\pi"),
        (r"the \boxed form: \boxed{4}", "4"),
        (r"\boxed{4} in a \boxed.", "4"),
        (r"\fbox{12}", "12"),
        (r"\framebox{12}", "12"),
        (r"\boxed{4}, see \fbox{note}", "4"),
        (r"y = -\boxed{11}", "-11"),
        (r"$-\boxed{11}$", "-11"),
        (r"\[ -\boxed{\frac{2}{3}} \]", r"-\frac{2}{3}"),
        (r"y = −\boxed{11}", "−11"),
        (r"t = \pm\boxed{11}", r"\pm11"),
        (r"y = -\boxed{-11}", "-(-11)"),
        (r"y = -\boxed{a+1}", "-(a+1)"),
        (r"y = -\boxed{1, 2}", "1, 2"),
        (r"20-\boxed{11}", "11"),
        (r"y = 20 - \boxed{11}", "11"),
        (r"x-\boxed{11}", "11"),
        ("Answers:\n- \\boxed{11}", "11"),
        ("- \\boxed{11}", "11"),
        ("**Answer:** - \\boxed{11}", "11"),
        ("Answer: - \\boxed{11}", "11"),
        ("Answer: -\\boxed{11}", "-11"),
        ("**-\\boxed{11}**", "-11"),
        ("= - \\boxed{11}", "-11"),
        ("-\\boxed{11}", "-11"),
        (r"\boxed{64}\%", r"64\%"),
        (r"\boxed{64}%", r"64\%"),
        (r"\boxed{64} \%.", r"64\%"),
        (r"$\boxed{64}$\%", r"64\%"),
        (r"\boxed{64} percent", r"64\%"),
        (r"\boxed{64}\text{ percent}", r"64\%"),
        (r"\boxed{64\%}\%", r"64\%"),
        (r"\boxed{64} % what remains of it", "64"),
        (r"\boxed{64}. That is 16 \% of it", "64"),
        (r"\boxed{64} percentage points", "64"),
        (r"y = -\boxed{64}\%", r"-64\%"),
    ],
)
def test_spellings_of_a_box_and_what_stands_around_it(text: str, answer: str | None) -> None:
    assert last_boxed(text) == answer


RUN_LATER = "```python\nprint('\\\\boxed{5}')\n"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (RUN_LATER, None),
        (RUN_LATER + "```\n", None),
        ("\\boxed{4}\n" + RUN_LATER + "```\n", "4"),
        (RUN_LATER + "```\nso \\boxed{6}", "6"),
        (RUN_LATER + "```\n\\boxed{6}\n" + RUN_LATER + "```\n", "6"),
        ("```Python3\n# \\boxed{5}\n```", None),
        ("```py\n# \\boxed{5}\n```", None),
        ("```\n\\boxed{6}\n```", "6"),
        ("```latex\n\\boxed{6}\n```", "6"),
    ],
)
def test_a_box_inside_a_program_is_no_answer(text: str, answer: str | None) -> None:
    assert last_boxed(text) == answer


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
@pytest.mark.parametrize(
    "piece",
    ["\\boxed{", "{", "}", "\\", "\\boxed{1}", "\n", "Final Answer:", "\\boxed ", "```python\n\\boxed{1}```", "```py "],
)
def test_long_texts_take_no_long_time(find: object, piece: str) -> None:
    assert callable(find)
    began = thread_time()
    find(piece * 200_000)
    assert thread_time() - began < 10
