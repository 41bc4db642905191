"""The watchdog: finds the line that holds the loop, while it holds it.

A loop that is blocked cannot look at itself, so a thread does. It asks twice in each
`stall_after` whether a step is running, and when one has run for `stall_after`, it looks where
the loop's thread is. It looks only while a step runs: a loop that waits in its poll blocks
nobody. When no step was met for a second the thread sleeps until the next one begins.

C code that does not give up the interpreter's lock (a regular expression, say) stops this
thread too. But it waits for the lock then, and the interpreter hands it over at the first moment
it can: when that call comes back. So a look that comes late is taken at once, before anything
by which the lock could change hands, and believed if a call is what the loop's thread is at.
(An operator, such as ``7**n``, hands nothing over; the thread is then seen further on, and it is
better to tell nothing than a wrong line.)

The rule kept here: a sighting is known by its moment alone. The loop asks, at the end of a long
step, for what was seen while that ran; so nothing is lost or put down to another step, whoever
comes first. What this module does not know: fibers, schedulers and traces.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from .culprit_line import calls, own_line, stack_of, told

_IDLE = 1.0  # seconds without a step after which the thread sleeps


class Sighting(NamedTuple):
    """What was seen in a step that would not end."""

    seen: int  # when, time.perf_counter_ns()
    src: str  # file:line
    func: str  # what that line was calling, else the function it is in


class Watchdog:
    """A thread that watches the steps of one loop; `start` it in the loop's own thread.

    running: returns when the step that runs now began, time.perf_counter_ns(), or None while
    none does; called in the watchdog's thread. stall_after: seconds; a step is looked at after
    1, 10, 100, ... times that.
    asleep: whether `awaken` is to be called when a step begins.
    """

    def __init__(self, running: Callable[[], int | None], stall_after: float) -> None:
        self.asleep = False
        self.stall_after = round(stall_after * 1e9)  # from here on in nanoseconds
        self._running = running
        self._sightings: list[Sighting] = []
        self._lock = threading.Lock()  # for the sightings
        self._ending = False
        self._call = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="fiberlab watchdog", daemon=True)
        self._watched = 0
        self._step: int | None = None  # the step met last: when it began
        self._due = 0  # and when it is to be looked at

    def start(self) -> None:
        """Watch the calling thread until `stop`."""
        self._watched = threading.get_ident()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ending = True
        self._call.set()
        self._thread.join()

    def awaken(self) -> None:
        """Watch again; for the loop to call when a step begins and the watchdog is `asleep`."""
        self.asleep = False
        self._call.set()

    def seen_between(self, began: int, ended: int) -> list[Sighting]:
        """Return what was seen in the step of these moments, and forget all that was before."""
        with self._lock:
            seen = [each for each in self._sightings if began <= each.seen <= ended]
            self._sightings.clear()
        return seen

    # -- The thread -----------------------------------------------------------

    def _watch(self) -> None:
        met = expected = time.perf_counter_ns()
        while not self._ending:
            now = time.perf_counter_ns()
            if (began := self._running()) is not None:
                met = now
                if began != self._step:
                    self._step, self._due = began, began + self.stall_after
                if now >= self._due:
                    self._look(began, now, late=now - expected > self.stall_after // 2)
            elif now - met > _IDLE * 1e9:
                self._sleep()
                met = expected = time.perf_counter_ns()
                continue
            expected = self._next_look()
            self._call.wait((expected - time.perf_counter_ns()) / 1e9)

    def _next_look(self) -> int:
        """Return when to look again: soon, and in time for a step that is due before."""
        now = time.perf_counter_ns()
        soon = now + self.stall_after // 2
        return self._due if self._running() == self._step and now < self._due < soon else soon

    def _look(self, began: int, now: int, *, late: bool) -> None:
        """Look where the loop is, in the step that `began` then."""
        with self._lock:  # first of all: the loop takes it only at the end of a long step
            frame = sys._current_frames().get(self._watched)
            stack = stack_of(frame) if frame is not None else []
            # If the step has ended meanwhile, the stack was read while it changed.
            if self._running() != began or not stack or (late and not calls(stack[0])):
                return
            line = own_line(stack)
            if line is not None:
                self._sightings.append(Sighting(now, *told(line)))
                self._due = began + 10 * (self._due - began)

    def _sleep(self) -> None:
        """Sleep until the loop calls `awaken`, or `stop`."""
        self._call.clear()
        self.asleep = True
        # A step that began before it could know of that.
        if self._running() is not None or self._ending:
            self.asleep = False
        else:
            self._call.wait()
        self._call.clear()
