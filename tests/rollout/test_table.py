"""Games at the table: who moves, what an illegal move costs, and players who are no policies."""

from __future__ import annotations

import pickle

import pytest

from coevolve.rollout.match import Result, Turn
from coevolve.rollout.table import ILLEGAL, Dealt
from coevolve.worlds.games.catalogue import GAMES
from coevolve.worlds.games.perfect import PerfectTicTacToe
from coevolve.worlds.games.players import RandomPlayer

TICTACTOE, KUHN = GAMES["tictactoe"], GAMES["kuhn"]


def test_two_seats_move_in_turn_and_the_game_pays_both() -> None:
    game = Dealt(TICTACTOE, 0)()
    assert game.opening == Turn(0, "tictactoe x 123456789")
    assert game.move(0, "1") == Turn(1, "tictactoe o x23456789")
    for seat, move in ((1, "4"), (0, " 2 "), (1, "5")):
        assert isinstance(game.move(seat, move), Turn)
    assert game.move(0, "3") == Result((1.0, -1.0))


def test_a_move_may_stand_in_a_box_behind_some_thinking() -> None:
    assert Dealt(TICTACTOE, 0)().move(0, "The middle is best: \\boxed{5}") == Turn(1, "tictactoe o 1234x6789")


@pytest.mark.parametrize("illegal", [(-1.0, 1.0), (-1.5, 0.5)])
def test_an_illegal_move_ends_the_game_and_pays_as_the_key_says(illegal: tuple[float, float]) -> None:
    game = Dealt(TICTACTOE, 0, illegal)()
    game.move(0, "1")
    assert game.move(1, "1") == Result((illegal[1], illegal[0]), ILLEGAL)
    assert Dealt(TICTACTOE, 0, illegal)().forfeit(0) == Result(illegal, ILLEGAL)
    assert Dealt(KUHN, 0, illegal)().move(0, "call") == Result(illegal, ILLEGAL)


@pytest.mark.parametrize("seat", [0, 1])
def test_a_player_who_is_no_policy_has_the_other_seat(seat: int) -> None:
    game = Dealt(TICTACTOE, 3, against=PerfectTicTacToe(), seat=seat)()
    outcome = game.opening
    while isinstance(outcome, Turn):
        assert outcome.seat == 0, "the only one at the table"
        assert outcome.shown.startswith(f"tictactoe {'xo'[seat]} ")
        outcome = game.move(0, next(cell for cell in outcome.shown.split()[-1] if cell.isdigit()))
    assert outcome.rewards in ((-1.0,), (0.0,))
    lost = Dealt(TICTACTOE, 3, against=PerfectTicTacToe(), seat=seat)()
    assert lost.move(0, "nonsense") == Result((-1.0,), ILLEGAL)


def test_a_game_is_plain_data_and_repeats_itself() -> None:
    dealt = Dealt(GAMES["negotiation"], 5, against=RandomPlayer(), seat=1)
    assert pickle.loads(pickle.dumps(dealt)) == dealt
    assert " at 0x" not in repr(dealt), "a kept batch is known by what its episodes say of themselves"
    assert dealt().opening == dealt().opening
    openings = {Dealt(GAMES["negotiation"], seed, against=RandomPlayer(), seat=1)().opening for seed in range(20)}
    assert len(openings) > 10


def test_a_seat_reads_its_own_card_only() -> None:
    """All that both seats are shown in every way a hand can go."""
    for seed in range(30):
        dealt = Dealt(KUHN, seed)
        cards = KUHN.deal(seed).cards  # type: ignore[attr-defined]
        for moves in (("check", "check"), ("check", "bet", "call"), ("bet", "fold")):
            game = dealt()
            outcome: Turn | Result = game.opening
            for move in moves:
                assert isinstance(outcome, Turn)
                assert outcome.shown.split()[1] == cards[outcome.seat]
                assert cards[1 - outcome.seat] not in outcome.shown
                outcome = game.move(outcome.seat, move)
            assert isinstance(outcome, Result)
