"""The picture: all that the viewer shows of a run, as columns of numbers in one piece of bytes.

The rule kept here: what is shown is found here, by the code that figures and sentences use. The
page only draws it. Text of a trace is text in it, never markup.

The bytes are the length of a first part (4 bytes, little-endian), that part, and a second one. The
first has what is drawn, so that a page can draw it before it reads the second, the events. Each
part is compressed with zlib. Inside: the length of a header (4 bytes), the header as JSON, zeros up
to a multiple of 8, and the columns, each from a multiple of 8 on. The header says which columns
there are. Times are nanoseconds, exact up to 104 days. The spans of a fiber tile its
life, so each ends where the next one starts.
"""

from __future__ import annotations

import json
import zlib
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import sub
from pathlib import Path
from typing import Any, NamedTuple

from ..billing import bill
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
from .source import Line, Quotes

VERSION = 1
_ALIGNED = 8
_DESCRIBED = 500  # fibers; more are no text that anyone hears to its end
_FINDINGS = 50
_UNWATCHED = 0.01  # seconds, as in plot_timeline
_STALLED = 0.05
_LONGEST = 200  # characters of a name
_MOST = 1 << 62  # of a number that came from a file, and may be of any size


class Column(NamedTuple):
    """Numbers of one kind: their name, and an array of i (4 bytes), d (8 bytes) or B (one).

    steps: each but the first is the difference to the one before.
    """

    name: str
    numbers: Any
    steps: bool = False

    @classmethod
    def of(cls, name: str, numbers: Iterable[int], steps: bool = False) -> Column:
        """Choose the smaller kind that holds whole numbers."""
        kept = list(numbers)
        try:
            return cls(name, array("i", kept), steps)
        except OverflowError:
            return cls(name, array("d", kept), steps)

    @classmethod
    def of_times(cls, name: str, times: Sequence[int]) -> Column:
        """Keep times that follow each other closely: their differences are small."""
        return cls.of(name, map(sub, times, chain([0], times)), steps=True)

    @property
    def head(self) -> list[Any]:
        """Its name, the typecode of its array, its length and whether it has steps."""
        kind = "B" if isinstance(self.numbers, bytes) else self.numbers.typecode
        return [self.name, kind, len(self.numbers), self.steps]


def pack(
    trace: Story,
    *,
    title: str = "",
    source: bool = False,
    folders: Sequence[Path] = (),
    level: int = 1,
    billed: bool = True,
) -> bytes:
    """Return the bytes that the viewer reads.

    title: what the run is called. source: put the lines that the trace names into it; folders:
    where those of a trace from disk are looked for. level: how hard zlib tries, 1 to 9.
    billed: tell what the slowest requests consist of.
    """
    picture = _Picture(build_spans(trace))
    first = _part({**picture.header(), "title": printable(title)}, picture.columns(), level)
    events = picture.events()
    quotes = Quotes(folders)
    lines = [
        [line.place[-_LONGEST:], quotes.around(line) if source else []] for line in picture.lines
    ]
    told = {
        "texts": list(picture.texts), "lines": lines, "bill": picture.bill() if billed else []
    }  # fmt: skip
    return len(first).to_bytes(4, "little") + first + _part(told, events, level)


def _part(header: dict[str, Any], columns: list[Column], level: int) -> bytes:
    header["columns"] = [each.head for each in columns]
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
        self.held, unblamed = long_steps_shown(spans, _STALLED)
        self.marked = {**self.held, **unblamed}  # step -> what stands beside it
        self.texts: dict[str, int] = {}  # text -> its number
        self.lines: dict[Line, int] = {Line(""): 0}  # likewise; the first stands for none

    def header(self) -> dict[str, Any]:
        """Return what is drawn and is no column."""
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
            "heldLabels": list(self.marked.values()),
            "findings": self._findings(),
            "marks": self._marks(),
            "description": self._description(),
        }

    def columns(self) -> list[Column]:
        """Return the columns of what is drawn."""
        spans = self.spans
        return [
            Column("row", array("i", map(self.place_of.__getitem__, spans.row))),
            Column("state", bytes(spans.state)),
            Column.of_times("start", spans.start),
            Column.of_times("depthTime", spans.depth[0]),
            Column.of("depthLength", spans.depth[1]),
            *self._polls(),
            *self._unwatched(),
            *self._hidden(),
            *self._held(),
        ]

    def _fiber(self, row: int) -> dict[str, Any]:
        life = self.spans.lives[row]
        ended = (
            {"how": life.how, "error": printable((life.err or "")[:_LONGEST])} if life.how else {}
        )
        return {
            "id": life.id, "name": printable(life.name[:_LONGEST]), "depth": self.depths[row],
            "born": life.born, "died": life.died, **ended,
        }  # fmt: skip

    def _findings(self) -> list[dict[str, Any]]:
        found = []
        for each in diagnose(self.spans, most=_FINDINGS):
            first = each.spans[0] if each.spans else None
            found.append(
                {
                    "text": printable(each.text[: 5 * _LONGEST]),
                    "severity": each.severity,
                    "blames": each.blames,
                    "row": self.places.get(first.fiber if first else each.fiber, -1),
                    "start": first.start if first else self.spans.begin,
                    "end": first.end if first else self.spans.finish,
                }
            )
        return found

    def bill(self) -> list[dict[str, Any]]:
        """Return the slowest requests and what each consists of, the slowest first."""
        made = bill(self.spans)
        return [
            {
                "text": made.sentence(each),
                "row": self.places.get(each.fiber, -1),
                "start": each.start,
                "end": each.end,
            }
            for each in made.slowest()
        ]

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
        return [[*each[:4], printable(str(each[4])[:_LONGEST])] for each in found]

    def _description(self) -> str:
        if len(self.spans.lives) > _DESCRIBED:
            return f"{len(self.spans.lives):,} fibers; too many to tell of each."
        lines = describe_timeline(self.spans).splitlines()
        return "\n".join(line[:_LONGEST] for line in lines)

    def _polls(self) -> list[Column]:
        polls = self.spans.polls
        return [
            Column.of_times("pollStart", [poll.start for poll in polls]),
            Column.of_times("pollEnd", [poll.end for poll in polls]),
        ]

    def _unwatched(self) -> list[Column]:
        spans, steps = self.spans, self.spans.steps(_UNWATCHED)
        waits = (i for i, state in enumerate(spans.state) if state in UNTIL_POLLED)
        parts = spans.unwatched(_UNWATCHED, among=waits, steps=steps) if steps else []
        return [
            Column.of("unwatchedRow", (self.places[each.fiber] for each in parts)),
            Column.of("unwatchedBy", (self.places[each.by] for each in parts)),
            Column.of("unwatchedStart", (each.start for each in parts)),
            Column.of("unwatchedEnd", (each.end for each in parts)),
        ]

    def _hidden(self) -> list[Column]:
        spans, found = self.spans, list(self.spans.hidden)
        return [
            Column.of("hiddenRow", (self.place_of[spans.row[i]] for i, _ in found)),
            Column.of("hiddenStart", (spans.end[i] - length for i, length in found)),
            Column.of("hiddenEnd", (spans.end[i] for i, _ in found)),
        ]

    def _held(self) -> list[Column]:
        return [
            Column("heldSpan", array("i", self.marked)),
            Column("heldBlamed", bytes(step in self.held for step in self.marked)),
        ]

    def events(self) -> list[Column]:
        """Return what steps need: for each event, its time and its sentence.

        What they name is in `texts` and in `lines` afterwards.
        """
        time, row, by, took, number, text, line, template, wakes = ([] for _ in range(9))
        rank = {name: number for number, name in enumerate(NAMES)}
        origin = self.spans.origin
        for event, told in zip(self.spans.rows, tell(self.spans), strict=True):
            time.append(event[T] - origin)
            row.append(self.places.get(told.fiber, -1))
            by.append(self.places.get(told.by, -1))
            took.append(min(told.time, _MOST))
            number.append(min(told.number, _MOST))
            text.append(self.texts.setdefault(told.text, len(self.texts)))
            at = told.line
            line.append(0 if at is None else self.lines.setdefault(at, len(self.lines)))
            template.append(rank[told.template])
            if event[EV] == "wake" and event[WAKE.WHY] not in ("yield", "cancel"):
                wakes.append(len(time) - 1)
        return [
            Column.of_times("eventTime", time),
            Column.of("eventRow", row),
            Column.of("eventBy", by),
            Column.of("eventTook", took),
            Column.of("eventNumber", number),
            Column.of("eventText", text),
            Column.of("eventLine", line),
            Column("eventTemplate", bytes(template)),
            Column("first", self.spans.first),
            Column("last", self.spans.last),
            Column("handed", self.spans.handed),
            Column.of("wakes", wakes),
            Column.of("passes", passes(self.spans)),
        ]


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
