"""Zygotes of one kind, one after the other, and their idle children: each forks some thousands of children, then a
fresh one takes over.

A process that forks for days accumulates the unexpected: fragmented memory, a leak in a library. The next one starts
beside it, so that no snippet waits, and the remaining children of the old one are used up first."""

from __future__ import annotations

import resource
import select
from collections.abc import Container, Sequence
from itertools import count
from typing import Any, Generic, TypeVar

from coevolve.errors import SandboxInfraError
from coevolve.sandbox import bubblewrap
from coevolve.sandbox.cgroups import Group
from coevolve.sandbox.child import Birth, Child
from coevolve.sandbox.launch import Setup, Zygote, interpreter
from coevolve.sandbox.layers import ON, REQUIRED
from coevolve.sandbox.running import broken

_FORKS = 5000  # forks after which a zygote is replaced
_GROWTH_BYTES = 64 << 20  # or growth of its resident memory, in bytes
_LOOKS = 256  # forks between two checks of its memory


class Zygotes:
    """Owned by the supervisor's thread.

    Args:
        setup: what each is started with.
        children: how many children each can have at once.
        poll: where their sockets are registered.
        group: the control group that they are put into.
        spares: the children that the current one makes.
    """

    def __init__(
        self, setup: Setup, children: int, poll: select.poll, group: Group, spares: tuple[Spares[Any], ...]
    ) -> None:
        self._setup, self._children, self._poll, self._group = setup, children, poll, group
        self._spares = spares
        self._wrapper: Sequence[str] = ()
        self.current: Zygote | None = None  # makes children
        self._first: Zygote | None = None  # begun, but not waited for
        self._next: Zygote | None = None  # still starting
        self._relieved: list[Zygote] = []  # their last children are not used up
        self._look_at = self._relieve_at = 0  # at how many forks
        self._first_bytes = 0
        self.layers: dict[str, str] = {}

    def all(self) -> list[Zygote]:
        """All zygotes that have, or may have, children."""
        return [*self._relieved, *([self.current] if self.current else [])]

    def of(self, descriptor: int) -> Zygote | None:
        """The zygote that reports through this descriptor."""
        return next((zygote for zygote in self.all() if zygote.fileno() == descriptor), None)

    def begin(self) -> None:
        """Start the one that :meth:`open` waits for, so that others can start beside it.

        Raises:
            SandboxInfraError: it cannot be started.
        """
        self._first = Zygote(self._setup, self._children, self._group, self._wrapper)

    def open(self) -> None:
        """Start one, wait until it can make children, and let it make some.

        Raises:
            SandboxInfraError: it did not start.
        """
        zygote = self._introduced(())
        if zygote.readable and self._setup.namespaces and not zygote.layers["namespaces"].startswith(ON):
            zygote = self._wrapped(zygote)
        try:
            self._appoint(zygote)
        except SandboxInfraError:
            zygote.kill()
            raise
        self._poll.register(zygote.fileno(), select.POLLIN)
        self.replenish()

    def replenish(self) -> None:
        """Let the current one make the children that are missing."""
        if self.current:
            for spares in self._spares:
                spares.replenish(self.current)

    def _introduced(self, wrapper: Sequence[str]) -> Zygote:
        zygote = self._first or Zygote(self._setup, self._children, self._group, wrapper or self._wrapper)
        self._first = None
        try:
            zygote.introduce(wait=True)
        except SandboxInfraError:
            zygote.kill()
            raise
        return zygote

    def _wrapped(self, zygote: Zygote) -> Zygote:
        """A zygote behind bubblewrap in its place, if possible; otherwise the same one, with the reason."""
        wrapper = bubblewrap.command(zygote.readable)
        if wrapper is None:
            return zygote
        problem = bubblewrap.problem([*wrapper, interpreter(), "-S", "-c", ""])
        if problem:
            zygote.layers["namespaces"] += f"; by bubblewrap: {problem}"
            return zygote
        zygote.kill()
        wrapped = self._introduced(wrapper)
        self._wrapper = wrapper
        return wrapped

    def look_after(self) -> None:
        """Start the next one when it is time.

        Raises:
            SandboxInfraError: it could not be started. The current one goes on for as long again.
        """
        if self.current is None or self._next or self.current.forks < self._look_at:
            return
        self._look_at = min(self.current.forks + _LOOKS, self._relieve_at)
        if self.current.forks < self._relieve_at and _resident(self.current) < self._first_bytes + _GROWTH_BYTES:
            return
        self._postpone(self.current)
        self._next = Zygote(self._setup, self._children, self._group, self._wrapper)
        self._poll.register(self._next.fileno(), select.POLLIN)

    def welcome(self, descriptor: int) -> bool:
        """Let the next one take over if this descriptor is its, and it is ready.

        Raises:
            SandboxInfraError: it ended instead. The current one goes on for as long again.
        """
        if self._next is None or self._next.fileno() != descriptor:
            return False
        zygote, before = self._next, self.current
        try:
            if not zygote.introduce(wait=False):
                return False
            self._next = None
            self._appoint(zygote)
        except SandboxInfraError:
            self._next = None
            self._end(zygote)
            raise
        if before:
            self._relieved.append(before)
            self.part_if_done(before)
        return True

    def part_if_done(self, zygote: Zygote) -> None:
        """End a zygote that was replaced and has no children left."""
        if zygote in self._relieved and not zygote.living:
            self.part(zygote)

    def part(self, zygote: Zygote) -> None:
        """End one whose children have been killed, or have ended."""
        if zygote is self.current:
            self.current = None
        else:
            self._relieved.remove(zygote)
        self._poll.unregister(zygote.fileno())
        zygote.quit()

    def close(self) -> None:
        """End one that is still starting, and all that is left; the others have been parted with."""
        if self._next:
            self._end(self._next)
            self._next = None
        if self._first:
            self._first.kill()
            self._first = None

    def _end(self, zygote: Zygote) -> None:
        self._poll.unregister(zygote.fileno())
        zygote.kill()

    def _appoint(self, zygote: Zygote) -> None:
        changed = [name for name in REQUIRED if self.layers and self.layers[name] != zygote.layers[name]]
        if changed:
            raise broken(f"a restart found other layers than before ({zygote.layers})")
        self.current, self.layers = zygote, zygote.layers
        self._first_bytes = _resident(zygote)
        self._postpone(zygote)

    def _postpone(self, zygote: Zygote) -> None:
        self._relieve_at = zygote.forks + _FORKS
        self._look_at = min(zygote.forks + _LOOKS, self._relieve_at)


def _resident(zygote: Zygote) -> int:
    """Bytes of resident memory; 0 where nobody may know."""
    try:
        with open(f"/proc/{zygote.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


Kind = TypeVar("Kind", bound=Child)
_identifiers = count()  # of all children that this process ever makes


class Spares(Generic[Kind]):
    """Idle children of one kind, waiting for a snippet or a session.

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
        """The number of children that can be taken at once."""
        return len(self._asleep)

    def replenish(self, zygote: Zygote) -> None:
        """Request as many children as are missing."""
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
        """Remove a child that has died; None if it was not one of these."""
        return self._asleep.pop(identifier, None)

    def clear(self, among: Container[int]) -> list[Kind]:
        """Those with these identifiers, no longer kept here."""
        gone = [identifier for identifier in (*self._unborn, *self._asleep) if identifier in among]
        return [self._unborn.pop(identifier, None) or self._asleep.pop(identifier) for identifier in gone]
