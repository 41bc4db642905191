"""Perfetto: a trace as a file that ui.perfetto.dev and chrome://tracing open.

The scheduler and each fiber have a track. On them are a slice for each span, an arrow from the
waker to the woken fiber for each wake, the length of the run queue, and prints. Marks have tracks
of their own.

The rule kept here: nothing is written that Perfetto would silently draw wrong. The slices of a
track tile time, none is empty, and an arrow begins and ends inside a slice. If there is no such
slice, since a step took no time, there is no arrow. Times stay integer nanoseconds until they are
written, as microseconds with three decimals.

The format: "Trace Event Format" of the Chromium project. This module draws nothing itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from ..spans.build import Story, build_spans
from ..spans.spans import Span, Spans
from ..spans.wakes import find_arrows
from ..states import READY, RUNNING, STATES
from ..trace.events import EV, FID, MARK, YIELD, Row, T, place, printable
from ..trace.file import replacing

_PID = _SCHEDULER = 1  # a track with the number of its process is its main thread
_FIRST_FIBER = 100
_FIRST_NOTES = 2**30  # a fiber's notes have a track of their own: its number plus this
# At one moment slices come first, since an arrow attaches to a slice that is open; notes come
# last. A note is a slice of no length, and catches every arrow that leaves its track later in
# the same slice. So what may happen in the middle of a step goes to the track of notes.
_IN_A_STEP = frozenset({"output", "stall", "mark"})
_SLICE, _ARROW_BEGIN, _ARROW_END, _COUNTER, _BRACKET, _NOTE = range(6)


def write_perfetto(
    trace: Story, path: str | os.PathLike[str], *, name: str = "fiberlab", output: bool = True
) -> None:
    """Write a trace to `path` for Perfetto, compressed if the name ends in ``.gz``.

    name: what the whole is called there. output: False leaves out what the fibers printed.
    A file at `path` is replaced as a whole, at the end.
    """
    export = _Export(build_spans(trace), output)
    timed = list(export.lines())
    lines = [*export.header(name), *timed]
    with replacing(path) as file:
        file.write(b'{"traceEvents":[\n')
        for at in range(0, len(lines), 10_000):
            file.write((",\n" if at else "").encode())
            file.write(",\n".join(lines[at : at + 10_000]).encode())
        file.write(b"\n]}\n")


class _Export:
    """Goes through the spans and the events once; keeps (moment, rank, line) for each."""

    def __init__(self, spans: Spans, output: bool) -> None:
        self.spans = spans
        self.kept: list[tuple[int, int, str]] = []
        self.output = output
        # Another program's trace may have ids that are too large; then fibers are counted.
        fits = all(life.id < _FIRST_NOTES - _FIRST_FIBER for life in spans.lives)
        self.tracks = {
            life.id: _FIRST_FIBER + (life.id if fits else row + 1)
            for row, life in enumerate(spans.lives)
        }
        self.noted: set[int] = set()  # the tracks of notes there are
        self.brackets = 0
        self.open: dict[Any, tuple[int, int, str]] = {}  # marks: track, number and name

    def header(self, name: str) -> Iterator[str]:
        """Yield the names of the tracks, and their order."""
        yield _line("M", 0, "process_name", args={"name": printable(name)})
        labels = {_SCHEDULER: "scheduler"}
        for life in self.spans.lives:
            track, label = self.tracks[life.id], printable(f"#{life.id} {life.name}")
            labels[track] = label
            if _FIRST_NOTES + track in self.noted:
                labels[_FIRST_NOTES + track] = f"{label} notes"
        for order, (track, label) in enumerate(labels.items()):
            yield _line("M", track, "thread_name", args={"name": label})
            yield _line("M", track, "thread_sort_index", args={"sort_index": order})

    def lines(self) -> Iterator[str]:
        """Yield a line for each event of the format, in their order."""
        self.slices()
        self.depth()
        self.arrows()
        self.notes()
        return (line for _, _, line in sorted(self.kept, key=lambda each: each[:2]))

    def add(self, t: int, rank: int, phase: str, track: int, name: str, **fields: Any) -> None:
        """Keep an event of the format."""
        self.kept.append((t, rank, _line(phase, track, name, t, **fields)))

    def slice(
        self, start: int, end: int, track: int, name: str, cat: str, args: dict[str, Any]
    ) -> None:
        """Keep a slice, unless it is empty: that would become a child of its neighbour."""
        if end > start:
            self.add(start, _SLICE, "X", track, name, dur=end - start, cat=cat, args=args)

    def slices(self) -> None:
        """Keep a slice for each span and each poll."""
        spans = self.spans
        for i in range(len(spans)):
            if spans.end[i] > spans.start[i]:
                span = spans[i]
                ended = spans.rows[spans.last[i]] if spans.last[i] >= 0 else None
                track = self.tracks[span.fiber]
                args = _details(span, ended)
                self.slice(span.start, span.end, track, span.state.value, "state", args)
        for poll in spans.polls:
            timeout = _ms(poll.timeout)
            args = {"timeout_ms": timeout, "woken": poll.woken, "unfinished": poll.unfinished}
            self.slice(poll.start, poll.end, _SCHEDULER, "poll", "sched", args)

    def depth(self) -> None:
        """Keep the run queue's length whenever it changes."""
        for t, fibers in zip(*self.spans.depth, strict=True):
            self.add(t, _COUNTER, "C", _SCHEDULER, "ready queue", args={"fibers": fibers})

    def arrows(self) -> None:
        """Keep an arrow for each wake, and a slice for the time in which the scheduler woke."""
        found = find_arrows(self.spans)
        for start, end, woken in found.wakings:
            self.slice(start, end, _SCHEDULER, "wake", "sched", {"woken": woken})
        for number, arrow in enumerate(found.arrows, start=1):
            begin = self.tracks[arrow.by] if arrow.by else _SCHEDULER
            fields: dict[str, Any] = {"id": number, "cat": "wake"}
            self.add(arrow.left, _ARROW_BEGIN, "s", begin, "wake", **fields)
            end = self.tracks[arrow.fiber]
            self.add(arrow.came, _ARROW_END, "f", end, "wake", bp="e", **fields)

    def notes(self) -> None:
        """Keep what happened at one moment, and the marks."""
        spans = self.spans
        if spans.dropped:
            args = {"events": spans.dropped}
            self.add(spans.begin, _NOTE, "i", _SCHEDULER, "dropped", s="t", cat="mark", args=args)
        for row in spans.rows:
            ev, track = row[EV], self.tracks.get(row[FID], _SCHEDULER)
            if ev == "mark" and row[MARK.PH] in ("b", "e"):
                self.bracket(row, track)
            elif (shown := _note(row)) is not None and (self.output or ev != "output"):
                name = "note" if ev == "mark" else ev
                if ev in _IN_A_STEP and track != _SCHEDULER:
                    track += _FIRST_NOTES
                    self.noted.add(track)
                self.add(row[T], _NOTE, "i", track, name, s="t", cat="mark", args=shown)
        for bracket in self.open.values():
            self.end_bracket(spans.finish, bracket, unfinished=True)

    def bracket(self, row: Row, track: int) -> None:
        """Keep the begin or the end of a mark; an end whose begin was dropped is left out."""
        t, _, fid, name, phase, number, args = row
        name = printable(name or "mark")
        key = (number, name) if number is not None else (fid, name)
        if phase == "b" and key not in self.open:
            self.brackets += 1
            self.open[key] = (track, self.brackets, name)
            args = {"fiber": fid, **(args or {})}
            fields = {"id": self.brackets, "cat": "request", "args": args}
            self.add(t, _BRACKET, "b", track, name, **fields)
        elif phase == "e" and key in self.open:
            self.end_bracket(t, self.open.pop(key))

    def end_bracket(self, t: int, bracket: tuple[int, int, str], unfinished: bool = False) -> None:
        """Keep the end of a mark."""
        track, number, name = bracket
        args = {"unfinished": unfinished}
        self.add(t, _BRACKET, "e", track, name, id=number, cat="request", args=args)


def _line(phase: str, track: int, name: str, t: int | None = None, **fields: Any) -> str:
    """Return an event of the format; times come as nanoseconds and leave as microseconds."""
    parts = [f'{{"ph":"{phase}","pid":{_PID},"tid":{track}']
    if t is not None:
        parts.append(f'"ts":{_us(t)}')
    if (length := fields.pop("dur", None)) is not None:
        parts.append(f'"dur":{_us(length)}')
    if "args" in fields:
        fields["args"] = _plain(fields["args"])
    return ",".join([*parts, _encode({"name": name, **fields})[1:]])


# As UTF-8, since Perfetto leaves \u2603 in a slice's name as it is.
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def _us(nanoseconds: int) -> str:
    return f"{nanoseconds // 1000}.{nanoseconds % 1000:03d}"


def _ms(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e6


def _plain(args: dict[str, Any]) -> dict[str, Any]:
    """Return `args` without what is None or False, and with control characters written out."""
    return {
        printable(str(key)): printable(value) if isinstance(value, str) else value
        for key, value in args.items()
        if value is not None and value is not False
    }


def _details(span: Span, ended: Row | None) -> dict[str, Any]:
    """Return what a slice shows besides its state; `ended` is the event that ended it."""
    args: dict[str, Any]
    if span.state is STATES[RUNNING]:
        op = ended[YIELD.OP] if ended is not None and ended[EV] == "yield" else "exit"
        args = {"yield": None if ended is None else op, "step": span.step, "cpu_ms": _ms(span.cpu)}
    elif span.state is STATES[READY]:
        hidden = _ms(span.hidden)
        args = {"why": span.why, "by": span.by, "late_ms": _ms(span.late), "hidden_ms": hidden}
    else:
        args = {"fd": span.fileno, "dt_ms": _ms(span.duration)}
    return {**args, "src": span.src, "unfinished": span.unfinished}


def _note(row: Row) -> dict[str, Any] | None:
    """Return what an event shows that is drawn as a moment; None for other kinds."""
    match row:
        case (_, "spawn", _, _, by, src):
            return {"by": by, "src": place(src)}
        case (_, "exit", _, how, err, src, _):
            return {"how": how, "err": err, "src": place(src)}
        case (_, "stall", _, src, func, ran):
            return {"src": place(src), "func": func, "ran_ms": _ms(ran)}
        case (_, "output", _, text, stream):
            return {"text": text, "stream": stream}
        case (_, "mark", _, name, _, _, args):
            return {"text": name, **(args or {})}
    return None
