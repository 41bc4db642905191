"""Events: their kinds, the fields of each kind, and how an event is read.

The rule kept here: these kinds and fields are the contract between the code that records a run
and the code that studies it. A kind or a field may be added; none changes its meaning.

An event is kept as a row, a plain tuple ``(t, ev, fid, *values)`` whose values stand in the
order of FIELDS, None where a field has no value. Rows are plain tuples because the garbage
collector stops visiting those after their first collection; objects of a class it visits for ever.

This module knows no scheduler and no file.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import Any, NamedTuple

SCHEMA = 1
"""The version of the file's format; a reader refuses a newer one."""


class EventKind(str, Enum):
    """The twelve kinds of event; see FIELDS for what each records."""

    START = "start"
    SPAWN = "spawn"
    WAKE = "wake"
    RESUME = "resume"
    YIELD = "yield"
    EXIT = "exit"
    POLL = "poll"
    POLLED = "polled"
    STALL = "stall"
    OUTPUT = "output"
    MARK = "mark"
    STOP = "stop"

    __str__ = str.__str__
    __repr__ = str.__repr__


FIELDS: dict[str, tuple[str, ...]] = {
    "start": ("schema", "clock", "unit", "python", "wall", "source"),
    "spawn": ("name", "by", "src"),
    "wake": ("by", "why", "q", "late", "hidden"),
    "resume": ("step", "q"),
    "yield": ("op", "fd", "dt", "src", "cpu"),
    "exit": ("how", "err", "src", "cpu"),
    "poll": ("timeout", "q", "nfd", "ntimer"),
    "polled": ("n",),
    "stall": ("src", "func", "ran"),
    "output": ("text", "stream"),
    "mark": ("name", "ph", "id", "args"),
    "stop": ("reason", "dropped"),
}
"""The fields of each kind of event besides `t`, `ev` and `fid`, in the order of a row."""

Row = tuple[Any, ...]

# -- Where in a row each field stands ---------------------------------------------------
# Rows are tuples for speed; code reads one by these names, or unpacks it whole.

T, EV, FID = range(3)


class SPAWN:
    NAME, BY, SRC = range(3, 6)


class WAKE:
    BY, WHY, Q, LATE, HIDDEN = range(3, 8)


class RESUME:
    STEP, Q = range(3, 5)


class YIELD:
    OP, FD, DT, SRC, CPU = range(3, 8)


class EXIT:
    HOW, ERR, SRC, CPU = range(3, 7)


class POLL:
    TIMEOUT, Q, NFD, NTIMER = range(3, 7)


class POLLED:
    N = 3


class OUTPUT:
    TEXT, STREAM = range(3, 5)


class MARK:
    NAME, PH, ID, ARGS = range(3, 7)


class STOP:
    REASON, DROPPED = range(3, 5)


class TraceEvent(NamedTuple):
    """One event: when, what, which fiber, and the fields of its kind.

    t: nanoseconds since run() was entered. ev: the kind. fid: the fiber's id, 0 for the
    scheduler. The other fields can be read as attributes too: ``event.op``, ``event.src``;
    a field of this kind that has no value is None.
    """

    t: int
    ev: EventKind
    fid: int
    fields: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        if name in FIELDS[self.ev]:
            return self.fields.get(name)
        known = ", ".join(FIELDS[self.ev])
        raise AttributeError(f"a {self.ev} event has no field {name!r}; it has {known}")

    def __str__(self) -> str:
        fields = " ".join(f"{key}={value}" for key, value in self.fields.items())
        return f"{self.t / 1e6:10.3f} ms  fiber {self.fid}  {self.ev:<6}  {fields}".rstrip()

    @classmethod
    def from_row(cls, row: Row) -> TraceEvent:
        """Make the event that `row` stands for."""
        t, ev, fid, *values = row
        fields = {
            key: place(value) if key == "src" else value
            for key, value in zip(FIELDS[ev], values, strict=True)
            if value is not None
        }
        return cls(t, EventKind(ev), fid, fields)

    def to_row(self) -> Row:
        """Return this event as a row."""
        fields = self.fields
        return (self.t, self.ev.value, self.fid, *[fields.get(key) for key in FIELDS[self.ev]])


def cpu_of(row: Row) -> int | None:
    """Return the processor time of the step that a row ends; None if there is none."""
    if row[EV] == "yield":
        return row[YIELD.CPU]  # type: ignore[no-any-return]
    return row[EXIT.CPU] if row[EV] == "exit" else None


def place(src: Any) -> str | None:
    """Return ``file:line`` for a place as rows hold it: text, or a code object and an offset.

    Rows hold the pair because finding the line is a search; it is made when the line is needed.
    """
    if src is None or isinstance(src, str):
        return src
    code, offset = src
    line = code.co_firstlineno
    if offset >= 0:
        for start, end, number in code.co_lines():
            if start <= offset < end and number is not None:
                line = number
                break
    return f"{short_name(code.co_filename)}:{line}"


def short_name(filename: str) -> str:
    """Return the name by which a source file is called: its last part.

    A notebook's cell has no file; it is compiled under a temporary name, and called ``<cell>``.
    """
    folder, name = os.path.split(filename)
    return "<cell>" if os.path.basename(folder).startswith("ipykernel_") else name


def printable(text: str) -> str:
    """Return `text` with control characters written out, so that no terminal obeys them.

    What a client sent may end up in an error, a name or a print; ``\\x1b[2J`` is shown, not done.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == "\t" else char.encode("unicode_escape").decode()
        for char in text
    )
