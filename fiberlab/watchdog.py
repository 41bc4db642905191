"""The watchdog: finds the line that holds the loop, while it holds it.

A loop that is blocked cannot look at itself, so a thread does. Four times in each `stall_after`
it asks which step is running; a step that it meets again after `stall_after` seconds is looked
at: where is the thread, and what is that line calling?

C code that does not give up the interpreter's lock (a regular expression, say) stops this thread
too. For that case it leaves a note with `faulthandler`, whose clock runs without the lock: "if I
have not come back in time, write down where everybody is". It looks only while a step runs: a
loop that waits in its poll does not block anybody.

What this module does not know: fibers, schedulers and traces. It is given a function that tells
the number of the running step.
"""

from __future__ import annotations

import faulthandler
import linecache
import os
import re
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import IO, NamedTuple

from .trace import short_name

_LIBRARIES = tuple(
    {os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib")}
)
_PACKAGE = os.path.dirname(os.path.realpath(__file__))


class Sighting(NamedTuple):
    """What was seen in a step that would not end."""

    step: int  # its number
    seen: int  # when, time.perf_counter_ns()
    ran: int  # for how long it had run by then, ns
    src: str  # file:line
    func: str  # what that line was calling, else the function it is in


class Watchdog:
    """A thread that watches the steps of one loop; `start` it in the loop's own thread.

    running: returns (number, started) of the step that runs now, or None while none does.
    stall_after: seconds; a step is looked at after 1, 10, 100, ... times that.
    sightings: what was found; whoever takes one out has reported it.
    """

    def __init__(
        self, running: Callable[[], tuple[int, int] | None], stall_after: float
    ) -> None:
        self.sightings: list[Sighting] = []
        self._running = running
        self._stall_after = stall_after
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name="fiberlab watchdog", daemon=True
        )
        self._watched = 0
        self._notes: IO[str] | None = None

    def start(self) -> None:
        """Watch the calling thread until `stop`."""
        self._watched = threading.get_ident()
        self._notes = _claim_faulthandler()
        self._thread.start()

    def stop(self) -> None:
        """End the thread and take back the note left with faulthandler."""
        self._stop.set()
        self._thread.join()
        if self._notes is not None:
            faulthandler.cancel_dump_traceback_later()
            self._notes.close()
            _release_faulthandler()

    def _watch(self) -> None:
        step, looks = 0, 0
        while not self._stop.is_set():
            self._leave_note()
            self._stop.wait(self._stall_after / 4)
            self._read_note()
            running = self._running()
            if running is None:
                continue
            if running[0] != step:
                step, looks = running[0], 0
            ran = time.perf_counter_ns() - running[1]
            if ran >= self._stall_after * 1e9 * 10**looks:
                looks += 1
                frame = sys._current_frames().get(self._watched)
                # Meanwhile the step may have ended; then the frame tells of something else.
                if frame is not None and self._running() == running:
                    src, func = _whereabouts(frame)
                    self.sightings.append(
                        Sighting(step, running[1] + ran, ran, src, func)
                    )

    # -- While the interpreter's lock is held ---------------------------------

    def _leave_note(self) -> None:
        if self._notes is not None:
            faulthandler.dump_traceback_later(self._stall_after, file=self._notes)

    def _read_note(self) -> None:
        """Turn what faulthandler wrote, if it came to that, into a sighting."""
        running = self._running()
        if self._notes is None or os.fstat(self._notes.fileno()).st_size == 0:
            return
        faulthandler.cancel_dump_traceback_later()
        self._notes.seek(0)
        text = self._notes.read()
        self._notes.seek(0)
        self._notes.truncate()
        # A lock that was held ends with the step or within it. If that step is over, its
        # number is gone: it is the one before.
        found = _whereabouts_in(text, self._watched)
        if found is not None:
            now = time.perf_counter_ns()
            step = running[0] if running is not None else 0
            self.sightings.append(Sighting(step, now, 0, *found))


# -- Whose line it is ---------------------------------------------------------


def _is_library(filename: str) -> bool:
    """Whether a file belongs to Python, to an installed package, or to the scheduler."""
    path = os.path.realpath(filename)
    if filename.startswith("<") or path.startswith(_PACKAGE + os.sep):
        return True
    return path.startswith(_LIBRARIES)


def _whereabouts(frame: FrameType) -> tuple[str, str]:
    """Return (file:line, what is called) of the innermost line that is the user's own."""
    innermost: FrameType = frame
    walk: FrameType | None = frame
    while walk is not None and _is_library(walk.f_code.co_filename):
        walk = walk.f_back
    frame = walk or innermost
    code, line = frame.f_code, frame.f_lineno
    call = _called_text(frame) or code.co_name
    return f"{short_name(code.co_filename)}:{line}", call


def _called_text(frame: FrameType) -> str:
    """Return the source of the call that `frame` is in, on one line; "" if it is not known."""
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    if sys.version_info >= (3, 11):
        for index, position in enumerate(frame.f_code.co_positions()):
            if index * 2 == frame.f_lasti:
                first, last, start, end = position
                if first == last == frame.f_lineno and start is not None:
                    return line.encode()[start:end].decode(errors="replace")
    return line.strip()


_THREAD = re.compile(r"^(?:Current thread|Thread) 0x([0-9a-f]+)[^\n]*:$", re.MULTILINE)
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.MULTILINE)


def _whereabouts_in(text: str, thread: int) -> tuple[str, str] | None:
    """Find in faulthandler's report what `_whereabouts` finds in a frame."""
    heads = list(_THREAD.finditer(text))
    for head, following in zip(heads, [*heads[1:], None]):
        if int(head[1], 16) != thread:
            continue
        frames = _FRAME.findall(text[head.end() : following.start() if following else None])
        own = [frame for frame in frames if not _is_library(frame[0])] or frames
        if own:
            filename, line, function = own[0]
            source = linecache.getline(filename, int(line)).strip()
            return f"{short_name(filename)}:{line}", source or function
    return None


# faulthandler has one clock for the whole process; the first watchdog gets it.
_claimed = threading.Lock()


def _claim_faulthandler() -> IO[str] | None:
    if not _claimed.acquire(blocking=False):
        return None
    return tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")


def _release_faulthandler() -> None:
    _claimed.release()
