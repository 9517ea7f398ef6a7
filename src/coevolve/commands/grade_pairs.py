"""Pairs of answers to grade: one JSON object per line, read and checked before any of them is graded."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from coevolve.errors import ConfigError
from coevolve.grading.extract import holds_box, last_boxed

STANDARD_INPUT = Path("-")
LONGEST_LINE = 64 * 2**20  # bytes; a file without line ends must not fill the memory
MODES = ("answer", "text")
_FIX = 'write one JSON object per line, such as {"gold": "1/2", "pred": "0.5", "expected": true}'


@dataclass(frozen=True, slots=True)
class Pair:
    """One line.

    Args:
        gold: the true answer.
        pred: the answer to grade.
        expected: what the verdict should be, where the file says it.
        text: the answers stand in texts: what is in the last box is graded. A gold text without a box is an answer.
        line: number in the file, from 1.
    """

    gold: str
    pred: str
    expected: bool | None
    text: bool
    line: int

    @property
    def answers(self) -> tuple[str, str]:
        """What is compared; empty where a text holds no answer."""
        if not self.text:
            return self.gold, self.pred
        gold = last_boxed(self.gold) if holds_box(self.gold) else self.gold
        return gold or "", last_boxed(self.pred) or ""


def read_pairs(file: Path) -> list[Pair]:
    """All pairs of a file; ``-`` is standard input, empty lines are skipped.

    Raises:
        ConfigError: the file cannot be read, holds no pair, or one of its lines is none; file and line are named.
    """
    name = "standard input" if file == STANDARD_INPUT else str(file)
    try:
        if file == STANDARD_INPUT:
            pairs = _read(sys.stdin.buffer, name)
        else:
            with file.open("rb") as stream:
                pairs = _read(stream, name)
    except (OSError, ValueError) as error:  # a ValueError: the name has a NUL in it
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"cannot read the pairs: {reason}", where=name, fix="name a file, or - for standard input"
        ) from error
    if not pairs:
        raise ConfigError("there are no pairs to grade", where=name, fix=_FIX)
    return pairs


def _read(stream: IO[bytes], name: str) -> list[Pair]:
    pairs = []
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        where = f"{name}, line {number}"
        if len(line) > LONGEST_LINE:
            raise ConfigError(f"the line is longer than {LONGEST_LINE // 2**20} MiB", where=where, fix=_FIX)
        if line.strip():
            pairs.append(_pair(line, number, where))
    return pairs


def _pair(line: bytes, number: int, where: str) -> Pair:
    try:
        row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"the line is not UTF-8 text ({error.reason} at byte {error.start})", where=where) from error
    except RecursionError as error:
        raise ConfigError("the line is nested too deeply", where=where, fix=_FIX) from error
    except ValueError as error:
        raise ConfigError(f"the line is not JSON: {error}", where=where, fix=_FIX) from error
    if not isinstance(row, dict):
        raise ConfigError(f"the line is {_kind(row)}, not an object", where=where, fix=_FIX)
    gold, pred = (_text(row, key, where) for key in ("gold", "pred"))
    expected = row.get("expected")
    if expected is not None and not isinstance(expected, bool):
        raise ConfigError(f"expected is {_kind(expected)}, not true or false", where=where, fix=_FIX)
    mode = row.get("mode", "answer")
    if mode not in MODES:
        raise ConfigError(f"unknown mode {_short(mode)}", where=where, fix=f"mode is one of {', '.join(MODES)}")
    return Pair(gold, pred, expected, mode == "text", number)


def _text(row: dict[str, object], key: str, where: str) -> str:
    if key not in row:
        raise ConfigError(f"the line has no {key}", where=where, fix=_FIX)
    value = row[key]
    if not isinstance(value, str):
        raise ConfigError(f"{key} is {_kind(value)}, not a string", where=where, fix=f"write {key} in quotation marks")
    return value


def _kind(value: object) -> str:
    """What JSON calls a value."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list"}
    return "null" if value is None else names.get(type(value), "an object")


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:40] + "..."
