"""What the base model has read: matches of random legal play in the contract's format, from one seat's side each.

It knows every format and nothing of what is worth playing, and some of its moves are not legal. It serves pretraining
only.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from coevolve.worlds.games.catalogue import GAMES
from coevolve.worlds.games.learner import GamesContract
from coevolve.worlds.miniature.corpus import Document
from coevolve.worlds.miniature.vocabulary import EOS
from coevolve.worlds.play import Rules


@dataclass(frozen=True, slots=True)
class Play:
    """What the corpus is made of.

    Args:
        matches: weights of the games.
        illegal: share of the moves, where another move of the game is not legal, at which the match ends with it.
    """

    matches: Mapping[str, float] = field(
        default_factory=lambda: {"tictactoe": 5, "kuhn": 4, "negotiation": 2, "pig": 1, "nim": 1, "liarsdice": 1}
    )
    illegal: float = 0.02


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
    while position.seat is not None:
        mine = seats[position.seat].pieces
        ended = EOS if mine else ""
        mine.append((ended + contract.follow_up(position.view, ended=True), True))
        wrong = [move for move in rules.deal(rng.getrandbits(32)).moves if move not in position.moves]
        if wrong and rng.random() < play.illegal:
            mine.append((rng.choice(wrong), True))
            break
        move = rng.choice(position.moves)
        mine.append((move, True))
        position = position.after(move)
    return seats
