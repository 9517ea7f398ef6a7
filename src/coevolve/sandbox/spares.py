"""Children that were made ahead, so that no snippet waits for a fork."""

from __future__ import annotations

from collections.abc import Container
from itertools import count
from typing import Generic, TypeVar

from coevolve.sandbox.child import Birth, Child
from coevolve.sandbox.launch import Zygote

Kind = TypeVar("Kind", bound=Child)
_identifiers = count()  # of all children that this process ever makes


class Spares(Generic[Kind]):
    """Children of one kind, asleep until they are given something to do.

    Args:
        make: the kind.
        number: how many to keep.
    """

    def __init__(self, make: type[Kind], number: int) -> None:
        self.number = number
        self._make = make
        self._unborn: dict[int, Kind] = {}
        self._asleep: dict[int, Kind] = {}

    def __len__(self) -> int:
        return len(self._unborn) + len(self._asleep)

    @property
    def asleep(self) -> int:
        """Those that can be taken at once."""
        return len(self._asleep)

    def replenish(self, zygote: Zygote) -> None:
        """Ask for as many as are missing."""
        while len(self) < self.number:
            child, identifier = self._make(), next(_identifiers)
            self._unborn[identifier] = child
            try:
                zygote.spawn(child.kind, identifier, child.remote)
            except OSError:  # gone: the end of its socket, which poll() reports, is where that is dealt with
                return
            finally:
                child.hand_over()

    def born(self, birth: Birth) -> None:
        """Note a birth, if it is one of these."""
        child = self._unborn.pop(birth.identifier, None)
        if child:
            child.born(birth)
            self._asleep[birth.identifier] = child

    def take(self) -> tuple[int, Kind]:
        """The eldest that is asleep, with its identifier.

        Raises:
            KeyError: none is.
        """
        identifier = next(iter(self._asleep), None)
        if identifier is None:
            raise KeyError("no spare is asleep")
        return identifier, self._asleep.pop(identifier)

    def remove(self, identifier: int) -> Kind | None:
        """One that has died; None if it was not one of these."""
        return self._asleep.pop(identifier, None)

    def clear(self, among: Container[int]) -> list[Kind]:
        """Those with these identifiers, no longer kept here."""
        gone = [identifier for identifier in (*self._unborn, *self._asleep) if identifier in among]
        return [self._unborn.pop(identifier, None) or self._asleep.pop(identifier) for identifier in gone]
