"""trio, recorded as fiberlab's events: each of its tasks is a fiber of the trace.

    trace = Trace()
    run(main, trace=trace)     # in place of trio.run(main)
    plot_timeline(trace)

The rule kept here: trio is watched through its instruments, and not changed. A task that is
scheduled is a wake; what comes before and after its step is a resume and a yield; what comes
before and after its wait for the system is the poll. The function of trio in which a task is
suspended shows what the task waits for.

What it does not show: trio's first task, which only begins and ends the others. The task by which
other threads call into trio is shown from its first call on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import CodeType, FrameType
from typing import Any

from ..coroutines import frames_of
from ..recording.reporter import Observer
from .notes import Notes, check_new
from .suspended import giving_a_turn, receiving, sending, sleeping, suspended_at

_READINGS = {
    "wait_readable": receiving,
    "wait_writable": sending,
    "sleep": sleeping("seconds"),
    "sleep_until": lambda known: ("WAIT", known["deadline"] - _now()),
    "checkpoint": giving_a_turn,
    "cancel_shielded_checkpoint": giving_a_turn,
}


def run(function: Any, *args: Any, trace: Observer, **options: Any) -> Any:
    """Run an async function as ``trio.run`` does, and record in `trace` what its tasks do.

    options: those of ``trio.run``, such as ``clock=``. Returns and raises what it does. Raises
    TypeError for a trace that is none, ValueError for one that holds a run already.
    """
    import trio

    watch = Watch(trace)
    options["instruments"] = [*options.get("instruments", ()), watch]
    return trio.run(function, *args, **options)


class Watch:
    """A trio instrument that records what all tasks do; for where `run` cannot be used.

    Give it to ``trio.run(instruments=[...])``, or to ``trio.lowlevel.add_instrument`` while trio
    runs; then a task is recorded from its next step on.
    """

    def __init__(self, observer: Observer) -> None:
        check_new(observer)  # now: what is raised while trio runs is only logged
        self._observer = observer
        self._notes: Notes | None = None
        self._running: Any = None
        self._again = False  # whether the running task is ready again at once
        self._polling = False
        self._found = 0  # how many tasks the poll has woken
        self._unused: set[Any] = set()  # trio's own tasks that were only begun
        self._whole = False  # whether the run is recorded from its beginning
        self._main: Any = None  # then its main task
        self._reason = "done"

    def stop(self, reason: str) -> None:
        """Record that the run is over, or is watched no more."""
        self._begun().stop(reason)

    # -- What trio calls ------------------------------------------------------

    def before_run(self) -> None:
        """Begin the trace."""
        self._begun()
        self._whole = True

    def task_scheduled(self, task: Any) -> None:
        """`task` can go on."""
        notes, running = self._begun(), self._running
        if task is running:
            self._again = True  # its yield is recorded first
        elif not notes.knows(task):
            self._meet(task)
        elif running is not None:
            interrupted = notes.known[task].waits != "PARKED"
            notes.wake(task, "cancel" if interrupted else "fiber", running)
        else:
            self._found += self._polling
            notes.wake(task, "io" if self._polling else "timer")

    def before_task_step(self, task: Any) -> None:
        """`task` begins to run."""
        notes = self._begun()
        if not notes.knows(task) and (task not in self._unused or _has_calls()):
            self._meet(task)
        if notes.knows(task):
            self._running, self._again = task, False
            notes.resume(task)

    def after_task_step(self, task: Any) -> None:
        """`task` has stopped running."""
        if task is not self._running:
            return
        notes, self._running = self._begun(), None
        if not notes.knows(task):  # it has ended
            return
        found = suspended_at(frames_of(task.coro), _is_trio, _READINGS)
        notes.wait(task, *found)
        if self._again and found.seconds != 0:
            notes.wake(task, "cancel", task)

    def task_exited(self, task: Any) -> None:
        """`task` has ended; its step is not over yet."""
        notes = self._begun()
        if not notes.knows(task):
            return
        how, error = _ending(task)
        notes.end(task, how, error)
        if task is self._main and error is not None:
            self._reason = type(error).__name__

    def before_io_wait(self, timeout: float) -> None:
        """trio begins to poll."""
        self._begun().poll(timeout)
        self._polling, self._found = True, 0

    def after_io_wait(self, timeout: float) -> None:
        """trio has polled, and has scheduled the tasks that waited for what was found."""
        if self._polling:
            self._polling = False
            self._begun().polled(self._found)

    def after_run(self) -> None:
        """End the trace."""
        self.stop(self._reason)

    # -- Tasks ----------------------------------------------------------------

    def _begun(self) -> Notes:
        if self._notes is None:
            self._notes = Notes(self._observer, "trio")
            self._notes.watch("trio's own work")
            self._notes.work()  # until it polls, if the watch was added while it ran
        return self._notes

    def _meet(self, task: Any) -> None:
        """Begin to record a task, unless it is one of trio's own and does nothing yet."""
        nursery, code = task.parent_nursery, getattr(task.coro, "cr_code", None)
        over = self._main is not None and not self._begun().knows(self._main)
        if nursery is None or over:
            return
        if code is not None and _is_core(code) and task not in self._unused:
            self._unused.add(task)
            return
        self._unused.discard(task)
        if self._whole and self._main is None:
            self._main = task
        src = None if code is None else (code, -1)
        self._begun().spawn(task, _name_of(task), nursery.parent_task, src)


def _name_of(task: Any) -> str:
    """Return a task's name without its module: trio has put that before it."""
    if "_run_handler" in task.name:  # a server of trio calls what it was given: name that
        known = task.coro.cr_frame.f_locals
        return getattr(known.get("handler"), "__name__", "handler")
    name = str(task.name).strip("<>").split(" ")[0]
    return name.rpartition(".")[2] or "task"


_TRIO = f"{os.sep}trio{os.sep}"


def _is_trio(code: CodeType) -> bool:
    return _TRIO in code.co_filename


def _is_core(code: CodeType) -> bool:
    return f"{_TRIO}_core{os.sep}" in code.co_filename


def _now() -> float:
    import trio

    return float(trio.current_time())


def _has_calls() -> bool:
    """Whether other threads have asked trio to call something."""
    import trio

    return bool(trio.lowlevel.current_statistics().run_sync_soon_queue_size)


def _ending(task: Any) -> tuple[str, BaseException | None]:
    """Return how the task ended that trio reports just now, and its error.

    trio does not say so to an instrument. The function that calls us knows it: ``task_exited``
    with its variable ``outcome``, and its runner for the main task. So it is in trio 0.27 to 0.35;
    where it is not, each task just returns.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not (_is_trio(frame.f_code) and "outcome" in frame.f_locals):
        frame = frame.f_back
    known: Mapping[str, Any] = {} if frame is None else frame.f_locals
    runner, outcome = known.get("self"), known.get("outcome")
    if task is getattr(runner, "main_task", None):
        outcome = getattr(runner, "main_task_outcome", None)
    error = getattr(outcome, "error", None)
    if error is None:
        return "return", None
    return "cancel" if _is_cancelled(error) else "error", error


def _is_cancelled(error: BaseException) -> bool:
    import trio

    # A nursery gathers what its tasks raised in a group.
    members = getattr(error, "exceptions", None)
    if members is not None:
        return all(_is_cancelled(each) for each in members)
    return isinstance(error, trio.Cancelled)
