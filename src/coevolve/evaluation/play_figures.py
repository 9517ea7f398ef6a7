"""What the page of a run shows of its measures by play: strategies that were read off, and matches lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from coevolve.methods.figures import Headline, LineFigure, RunView, Series, percent, shade
from coevolve.methods.reporting import Row, Unit
from coevolve.worlds.play import PLAY

_Measured = Sequence[tuple[int, Row]]


def play_figures(run: RunView) -> Iterator[LineFigure]:
    """The first figure of every strategy that was read off, and the share of matches lost to every fixed player."""
    measured = run.with_part(PLAY)
    names = list(dict.fromkeys(name for _, found in measured for name in found))
    lost = [name for name in names if _is_contest(measured, name)]
    for name in names:
        if name in lost:
            continue
        figure = _first(measured, name)
        line = Series(run.label(run.answerer), _values(measured, name, figure), run.answerer)
        note = f"{name}: read off by scoring all legal moves at every decision, exact"
        yield LineFigure(figure.capitalize(), note, "outcome", (line,), Unit.NUMBER, digits=2)
    if lost:
        lines = tuple(
            Series(name.replace("_", ", "), _losses(measured, name), run.answerer, shade(i, len(lost)))
            for i, name in enumerate(lost)
        )
        note = "against fixed players, as many matches in each seat; 95 % interval"
        yield LineFigure("Matches lost", note, "outcome", lines, Unit.SHARE)


def main_play(play: Row | None) -> list[tuple[str, Row]]:
    """The first contest, which is the world's main one, and all strategies: a line has no room for more."""
    contests = [key for key, found in (play or {}).items() if "loss" in found]
    return [(key, found) for key, found in (play or {}).items() if key not in contests[1:]]


def play_headline(run: RunView) -> Headline:
    """How the main measures by play moved, from the base model to the newest evaluation."""
    measured = run.with_part(PLAY)
    (_, first), (iteration, last) = measured[0], measured[-1]
    moved = "; ".join(_moved(name, first[name], last[name]) for name, _ in main_play(first) if name in last)
    if len(measured) == 1:
        return Headline(f"The base model plays: {moved}.")
    return Headline(f"In {iteration} iteration{'s' if iteration > 1 else ''} of play without any data: {moved}.")


def _moved(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    if "loss" in before:
        return f"{name.replace('_', ', ')} lost {_change(percent(before['loss']), percent(after['loss']))}"
    figure = next(iter(before))
    return f"{name} {figure} {_change(f'{before[figure]:.3f}', f'{after[figure]:.3f}')}"


def _change(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"


def _is_contest(measured: _Measured, name: str) -> bool:
    return any("loss" in found.get(name, {}) for _, found in measured)


def _first(measured: _Measured, name: str) -> str:
    return next(str(next(iter(found[name]))) for _, found in measured if name in found)


def _losses(measured: _Measured, name: str) -> tuple[tuple[float | None, ...], ...]:
    found = ((t, of.get(name) or {}) for t, of in measured)
    return tuple((t, of.get("loss"), *(of.get("ci95") or (None, None))) for t, of in found)


def _values(measured: _Measured, name: str, figure: str) -> tuple[tuple[float | None, ...], ...]:
    return tuple((t, found.get(name, {}).get(figure)) for t, found in measured)
