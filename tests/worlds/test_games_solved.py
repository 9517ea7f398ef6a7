"""What only the meter of the games knows: perfect play in tic-tac-toe, and exploitability in Kuhn poker."""

from __future__ import annotations

import pytest

from coevolve.worlds.games.perfect import (
    KUHN_VALUE,
    PerfectTicTacToe,
    kuhn_exploitability,
    kuhn_sets,
    tictactoe_value,
)
from coevolve.worlds.games.players import RandomPlayer
from coevolve.worlds.games.tictactoe import TicTacToe, TicTacToePosition
from coevolve.worlds.play import Position, Strategy

UNIFORM: Strategy = {one.key: dict.fromkeys(one.moves, 0.5) for one in kuhn_sets()}


def equilibrium(bluff: float) -> Strategy:
    """Kuhn's solution of 1950: the first seat bets the jack with a chance of ``bluff``, and all else follows."""
    bet = {
        "J": bluff, "Q": 0.0, "K": 3 * bluff,
        "J check bet": 0.0, "Q check bet": bluff + 1 / 3, "K check bet": 1.0,
        "J check": 1 / 3, "Q check": 0.0, "K check": 1.0,
        "J bet": 0.0, "Q bet": 1 / 3, "K bet": 1.0,
    }  # fmt: skip
    return {f"kuhn {key}": dict(zip(_moves(key), (1 - p, p), strict=True)) for key, p in bet.items()}


def _moves(key: str) -> tuple[str, str]:
    return ("fold", "call") if key.endswith("bet") else ("check", "bet")


def test_the_twelve_decisions_hold_what_the_seat_has_been_shown_and_has_said() -> None:
    sets = {one.key: one for one in kuhn_sets()}
    assert len(sets) == 12
    later = sets["kuhn Q check bet"]
    assert (later.shown, later.said, later.moves) == (("kuhn Q", "kuhn Q check bet"), ("check",), ("fold", "call"))
    assert sets["kuhn J bet"].shown == ("kuhn J bet",)


@pytest.mark.parametrize("bluff", [0.0, 0.1, 1 / 3])
def test_an_equilibrium_of_kuhn_poker_cannot_be_exploited_and_is_worth_minus_one_eighteenth(bluff: float) -> None:
    found = kuhn_exploitability(equilibrium(bluff))
    assert found["exploitability"] == pytest.approx(0, abs=1e-12)
    assert found["value"] == pytest.approx(KUHN_VALUE)
    assert pytest.approx(-1 / 18) == KUHN_VALUE


def test_play_at_random_is_worth_an_eighth_to_the_first_seat_and_is_exploited() -> None:
    found = kuhn_exploitability(UNIFORM)
    assert found["value"] == pytest.approx(1 / 8)
    assert found["exploitability"] == pytest.approx((1 / 2 + 5 / 12) / 2)  # best responses win 1/2 and 5/12


def test_exploitability_agrees_with_open_spiel() -> None:
    pyspiel = pytest.importorskip("pyspiel")
    game = pyspiel.load_game("kuhn_poker")
    letters = {"check": "p", "fold": "p", "bet": "b", "call": "b"}
    for strategy in (UNIFORM, equilibrium(0.2), {**UNIFORM, "kuhn K": {"check": 0.9, "bet": 0.1}}):
        table = {}
        for key, chances in strategy.items():
            _, card, *said = key.split()
            state = f"{'JQK'.index(card)}{''.join(letters[one] for one in said)}"
            table[state] = list(enumerate(chances.values()))
        theirs = pyspiel.exploitability(game, table)
        assert kuhn_exploitability(strategy)["exploitability"] == pytest.approx(theirs, abs=1e-12)


def test_tic_tac_toe_is_a_draw_and_the_perfect_player_never_loses() -> None:
    assert tictactoe_value(TicTacToePosition()) == 0
    results = []
    for seed in range(100):
        position: Position = TicTacToe().deal(0)
        players = (PerfectTicTacToe(), RandomPlayer()) if seed % 2 else (RandomPlayer(), PerfectTicTacToe())
        while position.seat is not None:
            position = position.after(players[position.seat].choose(position, 1000 * seed + len(position.view)))
        results.append(position.payoffs[0 if seed % 2 else 1])
    assert min(results) == 0
    assert sum(results) > 60


def test_the_perfect_player_takes_a_win_and_stops_one() -> None:
    assert {PerfectTicTacToe().choose(TicTacToePosition("xx3oo6789"), seed) for seed in range(20)} == {"3"}
    assert {PerfectTicTacToe().choose(TicTacToePosition("ox34x6789"), seed) for seed in range(20)} == {"8"}
    assert len({PerfectTicTacToe().choose(TicTacToePosition(), seed) for seed in range(60)}) == 9
