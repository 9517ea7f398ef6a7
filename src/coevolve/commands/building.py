"""``coevolve world build``: the base model of a world that has one of its own."""

from __future__ import annotations

from pathlib import Path

from coevolve.errors import ConfigError


def build(world: str, out: Path, *, seed: int, dialogues: float, tokens: int | None, quiet: bool) -> None:
    """Train, measure and write the folder, and say what to do with it.

    Raises:
        ConfigError: no such world, or an option that its base model does not have.
    """
    progress = None if quiet else lambda line: print(line, flush=True)
    if world == "miniature":
        from coevolve.worlds.miniature.build import build_world

        build_world(out, seed=seed, dialogues=dialogues, tokens=tokens, progress=progress)
    elif world == "games":
        from coevolve.worlds.games.build import build_world as build_games

        if dialogues:
            raise ConfigError("the base model of world games reads no dialogues", fix="leave --dialogues out")
        build_games(out, seed=seed, tokens=tokens, progress=progress)
    else:
        raise ConfigError(f"no base model is made for world {world}", fix="--world miniature or --world games")
    if not quiet:
        method = {"miniature": "agent0", "games": "spiral"}[world]
        print(f"done: {out}\nnext: coevolve run {method} --set model.path={out}")
