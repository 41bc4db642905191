"""watch: a trace of a scheduler of one's own, or of generators that are stepped by hand.

    mine = Turns()
    trace = watch(mine)        # then mine.add(...), mine.run(), step(trace)

    guests, trace = watch_each({"ann": visit("ann")})   # then next(guests["ann"]), step(trace)

The rule kept here: what is watched does what it would have done. The run queue tells what is put
in, the generators tell when they run and what they yield, and `select` tells when it waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, SupportsIndex

from ...elsewhere.notes import Notes
from ...io.descriptors import number_of
from ...recording.reporter import suspended_at
from ...simulation.clock import SimulatedClock
from ...trace.trace import Trace
from ...waits import RECV, SEND, WAIT

_STEP = 0.01  # seconds that a step by hand counts
_SOURCE = "a scheduler of a lesson"
_WHY = {"RECV": "io", "SEND": "io", "SLEEP": "timer", "PARKED": "fiber"}


def watch(scheduler: Any, clock: SimulatedClock | None = None) -> Trace:
    """Return a Trace that fills with what a scheduler of the lessons does from now on.

    scheduler: has `add`, `run`, and a `queue`, a deque or a list that is empty still; perhaps a
    `select`.
    clock: the one by which it runs; None: real time. Raises ValueError if fibers were added.
    """
    if scheduler.queue:
        raise ValueError("watch() comes before the first add(): fibers are in the run queue")
    trace = Trace(stall_after=None)
    watcher = _Watcher(Notes(trace, _SOURCE, clock))
    add, run = scheduler.add, scheduler.run
    scheduler.queue = _TellingQueue(watcher)
    scheduler.add = lambda fiber: add(watcher.told(fiber))
    if hasattr(scheduler, "select"):
        scheduler.select = watcher.telling(scheduler.select)

    def run_and_stop() -> None:
        try:
            run()
        finally:
            watcher.notes.stop()

    scheduler.run = run_and_stop
    return trace


def watch_each(
    fibers: Mapping[str, Generator[Any, Any, Any]],
) -> tuple[dict[str, Generator[Any, Any, Any]], Trace]:
    """Return generators that do what `fibers` do, and a Trace that fills with their steps.

    Each step counts as ten milliseconds, so that it can be seen.
    """
    trace, clock = Trace(stall_after=None), SimulatedClock()
    watcher = _Watcher(Notes(trace, "generators stepped by hand", clock), clock)
    return {name: watcher.told(each, name) for name, each in fibers.items()}, trace


class _Watcher:
    """Keeps the notes of one run, and which fiber ran last.

    clock: moved by each step; None: time passes by itself.
    """

    def __init__(self, notes: Notes, clock: SimulatedClock | None = None) -> None:
        self.notes, self.clock = notes, clock
        self.ran: _Told | None = None
        self._names: Counter[str] = Counter()

    def told(self, generator: Generator[Any, Any, Any], name: str | None = None) -> _Told:
        """Return a generator that does what `generator` does, and tells of each step."""
        name = name or str(getattr(generator, "__name__", "fiber"))
        self._names[name] += 1
        told = _Told(self, generator, name)
        shown = name if self._names[name] == 1 else f"{name}-{self._names[name]}"
        self.notes.spawn(told, shown, self.ran, numbered=False)
        return told

    def woken(self, fiber: Any) -> None:
        """Note that a fiber can go on, unless that is known: after its birth, or a WAIT(0)."""
        known = self.notes.known.get(fiber)
        if known is not None and known.waits:
            by = self.ran if known.waits == "PARKED" else None
            self.notes.wake(fiber, _WHY[known.waits], by)

    def yielded(self, fiber: _Told, wait: Any, src: Any) -> None:
        """Note what a fiber waits for; what is no wait is one for the next turn."""
        kind = wait.__class__
        if kind is RECV or kind is SEND:
            self.notes.wait(fiber, kind.__name__, src=src, fileno=number_of(wait.sock))
        else:
            self.notes.wait(fiber, "WAIT", wait.seconds if kind is WAIT else 0, src)

    def telling(self, select: Callable[..., Any]) -> Callable[..., Any]:
        """Return a `select` that tells when it is called, and when it returns."""

        def telling(readers: Any, writers: Any, errors: Any, timeout: Any = None) -> Any:
            self.notes.poll(timeout)
            found = select(readers, writers, errors, timeout)
            self.notes.polled(len(found[0]) + len(found[1]))
            return found

        return telling


class _Told(Generator[Any, Any, Any]):
    """A generator that tells its watcher when it runs, what it yields, and how it ends."""

    def __init__(self, watcher: _Watcher, generator: Generator[Any, Any, Any], name: str) -> None:
        self._watcher, self._generator = watcher, generator
        self.__name__ = name

    def send(self, value: Any, /) -> Any:
        """Make a step, as the generator does."""
        return self._step(self._generator.send, value)

    def throw(self, *error: Any) -> Any:
        """Make a step that begins with an error."""
        return self._step(self._generator.throw, *error)

    def _step(self, resume: Callable[..., Any], *given: Any) -> Any:
        watcher, notes = self._watcher, self._watcher.notes
        if not notes.knows(self):  # it has ended
            return resume(*given)
        watcher.woken(self)  # where it was not put into the queue
        notes.resume(self)
        watcher.ran = self
        try:
            wait = resume(*given)
        except StopIteration:
            self._end("return")
            raise
        except GeneratorExit:
            self._end("cancel")
            raise
        except BaseException as error:
            self._end("error", error)
            raise
        self._pass_time()
        watcher.yielded(self, wait, suspended_at(self._generator))
        return wait

    def _end(self, how: str, error: BaseException | None = None) -> None:
        self._pass_time()
        self._watcher.notes.end(self, how, error)

    def _pass_time(self) -> None:
        if self._watcher.clock is not None:
            self._watcher.clock.burn(_STEP)


class _TellingQueue(list[Any]):
    """A run queue that tells its watcher what is put in; used as a deque or as a list."""

    def __init__(self, watcher: _Watcher) -> None:
        super().__init__()
        self._watcher = watcher

    def popleft(self) -> Any:
        """Take out the fiber in front."""
        return self.pop(0)

    def append(self, fiber: Any, /) -> None:
        """Put a fiber in at the end."""
        self.insert(len(self), fiber)

    def appendleft(self, fiber: Any, /) -> None:
        """Put a fiber in at the front."""
        self.insert(0, fiber)

    def insert(self, place: SupportsIndex, fiber: Any, /) -> None:
        """Put a fiber in at a place."""
        self._watcher.woken(fiber)
        super().insert(place, fiber)

    def extend(self, fibers: Iterable[Any], /) -> None:
        """Put several in at the end."""
        for fiber in fibers:
            self.append(fiber)

    def __iadd__(self, fibers: Iterable[Any], /) -> _TellingQueue:  # type: ignore[misc]
        self.extend(fibers)
        return self
