"""A trajectory's text in the order it was written, with model text, code and tool output told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from coevolve.engine.vocabulary import read_tokenizer

_CODE_FENCE, _OUTPUT_FENCE, _FENCE = "```python", "```output", "```"


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a text, or a recorded piece that does not stand in it."""

    kind: str  # "text", "code", "output" or "user"
    start: int  # place in the text; -1 for one that is not there
    end: int
    status: str = ""  # of the tool call
    content: str | None = None  # of one that is not in the text


def segments(text: str, calls: Sequence[Mapping[str, str]]) -> list[Segment]:
    """Cut a text at its recorded tool calls; the fences around code and output are left out.

    Only calls that really ran become output. A fence that the model wrote without a call stays in its text, so
    a forged output is seen as what it is. An output is what the model was shown: the observation as it stands in the
    text, with its fences defused.

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
            found += [_absent("code", call["code"], call), _absent("output", call["observation"], call)]
            continue
        found += _trimmed(text, position, _before_fence(text, position, start))
        found.append(Segment("code", start, start + len(call["code"]), call["status"]))
        shown = output + len(_OUTPUT_FENCE)
        end = text.find(_FENCE, shown)
        if end < 0:  # cut off inside the observation
            found.append(_absent("output", call["observation"], call))
            position = len(text)
            continue
        inside = _trimmed(text, shown, end, "output", call["status"])
        found += inside or [_absent("output", call["observation"], call)]
        position = end + len(_FENCE)
    return found + _trimmed(text, position, len(text))


def with_user_turns(text: str, found: Sequence[Segment], given: Sequence[tuple[int, int]]) -> list[Segment]:
    """The segments, with what stands in model text but was not sampled told apart: further turns of the user.

    Args:
        given: [start, end) of every run of characters that the policy did not sample, in order.
    """
    out: list[Segment] = []
    for segment in found:
        position = segment.start
        for start, end in given if segment.kind == "text" and segment.start >= 0 else ():
            start, end = max(start, position), min(end, segment.end)
            if start < end and text[start:end].strip():
                out += _trimmed(text, position, start) + _trimmed(text, start, end, "user")
                position = end
        out += [segment] if position == segment.start else _trimmed(text, position, segment.end)
    return out


def _absent(kind: str, content: str, call: Mapping[str, str]) -> Segment:
    return Segment(kind, -1, -1, call["status"], content)


def _before_fence(text: str, start: int, end: int) -> int:
    """Where the text before a code block ends: its opening fence does not count."""
    stripped = text[start:end].rstrip()
    return start + len(stripped.removesuffix(_CODE_FENCE))


def _trimmed(text: str, start: int, end: int, kind: str = "text", status: str = "") -> list[Segment]:
    """text[start:end] without the white space around it; nothing when only that is there."""
    part = text[start:end]
    left = start + len(part) - len(part.lstrip())
    right = start + len(part.rstrip())
    return [Segment(kind, left, right, status)] if left < right else []


_UNFINISHED = "\ufffd"  # what a tokenizer writes for bytes that are no whole character


class TokenPieces:
    """Cuts a text into the pieces of its tokens."""

    def __init__(self, file: Path) -> None:
        """
        Args:
            file: the ``tokenizer.json`` of a model.

        Raises:
            ModelError: it cannot be read.
        """
        self._tokenizer = read_tokenizer(file)
        self._alone = lru_cache(maxsize=1 << 18)(lambda token: self._decode([token]))

    def of(self, tokens: Sequence[int], text: str) -> list[str] | None:
        """One piece per token, which join up to ``text``; None when the tokens do not belong to the text.

        Tokens that share a character, as those of byte-level BPE may, leave it to the last of them; the others have
        an empty piece. Tokens after the end of the text, such as the one that ends a turn, keep their own text, so
        the join may be longer than ``text`` by whole pieces.
        """
        pieces = [self._alone(token) for token in tokens]
        return pieces if _begins(pieces, text) else self._in_context(tokens, text)

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=False)
        return text

    def _in_context(self, tokens: Sequence[int], text: str) -> list[str] | None:
        """Pieces by what each token adds to the text of those before it, a few of which are enough context."""
        pieces: list[str] = []
        context = read = written = (
            0  # tokens[context:read] are written out already, as the first ``written`` characters
        )
        for index in range(len(tokens)):
            before = self._decode(tokens[context:read])
            now = self._decode(tokens[context : index + 1])
            unfinished = now.endswith(_UNFINISHED) and index + 1 < len(tokens)
            if unfinished or not now.startswith(before):
                pieces.append("")
                continue
            piece = now[len(before) :]
            if written < len(text) and not text.startswith(piece, written):
                return None
            pieces.append(piece)
            context, read, written = read, index + 1, written + len(piece)
        return pieces if _begins(pieces, text) else None


def _begins(pieces: Sequence[str], text: str) -> bool:
    """Whether the pieces join up to the text, with nothing or whole pieces after it."""
    rest = len(text)
    for index, piece in enumerate(pieces):
        if rest <= 0:
            return rest == 0 and "".join(pieces[:index]) == text
        rest -= len(piece)
    return rest == 0 and "".join(pieces) == text
