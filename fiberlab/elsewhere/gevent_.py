"""gevent and bare greenlets, recorded as fiberlab's events: each greenlet is a fiber of the trace.

    trace = Trace()
    with watching(trace):
        gevent.joinall([gevent.spawn(work), gevent.spawn(work)])
    plot_timeline(trace)

The rule kept here: greenlets are watched through ``greenlet.settrace``, and not changed. A switch
ends the step of one greenlet and begins that of another. gevent's hub is the scheduler, and its
loop says when it polls; without gevent the first greenlet of the thread is the scheduler. The
function of gevent in which a greenlet is suspended shows what the greenlet waits for.

What it does not show: for how long a greenlet was ready, and which other one woke it. gevent tells
that to nobody, so a wake is recorded at the moment of the switch.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

from ..recording.reporter import Observer
from .notes import Notes
from .suspended import receiving, sending, sleeping, suspended_at

_RECEIVE = ("recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into", "accept")
_SEND = ("send", "sendall", "sendto", "sendmsg", "sendfile", "connect", "connect_ex")
_READINGS = {
    **dict.fromkeys((*_RECEIVE, "read", "do_handshake"), receiving),
    **dict.fromkeys((*_SEND, "write"), sending),
    "sleep": sleeping("seconds"),
}
_WOKEN_BY = {"SLEEP": "timer", "RECV": "io", "SEND": "io", "PARKED": "fiber"}


@contextlib.contextmanager
def watching(trace: Observer) -> Iterator[None]:
    """Record in `trace` what the greenlets of this thread do inside the block.

    A greenlet that was there before is recorded from its next step on. A function that was given
    to ``greenlet.settrace`` before goes on being called, and is put back at the end.
    """
    import greenlet

    watch = _Watch(trace)
    before = greenlet.settrace(watch.switched)
    watch.before = before
    try:
        with watch.polls():
            watch.begin(greenlet.getcurrent())
            yield
    finally:
        greenlet.settrace(before)
        watch.end(greenlet.getcurrent())
        raised = sys.exc_info()[0]
        watch.notes.stop("done" if raised is None else raised.__name__)


class _Watch:
    """What is known of the greenlets of one thread.

    They are keyed by their ids: to hold one would keep it from being collected, which is how
    some of them end.
    """

    def __init__(self, trace: Observer) -> None:
        self.gevent = sys.modules.get("gevent")
        self.notes = Notes(trace, "greenlet" if self.gevent is None else "gevent")
        self.before: Any = None
        self.notes.watch(None if self.gevent is None else "hub")

    def begin(self, current: Any) -> None:
        """`current` runs already."""
        self.notes.work()
        if not self._is_scheduler(current):
            self._resume(current, None)

    def end(self, current: Any) -> None:
        """`current` runs on, and is recorded no more."""
        if self.notes.knows(id(current)):
            self.notes.end(id(current), "return")

    def switched(self, event: str, args: Any) -> None:
        """Be called by greenlet after each switch, in the greenlet switched to."""
        if self.before is not None:
            self.before(event, args)
        origin, target = args
        running = self.notes.knows(id(origin))
        if running and origin.dead:
            self.notes.end(id(origin), *_ending(origin, event))
        elif running:
            found = suspended_at(_frames_of(origin), _is_gevent, _READINGS)
            self.notes.wait(id(origin), *found)
        if not self._is_scheduler(target):
            if self.gevent is None:
                self.notes.work()
            self._resume(target, origin)
        elif self.gevent is None:
            self.notes.rest()  # what a scheduler that is not known does may be a poll

    def _resume(self, target: Any, by: Any) -> None:
        notes, key, by_key = self.notes, id(target), id(by)
        if not notes.knows(key):
            notes.spawn(key, *_name_of(target, by_key))
        elif waited := notes.known[key].waits:
            direct = notes.knows(by_key)
            notes.wake(key, "fiber" if direct else _WOKEN_BY[waited], by_key if direct else None)
        notes.resume(key)

    def _is_scheduler(self, greenlet: Any) -> bool:
        if self.gevent is None:
            return greenlet.parent is None
        return isinstance(greenlet, self.gevent.hub.Hub)

    @contextlib.contextmanager
    def polls(self) -> Iterator[None]:
        """Record the polls of gevent's loop inside the block."""
        if self.gevent is None:
            yield
            return
        loop = self.gevent.get_hub().loop
        # gevent calls what is due in a watcher of the same kind: that comes before ours.
        last = loop.prepare(ref=False, priority=loop.MINPRI)
        first = loop.check(ref=False, priority=loop.MAXPRI)
        last.start(self.notes.poll, None)
        first.start(self.notes.polled, None)
        try:
            yield
        finally:
            for watcher in (last, first):
                watcher.stop()
                watcher.close()


def _name_of(greenlet: Any, by: int) -> tuple[str, int, Any]:
    """Return what ``Notes.spawn`` takes: name, maker and source."""
    if greenlet.parent is None:
        return "main", by, None
    # A bare greenlet does not know its function any more when it begins to run.
    function = getattr(greenlet, "_run", None) or getattr(greenlet, "run", None)
    function = getattr(function, "func", function)
    code = getattr(function, "__code__", None)
    if code is not None and _is_gevent(code):
        # A server of gevent calls what it was given: name that.
        given = (each for each in getattr(greenlet, "args", ()) if callable(each))
        function = next(given, function)
    code = getattr(function, "__code__", None)
    maker = getattr(greenlet, "spawning_greenlet", None)
    by = by if maker is None else id(maker())
    return getattr(function, "__name__", "greenlet"), by, None if code is None else (code, -1)


def _ending(greenlet: Any, event: str) -> tuple[str, BaseException | None]:
    """Return how a dead greenlet has ended, and its error if it keeps it, as gevent's do."""
    from greenlet import GreenletExit

    error = getattr(greenlet, "exception", None)
    if error is not None:
        return "error", error
    if isinstance(getattr(greenlet, "value", None), GreenletExit):
        return "cancel", None
    return ("error" if event == "throw" else "return"), None


def _frames_of(greenlet: Any) -> list[FrameType]:
    """Return the frames of a suspended greenlet, the outermost first."""
    frames = []
    frame = greenlet.gr_frame
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


_GEVENT = f"{os.sep}gevent{os.sep}"


def _is_gevent(code: CodeType) -> bool:
    return _GEVENT in code.co_filename
