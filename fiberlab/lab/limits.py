"""Limits: no call of the lab goes on for ever, whatever a learner's program does.

    with Limit(10) as limit:
        judge(answer)
    if limit.reached: ...               # what the program was at

The rule kept here: when the time is over, the calling thread is interrupted as ^C interrupts it,
so that its finally blocks run; and again every half second until it leaves the block. What was
seen of it just before is kept. An interrupt that the learner sends is passed on as ever.

A loop that catches everything (``except:`` and ``continue``) catches the first interrupt, too. So
every second one is raised twice: again in the line that catches it.

What cannot be ended: a call of C code that keeps the interpreter's lock (``sum(range(10**12))``, a
regular expression that backtracks), since no other code runs; and two endless loops, one in the
other, that both catch everything. In a thread that is not the main one, a call that blocks is not
torn out of its wait either: Python gives signals to the main thread only.
"""

from __future__ import annotations

import _thread
import ctypes
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, NamedTuple

from ..coroutines import frames_of
from ..recording.culprit_line import Line, described, in_package, own_line, stack_of
from ..scheduler import Scheduler

_PASS = Scheduler.run_ready.__code__
_AGAIN = 0.5  # seconds between two interrupts; closing all fibers takes less
_LOOKED = 0.5  # for how many seconds before the end it is looked at
_LOOKS = 25


class Sight(NamedTuple):
    """What a program was at when its time was over.

    src: the line of its own, file:line; None if it was never seen at one. function: the name of
    the function there. fiber: the name of the fiber that ran. turns: whether the scheduler went
    on to resume fibers meanwhile; else the one step did not end.
    """

    src: str | None
    function: str | None
    fiber: str | None
    turns: bool

    def __str__(self) -> str:
        inside = "" if self.function in (None, "<module>") else f", in {self.function}"
        at = "" if self.src is None else f" at {self.src}{inside}"
        if self.fiber is None:
            return f"it was still at work{at}"
        if self.turns:
            return f"fiber {self.fiber} spins: it is resumed again and again{at}"
        return f"fiber {self.fiber} has not yielded{at}"


class Limit:
    """Interrupts the thread that entered it, if it has not left after so many `seconds`.

    reached: what was seen, if it came to that; then whatever leaves the block is swallowed.
    """

    def __init__(self, seconds: float) -> None:
        self.reached: Sight | None = None
        self._seconds = seconds
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="fiberlab limit", daemon=True)
        self._thread = 0
        self._depth = 0  # how many frames the stack had on entering
        self._again = _Again(0)

    def __enter__(self) -> Limit:
        self._thread = threading.get_ident()
        self._depth = len(stack_of(sys._getframe(1)))
        self._again = _Again(self._depth)
        try:
            self._watcher.start()
        except BaseException:
            self._over.set()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        interrupt = None
        ended = False
        while not ended:
            try:  # an interrupt may still be on its way
                self._end()
                ended = True
            except KeyboardInterrupt as late:
                interrupt = late
        if self.reached is None and interrupt is not None:
            raise interrupt
        return self.reached is not None

    def _end(self) -> None:
        """End the watcher, and wait for what it may have sent."""
        self._over.set()
        self._watcher.join()
        if self.reached is not None:
            threading.Event().wait(0.01)
            self._again.undo()

    # -- The watcher's thread -------------------------------------------------

    def _watch(self) -> None:
        looked = min(_LOOKED, self._seconds / 2)
        if self._over.wait(self._seconds - looked):
            return
        looks = []
        for _ in range(_LOOKS):
            looks.append(self._look())
            if self._over.wait(looked / _LOOKS):
                return
        self.reached = _sight(looks)
        insist = False
        while not self._over.is_set():
            _interrupt(self._thread, self._again.interrupt() if insist else None)
            insist = not insist
            self._over.wait(_AGAIN)

    def _look(self) -> _Look:
        """Look where the thread is inside the block."""
        frame = sys._current_frames().get(self._thread)
        stack = [] if frame is None else stack_of(frame)
        inside = stack[: max(0, len(stack) - self._depth)]
        passing = frame
        while passing is not None and passing.f_code is not _PASS:
            passing = passing.f_back
        fiber = None if passing is None else passing.f_locals.get("fiber")
        return _Look(own_line(inside), passing, fiber)


def line_of_thread(thread: int | None) -> str | None:
    """Return the line of its own, file:line, that a thread is at; None if there is none."""
    frame = None if thread is None else sys._current_frames().get(thread)
    line = None if frame is None else own_line(stack_of(frame))
    return None if line is None else described(line)[0]


def suspended_at(generator: Any) -> Line | None:
    """Return the innermost line of its own at which a generator is suspended."""
    frames = list(frames_of(generator))[::-1]
    return own_line(Line(each.f_code, each.f_lasti, each.f_lineno) for each in frames)


class _Look(NamedTuple):
    """The line of its own that the thread was at; and the frame of the scheduler's pass, if any.

    The frame is kept, so that no other can be mistaken for it. fiber: the one that was resumed.
    """

    line: Line | None
    passing: FrameType | None
    fiber: Any


def _sight(looks: list[_Look]) -> Sight:
    """Make one sight of some looks, the last of which counts most."""
    last = looks[-1]
    if all(look.passing is last.passing for look in looks):
        lines = [look.line for look in looks if look.line is not None]
        return _told(lines[-1] if lines else None, last.fiber, turns=False)
    fibers = [look.fiber for look in looks if look.fiber is not None]
    if not fibers:
        return _told(last.line, None, turns=False)
    # Where it yields rather than where it was seen: a look may find what only passes by, such as
    # an audit hook.
    lines_of = {each: suspended_at(each.generator) or _commonest(looks, each) for each in fibers}
    # A learner's fiber rather than one that only takes its turns beside it.
    chosen = max(fibers, key=lambda each: (_is_learners(lines_of[each]), fibers.count(each)))
    return _told(lines_of[chosen], chosen, turns=True)


def _commonest(looks: list[_Look], fiber: Any) -> Line | None:
    """Return the line at which most looks found `fiber`; None if none found one."""
    lines = [look.line for look in looks if look.fiber is fiber and look.line is not None]
    return max(lines, key=lines.count, default=None)


def _is_learners(line: Line | None) -> bool:
    return line is not None and not in_package(line.code.co_filename)


def _told(line: Line | None, fiber: Any, *, turns: bool) -> Sight:
    src, function = (None, None) if line is None else (described(line)[0], line.code.co_name)
    return Sight(src, function, None if fiber is None else fiber.name, turns)


def _interrupt(thread: int, insistent: type[KeyboardInterrupt] | None) -> None:
    """Raise KeyboardInterrupt in a thread, as ^C does in the main one; or one that insists."""
    main = thread == threading.main_thread().ident
    if insistent or not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        error = ctypes.py_object(insistent or KeyboardInterrupt)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), error)
    elif hasattr(signal, "pthread_kill"):
        signal.pthread_kill(thread, signal.SIGINT)  # ends a sleep, too
    else:
        _thread.interrupt_main()


# -- Raised twice ----------------------------------------------------------------


class _Again:
    """Raises KeyboardInterrupt at the next line of any function in which one is caught.

    depth: how many frames of the stack are not a learner's.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._frames: list[tuple[FrameType, Any]] = []  # each with what traced it before
        self._before: Any = None

    def interrupt(self) -> type[KeyboardInterrupt]:
        """Return an interrupt to raise; Python makes it in the thread in which it is raised."""

        def made(error: KeyboardInterrupt) -> None:
            self._watch(sys._getframe(1))

        return type("KeyboardInterrupt", (KeyboardInterrupt,), {"__init__": made})

    def undo(self) -> None:
        """Give tracing back to a debugger, say; in the thread that was interrupted."""
        if self._frames:
            sys.settrace(self._before)
        for frame, before in self._frames:
            frame.f_trace = before
        self._frames.clear()

    def _watch(self, frame: FrameType) -> None:
        self.undo()
        self._before = sys.gettrace()
        inner: FrameType | None = frame
        for _ in range(len(stack_of(frame)) - self._depth):
            if inner is None or in_package(inner.f_code.co_filename):
                break  # whatever is below was not written by a learner
            self._frames.append((inner, inner.f_trace))
            inner.f_trace = _raise_at_line
            inner = inner.f_back
        sys.settrace(_look_at_nothing)


def _look_at_nothing(frame: FrameType, event: str, arg: Any) -> None:
    """Be there, since Python calls the `f_trace` of a frame only if a thread is traced."""


def _raise_at_line(frame: FrameType, event: str, arg: Any) -> Any:
    if event != "line":
        return _raise_at_line
    raise KeyboardInterrupt
