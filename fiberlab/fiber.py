"""A fiber: a generator, and what the scheduler knows about it.

The rule kept here: where a fiber is follows from what it waits for. `wait` is the value it
yielded, None while it is ready or running; only the scheduler writes it, when the fiber parks
and when it is made ready. So `state` can never disagree with the facts.

The public names of a Fiber are for its users. Its underscore names are notes of the scheduler
and its parts (endings, alarms, poller, output); no other module reads them.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextvars import copy_context
from typing import Any, Protocol

from .coroutines import awaitable
from .errors import FiberCancelled, without_frames_of
from .states import FiberState, state_after
from .waits import WAIT, Wait

FiberGenerator = Generator[Wait, None, Any]
"""A generator that yields waits and nothing else."""

Handler = Callable[[Any, Any], FiberGenerator]
"""A generator function that is called with a connection's socket and the peer's address."""


class Fiber:
    """A generator under a scheduler; made by ``scheduler.add`` and ``start``, not by hand.

    id: 1 and up, never used twice by a scheduler. wait: what it waits for, or None.
    result: what it returned. error: the exception that ended it, or None.
    """

    __slots__ = (
        "__weakref__",
        "_alarm",
        "_context",
        "_in_heap",
        "_log",
        "_looked",
        "_name",
        "_owned",
        "_scheduler",
        "_told",
        "_watch",
        "error",
        "generator",
        "id",
        "pending",
        "result",
        "traceback",
        "wait",
    )

    def __init__(self, number: int, generator: Any, name: str | None, scheduler: Any) -> None:
        _check_generator(generator, scheduler)
        if name is not None and not isinstance(name, str):
            raise TypeError(f"a fiber's name is text or None, got {name!r}")
        self.id = number
        self.generator: Any = generator  # None once it is done
        self.wait: Wait | None = None
        self.pending: BaseException | None = None  # thrown at its next resume
        self.error: BaseException | None = None
        self.traceback: Any = None  # the traceback of `error`, when it ended
        self.result: Any = None
        self._name = name
        self._scheduler = scheduler
        self._context = copy_context()  # its own context variables, as an asyncio task has
        # The notes of the scheduler and its parts:
        self._looked = False  # whether its last wake was from WAIT(None)
        self._watch: Any = None  # the poller's record of the socket it waited on last
        self._alarm: int | None = None  # the alarms' two entries
        self._in_heap: int | None = None
        self._log: Any = None  # what it has printed, while that is withheld
        self._told = False  # whether its last output was written
        self._owned: Any = None  # a socket that is closed when the fiber ends

    @property
    def name(self) -> str:
        """The name it was given, or its function's with its id: ``echo-3``."""
        if self._name is None:
            name = getattr(self.generator, "__name__", "fiber")
            return f"{name}-{self.id}"
        return self._name

    @property
    def state(self) -> FiberState:
        """Where the fiber is now."""
        if self.generator is None:
            return FiberState.DONE
        if self.wait is None:
            running = self._scheduler.running is self
            return FiberState.RUNNING if running else FiberState.READY
        kind, seconds = type(self.wait).__name__, getattr(self.wait, "seconds", None)
        return state_after("yield", kind, seconds) or FiberState.READY

    def cancel(self) -> None:
        """Throw FiberCancelled into the fiber at its yield; of no effect once it is done.

        A fiber that cancels itself gets it at its next yield. Call it in the scheduler's own
        thread, in or outside a fiber. A signal handler may interrupt a pass: there, call
        ``scheduler.stop()`` instead. For the same reason a trace's observer gets RuntimeError.
        """
        if self.generator is not None:
            self._scheduler._throw(self, FiberCancelled(f"fiber {self.name!r} was cancelled"))

    def _throw(self) -> Any:
        """Throw the pending exception at the yield; return what the fiber yields next."""
        assert self.pending is not None
        error, self.pending = self.pending, None
        return self._context.run(self.generator.throw, error)

    def _end(self) -> str:
        """Return how the fiber ended: "return", "cancel" or "error".

        `error` holds the exception that left the generator. If that was a return, `error` is
        None afterwards. A second call changes nothing.
        """
        if self.generator is None and self.id not in self._scheduler._alive:
            raise RuntimeError(
                f"the run queue gives fiber {self.id} again, which has ended: mend its append and "
                "popleft"
            ) from None
        error, name = self.error, self.name
        returned = isinstance(error, StopIteration)
        if self.generator is not None and not returned:
            with contextlib.suppress(Exception):
                # For a ^C that came just before it was resumed.
                self._context.run(self.generator.close)
        if error is not None and not returned:
            # The fiber's own frames only: the scheduler's would be kept alive by the error.
            without_frames_of(error, "fiberlab.scheduler", __name__)
            self.traceback = error.__traceback__
        # No call from here on: ^C comes between calls, so all of this is done or nothing.
        if returned:
            self.result, self.error = error.value, None  # type: ignore[union-attr]
        self._name, self.generator = name, None
        if self.error is None:
            return "return"
        return "cancel" if isinstance(error, (FiberCancelled, GeneratorExit)) else "error"

    def _let_go(self) -> None:
        """Drop what an ended fiber held, and close the socket it owned."""
        self.wait = self._watch = self.pending = self._log = None
        if self._owned is not None:
            with contextlib.suppress(OSError):  # its descriptor was closed elsewhere
                self._owned.close()

    def __repr__(self) -> str:
        return f"<Fiber {self.id} {self.name!r} {self.state.value}>"


def _check_generator(generator: Any, scheduler: Any) -> None:
    """Raise TypeError unless it is a generator, ValueError if it cannot be a new fiber."""
    if not isinstance(generator, Generator):
        hint = ": did you call it?" if callable(generator) else ""
        if isinstance(generator, Coroutine):
            hint = ": give it as as_fiber(...)"
            generator.close()  # else Python also warns that it was never awaited
        raise TypeError(f"add() needs a generator, got {generator!r}{hint}")
    again = "call its function once more for another fiber"
    for fiber in scheduler._alive.values() if generator in scheduler._generators else ():
        if fiber.generator is generator:
            raise ValueError(f"add() got the generator of fiber {fiber.name!r}; {again}")
    if getattr(generator, "gi_running", False):
        raise ValueError(f"add() got {generator!r}, which is running just now; {again}")


class RunQueue(Protocol):
    """What a scheduler needs of its run queue; a deque has it."""

    def append(self, fiber: Fiber, /) -> None:
        """Add a fiber that has become ready."""
        ...

    def popleft(self) -> Fiber:
        """Take out the fiber to be resumed next."""
        ...

    def __len__(self) -> int: ...


def make_queue(given: RunQueue | None) -> RunQueue:
    """Return `given`, or a deque for None; raise TypeError if it cannot be a run queue."""
    if given is None:
        return deque()
    if not all(hasattr(given, verb) for verb in ("append", "popleft", "__len__")):
        raise TypeError(
            f"run_queue= needs append, popleft and a length, as a deque has them; got {given!r}"
        )
    return given


_here = threading.local()


def scheduler_of_thread() -> Any:
    """Return the scheduler whose run() is under way in this thread, or None."""
    return getattr(_here, "scheduler", None)


def set_scheduler_of_thread(scheduler: Any) -> None:
    """Note which scheduler runs in this thread, for `start`; None: there is none."""
    _here.scheduler = scheduler


def start(generator: FiberGenerator, name: str | None = None) -> Fiber:
    """Add `generator` to the scheduler that runs the calling fiber, and return its fiber.

    Raises RuntimeError outside a fiber; use ``scheduler.add`` there.
    """
    scheduler = scheduler_of_thread()
    if scheduler is None or scheduler.running is None:
        raise RuntimeError("start() works only inside a running fiber; outside, use scheduler.add")
    fiber: Fiber = scheduler.add(generator, name)
    return fiber


@awaitable
def join(fiber: Fiber) -> Generator[Wait, None, Any]:
    """Wait until `fiber` has ended: ``result = yield from join(fiber)``.

    Returns its result, or raises the exception that ended it. Waits with WAIT(None): it looks
    again each time another fiber has run.
    """
    if not isinstance(fiber, Fiber):
        hint = ": write join(start(...))" if isinstance(fiber, Generator) else ""
        raise TypeError(f"join() needs a fiber, as start() returns it, got {fiber!r}{hint}")
    while fiber.generator is not None:
        yield WAIT(None)
    if fiber.error is not None:
        # With its own traceback: each joiner would add its frames to what the next one sees.
        raise fiber.error.with_traceback(fiber.traceback)
    return fiber.result


@contextlib.contextmanager
def mark(name: str, /, **args: Any) -> Iterator[None]:
    """Name a piece of work in the trace, across yields: ``with mark("request 7"):``.

    The same name in several fibers groups what they do for one request. args: recorded with it.
    Outside a running fiber, or without a trace, it does nothing.
    """
    scheduler = scheduler_of_thread()
    fiber = None if scheduler is None else scheduler.running
    report = None if fiber is None else scheduler._report
    if report is None:
        yield
        return
    number = report.number_of_mark()
    report.mark(fiber, name, "b", number, args)
    try:
        yield
    finally:
        if scheduler._report is report:  # a generator may be closed long after the run
            report.mark(fiber, name, "e", number)
