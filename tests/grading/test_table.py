"""Our own table of answer pairs: what must be the same, what must not, and what holds between all of them.

``pairs.jsonl`` was written from mathematics and from the policies of docs/grading.md, not from what the code
does. Pairs about which reasonable people differ are in ``arguable.jsonl``: any verdict is right there, but
there must be one, and the same in both directions.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from coevolve.grading.equivalence import Judge, Stage

SLOWEST_PAIR_S = 3.0
GROWTH_BYTES = 64 * 2**20
STRINGS_PER_KIND = 60
NOTHING = {"", r"\boxed{}"}
# Same pair by pair, but not transitive: units (5 cm ~ 5 ~ 5 m, \$18 ~ 18 ~ 18 cents), decimals
# (1.4142 ~ \sqrt2 ~ 1.41421), and an assignment, which is its value and an equation as well (2x+3 ~ y=2x+3 ~ y-2x=3).
BRIDGES = {Stage.UNIT, Stage.ROUNDED, Stage.DOMAIN}


class Row(NamedTuple):
    gold: str
    pred: str
    expected: bool
    kind: str


def _lines(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()]


ROWS = [Row(**line) for line in _lines("pairs.jsonl")]  # type: ignore[arg-type]
KINDS = sorted({row.kind for row in ROWS})


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    judge = Judge()
    yield judge
    judge.close()


@pytest.fixture(scope="module")
def quick() -> Iterator[Judge]:
    judge = Judge(symbolic=False)
    yield judge
    judge.close()


def _wrong(judge: Judge, rows: list[Row]) -> list[Row]:
    return [row for row in rows if judge.same(row.gold, row.pred).same != row.expected]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_the_table_is_large_balanced_and_without_repeats() -> None:
    same = sum(row.expected for row in ROWS)
    assert len(ROWS) >= 400
    assert 0.4 < same / len(ROWS) < 0.6
    assert len({frozenset((row.gold, row.pred)) for row in ROWS}) == len(ROWS)
    assert len(KINDS) >= 40


@pytest.mark.parametrize("kind", KINDS)
def test_every_pair_of_the_table_has_the_verdict_of_the_policies(judge: Judge, kind: str) -> None:
    assert _wrong(judge, [row for row in ROWS if row.kind == kind]) == []


def test_the_verdict_does_not_depend_on_the_direction() -> None:
    forward, backward = Judge(symbolic=False), Judge(symbolic=False)  # two caches, so that neither sees the other
    for row in ROWS:
        assert forward.same(row.gold, row.pred).same == backward.same(row.pred, row.gold).same, row
    forward.close()
    backward.close()


def test_no_pair_needs_more_than_three_seconds_of_this_process_and_the_second_time_says_the_same() -> None:
    with_fresh_cache = Judge()
    for _ in range(2):
        for row in ROWS:
            start = time.thread_time()
            assert with_fresh_cache.same(row.gold, row.pred).same == row.expected, row
            assert time.thread_time() - start < SLOWEST_PAIR_S, row
    with_fresh_cache.close()


def test_the_table_in_four_threads() -> None:
    shared = Judge()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: _wrong(shared, ROWS), range(4)))
    shared.close()
    assert found == [[], [], [], []]


def test_the_table_beside_an_event_loop() -> None:
    shared = Judge()

    async def all_rows() -> list[bool]:
        verdicts = await asyncio.gather(*(asyncio.to_thread(shared.same, row.gold, row.pred) for row in ROWS))
        return [verdict.same for verdict in verdicts]

    found = asyncio.run(all_rows())
    shared.close()
    assert found == [row.expected for row in ROWS]


@pytest.mark.slow
def test_memory_stays_bounded_over_many_different_pairs(quick: Judge) -> None:
    _wrong(quick, ROWS)
    before = _resident()
    for number in range(10):
        for row in ROWS[::5]:
            quick.same(f"{row.gold}, {number}", f"{row.pred}, {number}")
    assert _resident() - before < GROWTH_BYTES


def _one_only(first: str, second: str) -> bool:
    """Whether one of both only has a dollar sign or an equals sign."""
    return any((sign in first) != (sign in second) for sign in "$=")


def _of_kind(kind: str) -> list[str]:
    """The different texts of a kind, in the order of the table."""
    texts = dict.fromkeys(text for row in ROWS if row.kind == kind for text in (row.gold, row.pred))
    return list(texts)[:STRINGS_PER_KIND]


@pytest.mark.parametrize("kind", KINDS)
def test_sameness_is_an_equivalence_within_a_kind_apart_from_the_documented_bridges(quick: Judge, kind: str) -> None:
    texts = _of_kind(kind)
    strong: dict[str, set[str]] = {text: set() for text in texts}
    for first, second in itertools.product(texts, repeat=2):
        verdict, back = quick.same(first, second), quick.same(second, first)
        assert verdict.same == back.same, (first, second)
        if verdict.same and verdict.stage not in BRIDGES and not _one_only(first, second):
            strong[first].add(second)
    for text in texts:
        assert (text in strong[text]) != (text.strip() in NOTHING), text
        for other in strong[text]:
            assert strong[other] == strong[text], (text, other)


def test_arguable_pairs_have_one_verdict_in_both_directions() -> None:
    forward, backward = Judge(symbolic=False), Judge(symbolic=False)
    for line in _lines("arguable.jsonl"):
        gold, pred = str(line["gold"]), str(line["pred"])
        assert line["comment"]
        assert forward.same(gold, pred).same == backward.same(pred, gold).same, line
    forward.close()
    backward.close()
