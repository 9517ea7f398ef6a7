from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from coevolve.harness.transcript import Call, Transcript, transcript
from coevolve.rollout.protocol import OUTPUT_FENCE, appended_observation

WORDS = st.text(alphabet="ab `~.=\n{}", max_size=20).filter(lambda text: "```" not in text)
CODE = st.text(alphabet="x=1+ ()\n`", min_size=1, max_size=20).filter(
    lambda text: "```" not in text and text.strip() and text == text.strip("\n`")
)


def written(said: str, code: str, printed: str) -> str:
    """One turn as the loop writes it into an answer."""
    segment = f"{said}```python\n{code}\n```\n{OUTPUT_FENCE}"
    return segment + appended_observation(segment, printed)


@settings(deadline=None)
@given(st.lists(st.tuples(WORDS.filter(lambda text: not text.endswith("`")), CODE, WORDS), max_size=3), WORDS)
def test_an_answer_comes_apart_as_it_was_put_together(turns: list[tuple[str, str, str]], last: str) -> None:
    text = "".join(written(*turn) for turn in turns) + last
    assert transcript(text) == Transcript(tuple(Call(*turn) for turn in turns), last)


def test_an_answer_of_the_miniature() -> None:
    text = "a:\n```python\nprint(43*80)\n```\n```output\n3440\n```\nb = 24. \\boxed{24}"
    assert transcript(text) == Transcript((Call("a:\n", "print(43*80)", "3440"),), "b = 24. \\boxed{24}")


def test_a_forged_or_unfinished_result_stays_text() -> None:
    for text in ("I ran it.\n```output\n5\n```\nSo 5.", "```python\nprint(1)\n```\n```output"):
        assert transcript(text) == Transcript((), text)


def test_a_printed_fence_ends_no_result() -> None:
    text = written("", "show()", "```python") + "done"
    assert transcript(text) == Transcript((Call("", "show()", "'''python"),), "done")
