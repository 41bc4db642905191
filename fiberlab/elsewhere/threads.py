"""Threads, sampled and recorded as fiberlab's events: each thread is a fiber of the trace.

    trace = Trace()
    with watching(trace):
        pool.map(work, jobs)
    plot_timeline(trace)

The rule kept here: what a sampler cannot tell is recorded as unknown. Nobody says when a thread is
switched to, so a thread of ours looks at all others now and then. Seen is the call that a thread is
in, such as ``sock.recv``, and on Linux the processor time that it has used since the last look. One
that used at least half of that time ran. Of the others those in a known call waited. The rest may
have waited for the interpreter's lock, for the machine, or in a call of which nothing is known.

What it does not show: what begins and ends between two looks. Several threads may run at once, so
`check_story` does not hold for such a trace, and `diagnose` says nothing of long steps.
"""

from __future__ import annotations

import contextlib
import linecache
import re
import sys
import threading
import time
from collections.abc import Iterator
from types import CodeType
from typing import Any

from ..recording.culprit_line import Line, calls, described, own_line, stack_of
from ..recording.reporter import Observer
from .notes import Notes

_WAITS = {
    **dict.fromkeys(("recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg"), "RECV"),
    **dict.fromkeys(("accept", "select", "poll", "control"), "RECV"),
    **dict.fromkeys(("send", "sendall", "sendto", "sendmsg", "sendfile", "connect"), "SEND"),
    "sleep": "SLEEP",
    **dict.fromkeys(("acquire", "wait", "join", "get", "put", "waitpid"), "WAIT"),
}
"""The functions in C that wait, and the op of a thread that is in one."""

_OURS = {"fiberlab sampler", "fiberlab watchdog", "fiberlab attach"}
"""The names of threads that only look on."""

_WHY = {"RECV": "io", "SEND": "io", "SLEEP": "timer"}


@contextlib.contextmanager
def watching(trace: Observer, every: float = 0.005, *, all_threads: bool = True) -> Iterator[None]:
    """Sample the threads of this process inside the block, and record in `trace` what was seen.

    every: seconds between two looks; a look takes the interpreter's lock, some 10 µs a thread.
    all_threads: False records only those that begin inside the block, and the calling one.
    Raises ValueError if `every` is not more than 0, or more than an hour.
    """
    if isinstance(every, bool) or not isinstance(every, (int, float)) or not 0 < every <= 3600:
        raise ValueError(f"watching(every=) is seconds > 0, got {every!r}; at most 3600")
    ignored = set() if all_threads else set(sys._current_frames()) - {threading.get_ident()}
    sampler = _Sampler(trace, ignored)
    over = threading.Event()

    def sample() -> None:
        while not over.wait(every):
            sampler.look()

    thread = threading.Thread(target=sample, name="fiberlab sampler", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        raised = sys.exc_info()[0]
        sampler.end("done" if raised is None else raised.__name__)


class _Sampler:
    """What is known of the threads of this process; `ignored` are those not to record."""

    def __init__(self, trace: Observer, ignored: set[int]) -> None:
        self._notes = Notes(trace, "threads")
        self._ignored = ignored
        self._seen: dict[Any, tuple[str, Any]] = {}  # the op of each thread, and its line
        self._clocks: dict[Any, tuple[int, int]] = {}  # when it was looked at, and its time
        self._before = self._now = 0  # the last two looks
        self._ops: dict[tuple[CodeType, int], str] = {}

    def look(self) -> None:
        """Look at every thread once."""
        self._before, self._now = self._now, time.perf_counter_ns()
        frames = sys._current_frames()
        # The oldest first, then those that were not begun by Python.
        threads: dict[Any, Any] = {each.ident: each for each in threading.enumerate()}
        alive = set()
        for ident in (*threads, *(frames.keys() - threads.keys())):
            thread = threads.get(ident)
            if ident not in frames or self._is_ignored(ident, thread):
                continue
            key = ident if thread is None else thread
            alive.add(key)
            stack = stack_of(frames[ident])
            self._note(key, self._op_of(thread, stack[0]), own_line(stack))
        for key in self._seen.keys() - alive:
            self._end(key)

    def _is_ignored(self, ident: int, thread: threading.Thread | None) -> bool:
        return ident in self._ignored or getattr(thread, "name", None) in _OURS

    def end(self, reason: str) -> None:
        """Record that no thread is watched any more."""
        for key in list(self._seen):
            self._end(key)
        self._notes.stop(reason)

    def _op_of(self, thread: threading.Thread | None, line: Line) -> str:
        """Return what a thread did since the last look: "run", an op, or "unknown"."""
        share = None if thread is None else self._share(thread)
        if share is not None and share >= 0.5:
            return "run"
        place = line.code, line.offset
        if place not in self._ops:
            self._ops[place] = _WAITS.get(_called(line) or "", "unknown")
        return self._ops[place]

    def _share(self, thread: threading.Thread) -> float | None:
        """Return which part of the time since the last look the thread ran; None: not known."""
        used = _processor_time(thread.native_id)
        if used is None:
            return None
        now = time.perf_counter_ns()
        # One that is new has begun after the last look, and had run for no time then.
        then, before = self._clocks.get(thread, (self._before or now, 0))
        self._clocks[thread] = now, used
        return (used - before) / (now - then) if now > then else None

    def _note(self, key: Any, op: str, line: Line | None) -> None:
        src = None if line is None else (line.code, line.offset)
        if key not in self._seen:
            self._notes.spawn(key, _name_of(key), src=src)
            self._notes.resume(key)
        elif self._seen[key] == (op, src) or self._seen[key][0] == op == "run":
            return
        else:
            self._resume(key)
        self._seen[key] = op, src
        if op != "run":
            self._notes.wait(key, op, src=src)

    def _resume(self, key: Any) -> None:
        before = self._seen[key][0]
        if before != "run":
            self._notes.wake(key, _WHY.get(before, "fiber"))
            self._notes.resume(key)

    def _end(self, key: Any) -> None:
        self._resume(key)
        self._notes.end(key, "return")
        del self._seen[key]
        self._clocks.pop(key, None)


def _name_of(key: Any) -> str:
    """Return a thread's name: that of its function, if Python named it after that."""
    name = getattr(key, "name", "thread")
    function = re.search(r"\((\w+)\)$", name)
    return function[1] if function else name


def _processor_time(native_id: int | None) -> int | None:
    """Return the nanoseconds that a thread has run; None if it has ended or nobody tells.

    Linux makes a clock of a thread's id as clock_getcpuclockid(3) does: its bits inverted, three
    more for the kind.
    """
    if sys.platform != "linux" or native_id is None:
        return None
    try:
        return time.clock_gettime_ns((~native_id << 3) | 6)
    except OSError:
        return None


# -- Which call a thread is in ------------------------------------------------


def _called(line: Line) -> str | None:
    """Return the last name of the function in C that is being called at a line, if one is.

    A function in Python would have a line of its own. A ``with`` that does not go on waits for
    its lock.
    """
    source = linecache.getline(line.code.co_filename, line.number)
    if not calls(line) and not _WITH.match(source):
        return None
    text = described(line)[1]
    names = _NAME.findall(text[: _begin_of_arguments(text)])
    if names and text.endswith(")"):
        return str(names[-1])
    # Before Python 3.11 it is the whole line.
    known = (name for name in _CALLED.findall(text) if name in _WAITS)
    return next(known, "acquire" if _WITH.match(source) else None)


_NAME = re.compile(r"\w+")
_CALLED = re.compile(r"(\w+)\(")
_WITH = re.compile(r"\s*with\b")


def _begin_of_arguments(text: str) -> int:
    """Return where in the source of a call the bracket of its arguments opens."""
    depth = 0
    for at in range(len(text) - 1, -1, -1):
        depth += (text[at] == ")") - (text[at] == "(")
        if depth == 0:
            return at
    return 0
