"""A trajectory's text in the order it was written, with model text, code and tool output told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_CODE_FENCE, _OUTPUT_FENCE, _FENCE = "```python", "```output", "```"

Segment = tuple[str, str, str]  # kind ("text", "code" or "output"), content, status of the tool call


def segments(text: str, calls: Sequence[Mapping[str, str]]) -> list[Segment]:
    """Cut a text at its recorded tool calls; the fences around code and output are left out.

    Only calls that really ran become output. A fence that the model wrote without a call stays in its text, so
    a forged output is seen as what it is.

    Args:
        text: everything after the prompt, observations included.
        calls: code, observation and status of every executed block, in order.
    """
    found: list[Segment] = []
    position = 0
    for call in calls:
        start = text.find(call["code"], position)
        output = text.find(_OUTPUT_FENCE, start + len(call["code"])) if start >= 0 else -1
        if output < 0:  # not where it was recorded: show the call itself, and the text around it as it stands
            found += _called(call)
            continue
        found += _written(_without_end(text[position:start], _CODE_FENCE))
        found += _called(call)
        end = text.find(_FENCE, output + len(_OUTPUT_FENCE))
        position = end + len(_FENCE) if end >= 0 else len(text)
    return found + _written(text[position:])


def _called(call: Mapping[str, str]) -> list[Segment]:
    return [("code", call["code"], call["status"]), ("output", call["observation"], call["status"])]


def _written(text: str) -> list[Segment]:
    return [("text", text.strip(), "")] if text.strip() else []


def _without_end(text: str, ending: str) -> str:
    return text.rstrip().removesuffix(ending)
