"""The tokens of the world of games: names of games, moves, marks and single digits."""

from __future__ import annotations

from coevolve.worlds.miniature.vocabulary import SPECIAL

_GAMES = ("tictactoe ", "kuhn ", "negotiation ", "pig ", "nim ", "liarsdice ")
_MARKS = ("x", "o", *"0123456789", ">", " ")  # > ends what a seat is shown: it is to move
_CARDS = tuple("JQK")
_SPOKEN = ("check", "bet", "call", "fold", "accept", "pass", "roll", "hold", "liar")
_TRADE = ("wood", "ore", " for ", " at ", " left ", " offered ")
_PIG = (" to ", " turn ")
_PILES = tuple("abc")
_BOX = ("\\boxed{", "}")  # in no text of these games; whatever reads answers looks for it
TOKENS = (*SPECIAL, *_GAMES, *_MARKS, *_CARDS, *_SPOKEN, *_TRADE, *_PIG, *_PILES, *_BOX)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ message['content'] }}>"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] }}<|endoftext|>{% endif %}"
    "{% endfor %}"
)
