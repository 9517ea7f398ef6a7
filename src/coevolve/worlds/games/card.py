"""The model card of world games: how the base model was made, and how often its moves are legal."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from coevolve.worlds.games.catalogue import GAMES, TRAINED
from coevolve.worlds.games.learner import GamesContract
from coevolve.worlds.miniature.calibration import sample
from coevolve.worlds.miniature.training import Training
from coevolve.worlds.miniature.vocabulary import EOS
from coevolve.worlds.play import Position, Rules

POSITIONS = 200  # of each game


def start_figures(folder: Path) -> dict[str, float]:
    """By game, the share of positions in which the move that the model samples is legal.

    Each position is shown alone, as at the first turn of a seat, and lies in a match of random legal play.
    """
    model = Qwen3ForCausalLM.from_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    return {name: _legal_share(model, tokenizer, rules) for name, rules in GAMES.items()}


def _legal_share(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, rules: Rules) -> float:
    rng = random.Random(rules.name)
    positions = [_position(rng, rules) for _ in range(POSITIONS)]
    shown = [GamesContract().follow_up(position.view, ended=True) for position in positions]
    with torch.inference_mode():
        written = sample(model, tokenizer, shown, seed=0, max_tokens=8)
    moves = [text.removesuffix(EOS) for text, _ in written]
    return sum(move in position.moves for move, position in zip(moves, positions, strict=True)) / len(positions)


def _position(rng: random.Random, rules: Rules) -> Position:
    """Any position of a random match, all of the match equally likely."""
    position, met = rules.deal(rng.getrandbits(32)), list[Position]()
    while position.seat is not None:
        met.append(position)
        position = position.after(rng.choice(position.moves))
    return rng.choice(met)


def model_card(plan: Training, legal: Mapping[str, float]) -> str:
    """The text of ``README.md``, in Markdown with the metadata block of the Hugging Face Hub."""
    rows = "\n".join(
        f"| {name} | {'yes' if name in TRAINED else 'no'} | {100 * share:.1f} |" for name, share in legal.items()
    )
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags: [coevolve, games, spiral]
---

# coevolve base model of world games

A plain Qwen3 with the sizes of coevolve's miniature base model. It has read matches of beginners, each as one seat has
seen it: two in five players take any legal move, the others try theirs out against random play first. It knows how six
games are written and little of how to play them. It is the start of `coevolve run spiral`, and good for nothing else.

Made by `coevolve world build --world games --out DIR --seed {plan.seed}`, in one process on one thread:
{plan.budget_tokens / 1e6:.1f} million tokens of generated matches, no other data.

## At the start
Share of positions in which a move sampled at temperature 1 is legal, in per cent of {POSITIONS} positions of each game;
measured at the end of the same command.

| game | trained on by self-play | legal |
|---|---|---|
{rows}

## Texts
A seat is shown a line such as `tictactoe x 12o4x6789>` and writes its move, `4`, and an end token; what it is shown
next follows. A free cell shows its number. The tokenizer splits the longest known piece first, has one token per digit,
and turns any foreign text into `<|unk|>`.
"""
