"""Packing keeps every scored token once and every past whole, and computes no token twice."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from coevolve.engine.local.packing import MicroBatch, pack

# Few different tokens, so that rows share beginnings; one flag per token says whether it is scored.
ROWS = st.lists(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=12), min_size=1, max_size=20)


def packed(
    rows: list[list[tuple[int, bool]]], budget: int, *, once: bool = False, least: int = 1
) -> tuple[list[np.ndarray], list[np.ndarray], list[MicroBatch]]:
    tokens = [np.array([token for token, _ in row], dtype=np.int32) for row in rows]
    scored = [np.array([i for i, (_, flag) in enumerate(row) if flag and i], dtype=np.int64) for row in rows]
    return tokens, scored, pack(tokens, scored, budget, once=once, least=least)


def place_rows(micro: MicroBatch) -> list[np.ndarray]:
    """The rows of the padded blocks, as tokens of the tree."""
    rows, at = [], 0
    for count, length in micro.blocks:
        for _ in range(count):
            rows.append(micro.spread[at : at + length])
            at += length
    assert at == len(micro.spread)
    return rows


@settings(deadline=None)
@given(ROWS, st.integers(1, 60))
def test_every_scored_token_is_predicted_once(rows: list[list[tuple[int, bool]]], budget: int) -> None:
    tokens, scored, micros = packed(rows, budget)
    seen = []
    for micro in micros:
        for i, token, target in micro.split(micro.target):
            assert list(target) == list(tokens[i][token])
            seen += [(i, int(t)) for t in token]
        assert len(micro.rows) == 1 or sum(scored[i][-1] for i in micro.rows) <= budget
    assert sorted(seen) == [(i, int(t)) for i, where in enumerate(scored) for t in where]


@settings(deadline=None)
@given(ROWS, st.integers(1, 60))
def test_a_token_sees_the_past_of_its_row_and_nothing_else(rows: list[list[tuple[int, bool]]], budget: int) -> None:
    tokens, _, micros = packed(rows, budget)
    for micro in micros:
        places = np.concatenate(place_rows(micro))
        past: dict[int, list[int]] = {}
        at = 0
        for row in place_rows(micro):
            for j in range(len(row)):
                if micro.collect[row[j]] == at + j:  # the place whose attention the token keeps
                    past[int(row[j])] = [int(micro.inputs[x]) for x in row[: j + 1]]
            at += len(row)
        assert sorted(past) == list(range(len(micro.inputs)))
        assert list(places[micro.collect]) == list(range(len(micro.inputs)))
        for i, token, position in micro.split(micro.states[micro.owner]):
            for t, x in zip(token, position, strict=True):
                assert past[int(x)] == list(tokens[i][:t])
                assert micro.depth[x] == t - 1


@settings(deadline=None)
@given(ROWS, st.integers(1, 60), st.integers(1, 4))
def test_through_segments_a_token_sees_the_past_of_its_row_and_nothing_else(
    rows: list[list[tuple[int, bool]]], budget: int, least: int
) -> None:
    tokens, _, micros = packed(rows, budget, once=True, least=least)
    for micro in micros:
        past: list[list[int]] = [[] for _ in micro.inputs]
        for start, end, stop in micro.segments:
            for x in range(start, stop):
                past[x] += range(start, min(x + 1, end))
        for i, token, position in micro.split(micro.states[micro.owner]):
            for t, x in zip(token, position, strict=True):
                assert [int(y) for y in micro.inputs[past[x]]] == list(tokens[i][:t])
                assert list(micro.depth[past[x]]) == list(range(t))
        assert len(micro.rows) == 1 or len(micro.inputs) <= budget


@settings(deadline=None)
@given(ROWS)
def test_no_past_is_computed_twice_in_one_micro_batch(rows: list[list[tuple[int, bool]]]) -> None:
    tokens, scored, micros = packed(rows, 10_000)
    known = {
        row[: j + 1].tobytes()
        for row, where in zip(tokens, scored, strict=True)
        if len(where)
        for j in range(where[-1])
    }
    assert sum(len(micro.inputs) for micro in micros) == len(known)
    assert all(len(set(micro.states)) == len(micro.states) for micro in micros)


def test_a_beginning_that_is_too_short_to_share_is_computed_for_each_row() -> None:
    rows = [np.array(row, np.int32) for row in ([1, 2, 3, 4, 5], [1, 2, 3, 4, 6], [1, 2, 7, 8, 9])]
    for least, inputs in ((1, 4 + 2), (2, 4 + 2), (3, 4 + 4), (5, 4 + 4 + 4)):
        (micro,) = pack(rows, [np.array([4])] * 3, 100, once=True, least=least)
        assert len(micro.inputs) == inputs, least


def test_nothing_behind_the_last_scored_token_is_computed() -> None:
    micro = pack([np.arange(10, dtype=np.int32)], [np.array([2, 4])], 100)[0]
    assert micro.inputs.tolist() == [0, 1, 2, 3]


def test_answers_to_one_question_share_it() -> None:
    rows = [np.array([7, 8, 9, *rest], dtype=np.int32) for rest in ([1, 2, 3], [1, 2, 5], [4])]
    micro = pack(rows, [np.arange(3, len(row)) for row in rows], 100)[0]
    assert sorted(micro.inputs.tolist()) == [1, 2, 7, 8, 9]
