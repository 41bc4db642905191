"""A queue of asyncio's loop that looks at the clock, in place of the loop's own.

The rule kept here: nothing is noted for a step. Whose it was is read off the loop's frames, where
somebody asks.
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asyncio_stalls import StallWatch

# Globals are found faster than attributes of a module or a class.
_clock, _first_in = time.perf_counter, deque.popleft


class TimedQueue(deque[Any]):
    """A loop's queue that looks at the clock whenever a handle is taken from it.

    began: when the last was taken. due: when it is time to ask whether a step is a stall; math.inf
    while the loop polls, less than 0 when it has polled. polled: when it has. held: (began, handle)
    of a step that is a stall already, or the task in whose step the watching began. handed_to: the
    loop's own queue, where what was here went when the recorder was taken out.
    What stands in `popleft` is all that a step costs, so it is as short as it can be.
    """

    __slots__ = ("_grown", "_since", "began", "due", "handed_to", "held", "polled", "watch")

    def __init__(self, handles: Any, watch: StallWatch) -> None:
        super().__init__(handles)
        self.watch = watch
        self.held: tuple[float, Any] | None = None
        self.handed_to = deque[Any]()
        self.began = self.polled = time.perf_counter()
        self.due = math.inf
        self._since, self._grown = 0.0, list[tuple[int, int]]()

    def popleft(self) -> Any:
        moment = _clock()
        if moment > self.due:
            self.watch.overdue(moment)
            if not self:  # the recorder has failed: all is in the loop's own queue again
                return self.handed_to.popleft()
        self.began = moment
        return _first_in(self)

    def ran(self, began: float, frame: FrameType | None) -> Any:
        """Return the handle, or the task, of the step that `began` then; None: the loop's own.

        frame: the innermost of the loop's thread. Nothing is noted for a step, so it is read there.
        """
        held = self.held
        if held is not None and held[0] == began:
            return held[1]
        return of_loop(frame, "handle")

    def look(self, began: float, limit: float, thread: int) -> None:
        """Note how many handles there are in the step that `began` then, and whose it is if long.

        The watchdog's thread does so: when the loop asks for the last step of a turn, it is gone.
        """
        if began != self._since:
            self._since, self._grown = began, []
        if not self._grown or self._grown[-1][1] != len(self):
            self._grown.append((time.perf_counter_ns(), len(self)))
        known = self.held is not None and self.held[0] == began
        if not known and time.perf_counter() - began > limit:
            ran = self.ran(began, sys._current_frames().get(thread))
            if self.began == began:
                self.held = began, ran

    def ready_since(self, place: int, ended: int) -> int:
        """Return since when, at the latest, the handle at `place` was ready during a step."""
        if self._since != self.began:
            return ended
        return next((at for at, length in self._grown if place < length), ended)


def of_loop(frame: FrameType | None, name: str) -> Any:
    """Return a variable of asyncio's function that runs one turn of a loop; None if it has none."""
    while frame is not None and frame.f_code.co_name != "_run_once":
        frame = frame.f_back
    return None if frame is None else frame.f_locals.get(name)
