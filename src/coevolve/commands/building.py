"""``coevolve world build``: the base model of a world that has one of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from coevolve.errors import ConfigError

METHODS: Mapping[str, str] = {  # by world: who starts from its model
    "miniature": "agent0",
    "code": "absolute-zero",
    "games": "spiral",
}


def build(world: str, out: Path, *, seed: int, dialogues: float, tokens: int | None, quiet: bool) -> None:
    """Train and measure a base model, write its folder, and say what to do with it.

    Raises:
        ConfigError: no such world, or an option that its base model does not have.
    """
    if world not in METHODS:
        raise ConfigError(f"no base model is made for world {world}", fix=f"--world {' or '.join(METHODS)}")
    if dialogues and world != "miniature":
        raise ConfigError(f"the base model of world {world} reads no dialogues", fix="leave --dialogues out")
    progress = None if quiet else lambda line: print(line, flush=True)
    if world == "miniature":
        from coevolve.worlds.miniature.build import build_world

        build_world(out, seed=seed, dialogues=dialogues, tokens=tokens, progress=progress)
    elif world == "code":
        from coevolve.worlds.code.build import build_world as build_programs

        build_programs(out, seed=seed, tokens=tokens, progress=progress)
    else:
        from coevolve.worlds.games.build import build_world as build_games

        build_games(out, seed=seed, tokens=tokens, progress=progress)
    if not quiet:
        print(f"done: {out}\nnext: coevolve run {METHODS[world]} --set model.path={out}")
