"""The trace: one event for everything the scheduler does, kept in memory and on disk.

The rule kept here: only events are stored, as they happened and in order; spans, sums and
diagnoses are always made from them (see ``spans``). Times are integer nanoseconds since the
run began; fiber 0 is the scheduler itself.

In memory an event is a row, a plain tuple ``(t, ev, fid, *values)`` whose values stand in the
order of FIELDS, None where there is nothing to tell. Plain tuples because the garbage collector
stops looking at them after their first collection; objects of a class it would visit for ever.
On disk it is one line of JSON, the header first, so a run that crashed can still be read.

This module knows no scheduler: a trace from disk is studied without one.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import IO, Any, NamedTuple

SCHEMA = 1
"""The version of the file's format; a reader refuses a newer one."""


class EventKind(str, Enum):
    """The twelve kinds of event; see FIELDS for what each tells."""

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
"""What each kind of event tells besides `t`, `ev` and `fid`, in the order of a row."""

Row = tuple[Any, ...]


class TraceEvent(NamedTuple):
    """One event: when, what, which fiber, and the fields of its kind.

    t: nanoseconds since run() was entered. ev: the kind. fid: the fiber's id, 0 for the
    scheduler. The other fields can be read as attributes too: ``event.op``, ``event.src``;
    a field of this kind that has nothing to tell is None.
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
        told = " ".join(f"{key}={value}" for key, value in self.fields.items())
        return f"{self.t / 1e6:10.3f} ms  fiber {self.fid}  {self.ev:<6}  {told}".rstrip()

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


class Trace:
    """A recorder of one run: give it to a Scheduler as ``trace=``.

    limit: how many events to keep; the oldest are dropped and counted, but `start` and
    `spawn` events survive (as many again), so that every fiber keeps its name.
    stall_after: seconds after which a step that is still running is looked at, and the line
    found that holds the loop (an event `stall`); None: never. Only in real time.
    cpu: measure the processor time of each step; two system calls a step.
    """

    def __init__(
        self, limit: int = 200_000, *, stall_after: float | None = 0.05, cpu: bool = False
    ) -> None:
        if limit < 1:
            raise ValueError(f"Trace(limit) must keep at least one event, got {limit!r}")
        if stall_after is not None and not stall_after > 0:
            raise ValueError(f"Trace(stall_after=) is seconds > 0 or None, got {stall_after!r}")
        self.limit = limit
        self.stall_after = stall_after
        self.cpu = cpu
        self.dropped = 0
        self.unfinished = False
        self.rows: list[Row] = []
        self._kept: list[Row] = []

    def __call__(self, event: TraceEvent) -> None:
        """Record `event`: what a scheduler, or an adapter for another one, calls."""
        self.rows.append(event.to_row())
        self.trim()

    def trim(self) -> None:
        """Drop the oldest events if there are too many; the reporter calls it once a pass."""
        excess = len(self.rows) - self.limit
        # In lumps: moving the rest of a list down costs its whole length.
        if excess > self.limit // 4:
            self._kept += [row for row in self.rows[:excess] if row[1] in ("start", "spawn")]
            del self._kept[1 : len(self._kept) - self.limit]
            self.dropped += excess - sum(row[1] in ("start", "spawn") for row in self.rows[:excess])
            del self.rows[:excess]

    def all_rows(self) -> list[Row]:
        """Return every event kept, as rows in order; the stage `build_spans` starts from."""
        return self._kept + self.rows

    def __iter__(self) -> Iterator[TraceEvent]:
        return map(TraceEvent.from_row, self.all_rows())

    def __len__(self) -> int:
        return len(self._kept) + len(self.rows)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Trace) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        rows = self.all_rows()
        fibers = sum(row[1] == "spawn" for row in rows)
        seconds = (rows[-1][0] - rows[0][0]) / 1e9 if rows else 0.0
        dropped = f", {self.dropped} dropped" if self.dropped else ""
        return f"<Trace: {len(rows)} events of {fibers} fibers in {seconds:.3f} s{dropped}>"

    @property
    def header(self) -> dict[str, Any]:
        """What `start` tells: schema, clock, unit, python, wall, source; empty if there is none."""
        for row in self.all_rows():
            if row[1] == "start":
                return TraceEvent.from_row(row).fields
        return {}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trace to `path` as JSON Lines, compressed if the name ends in ``.gz``."""
        with _open(path, "wt") as file:
            file.writelines(map(_line, self.all_rows()))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """Read a trace from `path`; raise TraceError with the line if it is none or damaged.

        A last line that was cut off is left out, and the trace marked as `unfinished`.
        """
        from .errors import TraceError

        trace = cls()
        with _open(path, "rt") as file:
            lines = enumerate(file, start=1)
            for number, line in lines:
                try:
                    row = _row(line)
                except ValueError as error:
                    if number > 1 and not line.endswith("\n"):
                        trace.unfinished = True
                        break
                    raise TraceError(f"{os.fspath(path)} line {number}: {error}") from None
                if row is None:
                    continue
                if not trace.rows and row[1] != "start":
                    raise TraceError(
                        f"{os.fspath(path)} line {number}: a trace begins with a start event, "
                        f"not {row[1]}; is this file a trace?"
                    )
                trace.rows.append(row)
        if not trace.rows:
            raise TraceError(f"{os.fspath(path)} line 1: the file is empty; no trace was saved")
        trace.limit = max(trace.limit, len(trace.rows))
        last = trace.rows[-1]
        trace.unfinished = trace.unfinished or last[1] != "stop"
        trace.dropped = (last[4] or 0) if last[1] == "stop" else 0
        return trace


def place(src: Any) -> str | None:
    """Return ``file:line`` for a place as rows hold it: text, or a code object and an offset.

    Rows hold the pair because working out the line is a search; it is made when asked for.
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
    """Return the name under which a source file is spoken of: its last part.

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


def _open(path: str | os.PathLike[str], mode: str) -> IO[str]:
    opener = gzip.open if os.fspath(path).endswith(".gz") else open
    return opener(path, mode, encoding="utf-8", newline="\n")  # type: ignore[return-value]


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def _line(row: Row) -> str:
    t, ev, fid, *values = row
    told = {"t": t, "ev": ev, "fid": fid}
    for key, value in zip(FIELDS[ev], values, strict=True):
        if value is not None:
            told[key] = place(value) if key == "src" else value
    return _encode(told) + "\n"


def _row(line: str) -> Row | None:
    """Read one line of a file; None for an event of a kind that is not known here."""
    told = json.loads(line)
    if not isinstance(told, dict):
        raise ValueError(f"expected an event, {{...}}, got {line.strip()[:60]!r}")
    t, ev, fid = told.get("t"), told.get("ev"), told.get("fid")
    if type(t) is not int or type(fid) is not int or not isinstance(ev, str):
        raise ValueError("an event needs t, ev and fid; is this file a trace?")
    if t < 0 or fid < 0:
        raise ValueError(f"t and fid are never negative, got t={t}, fid={fid}")
    if ev not in FIELDS:
        return None
    if ev == "start" and told.get("schema") not in range(1, SCHEMA + 1):
        raise ValueError(
            f"the trace is of schema {told.get('schema')!r}; this fiberlab reads up to {SCHEMA}"
        )
    return (t, ev, fid, *[told.get(key) for key in FIELDS[ev]])


def rows_of(trace: Trace | Iterable[TraceEvent]) -> list[Row]:
    """Return the rows of a Trace, or of any iterable of events such as a list."""
    if isinstance(trace, Trace):
        return trace.all_rows()
    return [event.to_row() for event in trace]
