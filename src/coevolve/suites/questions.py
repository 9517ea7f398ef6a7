"""What a form of question is: numbers are drawn, the question is written, and its answer computed from the numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from random import Random


@dataclass(frozen=True, slots=True)
class Form:
    """A form of question.

    Args:
        make: draws a question and its answer, a whole number.
        level: how hard it is: the number of steps, or a class of size.
        topic: what it is about.
    """

    make: Callable[[Random], tuple[str, int]]
    level: str
    topic: str


def mixed(forms: Sequence[Form], levels: str) -> tuple[Form, ...]:
    """Forms whose levels are these digits in this order; those of a level come in turn."""
    turns = {level: cycle([form for form in forms if form.level == level]) for level in set(levels)}
    return tuple(next(turns[level]) for level in levels)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in a story; as a text the name."""

    name: str
    he: str
    his: str

    def __str__(self) -> str:
        return self.name

    @property
    def He(self) -> str:
        return self.he.capitalize()

    @property
    def His(self) -> str:
        return self.his.capitalize()


_WOMEN = ("Amara", "Birgit", "Chloe", "Dalia", "Esther", "Farah", "Greta", "Hana", "Ines", "Julia", "Keiko", "Lena")
_MEN = ("Anton", "Boris", "Carlos", "Diego", "Emil", "Felix", "Goran", "Hugo", "Ivan", "Jonas", "Kofi", "Leon")
_PEOPLE = tuple([Person(name, "she", "her") for name in _WOMEN] + [Person(name, "he", "his") for name in _MEN])


def someone(draw: Random) -> Person:
    return draw.choice(_PEOPLE)


def several(draw: Random, n: int) -> list[Person]:
    """``n`` different people."""
    return draw.sample(_PEOPLE, n)
