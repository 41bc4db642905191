"""The experiment of lesson 10: a counter that notes which fiber reads and writes it."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from ....fiber import scheduler_of_thread


class Note(NamedTuple):
    """One access to a counter by a running fiber: its name, "read" or "write", and the value."""

    fiber: str
    what: str
    value: int


class Update(NamedTuple):
    """A read and the write that followed it in the same fiber.

    begin, end: the places of the two among all accesses. read, written: the values. lost:
    whether the write left the counter no higher than it was.
    """

    fiber: str
    begin: int
    end: int
    read: int
    written: int
    lost: bool


class Counter:
    """A number, `value`; `notes` keeps each access of a fiber to it, in order."""

    def __init__(self, value: int = 0) -> None:
        self._value = value
        self.notes: list[Note] = []

    @property
    def value(self) -> int:
        """The number as it is now."""
        self._note("read", self._value)
        return self._value

    @value.setter
    def value(self, value: int) -> None:
        self._note("write", value)
        self._value = value

    def _note(self, what: str, value: int) -> None:
        scheduler = scheduler_of_thread()
        if scheduler is not None and scheduler.running is not None:
            self.notes.append(Note(scheduler.running.name, what, value))


def updates(counter: Counter) -> list[Update]:
    """Return the updates of a counter that began at 0, in the order of their writes."""
    found: list[Update] = []
    begun: dict[str, tuple[int, int]] = {}
    current = 0
    for place, (fiber, what, value) in enumerate(counter.notes):
        if what == "read":
            begun[fiber] = place, value
        elif fiber in begun:
            begin, read = begun.pop(fiber)
            found.append(Update(fiber, begin, place, read, value, lost=value <= current))
            current = value
    return found


def overlapping(counter: Counter) -> int:
    """Return how many updates began before the one written ahead of them had ended."""
    found = updates(counter)
    return sum(after.begin < before.end for before, after in itertools.pairwise(found))
