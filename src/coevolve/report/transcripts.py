"""Trajectories as the page shows them: their text cut into parts, and how probable every token was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from coevolve.curriculum.voting import counted_as
from coevolve.engine.vocabulary import read_tokenizer
from coevolve.errors import ModelError
from coevolve.grading.canonical import canonical
from coevolve.store.records import RunRecords
from coevolve.worlds.registry import open_world

LONGEST_TEXT = 20_000  # characters of one trajectory that the page holds
LONGEST_ANSWER = 200

COLUMNS = (
    "iteration",
    "phase",
    "set",
    "task_id",
    "sample",
    "policy",
    "text",
    "answer",
    "stop",
    "tool_calls",
    "refused",
)
STREAMS = ("tokens", "mask", "logprobs")

Forms = Sequence[Sequence[str]]
_canonical = lru_cache(maxsize=1 << 16)(canonical)


def run_pieces(folder: RunRecords) -> TokenPieces | None:
    """The tokenizer of a run: that of a checkpoint, or of the base model; None when neither is there any more."""
    kept = [folder.path / name for name in folder.recorded("checkpoints/") if name.endswith("/tokenizer.json")]
    base = open_world(folder.config.world_settings).base_model()
    for file in (*kept[-1:], base / "tokenizer.json"):
        if file.is_file():
            try:
                return TokenPieces(file)
            except ModelError:  # the page says that it has no probabilities; everything else can be shown
                return None
    return None


def rows_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a batch; per-token columns become numpy slices, which is many times faster than lists."""
    plain: list[dict[str, Any]] = batch.select([name for name in batch.schema.names if name not in STREAMS]).to_pylist()
    for name in STREAMS:
        if name in batch.schema.names:
            column = batch.column(name)
            offsets = column.offsets.to_numpy()
            values = column.values.to_numpy(zero_copy_only=False)
            for i, row in enumerate(plain):
                row[name] = values[offsets[i] : offsets[i + 1]]
    return plain


def shown(row: Mapping[str, Any], forms: Forms | None, pieces: TokenPieces | None) -> dict[str, Any]:
    """One trajectory as JSON values.

    ``vote`` is the index of its answer among the votes of a pool's task, or null; an answer that had no vote of its
    own (``forms`` is None) has its canonical ``key`` instead. ``parts`` are [kind, start, end, status], or
    [kind, -1, -1, status, content] for what does not stand in the text. ``lengths`` are the characters of each token,
    ``surprise`` its -1000 ln p as an integer, -1 where the policy did not choose it; ``ends`` are tokens after the
    text. All places count UTF-16 units, as a browser does. ``cut`` is the number of characters left out.

    Args:
        row: a row of a table of trajectories.
        forms: canonical keys of each class of votes, in the order of the votes.
        pieces: the tokenizer, to show probabilities.
    """
    full, answer = row["text"] or "", row["answer"]
    text = full[:LONGEST_TEXT]
    key = _canonical(answer) if answer is not None else None
    place = _units(text)
    tokens = row.get("tokens")
    cut = pieces.of(tokens.tolist(), full) if pieces and tokens is not None else None
    parts = with_user_turns(full, segments(full, row["tool_calls"] or ()), _given(row, cut) if cut else ())
    found = {
        "sample": row["sample"],
        "policy": row["policy"],
        "answer": shortened(answer, LONGEST_ANSWER),
        "vote": counted_as(key, forms) if forms is not None else None,
        "stop": row["stop"],
        **({"refused": row["refused"]} if row.get("refused") else {}),
        "text": text,
        "parts": [_part(part, place) for part in parts if part.start < LONGEST_TEXT],
    }
    if forms is None:
        found |= {"key": shortened(key, LONGEST_ANSWER), "greedy": str(row.get("set")).startswith("greedy-")}
    if len(full) > len(text):
        found["cut"] = len(full) - len(text)
    return found | _probabilities(row, full, place, cut)


def written(found: Mapping[str, Any]) -> str:
    """The JSON of a trajectory."""
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def shortened(text: str | None, longest: int) -> str | None:
    """A text of bounded length that says what is missing."""
    if text is None or len(text) <= longest:
        return text
    return f"{text[:longest]} … ({len(text) - longest:,} more characters in the run folder)"


def _part(part: Segment, place: Sequence[int] | None) -> list[Any]:
    if part.content is not None:
        return [part.kind, -1, -1, part.status, shortened(part.content, LONGEST_TEXT)]
    start, end = part.start, min(part.end, LONGEST_TEXT)
    return [part.kind, place[start], place[end], part.status] if place else [part.kind, start, end, part.status]


def _given(row: Mapping[str, Any], cut: Sequence[str]) -> list[tuple[int, int]]:
    """Where the text was not sampled; nothing where there are no more such runs than tool results."""
    chosen = np.asarray(row["mask"], dtype=np.bool_)
    edges = np.flatnonzero(np.diff(np.concatenate(([True], chosen, [True]))))
    if len(edges) // 2 <= len(row["tool_calls"] or ()):
        return []
    ends = [0, *accumulate(map(len, cut))]
    return [(ends[start], ends[stop]) for start, stop in edges.reshape(-1, 2)]


def _probabilities(
    row: Mapping[str, Any], text: str, place: Sequence[int] | None, cut: Sequence[str] | None
) -> dict[str, Any]:
    """Lengths and surprises of the tokens, nothing when they cannot be lined up with the text."""
    logprobs = row.get("logprobs")
    if cut is None or logprobs is None:
        return {}
    ends = list(accumulate(map(len, cut)))
    inside = sum(end <= min(len(text), LONGEST_TEXT) for end in ends)
    after = [piece for piece, end in zip(cut, ends, strict=True) if end > len(text)]
    chosen = np.asarray(row["mask"], dtype=np.bool_)
    surprise = np.where(chosen, np.rint(-1000 * np.minimum(logprobs, 0)), -1).astype(int)
    lengths = [len(piece) for piece in cut[:inside]]
    if place:
        borders = [0, *(place[end] for end in ends[:inside])]
        lengths = [b - a for a, b in pairwise(borders)]
    if len(text) > LONGEST_TEXT:
        after = []
    return {"lengths": lengths, "surprise": surprise.tolist()[: inside + len(after)], "ends": after}


def _units(text: str) -> list[int] | None:
    """Place of every character in UTF-16 units; None where each character is one unit."""
    if text.isascii() or max(text) <= "\uffff":
        return None
    return [0, *accumulate(1 + (letter > "\uffff") for letter in text)]


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
