"""Rows of our own in the form that each benchmark has on the hub, and the files of a repository with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Rows = list[dict[str, Any]]

# How many apples: the answer to row i is i + 2, or the option with this number.
FRUIT = ("apples", "pears", "plums", "figs", "limes")


def _asked(i: int) -> str:
    return f"A bowl holds {i} {FRUIT[i % 5]} and two more are put in. How many {FRUIT[i % 5]} are there now?"


def _options(i: int) -> list[str]:
    return [f"{value} {FRUIT[i % 5]}" for value in (i + 1, i + 2, i + 3, 50 + i)]


def hub_rows(name: str, count: int) -> Rows:
    """Rows as the first copy of a benchmark has them."""
    rows = range(1, count + 1)
    match name:
        case "amc":
            return [{"id": i, "question": _asked(i), "answer": float(i + 2), "url": "x"} for i in rows]
        case "minerva" | "hmmt-feb25" | "hmmt-nov25":
            return [{"problem": _asked(i), "answer": f"{i + 2}", "solution": "Count."} for i in rows]
        case "math-500":
            more = {"subject": "Prealgebra", "level": 2, "solution": "Count."}
            return [{"problem": _asked(i), "answer": f"{i + 2}", "unique_id": f"test/x/{i}.json"} | more for i in rows]
        case "gsm8k":
            return [
                {"question": _asked(i), "answer": f"{i} + 2 = <<{i}+2={i + 2}>>{i + 2}\n#### {i + 2}"} for i in rows
            ]
        case "olympiad":
            more = {"subfield": "Counting", "is_multiple_answer": False, "unit": None, "error": None}
            return [{"id": i, "question": _asked(i), "final_answer": [f"${i + 2}$"]} | more for i in rows]
        case "aime24" | "aime25" | "aime26":
            return [{"id": i, "problem": _asked(i), "answer": f"{i + 2:03d}", "solution": "Count."} for i in rows]
        case "supergpqa":
            more = {"discipline": "Agronomy", "field": "Fruit", "subfield": "Bowls", "difficulty": "easy"}
            return [
                {"uuid": f"u{i}", "question": _asked(i), "options": _options(i), "answer": _options(i)[1]}
                | {"answer_letter": "B"}
                | more
                for i in rows
            ]
        case "mmlu-pro":
            return [
                {"question_id": i, "question": _asked(i), "options": _options(i), "answer": "B", "answer_index": 1}
                | {"category": "math", "cot_content": ""}
                for i in rows
            ]
        case "bbeh":
            return [{"task": "bowls", "question": _asked(i), "answer": f"{i + 2}, yes", "mini": 1} for i in rows]
    raise ValueError(name)


def write_jsonl(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def parquet_bytes(rows: Sequence[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows)), sink)
    return bytes(sink.getvalue())
