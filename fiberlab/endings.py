"""How a fiber ends, and how a run ends: everything is recorded once, and everything is closed.

`finish` runs whenever a fiber has ended. The rest is for leaving run(). The scheduler itself does
not guard against ^C; this module does.

What ^C may break. Python raises KeyboardInterrupt between two calls: mostly in a fiber's own code
or in the poll, but sometimes in the middle of the scheduler's code. Then a fiber may have left
the run queue without being resumed. Or it has yielded, and its wait is not noted. Or it was made
ready, and the trace has no event for that. Guarding each of these places would make the loop
slow and hard to read. Three rules make them harmless instead:

- Of all that the scheduler has noted, only one thing is believed here: which fibers are alive. A
  fiber counts as alive until its whole end is recorded. So this module does what ^C left undone.
- The last event of a fiber in the trace decides which event comes next. So its story holds
  together, whether the scheduler was ahead of the trace or behind it.
- Everything here may be done twice. run() stands inside two of these guards: if ^C strikes while
  the inner one is at work, the outer one does what is left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from .alarms import Alarms
from .fiber import Fiber, scheduler_of_thread, set_scheduler_of_thread

TRIES = 4
"""How often an action that raises is tried. ^C strikes once; an observer may raise each time."""


def finish(scheduler: Any, fiber: Fiber, *, recorded: bool = False) -> None:
    """Record how `fiber` has ended, unless the trace has that already, and forget it.

    Raises the exception that ended it if that ends the run too: KeyboardInterrupt or SystemExit.
    """
    generator, how = fiber.generator, fiber._end()
    scheduler._output.last_line(fiber)
    if scheduler._report is not None and not recorded:
        scheduler._report.exit(fiber, how)
    scheduler._output.end(fiber, how)
    fiber._let_go()  # last: a client that sees its end closed finds the output written
    del scheduler._alive[fiber.id]
    scheduler._generators.discard(generator)
    scheduler._alarms.forget_old()
    if isinstance(fiber.error, (KeyboardInterrupt, SystemExit)):
        raise fiber.error


def enter(scheduler: Any) -> None:
    """Take what a run needs, and admit the fibers that were added before."""
    scheduler._entered = True
    set_scheduler_of_thread(scheduler)
    scheduler._poller.open()
    scheduler._output.catch(lambda: scheduler.running)
    if scheduler._reporter is not None:
        reporter = scheduler._reporter.begin(scheduler)
        scheduler._report = scheduler._output.report = reporter
    # What an earlier run has left there. Not when that run was left: it may be the run queue, a
    # student's, that does not come back, and then it would take one ^C more for each fiber.
    for _ in range(len(scheduler._queue)):
        scheduler._queue.popleft()
    for fiber in list(scheduler._alive.values()):
        scheduler._admit(fiber)


@contextmanager
def leaving(scheduler: Any) -> Iterator[None]:
    """Close the scheduler's fibers and restore it as before run(), whatever ends the block."""
    if scheduler._entered:
        raise RuntimeError("this scheduler is running already")
    outer, queue, raised = scheduler_of_thread(), scheduler._queue, None
    try:
        yield
    except BaseException as error:
        raised = type(error)
        raise
    finally:
        with ExitStack() as last:  # callbacks run from the last to the first, even if one raises
            last.callback(_reset, scheduler, queue)
            last.callback(scheduler._poller.close)
            last.callback(set_scheduler_of_thread, outer)
            last.callback(scheduler._output.release)
            if scheduler._reporter is not None:
                last.callback(scheduler._reporter.stop, raised, scheduler._stopping)
            _close_fibers(scheduler)


def _reset(scheduler: Any, queue: Any) -> None:
    """Restore the state before run(); `queue` is the run queue that the scheduler had then."""
    scheduler._queue = queue
    scheduler._generators.clear()
    scheduler._parked, scheduler._alarms = {}, Alarms(scheduler._alive)
    scheduler._entered = scheduler._stopping = False
    scheduler._report = scheduler._output.report = scheduler.running = None


def _close_fibers(scheduler: Any) -> None:
    """Close every fiber that is alive; then raise the first exception that came up.

    In the order of adding, except that a fiber whose step has no end in the trace comes first.
    """
    if not scheduler._alive:
        return
    fatal = _insist(_make_all_ready, scheduler)
    queued = set(scheduler._queue)
    first = [fiber for fiber in scheduler._alive.values() if fiber not in queued]
    while scheduler._alive:
        fiber = first.pop() if first else next(iter(scheduler._alive.values()))
        error = _insist(_close, scheduler, fiber)
        fatal = fatal or error
        scheduler._alive.pop(fiber.id, None)
    scheduler.running = None
    if fatal is not None:
        raise fatal


def _insist(action: Callable[..., None], *arguments: Any) -> BaseException | None:
    """Call `action` until it returns, TRIES times at most; return what it raised first."""
    first = None
    for _ in range(TRIES):
        try:
            action(*arguments)
        except BaseException as error:
            first = first or error
        else:
            break
    return first


def _make_all_ready(scheduler: Any) -> None:
    """Put every fiber that is alive into a new run queue, except one that runs or has ended."""
    report = scheduler._report
    last = {} if report is None else report.last_events(scheduler._alive.values())
    scheduler.running = None
    fibers = scheduler._alive.values()
    scheduler._queue = deque(
        fiber for fiber in fibers if last.get(fiber.id) not in ("resume", "exit")
    )
    for fiber in scheduler._queue:
        fiber.wait = None
    if report is not None:
        report.end_poll()
        length = sum(event == "wake" for event in last.values())
        for fiber in scheduler._queue:
            was = last[fiber.id]
            if not was:
                report.spawn(fiber, 0)
            if was != "wake":
                length += 1
                report.wake([fiber], 0, "cancel" if was == "yield" else "spawn", length)


def _close(scheduler: Any, fiber: Fiber) -> None:
    """Close one fiber, and record its end."""
    if fiber.id not in scheduler._alive:
        return
    queue, report, was = scheduler._queue, scheduler._report, ""
    scheduler.running = fiber
    if fiber in queue:
        queue.remove(fiber)
        was = "wake"
    elif report is not None:  # ^C came while it ran, or while it was being closed
        was = report.last_events([fiber])[fiber.id]
    if report is not None and was == "wake":
        report.resume(fiber, len(queue))
    if fiber.generator is not None and fiber.error is None:
        try:
            _close_generator(fiber)
        except BaseException as error:
            fiber.error = error
    finish(scheduler, fiber, recorded=was == "exit")


def _close_generator(fiber: Fiber) -> None:
    """Run the generator's finally blocks.

    Raises GeneratorExit when all is well, else what they raise, or RuntimeError if the
    generator goes on yielding.
    """
    for _ in range(3):  # some fibers catch GeneratorExit in their loop once, by mistake
        try:
            fiber._context.run(fiber.generator.close)
        except RuntimeError:
            if getattr(fiber.generator, "gi_frame", None) is None:
                raise
        else:
            raise GeneratorExit
    raise RuntimeError(
        f"fiber {fiber.name!r} goes on yielding while it is closed and was abandoned; "
        "let GeneratorExit pass, and yield in no finally block"
    )
