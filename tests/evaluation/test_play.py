"""Measures by play: figures of matches, and a strategy that is read off by scoring moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from coevolve.config import EvaluationSection
from coevolve.config.acting import DialogueSection
from coevolve.evaluation.meters import open_meter
from coevolve.evaluation.play import contest_row, match_row, read_strategies
from coevolve.rollout.table import ILLEGAL
from coevolve.types import Ban, Floats, Ints, StopReason, TrainRow, Trajectory
from coevolve.worlds.games.learner import GamesContract
from coevolve.worlds.games.meter import GamesMeter
from coevolve.worlds.games.perfect import kuhn_sets

END = 1


def match(reward: float, *, refused: str = "", stop: StopReason = StopReason.EOS) -> Trajectory:
    none = np.zeros(0, np.int32)
    masked, logp = np.zeros(0, np.bool_), np.zeros(0, np.float32)
    return Trajectory(
        "nim-0", 0, none, none, masked, logp, "", (), None, stop, "p", (0,), "c", reward=reward, refused=refused
    )


def test_a_contest_is_counted_by_result_and_by_seat() -> None:
    first = [match(1.0), match(-1.0), match(0.0), match(-1.0, refused=ILLEGAL)]
    second = [match(1.0), match(1.0), match(0.0), match(-1.0, stop=StopReason.LENGTH)]
    row = contest_row([*first, *second])
    assert (row["win"], row["draw"], row["loss"], row["illegal"]) == (3 / 8, 2 / 8, 3 / 8, 2 / 8)
    assert (row["loss_by_seat"], row["n"]) == ([0.5, 0.25], 8)
    low, high = row["ci95"]  # type: ignore[misc]
    assert 0 < low < 3 / 8 < high < 1


def test_a_match_that_was_not_lost_counts_as_one_right_answer_of_one() -> None:
    contest = GamesMeter().contests(EvaluationSection())[0]
    held = [match_row(contest, 1, 7, match(reward)) for reward in (1.0, 0.0, -1.0)]
    assert [row["samples_right"] for row in held] == [1, 1, 0]
    assert {(row["set"], row["task_id"], row["k"]) for row in held} == {
        ("play-tictactoe_perfect", "tictactoe_perfect-1-7", 1)
    }


class Letters:
    """A codec with a token per character."""

    def encode(self, text: str) -> Ints:
        return np.array([ord(char) for char in text], np.int32)


class Scored:
    """A trainer to which one word of every two is three times as probable as the other, whatever comes before."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def logprobs(self, rows: Sequence[TrainRow], banned: Ban | None = None) -> list[Floats]:
        out = []
        for row in rows:
            scored = row.weight > 0
            text = "".join(map(chr, row.tokens.tolist()))
            self.asked.append(text)
            move = "".join(map(chr, row.tokens[scored][:-1].tolist()))
            assert row.tokens[-1] == END
            assert text.endswith(f">{move}{chr(END)}")
            logp = np.full(len(row.tokens), -99.0, np.float32)
            logp[scored] = np.log({"bet": 0.6, "call": 0.6}.get(move, 0.2)) / scored.sum()
            out.append(logp)
        return out


def test_every_legal_move_is_scored_behind_what_its_seat_has_read_and_said() -> None:
    found = {}

    def keep(strategy):  # type: ignore[no-untyped-def]
        found.update(strategy)
        return {"exploitability": 0.0}

    strategy = GamesMeter().strategies()[0]
    trainer = Scored()
    kept = type(strategy)("kuhn", kuhn_sets(), keep)
    row = read_strategies(trainer, Letters(), END, GamesContract(), [kept], agent="solver")  # type: ignore[arg-type]
    assert len(trainer.asked) == 24
    assert f"kuhn Q>check{chr(END)}kuhn Q check bet>call{chr(END)}" in trainer.asked
    assert f"kuhn K bet>fold{chr(END)}" in trainer.asked
    for key, chances in found.items():
        assert chances == pytest.approx({move: 0.75 if move in ("bet", "call") else 0.25 for move in chances}), key
    assert row == {"kuhn": {"exploitability": 0.0, "legal": pytest.approx(0.8)}}


def test_a_world_without_games_has_no_contests_and_that_of_games_no_problems() -> None:
    section = EvaluationSection()
    for world in ("miniature", "open"):
        meter = open_meter(world, DialogueSection())
        assert not meter.has_contests(section)
        assert not meter.strategies()
    games = open_meter("games", DialogueSection())
    assert games.has_contests(section)
    assert not games.has_held_out(section)
    assert not games.knows_labels
    assert not games.contests(section.model_copy(update={"matches": 0}))
    assert [contest.key for contest in games.contests(section)] == [
        "tictactoe_perfect", "negotiation_random", "pig_random", "nim_random", "liarsdice_random",
    ]  # fmt: skip
