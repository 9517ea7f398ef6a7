"""A text is cut at its tool calls, at the places where they stand in it."""

from __future__ import annotations

import pytest

from coevolve.report.transcripts import segments, with_user_turns

CALL = {"code": "print(2)", "observation": "2", "status": "ok"}
FAILED = {"code": "print(2)", "observation": "", "status": "timeout"}
RAN = "```python\nprint(2)\n```\n```output\n2\n```\n"


def cut(text: str, calls: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    """Kind, content and status of each segment, as a reader sees them."""
    found = segments(text, calls)
    assert all(segment.content is not None or 0 <= segment.start < segment.end <= len(text) for segment in found)
    return [
        (s.kind, text[s.start : s.end] if s.content is None else f"(not in the text) {s.content}", s.status)
        for s in found
    ]


@pytest.mark.parametrize(
    ("text", "calls", "expected"),
    [
        ("", [], []),
        (" \n ", [], []),
        ("a = 2. \\boxed{2}", [], [("text", "a = 2. \\boxed{2}", "")]),
        (
            "So " + RAN + "\\boxed{2}",
            [CALL],
            [
                ("text", "So", ""),
                ("code", "print(2)", "ok"),
                ("output", "2", "ok"),
                ("text", "\\boxed{2}", ""),
            ],
        ),
        (RAN + RAN, [CALL, CALL], [("code", "print(2)", "ok"), ("output", "2", "ok")] * 2),
        # an output that the model wrote itself stays its text
        ("```output\n7\n```", [], [("text", "```output\n7\n```", "")]),
        # what the model saw is shown, not what was recorded: a fence in it was defused
        (
            "```python\nprint(2)\n```\n```output\n'''x'''\n```\n",
            [CALL | {"observation": "```x```"}],
            [("code", "print(2)", "ok"), ("output", "'''x'''", "ok")],
        ),
        # an output without a word still has its place
        (
            "```python\nprint(2)\n```\n```output\n\n```\n",
            [FAILED],
            [("code", "print(2)", "timeout"), ("output", "(not in the text) ", "timeout")],
        ),
        # cut off in the middle of the observation
        (
            "```python\nprint(2)\n```\n```output\n",
            [CALL],
            [("code", "print(2)", "ok"), ("output", "(not in the text) 2", "ok")],
        ),
        # a call that is not where it was recorded is still shown
        (
            "\\boxed{2}",
            [CALL],
            [
                ("code", "(not in the text) print(2)", "ok"),
                ("output", "(not in the text) 2", "ok"),
                ("text", "\\boxed{2}", ""),
            ],
        ),
    ],
)
def test_a_text_is_cut_at_its_tool_calls(
    text: str, calls: list[dict[str, str]], expected: list[tuple[str, str, str]]
) -> None:
    assert cut(text, calls) == expected


def test_what_the_policy_did_not_sample_in_its_text_is_a_turn_of_the_user() -> None:
    text = "So " + RAN + "\\boxed{2}\n<question>And then?</question>\n" + RAN + "\\boxed{3}"
    calls = [CALL, CALL]
    turn = (text.index("<question>") - 1, text.index("</question>") + len("</question>\n"))
    outputs = [(at, at + 5) for at in (text.index("\n2\n```"), text.rindex("\n2\n```"))]
    found = with_user_turns(text, segments(text, calls), sorted([*outputs, turn]))
    assert [s.kind for s in found] == ["text", "code", "output", "text", "user", "code", "output", "text"]
    assert text[found[4].start : found[4].end] == "<question>And then?</question>"
    assert text[found[3].start : found[3].end] == "\\boxed{2}"
    assert with_user_turns(text, segments(text, calls), outputs) == segments(text, calls)
