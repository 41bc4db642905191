"""The exercises of lesson 14, and what judges them: an async def, a hook, a hidden switch."""

from __future__ import annotations

import asyncio
import inspect
import io
from collections.abc import Callable, Generator
from typing import Any

from ....coroutines import as_fiber
from ....errors import InvalidYield
from ....scheduler import Scheduler
from ....simulation.network import SimulatedNetwork
from ....sockets import recv_until, send_all
from ....trace.trace import Trace
from ....waits import SEND, WAIT, Wait
from ...exercises import Exercise, Judgement
from ...facts import story
from ...mistakes import Form
from ...shared.own_thread import in_own_thread
from .greenlet_hub import Hub

# -- Exercise 1: the same in an async def -------------------------------------


def shout(sock: Any, address: Any) -> Generator[Wait, None, None]:
    """Answer each line in capitals, until the line ``bye``."""
    line = b""
    while line != b"bye\n":
        line = yield from recv_until(sock, b"\n")
        yield from send_all(sock, line.upper())


def judge_port(function: Callable[[Any, Any], Any]) -> Judgement:
    """Serve the same client by `shout` and by an async def; compare answers and waits."""
    if not inspect.iscoroutinefunction(function):
        hint = "write async def, and await where yield from was"
        return Judgement(False, "a function that is no async def", "async def shout_async", hint)
    right, given = (
        _served(lambda sock: shout(sock, None)),
        _served(lambda sock: as_fiber(function(sock, None))),
    )
    if given[2] is not None:
        return _failed_port(given[2])
    if given[0] != right[0]:
        return Judgement(
            False,
            f"the client got {given[0]!r}",
            f"{right[0]!r}, as from shout",
            "a call that is not awaited only makes something that could be run",
        )
    if given[1] != right[1]:
        return Judgement(
            False,
            f"it waited for {' '.join(given[1])}",
            f"{' '.join(right[1])}, as shout does",
            "use what shout uses, recv_until and send_all, and await it",
        )
    return Judgement(True, f"the same answers, and the same {len(right[1]) - 1} waits")


def _failed_port(error: BaseException) -> Judgement:
    if isinstance(error, NotImplementedError):
        raise error
    seen = f"it raised {type(error).__name__}: {error}"
    expected = "an async def that runs to its end on our scheduler"
    if isinstance(error, (RuntimeError, InvalidYield)):
        return Judgement(False, seen, expected, "what belongs to asyncio works under asyncio only")
    if isinstance(error, BlockingIOError):
        return Judgement(False, seen, expected, "wait for the data before you receive it")
    hint = "await recv_until(...): without await the name holds something that could be run"
    return Judgement(False, seen, expected, hint)


def _served(fiber_of: Callable[[Any], Any]) -> tuple[bytes, list[str], BaseException | None]:
    """Return what a client got that splits its lines, the fiber's story, and its error."""
    network = SimulatedNetwork()
    trace = Trace(stall_after=None)
    scheduler = Scheduler(5, trace, clock=network.clock, poller=network, file=io.StringIO())
    left, right = network.socketpair(latency=0.01)

    def client() -> Generator[Wait, None, bytes]:
        got = b""
        for packet in (b"one\ntw", b"o\n", b"bye\n"):
            yield SEND(right)
            right.send(packet)
            yield WAIT(0.1)
        while not got.endswith(b"BYE\n"):
            got += yield from recv_until(right, b"\n")
        return got

    asking = scheduler.add(client())
    served = scheduler.add(fiber_of(left), "yours")
    scheduler.run()
    error = served.error
    return asking.result or b"", story(trace, "yours"), error


# -- Exercise 2: a trace hook for coroutines ----------------------------------


def judge_hook(watched: Callable[[Any, Callable[[str], None]], Any]) -> Judgement:
    """Await ``watched(coroutine, note)`` under asyncio, and compare what was noted."""
    notes: list[str] = []
    outcome: list[Any] = []

    def note(word: str) -> None:
        notes.append(word)
        if len(notes) > 100:
            raise RuntimeError("it has noted 100 steps, and the coroutine has 3")

    async def naps() -> str:
        await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        return "rested"

    async def main() -> Any:
        naps_coroutine = naps()
        try:
            return await asyncio.wait_for(_awaited(watched(naps_coroutine, note)), 2)
        finally:
            naps_coroutine.close()

    def run() -> None:
        try:
            outcome.append(asyncio.run(main()))
        except BaseException as error:
            outcome.append(error)

    in_own_thread(run)
    if isinstance(outcome[0], NotImplementedError):
        raise outcome[0]
    return _judge_notes(notes, outcome[0])


async def _awaited(thing: Any) -> Any:
    return await thing


def _judge_notes(notes: list[str], outcome: Any) -> Judgement:
    right = ["resume", "yield", "resume", "yield", "resume", "return"]
    expected = " ".join(right)
    if isinstance(outcome, TypeError):
        hint = "decorate it with types.coroutine, or write a class with __await__"
        return Judgement(False, f"TypeError: {outcome}", "something that can be awaited", hint)
    if isinstance(outcome, BaseException):
        hint = "hand on to the loop what send() returned: it is what the loop must wait for"
        return Judgement(False, f"{type(outcome).__name__}: {outcome}", "a run to its end", hint)
    seen = " ".join(notes) or "no notes"
    if notes == ["resume", "return"]:
        hint = "yield from and await hide the steps: call coroutine.send(None) in a loop"
        return Judgement(False, seen, expected, hint)
    if notes != right:
        hint = "note resume before each send, yield after it, and return when StopIteration comes"
        return Judgement(False, seen, expected, hint)
    if outcome != "rested":
        hint = "what a coroutine returns is the value of its StopIteration"
        return Judgement(False, f"the await gave {outcome!r}", "what the coroutine returned", hint)
    return Judgement(True, seen)


# -- Exercise 3: the switch that the source does not show ---------------------


class Shop:
    """One ticket, and a log that switches: it waits for a slow disk, and others run meanwhile."""

    def __init__(self, hub: Hub, tickets: int = 1) -> None:
        self.tickets = tickets
        self.sold: list[str] = []
        self.logged: list[str] = []
        self._hub = hub

    def log(self, name: str) -> None:
        """Note that a ticket is sold to a customer."""
        self.logged.append(name)
        self._hub.pause()

    def hand_over(self, name: str) -> None:
        """Give one ticket to a customer."""
        self.sold.append(name)


def sell(shop: Shop, name: str) -> None:
    """Sell a ticket to a customer, if there is one; it has a fault."""
    if shop.tickets > 0:
        shop.log(name)
        shop.tickets -= 1
        shop.hand_over(name)


def queue_up(function: Callable[[Shop, str], None], names: str = "ann ben cat") -> Shop:
    """Let a greenlet for each of `names` call ``function(shop, name)``; return the shop."""
    hub = Hub()
    shop = Shop(hub)
    for name in names.split():
        hub.spawn(function, shop, name)
    hub.run()
    return shop


def judge_sale(function: Callable[[Shop, str], None]) -> Judgement:
    """Let three greenlets buy the one ticket."""
    shop = queue_up(function)
    sold, logged = len(shop.sold), len(shop.logged)
    seen = f"{sold} sold, {logged} logged, {shop.tickets} left of 1"
    expected = "1 sold, 1 logged, 0 left of 1"
    if seen == expected:
        return Judgement(True, seen)
    if sold > 1:
        hint = "between the check and the count the log switches: count before you log"
    elif sold == 0:
        hint = "a customer that finds a ticket must get it"
    elif logged == 0:
        hint = "each sale is still to be logged"
    elif logged != sold:
        hint = "a log entry for each sale, and none for a sale that did not come about"
    else:
        hint = "each ticket that is handed over is taken off the count, once"
    return Judgement(False, seen, expected, hint)


EXERCISES = (
    Exercise(
        "l14-e1", "Write a handler as an async def.", judge_port, Form("async", "sock, address")
    ),
    Exercise(
        "l14-e2",
        "Write a trace hook for a coroutine under asyncio.",
        judge_hook,
        Form("function", "coroutine, note", "something that can be awaited"),
    ),
    Exercise(
        "l14-e3",
        "Find the switch that the source does not show.",
        judge_sale,
        Form("function", "shop, name"),
    ),
)
