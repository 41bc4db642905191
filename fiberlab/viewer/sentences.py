"""Sentences: what each event of a trace means, and why it happened.

The rule kept here: a sentence is a template and its values. The templates are written once, here.
The page fills them in itself, so that a million events need no million texts.

This module knows no page.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..spans.spans import Spans, readable
from ..states import FiberState, state_after
from ..trace.events import (
    EV,
    EXIT,
    FID,
    MARK,
    OUTPUT,
    POLL,
    POLLED,
    RESUME,
    SPAWN,
    STOP,
    WAKE,
    YIELD,
    Row,
    T,
    printable,
)
from .source import Line

TEMPLATES = {
    "start": "The run begins.",
    "added": "{fiber} was added to the scheduler.",
    "started": "{by} has started {fiber}.",
    "new": "{fiber} is new, so it joins the run queue, which now holds {number}.",
    "data": "Data has come for {fiber}, or its peer has left: it joins the run queue, which now"
    " holds {number}.",
    "room": "There is room to send for {fiber}: it joins the run queue, which now holds {number}.",
    "sent at once": "There is room already, but nothing is resumed in place: {fiber} goes to the"
    " end of the run queue, which now holds {number}.",
    "slept": "The sleep of {fiber} is over: it joins the run queue, which now holds {number}.",
    "overslept": "The sleep of {fiber} is over, and it is {time} late: it joins the run queue,"
    " which now holds {number}.",
    "timed out": "{fiber} waited in vain until its deadline: it joins the run queue, which now"
    " holds {number}, with a time-out.",
    "turn": "{fiber} stands behind the fibers that were ready before it; the run queue now holds"
    " {number}.",
    "unparked": "{by} has run, so what {fiber} waits for may be true now: it joins the run queue,"
    " which now holds {number}.",
    "cancelled": "{by} has cancelled {fiber}: it joins the run queue, which now holds {number}.",
    "cancelled by none": "{fiber} was cancelled: it joins the run queue, which now holds {number}.",
    "woken": "{fiber} was made ready: it joins the run queue, which now holds {number}.",
    "first": "{fiber} was first in the run queue, so it runs; still in the queue: {number}.",
    "chosen": "{fiber} was chosen from the run queue, so it runs; still in the queue: {number}.",
    "receives": "{fiber} ran for {time}, and waits until data comes on socket {socket}.",
    "sends": "{fiber} ran for {time}, and waits until there is room to send on socket {socket}.",
    "sleeps": "{fiber} sleeps for {time} from now on.",
    "sleeps on": "{fiber} sleeps from now on; for how long is not known.",
    "parks": "{fiber} ran for {time}, and is parked until another fiber has run.",
    "pauses": "{fiber} ran for {time}, and lets the other ready fibers go first.",
    "invalid": "{fiber} ran for {time} and yielded what no fiber may: its wait was refused.",
    "unknown": "{fiber} ran for {time}; what it waits for could not be told.",
    "returned": "{fiber} ran for {time} and returned: it is done.",
    "failed": "{fiber} ran for {time} and failed with {text}.",
    "ended": "{fiber} was closed by a cancel: it is done.",
    "looks": "Some fibers are ready, so the scheduler only looks at the sockets: {number} of them.",
    "due": "No fiber is ready but a deadline has passed: the scheduler only looks at the"
    " sockets: {number} of them.",
    "waits": "No fiber is ready: the scheduler waits for its sockets, {number} of them, until the"
    " next deadline, at most {time}.",
    "naps": "No fiber is ready and none waits on a socket: the scheduler sleeps until the next"
    " deadline, at most {time}.",
    "waits for ever": "No fiber is ready and none sleeps: the scheduler waits for its sockets,"
    " {number} of them.",
    "polled": "The scheduler has asked its sockets. Fibers that can go on: {number}.",
    "stall": "{fiber} has run for {time} and has not yielded: it was seen in {text}.",
    "output": "{fiber} printed: {text}",
    "begins": "{fiber} begins {text}.",
    "ends": "{fiber} ends {text}.",
    "notes": "{fiber} notes {text}.",
    "stop": "The run ends: {text}.",
}
"""What is said, by what has happened. In braces: what the values of a Told are put for."""

NAMES = tuple(TEMPLATES)
_LONGEST = 200  # characters of a text that came from the program


class Told(NamedTuple):
    """One event told: the template's name and its values.

    fiber, by: ids. time: nanoseconds. number: of things, or of a socket. text: from the program.
    line: where the fiber is; None where the trace does not say.
    """

    template: str
    fiber: int = 0
    by: int = 0
    time: int = 0
    number: int = 0
    text: str = ""
    line: Line | None = None


def tell(spans: Spans) -> Iterator[Told]:
    """Yield what is to be said of each event of a run, in order."""
    teller = _Teller()
    for row in spans.rows:
        yield teller.told(row)


def sentence(told: Told, names: dict[int, str]) -> str:
    """Return the sentence; names: the fibers' names, by id."""
    fiber, by = names.get(told.fiber, "?"), names.get(told.by, "the scheduler")
    values = {"fiber": fiber, "by": by, "time": readable(told.time), "number": f"{told.number:,}"}
    values["socket"] = str(told.number)
    return TEMPLATES[told.template].format(text=told.text, **values)


class _Teller:
    """Goes through the events once, and remembers what the next ones depend on."""

    def __init__(self) -> None:
        self.queue: dict[int, None] = {}  # the fibers in the run queue, the front first
        self.last: dict[int, Row] = {}  # fiber -> its last yield
        self.resumed: dict[int, int] = {}  # fiber -> when its step began
        self.place: dict[int, Line] = {}  # fiber -> the line it is at
        self.known: dict[tuple[int, int], Line | None] = {}  # code and offset -> its line
        self.before: Row = (0, "", 0)

    def told(self, row: Row) -> Told:
        """Tell one event."""
        fid = row[FID]
        told: Told = getattr(self, f"_{row[EV]}")(row, fid)
        self.before = row
        if told.line is not None:
            self.place[fid] = told.line
        if row[EV] == "exit":
            for each in (self.last, self.resumed, self.place, self.queue):
                each.pop(fid, None)  # a server makes many fibers
            return told
        return told._replace(fiber=fid, line=self.place.get(fid))

    def _start(self, _row: Row, _fid: int) -> Told:
        return Told("start")

    def _spawn(self, row: Row, _fid: int) -> Told:
        by = row[SPAWN.BY] or 0
        return Told("started" if by else "added", by=by, line=self._line(row[SPAWN.SRC]))

    def _wake(self, row: Row, fid: int) -> Told:
        self.queue[fid] = None
        by, why, asked = row[WAKE.BY] or 0, row[WAKE.WHY], self.last.get(fid)
        op = asked[YIELD.OP] if asked is not None else None
        template = {"spawn": "new", "yield": "turn", "fiber": "unparked"}.get(why, "woken")
        if why == "io":
            template = "room" if op == "SEND" else "data"
            if self.before[EV] == "yield" and self.before[FID] == fid:
                template = "sent at once"
        elif why == "timer":
            slept = "overslept" if (row[WAKE.LATE] or 0) >= 1_000 else "slept"
            template = "timed out" if op in ("RECV", "SEND") else slept
        elif why == "cancel":
            template = "cancelled" if by else "cancelled by none"
        return Told(template, by=by, time=row[WAKE.LATE] or 0, number=self._length(row[WAKE.Q]))

    def _resume(self, row: Row, fid: int) -> Told:
        template = "first" if next(iter(self.queue), fid) == fid else "chosen"
        self.queue.pop(fid, None)
        self.resumed[fid] = row[T]
        return Told(template, number=self._length(row[RESUME.Q]))

    def _yield(self, row: Row, fid: int) -> Told:
        self.last[fid] = row
        took, op, duration = self._took(row, fid), row[YIELD.OP], row[YIELD.DT]
        line, socket = self._line(row[YIELD.SRC]), row[YIELD.FD] or 0
        match state_after("yield", op, duration):
            case FiberState.RECV:
                return Told("receives", time=took, number=socket, line=line)
            case FiberState.SEND:
                return Told("sends", time=took, number=socket, line=line)
            case FiberState.SLEEP:
                template = "sleeps" if duration else "sleeps on"
                return Told(template, time=duration or 0, line=line)
            case FiberState.PARKED:
                return Told("parks", time=took, line=line)
            case FiberState.UNKNOWN:
                return Told("unknown", time=took, line=line)
            case _:
                return Told("invalid" if op == "invalid" else "pauses", time=took, line=line)

    def _exit(self, row: Row, fid: int) -> Told:
        template = {"return": "returned", "error": "failed"}.get(row[EXIT.HOW], "ended")
        line = self._line(row[EXIT.SRC]) or self.place.get(fid)
        took, why = self._took(row, fid), _cut(row[EXIT.ERR])
        return Told(template, fiber=fid, time=took, text=why, line=line)

    def _poll(self, row: Row, _fid: int) -> Told:
        timeout, sockets = row[POLL.TIMEOUT], row[POLL.NFD] or 0
        if timeout is None:
            return Told("waits for ever", number=sockets)
        if timeout:
            return Told("waits" if sockets else "naps", time=timeout, number=sockets)
        return Told("looks" if row[POLL.Q] else "due", number=sockets)

    def _polled(self, row: Row, _fid: int) -> Told:
        return Told("polled", number=row[POLLED.N] or 0)

    def _stall(self, row: Row, _fid: int) -> Told:
        _t, _ev, _id, src, func, ran = row
        return Told("stall", time=ran or 0, text=_cut(func or src or "?"), line=self._line(src))

    def _output(self, row: Row, _fid: int) -> Told:
        return Told("output", text=_cut(row[OUTPUT.TEXT]))

    def _mark(self, row: Row, _fid: int) -> Told:
        template = {"b": "begins", "e": "ends"}.get(row[MARK.PH], "notes")
        return Told(template, text=_cut(row[MARK.NAME]))

    def _stop(self, row: Row, _fid: int) -> Told:
        return Told("stop", text=_cut(row[STOP.REASON]))

    def _line(self, src: Any) -> Line | None:
        """Return a place as a line; the search for one of a code object is not done twice."""
        if src is None or isinstance(src, str):
            return Line.of(src)
        key = id(src[0]), src[1]
        if key not in self.known:
            self.known[key] = Line.of(src)
        return self.known[key]

    def _took(self, row: Row, fid: int) -> int:
        began = self.resumed.get(fid)
        return 0 if began is None else int(row[T]) - began

    def _length(self, q: Any) -> int:
        return len(self.queue) if q is None else int(q)


def passes(spans: Spans) -> Iterator[int]:
    """Yield the number of each event with which a pass of the scheduler begins.

    A pass resumes as many fibers as were ready when it began. So the first resume of a pass tells,
    by what it leaves in the run queue, how many belong to it; a poll ends it in any case.
    """
    left = 0
    for number, row in enumerate(spans.rows):
        if row[EV] == "poll":
            left = 0
        elif row[EV] == "resume":
            if not left:
                yield number
                left = 1 + (row[RESUME.Q] or 0)
            left -= 1


def _cut(text: Any) -> str:
    """Return a text of the program on one line, harmless and not too long."""
    line = printable(str(text or "")[: _LONGEST + 1]).replace("\t", " ")
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."
