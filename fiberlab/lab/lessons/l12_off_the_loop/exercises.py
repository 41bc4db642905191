"""The exercises of lesson 12, and what judges them: look-ups off the loop, a router."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

from ....fiber import scheduler_of_thread
from ....scheduler import Scheduler
from ....waits import WAIT, Wait
from ...clients import record
from ...exercises import Exercise, Judgement
from ...facts import culprits
from ...mistakes import Form
from .experiment import GATE_SECONDS, Gate, running, running_fiber

SLOW_STEP = 0.1  # seconds: half of the shortest look-up


# -- Exercises 1 and 2: look up names -----------------------------------------

LOOK_UPS = {
    "ann.example": ("192.0.2.1", 0.3),
    "ben.example": ("192.0.2.2", 0.2),
    "cat.example": ("192.0.2.3", 0.25),
}
"""By name: the address, and how many seconds DNS takes to find it."""


class LookUps:
    """A slow DNS that notes how it was used; call it with a name, and it blocks.

    calls: how many there were; on_loop: how many in a thread that runs a scheduler; most: how
    many were under way at one time.
    """

    def __init__(self) -> None:
        self.calls = self.on_loop = self.most = self._now = 0
        self._lock = threading.Lock()

    def __call__(self, name: str) -> str:
        """Return the address of `name`."""
        with self._lock:
            self.calls += 1
            self.on_loop += scheduler_of_thread() is not None
            self._now += 1
            self.most = max(self.most, self._now)
        address, seconds = LOOK_UPS[name]
        time.sleep(seconds)
        with self._lock:
            self._now -= 1
        return address

    def misuse(self) -> Judgement | None:
        """Return what is wrong with the calls, if something is."""
        expected = "look_up called in worker threads only"
        if not self.calls:
            hint = "in_thread(...) only makes a generator; `yield from` runs it"
            return Judgement(False, "look_up was never called", expected, hint)
        if self.on_loop:
            hint = "in_thread(look_up, name): the function and its argument, not a call of it"
            return Judgement(False, f"{self.on_loop} look-ups on the loop", expected, hint)
        return None


def judge_resolver(function: Callable[[Any, Any, Any], Generator[Wait, None, Any]]) -> Judgement:
    """Let three clients ask ``function(sock, address, look_up)``; judge its steps and answers."""
    look_up, stubs = LookUps(), []

    def handler(sock: Any, address: Any) -> Generator[Wait, None, None]:
        try:
            yield from function(sock, address, look_up)
        except NotImplementedError as error:
            stubs.append(error)

    trace = record(handler, [_asking(name) for name in LOOK_UPS], deadline=5, strict=False)
    if stubs:
        raise stubs[0]
    if (misuse := look_up.misuse()) is not None:
        return misuse
    # Not the longest step: a busy machine may have held it up.
    if any(each.numbers["ran"] > SLOW_STEP * 1e9 for each in culprits(trace)):
        hint = "a fiber that waits for a thread with join() blocks; in_thread waits by RECV"
        return Judgement(False, "a step of more than 100 ms", "no step as long as a look-up", hint)
    right = [address.encode() for address, _ in LOOK_UPS.values()]
    if trace.answers != right:
        hint = "in_thread returns what look_up returned; encode() it before you send it"
        error = next((line for line in trace.output.splitlines() if "error:" in line), "no error")
        return Judgement(
            False, f"the clients got {trace.answers} ({error.strip()})", f"{right}", hint
        )
    return Judgement(True, "three look-ups, none of them on the loop, no step over 100 ms")


def _asking(name: str) -> Callable[[socket.socket], bytes]:
    def client(sock: socket.socket) -> bytes:
        sock.sendall(name.encode())
        return sock.recv(1024)

    return client


def judge_all_at_once(function: Callable[[Any, Any], Generator[Wait, None, Any]]) -> Judgement:
    """Run ``function(names, look_up)`` as a fiber; judge its result and what overlapped."""
    look_up, names = LookUps(), list(LOOK_UPS)
    scheduler = Scheduler(file=io.StringIO())
    fiber = scheduler.add(function(names, look_up), "yours")
    late = threading.Timer(GATE_SECONDS, scheduler.stop)
    late.start()
    try:
        scheduler.run()
    finally:
        late.cancel()
    if fiber.error is not None:
        raise fiber.error
    if (misuse := look_up.misuse()) is not None:
        return misuse
    if look_up.most == 1:
        hint = "start() a fiber for each name first; only then join() them"
        return Judgement(False, "one look-up after the other", "look-ups that overlap", hint)
    right = [address for address, _ in LOOK_UPS.values()]
    if fiber.result == right:
        return Judgement(True, f"{look_up.most} look-ups under way at one time, results in order")
    if isinstance(fiber.result, list) and sorted(map(str, fiber.result)) == sorted(right):
        hint = "join() the fibers in the order of the names, whichever ends first"
    else:
        hint = "join(fiber) returns what the fiber has returned: collect that in a list"
    return Judgement(False, f"it returned {fiber.result!r}", f"{right}", hint)


# -- Exercise 3: a router ------------------------------------------------------


def judge_router(make: Callable[[Any, Callable[[], str | None]], Any]) -> Judgement:
    """Let two fibers and this thread print to ``make(screen, running_fiber)``; judge the logs."""
    screen, gate = io.StringIO(), Gate()
    router = make(screen, running_fiber)
    print("begin", file=router)  # NotImplementedError leaves here, before a thread is there

    def ann() -> Generator[Wait, None, None]:
        try:
            print("ann", "one", file=router)
        finally:
            gate.hold()
        yield WAIT(0)
        print("ann two", file=router)

    def ben() -> Generator[Wait, None, None]:
        print("ben ", end="", file=router)
        yield WAIT(0)
        print("one", file=router)

    with running(ann(), ben(), file=io.StringIO()) as fibers, gate:
        print("meanwhile", file=router)
    for fiber in fibers:
        if fiber.error is not None:
            raise fiber.error
    logs = {name: "".join(text) for name, text in router.logs.items()}
    return _judge_logs(logs, screen.getvalue())


def _judge_logs(logs: dict[Any, str], screen: str) -> Judgement:
    right = {"ann-1": "ann one\nann two\n", "ben-2": "ben one\n"}
    if screen != "begin\nmeanwhile\n":
        hint = (
            "what a fiber prints goes to its log, and nowhere else"
            if "meanwhile\n" in screen
            else "running() is None in a thread that runs no fiber: pass that on to the screen"
        )
        return Judgement(False, f"on the screen {screen!r}", "the cell's two lines", hint)
    if logs == right:
        return Judgement(True, "each line in its own log, the cell's own on the screen")
    if set(logs) != set(right):
        hint = "ask running() at each write: the answer changes with each step"
    else:
        hint = "print() writes in pieces, the end of the line last: add each as it is"
    return Judgement(False, f"the logs {logs}", f"{right}", hint)


EXERCISES = (
    Exercise(
        "l12-e1",
        "Look up a name without holding the loop.",
        judge_resolver,
        Form("fiber", "sock, address, look_up"),
        given=2,
    ),
    Exercise(
        "l12-e2",
        "Look up several names at once.",
        judge_all_at_once,
        Form("fiber", "names, look_up"),
    ),
    Exercise(
        "l12-e3",
        "Route what fibers print to a log for each.",
        judge_router,
        Form("class", "screen, running", "write(text) returns nothing; logs is a dict"),
    ),
)
