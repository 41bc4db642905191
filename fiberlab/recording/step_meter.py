"""The step meter: what is measured of each step that one thread makes.

The rule kept here: between two polls a thread is at work all the time. So where one step ends the
next stretch begins: another step, or what the scheduler does between two. Each is measured: its
processor time, and the lines that the watchdog saw in it.

A step that used little processor time has waited for something, or for the processor. Linux tells
for how long a thread waited for the processor (``schedstat``). If that is not why the step was
long, the thread slept in what the watchdog saw; this counts as a second look that saw the same.

What this module does not know: whose step it is.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

from ..trace.trace import Trace
from .watchdog import Sighting, Watchdog


class StepMeter:
    """Measures the stretches of work of the thread that makes it, as `trace` asks for it.

    otherwise: asked for what is seen of a stretch in which no line is the user's own.
    """

    def __init__(self, trace: Trace, otherwise: Callable[[], Sighting | None]) -> None:
        self.began: int | None = None
        """When the present stretch began, time.perf_counter_ns(); None while the thread polls."""
        self._cpu = trace.cpu
        self._cpu_began = 0
        self._turn: int | None = None  # when the thread polled last
        self._delays = _Delays() if trace.cpu else None
        self._delay_began: int | None = None
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
            self._cpu_began = time.thread_time_ns()
        if self._delays is not None:
            self._delay_began = self._delays.read()
        self.began = self._turn = now

    def end(self, now: int) -> tuple[int | None, list[Sighting]]:
        """End the present stretch and begin the next; return the former's CPU and what was seen.

        CPU: nanoseconds; None if it is not measured.
        """
        cpu, began, seen = None, self.began, []
        if self._cpu:
            total = time.thread_time_ns()
            cpu, self._cpu_began = total - self._cpu_began, total
        self.began = now
        if self._watchdog is not None:
            if self._watchdog.asleep:
                self._watchdog.awaken()
            if began is not None and self._watchdog.has_seen(now - began):
                seen = self._watchdog.seen_between(began, now)
                if len(seen) == 1 and cpu is not None and self._slept(now - began, cpu):
                    seen.append(seen[0]._replace(seen=now))
        return cpu, seen

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
        # Since the last poll: that is more than in this stretch, and never less.
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
