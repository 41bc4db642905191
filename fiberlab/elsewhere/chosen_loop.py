"""asyncio's event loop in simulated time, which asks at each step what runs next.

The rule kept here: asyncio's own code runs as it is: its loop, tasks, locks, queues, time-outs,
transports and streams. Three things below it are ours: the queue of what is ready (chosen_steps),
the selector, and the clock. When nothing is ready, the clock jumps to the next timer or delivery.
There is one thread and no outer world: what needs another thread, a process, a file or a real
socket is refused.

Private names of asyncio that are used here and in chosen_steps, tried with Python 3.10 to 3.14:
of a loop `_ready`, `_scheduled`, `_transports`, `_clock_resolution`, `_make_self_pipe`,
`_close_self_pipe`, `_write_to_self`; of a handle `_callback` and `_args`, of a timer `_when`, of a
future `_exception`; and the names of the callbacks in chosen_steps.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import socket
from collections.abc import Sequence
from typing import Any

from ..errors import Deadlock
from ..exploration.choices import Choices
from ..io import READABLE, WRITABLE
from ..simulation import SimulatedNetwork, Trouble
from ..trace.trace import Trace
from .asyncio_tasks import TaskNotes
from .chosen_steps import ChosenSteps
from .notes import Notes

AGES = 1e12
"""A timer after so many seconds is none: an endless sleep waits for something else."""

_OUTSIDE = {
    "run_in_executor": "threads (to_thread, run_in_executor)",
    "subprocess_exec": "processes",
    "subprocess_shell": "processes",
    "connect_read_pipe": "pipes",
    "connect_write_pipe": "pipes",
    "create_datagram_endpoint": "datagrams",
    "create_unix_connection": "Unix sockets",
    "create_unix_server": "Unix sockets",
    "start_tls": "TLS",
}


class ChosenLoop(asyncio.SelectorEventLoop):
    """asyncio's event loop, whose next step `choices` choose; nothing in it is real.

    faults: which of those in chosen_steps can happen, once. trace: records what its tasks do.
    trouble: of its connections and its clock. refused: what the program has asked for that is
    outside of the loop, as a sentence; None: nothing.
    """

    def __init__(
        self,
        choices: Choices,
        faults: Sequence[str] = (),
        trace: Trace | None = None,
        trouble: Trouble | None = None,
    ) -> None:
        self.network = SimulatedNetwork(trouble=trouble)
        self.refused: str | None = None
        self._made = 0
        self.notes = None if trace is None else Notes(trace, "asyncio", self.network.clock)
        self.tasks = None if self.notes is None else TaskNotes(self.notes)
        self.queue = ChosenSteps(choices, self, faults, self.tasks)
        super().__init__(_Selector(self))
        self._ready, self._clock_resolution = self.queue, 1e-9

    def time(self) -> float:
        """Return seconds since the loop was made."""
        return self.network.clock.now()

    def next_timer(self) -> int | None:
        """Return when the next timer is due, in ns; None: there is none, or not for ages."""
        timers: Any = self._scheduled  # type: ignore[attr-defined]
        seconds: float = timers[0]._when if timers else AGES
        return max(round(seconds * 1e9), self.network.clock.now_ns()) if seconds < AGES else None

    def create_task(self, coro: Any, **options: Any) -> Any:
        """Make a task whose place in a set is the same in each run."""
        if self.get_task_factory() is not None:
            return super().create_task(coro, **options)
        self._made += 1
        return _Task(coro, self._made, loop=self, **options)

    def create_future(self) -> Any:
        """Make a future whose place in a set is the same in each run."""
        self._made += 1
        return _Future(self._made, loop=self)

    def transports(self) -> list[Any]:
        """Return the connections that are open."""
        return list(self._transports.values())  # type: ignore[attr-defined]

    # -- Connections ----------------------------------------------------------

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        """Connect to a server of this loop, as asyncio's does."""
        options = self._checked(options)
        if "sock" not in options:
            sock = self.network.connect((_local(host), int(port)))
            await asyncio.sleep(0)  # asyncio would not have it before the next pass either
            if not self.network.is_ready(sock.fileno(), WRITABLE):
                await self._answer(sock.fileno())
            if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                sock.close()
                raise OSError(error, f"Connect call failed {(host, port)}")
            options["sock"] = sock
        return await super().create_connection(protocol_factory, **options)

    async def _answer(self, fileno: int) -> None:
        """Wait until a socket is connected, or has failed to be."""
        answered = self.create_future()

        def answer() -> None:
            self.remove_writer(fileno)
            answered.set_result(None)

        self.add_writer(fileno, answer)
        try:
            await answered
        finally:
            self.remove_writer(fileno)

    async def create_server(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        """Listen in this loop, as asyncio's does."""
        options = self._checked(options)
        if "sock" not in options:
            options["sock"] = self.network.listen((_local(host), int(port or 0)))
        return await super().create_server(protocol_factory, **options)

    def _checked(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return those options that mean something here; refuse TLS."""
        if options.get("ssl"):
            self.refuse("TLS")
        kept = {"sock", "backlog", "start_serving"}
        return {name: each for name, each in options.items() if name in kept and each is not None}

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        """Return the one address that a name has here."""
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (_local(host), int(port or 0)))]

    # -- What is outside ------------------------------------------------------

    def refuse(self, what: str, *_: Any, **__: Any) -> Any:
        """Raise RuntimeError: the program has asked for something that is not simulated."""
        self.refused = (
            f"explore() has no {what}: order and time would not be the same each time; put a "
            "coroutine of your own in its place"
        )
        raise RuntimeError(self.refused)

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:  # type: ignore[override]
        """Accept it: no signal will come."""

    def remove_signal_handler(self, sig: int) -> bool:
        """Return False: there is none."""
        return False

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Be silent: asyncio would write to a log in each of the schedules."""

    # -- No real socket wakes it ----------------------------------------------

    def _make_self_pipe(self) -> None:
        """Make none."""

    def _close_self_pipe(self) -> None:
        """There is none."""

    def _write_to_self(self) -> None:
        """Wake nothing: there is no other thread."""


class _Task(asyncio.Task[Any]):
    """A task whose hash is a number, and not where it lies in memory."""

    def __init__(self, coro: Any, number: int, **options: Any) -> None:
        self._number = number  # first: asyncio puts the task into a set
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number


class _Future(asyncio.Future[Any]):
    """The same for a future."""

    def __init__(self, number: int, **options: Any) -> None:
        self._number = number
        super().__init__(**options)

    def __hash__(self) -> int:
        return self._number


def _refusal(what: str) -> Any:
    def refuse(self: ChosenLoop, *_: Any, **__: Any) -> Any:
        """Refuse it: see `refuse`."""
        return self.refuse(what)

    return refuse


for _name, _what in _OUTSIDE.items():
    setattr(ChosenLoop, _name, _refusal(_what))


def _local(host: Any) -> str:
    """Return by which name a host is known here: this machine has one address."""
    if isinstance(host, (list, tuple)):
        host = host[0] if host else None
    return "127.0.0.1" if host in (None, "", "localhost", "0.0.0.0", "::", "::1") else str(host)


class _Selector(selectors.SelectSelector):
    """The loop's selector: it knows which simulated sockets are ready, and moves the clock."""

    def __init__(self, loop: ChosenLoop) -> None:
        super().__init__()
        self._loop = loop

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watch a socket; refuse one that is real."""
        if not self._loop.network.knows(fileobj):
            self._loop.refuse("real sockets and files")
        return super().register(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return which sockets are ready; if there is nothing to do, let the clock jump.

        timeout: 0 if there is something. Raises Deadlock if there is no timer either, and nothing
        is on its way.
        """
        loop, network, notes = self._loop, self._loop.network, self._loop.notes
        if loop.tasks is not None:
            loop.tasks.end()
        if notes is not None and timeout != 0:
            notes.poll(timeout)
        now = network.catch_up()
        # Not `timeout`: asyncio cuts it to a day.
        end = now if timeout == 0 else loop.next_timer()
        if end is not None and end > now:
            end = network.due(end)
        while not (found := self._found()) and now != end:
            if not network.advance(end):
                raise Deadlock.of_tasks(loop.queue.left())
            now = network.clock.now_ns()
        # So that a timer is due when its time has come, however coarse a float is by then.
        loop._clock_resolution = max(1e-9, 2 * math.ulp(now / 1e9))
        loop.queue.polled = True
        if notes is not None and timeout != 0:
            notes.polled(len(found))
        return found

    def _found(self) -> list[tuple[selectors.SelectorKey, int]]:
        found = []
        for key in self.get_map().values():
            reader, writer = key.data
            mask = self._ready(key.fd, reader, READABLE) and selectors.EVENT_READ
            mask |= self._ready(key.fd, writer, WRITABLE) and selectors.EVENT_WRITE
            if mask:
                found.append((key, mask))
        return found

    def _ready(self, fileno: int, handle: asyncio.Handle | None, direction: int) -> bool:
        """Whether a socket is ready and the loop does not know that yet."""
        if handle is None or self._loop.queue.holds(handle):
            return False
        return self._loop.network.is_ready(fileno, direction)
