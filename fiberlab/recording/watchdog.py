"""The watchdog: finds the line that holds the loop, while it holds it.

A loop that is blocked cannot look at itself, so a thread does. It asks twice in each
`stall_after` whether a step is running. When a step has run for `stall_after`, the watchdog looks
where the loop's thread is. It looks only while a step runs: a loop that waits in its poll blocks
no fiber. After a second without a step the thread sleeps until the next step begins.

C code that keeps the interpreter's lock (a regular expression, say) stops this thread too. But
then this thread waits for the lock, and the interpreter hands it over at the first moment it
can: when that call returns. So a look that comes late is taken at once, before anything that
could release the lock. It is believed if the loop's thread is at a call. (An operator, such as
``7**n``, does not hand the lock over. The thread is then seen further on, and recording nothing
is better than recording a wrong line.)

The rule kept here: a sighting belongs to a step by its time alone. At the end of a long step the
loop asks what was seen during it. So no sighting is lost or counted for another step, whichever
thread comes first. What this module does not know: fibers, schedulers and traces.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from .culprit_line import calls, described, own_line, stack_of

_IDLE = 1.0  # seconds without a step after which the thread sleeps


class Sighting(NamedTuple):
    """What was seen in a step that would not end."""

    seen: int  # when, time.perf_counter_ns()
    src: str  # file:line
    func: str  # what that line was calling, else the function it is in


class Watchdog:
    """A thread that watches the steps of one loop; `start` it in the loop's own thread.

    running: returns when the running step began (time.perf_counter_ns()), None between steps;
    it is called in the watchdog's thread. stall_after: seconds; the watchdog looks into a step
    after 1, 10, 100, ... times that.
    turn: returns when the loop polled last, None if it does so now. Once a turn of the loop has
    lasted for `stall_after`, each step that is met in it is looked into at once: many short steps
    may hold the loop together. otherwise: asked for the Sighting of a step in which no line is the
    user's own; only its line and its call count.
    asleep: whether the loop must call `awaken` when a step begins. seen: what was seen and not
    asked for yet; only whether that is empty can be told without `seen_between`.
    """

    def __init__(
        self,
        running: Callable[[], int | None],
        stall_after: float,
        *,
        turn: Callable[[], int | None] = lambda: None,
        otherwise: Callable[[], Sighting | None] = lambda: None,
    ) -> None:
        self.asleep = False
        self.stall_after = round(stall_after * 1e9)  # from here on in nanoseconds
        self._running, self._turn, self._otherwise = running, turn, otherwise
        self.seen: list[Sighting] = []
        self._lock = threading.Lock()  # for the sightings
        self._ending = False
        self._call = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="fiberlab watchdog", daemon=True)
        self._watched = 0
        self._step: int | None = None  # when the step seen last began
        self._due = 0  # when to look into it

    def start(self) -> None:
        """Watch the calling thread until `stop`."""
        self._watched = threading.get_ident()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ending = True
        self._call.set()
        # ^C may have come before the thread began, or in the middle of that: it ends by itself.
        with contextlib.suppress(RuntimeError):
            self._thread.join()

    def awaken(self) -> None:
        """Watch again; the loop calls it when a step begins and the watchdog is `asleep`."""
        self.asleep = False
        self._call.set()

    def seen_between(self, began: int, ended: int) -> list[Sighting]:
        """Return what was seen between two moments, and forget all sightings."""
        with self._lock:
            seen = [each for each in self.seen if began <= each.seen <= ended]
            self.seen.clear()
        return seen

    def sightings(self) -> list[Sighting]:
        """Return what was seen and not asked for yet; from any thread."""
        with self._lock:
            return list(self.seen)

    # -- The thread -----------------------------------------------------------

    def _watch(self) -> None:
        met = expected = time.perf_counter_ns()
        while not self._ending:
            now = time.perf_counter_ns()
            if (began := self._running()) is not None:
                met = now
                if began != self._step:
                    turn = self._turn()
                    since = began if turn is None else min(began, turn)
                    self._step, self._due = began, max(began, since + self.stall_after)
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
            if line is None:
                seen = self._otherwise()
            else:
                at = stack.index(line)
                seen = Sighting(now, *described(line, stack[at - 1] if at else None))
            if seen is not None:
                self.seen.append(seen._replace(seen=now))
                self._due = began + 10 * max(self._due - began, self.stall_after)

    def _sleep(self) -> None:
        """Sleep until the loop calls `awaken`, or `stop`."""
        self._call.clear()
        self.asleep = True
        # A step may have begun before it could see `asleep`.
        if self._running() is not None or self._ending:
            self.asleep = False
        else:
            self._call.wait()
        self._call.clear()
