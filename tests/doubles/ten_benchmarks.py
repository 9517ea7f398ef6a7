"""Seven invented rows of each of the ten benchmarks in its own layout, and a model that answers them as is known.

Row by row, the greedy answers show one case each (``GREEDY``), and of the sampled ones ``RIGHT[k]`` of k are right.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from scripted_endpoint import Act, Asked, Says

from coevolve.grading.grade import Kind

ROWS = 7
RIGHT = {32: (32, 0, 20, 8, 9, 2, 1), 4: (4, 0, 3, 1, 2, 1, 1)}
REST = ("same", "same", "same", "same", "different", "unboxed", "same")  # the wrong ones among the sampled answers
MAJORITY = (True, False, True, False, True, True, False)
NOTHING = "That is beyond me."
_OTHERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Row:
    """A row of a benchmark as its file has it, and what the test knows of it."""

    fields: dict[str, Any]
    question: str
    truth: str
    kind: Kind

    def wrong(self, number: int) -> str:
        """One of many wrong answers, the same for the same number; of a choice there are few."""
        if self.kind is Kind.CHOICE:
            others = [letter for letter in ascii_uppercase[:10] if letter != self.truth]
            return others[number % len(others)]
        return f"none {_OTHERS[number % 26]}{number}" if self.kind is Kind.FUZZY else str(100_000 + number)


def greedy(row: Row, index: int) -> Says:
    """The greedy answer to the row of this index.

    0 right, 1 wrong, 2 right in the last of two boxes, 3 right and stated without a box, 4 right in a way that one mode
    alone takes, 5 right and cut off afterwards, 6 nothing.
    """
    match index:
        case 0:
            return Says(f"It is \\boxed{{{row.truth}}}.")
        case 1:
            return Says(f"It is \\boxed{{{row.wrong(0)}}}.")
        case 2:
            return Says(f"First \\boxed{{{row.wrong(0)}}}.\nNo, it is \\boxed{{{row.truth}}}.")
        case 3:
            return Says(f"The answer is: {row.truth}\n")
        case 4:
            boxed = f"\\boxed{{{row.truth}}}"
            if row.kind is Kind.CHOICE:
                return Says(f"\\boxed{{\\text{{so it is {row.truth}}}}}")
            return Says(f"\\boxed{{**{row.truth}**}}" if row.kind is Kind.FUZZY else f"{boxed}, that is {boxed}")
        case 5:
            return Says(f"It is \\boxed{{{row.truth}}} since", finish="length")
    return Says(NOTHING)


STRICT = {  # which greedy answers are right
    Kind.MATH: (True, False, True, False, True, False, False),
    Kind.CHOICE: (True, False, True, False, False, False, False),
    Kind.FUZZY: (True, False, True, False, False, False, False),
}
PAPER = {  # the last one of a choice is a letter that is drawn
    Kind.MATH: (True, False, False, False, False, True, False),
    Kind.CHOICE: (True, False, True, True, True, True, None),
    Kind.FUZZY: (True, False, True, True, True, True, False),
}


def sampled(row: Row, index: int, number: int, k: int) -> Says:
    """Sampled answer ``number`` of k to the row of this index."""
    if number < RIGHT[k][index]:
        return Says(f"It is \\boxed{{{row.truth}}}.")
    match REST[index]:
        case "unboxed":
            return Says(NOTHING)
        case "different":
            return Says(f"It is \\boxed{{{row.wrong(number)}}}.")
    return Says(f"It is \\boxed{{{row.wrong(0)}}}.")


def model(suites: dict[str, tuple[Row, ...]], k: Callable[[str], int]) -> Callable[[Asked], Act]:
    """A server's script: answers every row of these suites, which have k(name) sampled answers each."""
    known = {row.question: (name, index) for name, rows in suites.items() for index, row in enumerate(rows)}

    def script(asked: Asked) -> Act:
        name, index = known[asked.question.splitlines()[0]]
        row = suites[name][index]
        return greedy(row, index) if asked.greedy else sampled(row, index, asked.before, k(name))

    return script


def write(folder: Path) -> dict[str, tuple[Row, ...]]:
    """A file per benchmark in its layout, and its rows by the name of the benchmark."""
    suites = {name: tuple(make(i) for i in range(ROWS)) for name, make in MAKERS.items()}
    for name, rows in suites.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row.fields) + "\n" for row in rows))
    return suites


def _amc(i: int) -> Row:
    question = f"A jar holds {i + 3} red and {2 * i + 5} green marbles. How many marbles are in the jar?"
    return Row(
        {"id": i, "question": question, "answer": float(3 * i + 8), "url": ""}, question, str(3 * i + 8), Kind.MATH
    )


def _minerva(i: int) -> Row:
    question = f"A star radiates {i + 2}e26 W for 3 s. How much energy, in J, is that?"
    return Row(
        {"problem": question, "solution": "...", "answer": f"{3 * i + 6}e26"}, question, f"{3 * i + 6}e26", Kind.MATH
    )


def _math_500(i: int) -> Row:
    question = f"Write $1 - \\frac{{1}}{{{i + 4}}}$ as a single fraction."
    truth = f"\\frac{{{i + 3}}}{{{i + 4}}}"
    fields = {"problem": question, "solution": "...", "answer": truth, "subject": "Prealgebra", "level": 1 + i % 5}
    return Row(fields | {"unique_id": f"test/own/{i}.json"}, question, truth, Kind.MATH)


def _gsm8k(i: int) -> Row:
    question = f"Mira bakes {i + 2} trays of 12 rolls and eats one roll. How many rolls are left?"
    total = 12 * (i + 2)
    solution = f"She bakes {i + 2}*12=<<{i + 2}*12={total}>>{total} rolls.\n{total - 1} are left.\n#### {total - 1}"
    return Row({"question": question, "answer": solution}, question, str(total - 1), Kind.MATH)


def _olympiad(i: int) -> Row:
    question = f"Find all integers $x$ with $|x| = {i + 5}$." if i % 2 else f"Find the least prime above ${i} + 30$."
    final = [str(i + 5), str(-i - 5)] if i % 2 else [str(31 if i == 0 else 37)]
    fields = {"question": question, "final_answer": final, "subfield": "Number Theory", "answer_type": "Numerical"}
    return Row(fields, question, ", ".join(final), Kind.MATH)


def _aime24(i: int) -> Row:
    question = f"The sides of a rectangle are {i + 2} and {i + 3}. Find its area."
    area = (i + 2) * (i + 3)
    return Row(
        {"id": i, "problem": question, "solution": "...", "answer": f"{area:03}"}, question, str(area), Kind.MATH
    )


def _aime25(i: int) -> Row:
    question = f"Find the sum of the whole numbers from 1 to {i + 20}."
    total = (i + 20) * (i + 21) // 2
    return Row({"problem": question, "answer": str(total), "id": str(i)}, question, str(total), Kind.MATH)


def _options(i: int) -> list[str]:
    return [f"about {3 * i + n + 1} metres" for n in range(10)]


def _supergpqa(i: int) -> Row:
    question = f"Which length did the surveyor of field {i} measure?"
    letter = ascii_uppercase[(3 * i + 1) % 10]
    options = _options(i)
    fields = {"uuid": f"u{i}", "question": question, "options": options, "answer": options[(3 * i + 1) % 10]}
    fields |= {"answer_letter": letter, "discipline": "Engineering", "difficulty": "middle"}
    return Row(fields, question, letter, Kind.CHOICE)


def _mmlu_pro(i: int) -> Row:
    question = f"Which length did the mason of house {i} measure?"
    index = (2 * i + 3) % 10
    fields = {"question_id": i, "question": question, "options": _options(i), "answer": ascii_uppercase[index]}
    return Row(fields | {"answer_index": index, "category": "other"}, question, ascii_uppercase[index], Kind.CHOICE)


def _bbeh(i: int) -> Row:
    question = f"Sort the words pear, {_OTHERS[i]}pple and fig by length and name the shortest, then the number {i}."
    return Row({"task": "sorting", "question": question, "answer": f"fig, {i}"}, question, f"fig, {i}", Kind.FUZZY)


MAKERS = {
    "amc": _amc,
    "minerva": _minerva,
    "math-500": _math_500,
    "gsm8k": _gsm8k,
    "olympiad": _olympiad,
    "aime24": _aime24,
    "aime25": _aime25,
    "supergpqa": _supergpqa,
    "mmlu-pro": _mmlu_pro,
    "bbeh": _bbeh,
}
