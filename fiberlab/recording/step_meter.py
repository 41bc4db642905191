"""The step meter: what is measured of each step that one thread makes.

The rule kept here: between two polls a thread is at work all the time. So where one step ends the
next stretch begins: another step, or what the scheduler does between two. Each is measured: its
processor time, and the lines that the watchdog saw in it.

A step that used little processor time has waited for something, or for the processor. Linux tells
for how long a thread waited for the processor (``schedstat``). If that is not why the step was
long, the thread slept in what the watchdog saw; this counts as a second look that saw the same.

To ask for the processor time is a system call, which costs more than all else. A stretch of less
than a tenth of a millisecond is taken to have run all the time. So is what came between two
stretches, and the clock is asked once in a millisecond at least: no step is wrong by more.

What this module does not know: whose step it is.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

from ..trace.trace import Trace
from .watchdog import Sighting, Watchdog

_SHORT = 100_000  # nanoseconds
_EXACT = 1_000_000
_DELAYS = 10_000_000


class StepMeter:
    """Measures the stretches of work of the thread that makes it, as `trace` asks for it.

    otherwise: asked for what is seen of a stretch in which no line is the user's own.
    """

    def __init__(self, trace: Trace, otherwise: Callable[[], Sighting | None]) -> None:
        self.began: int | None = None
        """When the present stretch began, time.perf_counter_ns(); None while the thread polls."""
        self._cpu = trace.cpu
        self._asked = self._cpu_then = 0  # when the processor time was asked for, and what it was
        self._turn: int | None = None  # when the thread polled last
        self._delays = _Delays() if trace.cpu else None
        self._delay_began: int | None = None
        self._delays_asked = 0  # when
        self._watchdog: Watchdog | None = None
        if trace.stall_after is not None:
            self._watchdog = Watchdog(
                lambda: self.began, trace.stall_after, turn=lambda: self._turn, otherwise=otherwise
            )
            self._watchdog.start()

    def begin(self, now: int) -> None:
        """The thread has polled, or is watched from now on: work begins."""
        if self._watchdog is not None and self._watchdog.asleep:
            self._watchdog.awaken()
        if self._cpu:
            self._asked, self._cpu_then = now, time.thread_time_ns()
        if self._delays is not None and now - self._delays_asked > _DELAYS:
            self._delays_asked, self._delay_began = now, self._delays.read()
        self.began = self._turn = now

    def split(self, now: int) -> None:
        """End the present stretch, of which nothing is to be known, and begin the next."""
        self.began = now
        if self._cpu and now - self._asked > _EXACT:
            self._asked, self._cpu_then = now, time.thread_time_ns()

    def end(self, now: int) -> tuple[int | None, list[Sighting]]:
        """End the present stretch and begin the next; return the former's CPU and what was seen.

        CPU: nanoseconds; None if it is not measured.
        """
        began, self.began = self.began or now, now
        length, cpu = now - began, None
        if self._cpu:
            cpu = length if length < _SHORT else self._used_since(began, now)
        if self._watchdog is None:
            return cpu, []
        if self._watchdog.asleep:
            self._watchdog.awaken()
        seen = self._watchdog.seen_between(began, now) if self._watchdog.has_seen(length) else []
        if len(seen) == 1 and cpu is not None and self._slept(length, cpu):
            seen.append(seen[0]._replace(seen=now))
        return cpu, seen

    def _used_since(self, began: int, now: int) -> int:
        """Return the processor time of a stretch; what ran before it since it was asked counts."""
        before, then = began - self._asked, self._cpu_then
        self._asked, self._cpu_then = now, time.thread_time_ns()
        return max(0, self._cpu_then - then - before)

    def rest(self) -> None:
        """The thread begins to poll."""
        self.began = self._turn = None

    def stop(self) -> None:
        """Measure nothing from now on."""
        self.rest()
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
