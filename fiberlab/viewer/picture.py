"""The picture: all that the viewer shows of a run, as columns of numbers in one piece of bytes.

The rule kept here: what is shown is found here, by the code that figures and sentences use. The
page only draws it. Text of a trace is text in it, never markup.

The bytes are compressed with zlib. Inside: the length of a header (4 bytes, little-endian), the
header as JSON, zeros up to a multiple of 8, and the columns, each from a multiple of 8 on. The
header says which columns there are; times are floats of nanoseconds, exact up to 104 days.
"""

from __future__ import annotations

import json
import zlib
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..diagnosis.diagnose import diagnose
from ..diagnosis.evidence import long_steps_shown
from ..figures.palette import DARK, HIDDEN, LOOKS, POLLING, STACKED, STALLED, UNBLAMED, UNWATCHED
from ..figures.timeline import describe_timeline
from ..spans.build import Story, build_spans
from ..spans.numbers import family, requests
from ..spans.spans import Spans
from ..states import READY, RUNNING, STATES, UNTIL_POLLED
from ..trace.events import EV, FID, MARK, OUTPUT, WAKE, T, printable
from .sentences import NAMES, TEMPLATES, passes, tell
from .source import quoted

VERSION = 1
_ALIGNED = 8
_DESCRIBED = 500  # fibers; more are no text that anyone hears to its end
_FINDINGS = 50
_UNWATCHED = 0.01  # seconds, as in plot_timeline
_STALLED = 0.05
_MOST = 1 << 62  # of a number that came from a file, and may be of any size


class Column(NamedTuple):
    """Numbers of one kind: their name, and an array of i (4 bytes), d (8 bytes) or B (one)."""

    name: str
    numbers: Any

    @property
    def kind(self) -> str:
        """The typecode of its array."""
        return "B" if isinstance(self.numbers, (bytes, bytearray)) else self.numbers.typecode


def pack(
    trace: Story,
    *,
    title: str = "",
    source: bool = False,
    folders: Sequence[Path] = (),
    level: int = 6,
) -> bytes:
    """Return the bytes that the viewer reads.

    title: what the run is called. source: put the lines that the trace names into it; folders:
    where those of a trace from disk are looked for. level: how hard zlib tries.
    """
    spans = build_spans(trace)
    picture = _Picture(spans)
    columns = picture.columns()
    header = {**picture.header(), "title": printable(title), "texts": list(picture.numbers)}
    header["source"] = quoted(spans, picture.lines, folders) if source else {}
    return _bytes(header, columns, level)


def _bytes(header: dict[str, Any], columns: list[Column], level: int) -> bytes:
    header["columns"] = [[each.name, each.kind, len(each.numbers)] for each in columns]
    text = json.dumps(header, separators=(",", ":")).encode()
    parts: list[Any] = [len(text).to_bytes(4, "little"), text, bytes(-(4 + len(text)) % _ALIGNED)]
    for column in columns:
        parts += [column.numbers, bytes(-len(memoryview(column.numbers).cast("B")) % _ALIGNED)]
    return zlib.compress(b"".join(parts), level)


class _Picture:
    """Goes through a run; fibers are told by their places among the rows, -1 is the scheduler."""

    def __init__(self, spans: Spans) -> None:
        self.spans = spans
        self.depths = family(spans)
        self.order = list(self.depths)
        self.place_of = {row: place for place, row in enumerate(self.order)}
        self.places = {spans.lives[row].id: place for row, place in self.place_of.items()}
        self.numbers: dict[str, int] = {}  # text -> its number
        self.lines: set[str] = set()  # the places in sources that are named

    def header(self) -> dict[str, Any]:
        """Return what is no column."""
        spans = self.spans
        return {
            "version": VERSION,
            "begin": spans.begin,
            "finish": spans.finish,
            "dropped": spans.dropped,
            "clock": str(spans.header.get("clock") or ""),
            "states": [state.value for state in STATES],
            "looks": _looks(),
            "ready": READY,
            "running": RUNNING,
            "templates": list(TEMPLATES.values()),
            "fibers": [self._fiber(row) for row in self.order],
            "findings": self._findings(),
            "marks": self._marks(),
            "description": self._description(),
        }

    def columns(self) -> list[Column]:
        """Return the columns; what they name as texts is in `numbers` afterwards."""
        spans = self.spans
        return [
            Column("row", array("i", map(self.place_of.__getitem__, spans.row))),
            Column("state", bytes(spans.state)),
            Column("start", array("d", spans.start)),
            Column("end", array("d", spans.end)),
            Column("first", spans.first),
            Column("last", spans.last),
            Column("depthTime", array("d", spans.depth[0])),
            Column("depthLength", array("d", spans.depth[1])),
            Column("handed", spans.handed),
            *self._polls(),
            *self._unwatched(),
            *self._hidden(),
            *self._held(),
            *self._events(),
        ]

    def _fiber(self, row: int) -> dict[str, Any]:
        life = self.spans.lives[row]
        ended = {"how": life.how, "error": printable(life.err or "")} if life.how else {}
        return {
            "id": life.id, "name": printable(life.name), "depth": self.depths[row],
            "born": life.born, "died": life.died, **ended,
        }  # fmt: skip

    def _findings(self) -> list[dict[str, Any]]:
        found = []
        for each in diagnose(self.spans, most=_FINDINGS):
            first = each.spans[0] if each.spans else None
            found.append(
                {
                    "text": printable(each.text),
                    "severity": each.severity,
                    "blames": each.blames,
                    "row": self.places.get(first.fiber if first else each.fiber, -1),
                    "start": first.start if first else self.spans.begin,
                    "end": first.end if first else self.spans.finish,
                }
            )
        return found

    def _marks(self) -> list[list[Any]]:
        """Return requests, notes and prints: kind, row, begin, end and text."""
        spans, found = self.spans, []
        for each in requests(spans):
            end = spans.finish if each.end is None else each.end
            found.append(["request", self.places.get(each.fiber, -1), each.start, end, each.name])
        for row in spans.annotations():
            at, t = self.places.get(row[FID], -1), row[T] - spans.origin
            if row[EV] == "output":
                found.append(["print", at, t, t, row[OUTPUT.TEXT]])
            elif row[MARK.PH] not in ("b", "e"):
                found.append(["note", at, t, t, row[MARK.NAME]])
        return [[*each[:4], printable(str(each[4])[:200])] for each in found]

    def _description(self) -> str:
        if len(self.spans.lives) > _DESCRIBED:
            return f"{len(self.spans.lives):,} fibers; too many to tell of each."
        return describe_timeline(self.spans)

    def _polls(self) -> list[Column]:
        polls = self.spans.polls
        return [
            Column("pollStart", array("d", (poll.start for poll in polls))),
            Column("pollEnd", array("d", (poll.end for poll in polls))),
        ]

    def _unwatched(self) -> list[Column]:
        spans, steps = self.spans, self.spans.steps(_UNWATCHED)
        waits = (i for i, state in enumerate(spans.state) if state in UNTIL_POLLED)
        parts = spans.unwatched(_UNWATCHED, among=waits, steps=steps) if steps else []
        return [
            Column("unwatchedRow", array("i", (self.places[each.fiber] for each in parts))),
            Column("unwatchedBy", array("i", (self.places[each.by] for each in parts))),
            Column("unwatchedStart", array("d", (each.start for each in parts))),
            Column("unwatchedEnd", array("d", (each.end for each in parts))),
        ]

    def _hidden(self) -> list[Column]:
        spans, found = self.spans, list(self.spans.hidden)
        return [
            Column("hiddenRow", array("i", (self.place_of[spans.row[i]] for i, _ in found))),
            Column("hiddenStart", array("d", (spans.end[i] - length for i, length in found))),
            Column("hiddenEnd", array("d", (spans.end[i] for i, _ in found))),
        ]

    def _held(self) -> list[Column]:
        held, unblamed = long_steps_shown(self.spans, _STALLED)
        both = {**held, **unblamed}
        return [
            Column("heldSpan", array("i", both)),
            Column("heldLabel", array("i", map(self._number, both.values()))),
            Column("heldBlamed", bytes(step in held for step in both)),
        ]

    def _events(self) -> list[Column]:
        """Return what steps need: for each event, its time and its sentence."""
        time, row, by, number, text, line = (array(kind) for kind in "diddii")
        took, template, wakes = array("d"), bytearray(), array("i")
        rank = {name: number for number, name in enumerate(NAMES)}
        origin = self.spans.origin
        for event, told in zip(self.spans.rows, tell(self.spans), strict=True):
            time.append(event[T] - origin)
            row.append(self.places.get(told.fiber, -1))
            by.append(self.places.get(told.by, -1))
            took.append(min(told.time, _MOST))
            number.append(min(told.number, _MOST))
            text.append(self._number(told.text))
            line.append(self._number(told.line or ""))
            template.append(rank[told.template])
            if told.line is not None:
                self.lines.add(told.line)
            if event[EV] == "wake" and event[WAKE.WHY] not in ("yield", "cancel"):
                wakes.append(len(time) - 1)
        return [
            Column("eventTime", time), Column("eventRow", row), Column("eventBy", by),
            Column("eventTook", took), Column("eventNumber", number), Column("eventText", text),
            Column("eventLine", line), Column("eventTemplate", bytes(template)),
            Column("wakes", wakes), Column("passes", array("i", passes(self.spans))),
        ]  # fmt: skip

    def _number(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))


def _looks() -> dict[str, Any]:
    """Return the palette, as figures have it."""
    special = {
        "stalled": STALLED, "unblamed": UNBLAMED, "unwatched": UNWATCHED, "hidden": HIDDEN,
        "polling": POLLING,
    }  # fmt: skip
    named: Iterable[tuple[str, Any]] = [
        *((STATES[code].value, look) for code, look in LOOKS.items()), *special.items()
    ]  # fmt: skip
    looks: dict[str, Any] = {
        name: {**look._asdict(), "dark": DARK.get(name, (look.colour, look.edge))}
        for name, look in named
    }
    return {**looks, "stacked": list(STACKED)}
