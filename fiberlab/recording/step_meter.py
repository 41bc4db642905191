"""The step meter: what is measured of each step that one thread makes.

The rule kept here: between two polls a thread is at work all the time. So where one step ends the
next stretch begins: another step, or what the scheduler does between two. Each is measured: its
processor time, and the lines that the watchdog saw in it.

A step that used little processor time has waited for something, or for the processor. Linux tells
for how long a thread waited for the processor (``schedstat``). If that is not why the step was
long, the thread slept in what the watchdog saw; this counts as a second look that saw the same.

To ask for the processor time is a system call, which costs more than all else. A stretch of less
than a tenth of a millisecond is taken to have run all the time, and a poll to have slept. So is
what came since it was asked for last. But whoever measures looks once in a millisecond: no step is
wrong by more.

What this module does not know: whose step it is.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence

from ..trace.trace import Trace
from .watchdog import Sighting, Watchdog

SHORT = 100_000
"""Nanoseconds up to which a stretch counts as run all the time, unless something was seen in it."""

LOOK = 1_000_000
"""Nanoseconds after which to look again, at the latest when a stretch begins; see StepMeter."""

_DELAYS = 10_000_000


class StepMeter:
    """Measures the stretches of work of the thread that makes it, as `trace` asks for it.

    otherwise: asked for what is seen of a stretch in which no line is the user's own.
    """

    def __init__(self, trace: Trace, otherwise: Callable[[], Sighting | None]) -> None:
        self.began: int | None = None
        """When the present stretch began, time.perf_counter_ns(); None while the thread polls."""
        self.cpu = trace.cpu
        self._asked = self._cpu_then = 0  # when the processor time was asked for, and what it was
        self._turn: int | None = None  # when the thread polled last
        self._rested = 0  # when it began to
        self._delays = _Delays() if trace.cpu else None
        self._delay_began: int | None = None
        self._delays_asked = 0  # when
        self._cpu_clock: int | None = None  # for other threads
        if trace.cpu and hasattr(time, "pthread_getcpuclockid"):
            self._cpu_clock = time.pthread_getcpuclockid(threading.get_ident())
        self.seen: Sequence[Sighting] = ()
        """What the watchdog has seen since it was asked last."""
        self._watchdog: Watchdog | None = None
        if trace.stall_after is not None:
            self._watchdog = Watchdog(
                lambda: self.began, trace.stall_after, turn=lambda: self._turn, otherwise=otherwise
            )
            self._watchdog.start()
            self.seen = self._watchdog.seen

    def work(self, now: int) -> None:
        """The thread has polled, or is watched from now on: work begins."""
        if self.began is None:
            self._asked += now - self._rested
        self.began = self._turn = now

    def rest(self, now: int) -> None:
        """The thread begins to poll."""
        self.began = self._turn = None
        self._rested = now

    def look(self, now: int) -> None:
        """Ask for what costs more, between two stretches of which nothing is to be known."""
        if self._watchdog is not None and self._watchdog.asleep:
            self._watchdog.awaken()
        if self.cpu:
            self._asked, self._cpu_then = now, time.thread_time_ns()
            self._rested = now
        if self._delays is not None and now - self._delays_asked > _DELAYS:
            self._delays_asked, self._delay_began = now, self._delays.read()

    def end(self, now: int) -> tuple[int | None, Sequence[tuple[Sighting, int]]]:
        """End the present stretch and begin the next; return the former's CPU and what was seen.

        CPU: nanoseconds; None if it is not measured. With each sighting comes for how many
        nanoseconds the stretch had lasted then.
        """
        began, self.began = self.began or now, now
        length, dog, cpu = now - began, self._watchdog, None
        if self.cpu:
            cpu = length if length < SHORT else self._used_since(began, now)
        seen = [] if dog is None else dog.seen_between(began, now)
        if len(seen) == 1 and cpu is not None and self._slept(length, cpu):
            seen.append(seen[0]._replace(seen=now))
        return cpu, [(each, each.seen - began) for each in seen]

    def so_far(self) -> tuple[int | None, Sequence[tuple[Sighting, int]]]:
        """Return what `end` would, of a stretch that goes on; from any thread."""
        began, dog = self.began, self._watchdog
        if began is None or dog is None:
            return None, ()
        cpu = None
        if self._cpu_clock is not None:
            with contextlib.suppress(OSError):  # the thread has ended meanwhile
                used = time.clock_gettime_ns(self._cpu_clock) - self._cpu_then
                cpu = max(0, used - (began - self._asked))
        return cpu, [(each, each.seen - began) for each in dog.sightings() if each.seen >= began]

    def _used_since(self, began: int, now: int) -> int:
        """Return the processor time of a stretch; what ran before it since it was asked counts."""
        before, then = began - self._asked, self._cpu_then
        self._asked, self._cpu_then = now, time.thread_time_ns()
        return max(0, min(now - began, self._cpu_then - then - before))

    def stop(self) -> None:
        """Measure nothing from now on."""
        self.began = self._turn = None
        if self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog = None
        if self._delays is not None:
            self._delays.close()
            self._delays = None

    def _slept(self, length: int, cpu: int) -> bool:
        """Whether the thread slept for most of a stretch, and did not wait for the processor."""
        if self._delays is None or self._delay_began is None:
            return False
        # Since a poll some time ago: that is more than in this stretch, and never less.
        delay = self._delays.read()
        return delay is not None and length - cpu - (delay - self._delay_began) > length // 2


class _Delays:
    """For how long the thread that makes it has waited for the processor."""

    def __init__(self) -> None:
        self._file: int | None = None
        with contextlib.suppress(OSError):  # only Linux has it, and not always
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)

    def read(self) -> int | None:
        """Return it in nanoseconds; None if the system does not tell."""
        if self._file is None:
            return None
        try:
            return int(os.pread(self._file, 100, 0).split()[1])
        except (OSError, ValueError, IndexError):
            return None

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
