"""A counter that notes who reads and writes it, and the picture of those notes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from ...fiber import scheduler_of_thread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, RED = "#1B4F8A", "#A50026"


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


def draw_updates(ax: Axes, counter: Counter) -> None:
    """Draw a bracket from each read to its write, a row for each fiber, in order of access."""
    found = updates(counter)
    rows = {name: row for row, name in enumerate(dict.fromkeys(each.fiber for each in found))}
    size = 13 if len(found) <= 18 else 10
    for each in found:
        row, colour = rows[each.fiber], RED if each.lost else BLUE
        ax.plot([each.begin, each.end], [row, row], "--" if each.lost else "-", color=colour, lw=3)
        ax.plot(each.begin, row, "o", color=colour, ms=8)
        ax.plot(each.end, row, "X" if each.lost else "s", color=colour, ms=10)
        for place, value in ((each.begin, each.read), (each.end, each.written)):
            ax.text(place, row - 0.2, str(value), ha="center", va="bottom", size=size, color=colour)
    ax.set_yticks(list(rows.values()), list(rows), size=13)
    ax.set_ylim(len(rows) - 0.5, -0.75)
    ax.set_xlim(-1, len(counter.notes))
    ax.set_xticks([])
    ax.set_xlabel("reads and writes, in the order in which they happened", size=13)
    _explain_marks(ax)


def _explain_marks(ax: Axes) -> None:
    for marker, colour, label in (
        ("o", BLUE, "read"),
        ("s", BLUE, "write that counts"),
        ("X", RED, "write that changes nothing"),
    ):
        ax.plot([], [], marker, color=colour, ms=9, label=label)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=12, frameon=False)
