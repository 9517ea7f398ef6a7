"""Children that were made ahead, so that no snippet waits for a fork."""

from __future__ import annotations

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
        """One that is asleep, with its identifier.

        Raises:
            KeyError: none is.
        """
        return self._asleep.popitem()

    def remove(self, identifier: int) -> Kind | None:
        """One that has died; None if it was not one of these."""
        return self._asleep.pop(identifier, None)

    def clear(self) -> list[Kind]:
        """All of them, no longer kept here."""
        children = [*self._unborn.values(), *self._asleep.values()]
        self._unborn.clear()
        self._asleep.clear()
        return children
