"""The rules of the games, against open_spiel where it is installed, and what a seat may not see."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

import pytest

from coevolve.worlds.games.catalogue import GAMES, HELD_OUT_GAMES, TRAINED
from coevolve.worlds.games.corpus import Play, documents
from coevolve.worlds.games.kuhn import CARDS, KuhnPosition
from coevolve.worlds.games.learner import GamesWorld
from coevolve.worlds.games.liars_dice import BIDS, LIAR, LiarsDicePosition
from coevolve.worlds.games.negotiation import NegotiationPosition, Offer
from coevolve.worlds.games.nim import NimPosition
from coevolve.worlds.games.pig import PigPosition
from coevolve.worlds.games.players import RandomPlayer
from coevolve.worlds.games.tictactoe import TicTacToePosition
from coevolve.worlds.games.vocabulary import TOKENS
from coevolve.worlds.miniature.vocabulary import SPECIAL
from coevolve.worlds.play import Position


def random_match(first: Position, seed: int) -> Iterator[tuple[Position, str]]:
    """The positions of a match of random legal play, each with the move that was made; the last one has none."""
    rng, position = random.Random(seed), first
    while position.seat is not None:
        move = rng.choice(position.moves)
        yield position, move
        position = position.after(move)
    yield position, ""


@pytest.mark.parametrize("name", GAMES)
def test_every_match_ends_is_zero_sum_and_refuses_what_is_not_legal(name: str) -> None:
    for seed in range(200):
        met = list(random_match(GAMES[name].deal(seed), seed))
        for position, _ in met[:-1]:
            assert len(set(position.moves)) == len(position.moves) > 0
            assert position.view.startswith(f"{name} ")
            with pytest.raises(ValueError, match="no legal move"):
                position.after("nothing")
        last = met[-1][0]
        assert last.moves == ()
        assert sum(last.payoffs) == 0
        assert max(map(abs, last.payoffs)) <= 1


@pytest.mark.parametrize("name", GAMES)
def test_a_deal_follows_from_its_seed(name: str) -> None:
    deals = [GAMES[name].deal(seed) for seed in range(50)]
    assert deals == [GAMES[name].deal(seed) for seed in range(50)]
    chance = {"tictactoe": 1, "pig": 50}
    assert len(set(map(repr, deals))) >= chance.get(name, 6)


def test_the_trained_and_the_held_out_games_are_different_ones() -> None:
    assert set(TRAINED) | set(HELD_OUT_GAMES) == set(GAMES)
    assert set(HELD_OUT_GAMES) == {"pig", "nim", "liarsdice"}
    assert not set(TRAINED) & set(HELD_OUT_GAMES)


def test_a_seat_is_shown_nothing_that_the_other_holds_alone() -> None:
    """Two deals that differ in the other seat's secret alone give equal views."""
    for said in ((), ("check",), ("bet",), ("check", "bet")):
        seat = len(said) % 2
        for mine in CARDS:
            others = [card for card in CARDS if card != mine]
            deals = [mine + other if seat == 0 else other + mine for other in others]
            assert len({KuhnPosition(cards, said).view for cards in deals}) == 1
    for bids in ((), ("1x3",), ("1x3", "2x2")):
        seat = len(bids) % 2
        dice = [(4, other) if seat == 0 else (other, 4) for other in range(1, 7)]
        assert len({LiarsDicePosition(both, bids).view for both in dice}) == 1
    trades = [
        NegotiationPosition(((3, 2), held), ((5, 1), worth), 4, offer=Offer(0, 1, 2))
        for held in ((1, 1), (5, 5))
        for worth in ((1, 5), (5, 1))
    ]
    assert {one.view for one in trades} == {"negotiation wood 3 at 5 ore 2 at 1 left 4 offered 1 wood for 2 ore"}
    assert len({PigPosition(10, dice).view for dice in range(20)}) == 1


def test_bets_and_calls_move_chips() -> None:
    won = {
        ("check", "check"): 1,
        ("bet", "fold"): 1,
        ("bet", "call"): 2,
        ("check", "bet", "fold"): -1,
        ("check", "bet", "call"): 2,
    }
    for said, chips in won.items():
        position = KuhnPosition("KQ")
        for move in said:
            position = position.after(move)
        assert position.seat is None
        assert position.payoffs == (chips / 2, -chips / 2)
        assert sum(position.put_in) == 2 + sum(move in ("bet", "call") for move in said)


def test_an_accepted_offer_moves_goods_and_each_seat_counts_in_its_own_worth() -> None:
    position = NegotiationPosition(((3, 2), (1, 4)), ((1, 5), (2, 1)), 6)
    position = position.after("2 wood for 1 ore")
    assert position.view == "negotiation wood 1 at 2 ore 4 at 1 left 5 offered 2 wood for 1 ore"
    position = position.after("accept")
    assert position.held == ((1, 3), (3, 3))
    assert position.gained == (-2 + 5, 2 * 2 - 1)
    assert position.payoffs == (0.0, 0.0)
    assert position.offer is None
    assert "accept" not in position.moves
    poor = NegotiationPosition(((3, 2), (1, 0)), ((1, 5), (2, 1)), 6).after("2 wood for 1 ore")
    assert "accept" not in poor.moves
    assert {"1 wood for 1 ore", "1 wood for 2 ore", "pass"} == set(poor.moves)


def test_random_players_repeat_themselves_and_make_every_legal_move() -> None:
    position = TicTacToePosition("12o4x6789")
    moves = [RandomPlayer().choose(position, seed) for seed in range(200)]
    assert moves == [RandomPlayer().choose(position, seed) for seed in range(200)]
    assert set(moves) == set("1246789")


def test_all_that_is_shown_and_said_consists_of_tokens() -> None:
    longest_first = sorted(TOKENS[len(SPECIAL) :], key=len, reverse=True)
    for document in islice(documents(Play(), 0), 400):
        for text in document.text.split("<|endoftext|>"):
            rest = text
            while rest:
                token = next((token for token in longest_first if rest.startswith(token)), None)
                assert token, f"{rest!r} in {text!r}"
                rest = rest[len(token) :]


def test_some_moves_of_the_corpus_are_illegal_and_end_their_match() -> None:
    world, legal, total = GamesWorld(), 0, 0
    for document in islice(documents(Play(illegal=0.1), 1), 400):
        assert world.is_well_formed(document.text)
        if document.text.startswith("tictactoe"):
            shown, move = document.pieces[-2][0], document.pieces[-1][0]
            legal += move in shown.split(" ")[-1]
            total += 1
    assert 0.6 < legal / total < 0.95


def spiel(name: str):  # type: ignore[no-untyped-def]
    return pytest.importorskip("pyspiel").load_game(name).new_initial_state()


def test_tic_tac_toe_agrees_with_open_spiel() -> None:
    for seed in range(60):
        state = spiel("tic_tac_toe")
        for position, move in random_match(GAMES["tictactoe"].deal(seed), seed):
            assert isinstance(position, TicTacToePosition)
            board = "".join("." if cell.isdigit() else cell for cell in position.board)
            assert board == state.observation_string(0).replace("\n", "")
            assert sorted(int(one) - 1 for one in position.moves) == state.legal_actions()
            if move:
                assert position.seat == state.current_player()
                state.apply_action(int(move) - 1)
        assert list(position.payoffs) == state.returns()


def test_kuhn_poker_agrees_with_open_spiel() -> None:
    letters = {"check": "p", "fold": "p", "bet": "b", "call": "b"}
    for seed in range(60):
        first = GAMES["kuhn"].deal(seed)
        assert isinstance(first, KuhnPosition)
        state = spiel("kuhn_poker")
        for card in first.cards:
            state.apply_action(CARDS.index(card))
        for position, move in random_match(first, seed):
            if move:
                card, *said = position.view.split()[1:]
                shown = f"{CARDS.index(card)}{''.join(letters[one] for one in said)}"
                assert shown == state.information_state_string(position.seat)
                assert len(position.moves) == len(state.legal_actions())
                state.apply_action("pb".index(letters[move]))
        assert [2 * chips for chips in position.payoffs] == state.returns()


def test_nim_agrees_with_open_spiel() -> None:
    for seed in range(60):
        first = GAMES["nim"].deal(seed)
        assert isinstance(first, NimPosition)
        state = spiel(f"nim(is_misere=False,pile_sizes={';'.join(map(str, first.piles))})")
        for position, move in random_match(first, seed):
            assert isinstance(position, NimPosition)
            named = {
                f"{'abc'[int(text[5]) - 1]}{text[text.index('take:') + 5]}": action
                for action in state.legal_actions()
                for text in [state.action_to_string(state.current_player(), action)]
            }
            assert set(named) == set(position.moves)
            if move:
                shown = state.observation_string(0).split(": ")[1].split()
                assert list(map(int, shown)) == list(position.piles)
                state.apply_action(named[move])
        assert list(position.payoffs) == state.returns()


def test_pig_agrees_with_open_spiel() -> None:
    for seed in range(60):
        first = GAMES["pig"].deal(seed)
        assert isinstance(first, PigPosition)
        state = spiel(f"pig(winscore={first.goal},horizon=1000)")
        for position, move in random_match(first, seed):
            assert isinstance(position, PigPosition)
            if move:
                assert position.seat == state.current_player()
                points = " ".join(map(str, position.points))
                assert f"Scores: {points}, Turn total: {position.gathered}" in state.observation_string(0)
                state.apply_action(0 if move == "roll" else 1)
                if move == "roll":
                    state.apply_action(position.die - 1)
        if any(position.payoffs):
            assert state.is_terminal() or state.legal_actions() == [1]  # it wins there once it holds
            if state.is_terminal():
                assert list(position.payoffs) == state.returns()


def test_liars_dice_agrees_with_open_spiel() -> None:
    actions = [*BIDS, LIAR]
    for seed in range(60):
        first = GAMES["liarsdice"].deal(seed)
        assert isinstance(first, LiarsDicePosition)
        state = spiel("liars_dice")
        for die in first.dice:
            state.apply_action(die - 1)
        for position, move in random_match(first, seed):
            assert sorted(map(actions.index, position.moves)) == state.legal_actions()
            if move:
                shown = state.information_state_string(position.seat)
                assert shown == position.view.removeprefix("liarsdice ").replace("x", "-")
                state.apply_action(actions.index(move))
        assert list(position.payoffs) == state.returns()
