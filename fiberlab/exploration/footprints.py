"""Footprints: what each step has touched, so that it is known which steps are independent.

Two steps are independent if neither writes what the other one reads or writes: then either order
leads to the same state. What a step touches is seen where it is touched: in cells, sockets,
other fibers, and the clock. The rule kept here: what is not known for certain counts as having
touched everything.

Unseen is what fibers share otherwise; see `sharing`.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

from ..fiber import Fiber
from ..simulation import SimulatedNetwork, SimulatedSocket
from ..simulation.connection import Address, End, Listener


class Footprint(NamedTuple):
    """What one step has read, and what it has written; everything: it may be anything."""

    reads: frozenset[Hashable]
    writes: frozenset[Hashable]
    everything: bool

    def independent(self, other: Footprint) -> bool:
        """Whether two steps may change places."""
        if self.everything or other.everything:
            return False
        return (
            self.writes.isdisjoint(other.writes)
            and self.writes.isdisjoint(other.reads)
            and other.writes.isdisjoint(self.reads)
        )


class Footprints:
    """Notes what the step under way touches; `take` ends it."""

    def __init__(self) -> None:
        self._reads: set[Hashable] = set()
        self._writes: set[Hashable] = set()
        self._everything = False
        self._cells = 0
        self.building = True  # whether no fiber has run yet

    def read(self, thing: Hashable) -> None:
        """Note that the step reads `thing`."""
        self._reads.add(thing)

    def write(self, thing: Hashable) -> None:
        """Note that the step may change `thing`."""
        self._writes.add(thing)

    def everything(self) -> None:
        """Note that the step may have touched anything."""
        self._everything = True

    def take(self) -> Footprint:
        """Return what the step has touched; another one begins."""
        footprint = Footprint(frozenset(self._reads), frozenset(self._writes), self._everything)
        self._reads, self._writes = set(), set()
        self._everything = self.building = False
        return footprint

    def number_of_cell(self) -> int:
        """Return a number for a new cell, the same one in each schedule."""
        if not self.building:
            self.everything()  # its number depends on the order of the steps
        self._cells += 1
        return self._cells


class Cell:
    """One value that fibers share; what reads and what writes it is known.

    value: reading it is a read, assigning it is a write. A value that can be changed in place,
    such as a list, counts as written by whatever reads it.
    """

    __slots__ = ("_footprints", "_number", "_value")

    def __init__(self, value: Any, footprints: Footprints | None) -> None:
        self._value = value
        self._footprints = footprints
        self._number = 0 if footprints is None else footprints.number_of_cell()

    @property
    def value(self) -> Any:
        """The value."""
        if self._footprints is not None:
            self._footprints.read(self._number)
            if not is_constant(self._value):
                self._footprints.write(self._number)
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        if self._footprints is not None:
            self._footprints.write(self._number)
        self._value = value

    def __repr__(self) -> str:
        return f"<Cell {self._value!r}>"


def is_constant(value: Any) -> bool:
    """Whether `value` cannot be changed in place."""
    if isinstance(value, (tuple, frozenset)):
        return all(map(is_constant, value))
    return value is None or type(value) in (bool, int, float, complex, str, bytes)


class WatchedFiber(Fiber):
    """A fiber of which it is noted when another one looks at it, or cancels it."""

    __slots__ = ()


def _watched(name: str) -> property:
    slot = vars(Fiber)[name]

    def look(fiber: WatchedFiber) -> Any:
        scheduler = fiber._scheduler
        if scheduler.checking or scheduler.running not in (None, fiber):
            scheduler.footprints.everything()
        return slot.__get__(fiber, Fiber)

    return property(look, slot.__set__)


# `wait` and `pending` are left out: the scheduler looks at them too. Who cancels looks at
# `generator` first, and so does `state`.
for _name in ("generator", "result", "error", "traceback"):
    setattr(WatchedFiber, _name, _watched(_name))


class WatchedNetwork(SimulatedNetwork):
    """A simulated network that notes which connections and listeners a step touches."""

    def __init__(self, footprints: Footprints) -> None:
        super().__init__()
        self._footprints = footprints

    def touch(self, end: End | Listener) -> None:
        """Note that a step touches a connection, either end of it, or a listener."""
        both = {end.address, end.peer_address} if isinstance(end, End) else {end.address}
        self._footprints.write(frozenset(both))

    def socket_of(self, end: End | Listener) -> SimulatedSocket:
        """Return a socket that notes what is done with it."""
        self._footprints.write("sockets")  # its number depends on the order of the steps
        self.touch(end)
        sock = super().socket_of(end)
        sock.__class__ = _WatchedSocket
        return sock

    def connect(
        self, address: Address, latency: float = 0, bandwidth: float | None = None
    ) -> SimulatedSocket:
        """Begin to connect; see SimulatedNetwork."""
        sock = super().connect(address, latency, bandwidth)
        place: Address = sock._end.peer_address  # type: ignore[union-attr]
        self._footprints.write(frozenset({place}))  # the listener there
        return sock

    def arm(self, fiber: Any, sock: Any, direction: int) -> bool:
        """Let `fiber` wait for `sock`; see Poller."""
        found = super().arm(fiber, sock, direction)
        self.touch(self._ends[sock.fileno()])
        return found

    def release(self, fileno: int, *, reset: bool = False) -> None:
        """Close the end that has the number `fileno`."""
        self.touch(self._ends[fileno])
        super().release(fileno, reset=reset)

    def drop(self, fileno: int) -> None:
        """Close the end of a socket that its fiber has dropped; at the end of the step."""
        self.touch(self._ends[fileno])
        super().drop(fileno)


class _WatchedSocket(SimulatedSocket):
    __slots__ = ()

    def _alive(self) -> int:
        self.network.touch(self._end)  # type: ignore[attr-defined]
        return super()._alive()

    @property
    def arrived_ns(self) -> int | None:
        self.network.touch(self._end)  # type: ignore[attr-defined]
        return super().arrived_ns
