"""Trajectories as the page shows them: their text cut into parts, and how probable every token was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from coevolve.curriculum.voting import counted_as
from coevolve.errors import ModelError
from coevolve.grading.canonical import canonical
from coevolve.report.segments import Segment, TokenPieces, segments, with_user_turns
from coevolve.store.records import RunRecords
from coevolve.worlds.registry import open_world

LONGEST_TEXT = 20_000  # characters of one trajectory that the page holds
LONGEST_ANSWER = 200

COLUMNS = ("iteration", "phase", "set", "task_id", "sample", "policy", "text", "answer", "stop", "tool_calls")
STREAMS = ("tokens", "mask", "logprobs")

Forms = Sequence[Sequence[str]]
_canonical = lru_cache(maxsize=1 << 16)(canonical)


def run_pieces(folder: RunRecords) -> TokenPieces | None:
    """The tokenizer of a run: that of a checkpoint, or of the base model; None when neither is there any more."""
    kept = [folder.path / name for name in folder.recorded("checkpoints/") if name.endswith("/tokenizer.json")]
    base = open_world(folder.config).base_model()
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
