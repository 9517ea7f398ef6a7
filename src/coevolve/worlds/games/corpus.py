"""What the base model has read: matches of beginners in the contract's format, from one seat's side each.

Most seats take any legal move. Some try their moves out first, in their head and against random play, so that what a
seat is shown and what it does have something to do with each other, as in any text about games: a model that has read
random play alone never learns to look at its card. Some moves are not legal. The corpus serves pretraining only.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from coevolve.worlds.games.catalogue import GAMES
from coevolve.worlds.games.learner import GamesContract
from coevolve.worlds.miniature.corpus import Document
from coevolve.worlds.miniature.vocabulary import EOS
from coevolve.worlds.play import Position, Rules


@dataclass(frozen=True, slots=True)
class Play:
    """What the corpus is made of.

    Args:
        matches: weights of the games.
        illegal: share of the moves, where another move of the game is not legal, at which the match ends with it.
        trying: share of the seats that try their moves out.
        tries: how often these play every move to the end.
    """

    matches: Mapping[str, float] = field(
        default_factory=lambda: {"tictactoe": 5, "kuhn": 4, "negotiation": 2, "pig": 1, "nim": 1, "liarsdice": 1}
    )
    illegal: float = 0.02
    trying: float = 0.6
    tries: int = 4


def documents(play: Play, seed: int | str) -> Iterator[Document]:
    """An infinite stream of documents; equal seeds give equal documents."""
    rng = random.Random(f"games {seed}")
    names = list(play.matches)
    while True:
        (name,) = rng.choices(names, list(play.matches.values()))
        seats = _match(rng, play, GAMES[name])
        yield from (document for document in seats if document.pieces)


def _match(rng: random.Random, play: Play, rules: Rules) -> tuple[Document, Document]:
    """One match as both seats have seen it."""
    contract, seats = GamesContract(), (Document(), Document())
    position = rules.deal(rng.getrandbits(32))
    tries = tuple(play.tries if rng.random() < play.trying else 0 for _ in seats)
    while position.seat is not None:
        mine = seats[position.seat].pieces
        ended = EOS if mine else ""
        mine.append((ended + contract.follow_up(position.view, ended=True), True))
        wrong = [move for move in rules.deal(rng.getrandbits(32)).moves if move not in position.moves]
        if wrong and rng.random() < play.illegal:
            mine.append((rng.choice(wrong), True))
            break
        move = _chosen(rng, position, tries[position.seat])
        mine.append((move, True))
        position = position.after(move)
    return seats


def _chosen(rng: random.Random, position: Position, tries: int) -> str:
    """The move with the best results of a few random ends of the match; any without a try.

    The ends go on from this very position, hidden cards included. A reader is never shown these, so that it can learn
    no more than what a move is worth on average.
    """
    if not tries:
        return rng.choice(position.moves)
    assert position.seat is not None
    seat = position.seat
    results = [sum(_random_end(rng, position.after(move))[seat] for _ in range(tries)) for move in position.moves]
    return rng.choice([move for move, result in zip(position.moves, results, strict=True) if result == max(results)])


def _random_end(rng: random.Random, position: Position) -> tuple[float, float]:
    """What both seats get when all further moves are random."""
    while position.seat is not None:
        position = position.after(rng.choice(position.moves))
    return position.payoffs
