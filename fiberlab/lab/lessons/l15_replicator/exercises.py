"""The exercises of lesson 15, and what judges them: a rate, late joiners, and their wakes."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

from ....errors import Deadlock
from ....scheduler import Scheduler
from ....simulation.network import SimulatedNetwork
from ....spans.build import build_spans
from ....trace.trace import Trace
from ....waits import RECV, WAIT, Wait
from ...exercises import Exercise, Judgement
from ...facts import story
from ...mistakes import Form

Fiber = Generator[Wait, None, Any]


# -- Exercise 1: no faster than that ------------------------------------------

RATE = 1_000
LENGTH = 4_000


def judge_rate(function: Callable[[Any, bytes, float], Fiber]) -> Judgement:
    """Let a fiber send 4,000 bytes at 1,000 a second, in simulated time; look when they arrive."""
    data = bytes(number % 251 for number in range(LENGTH))
    arrivals, got = _arrivals(lambda sock: function(sock, data, RATE))
    lasted = arrivals[-1][0] if arrivals else 0.0
    seen = f"{len(got)} bytes in {lasted:.2f} s"
    if got != data:
        return Judgement(
            False, seen, f"all {LENGTH} bytes, in order", "each piece once, the last too"
        )
    early = max(size - RATE * when for when, size in arrivals)
    before = [0, *(size for _, size in arrivals)]
    late = max(RATE * when - size for (when, _), size in zip(arrivals, before, strict=False))
    expected = f"a steady stream of {RATE} bytes a second"
    if lasted > 1.3 * LENGTH / RATE:
        return Judgement(False, seen, expected, "a piece of n bytes may take n / rate seconds")
    if max(early, late) > RATE / 4:
        distance = f"{early:.0f} bytes too early" if early > late else f"{late:.0f} bytes too late"
        hint = "send a small piece, wait as long as it may take, and so on; the wait is a yield"
        return Judgement(False, f"{seen}; {distance}", expected, hint)
    return Judgement(True, seen)


def _arrivals(fiber_of: Callable[[Any], Fiber]) -> tuple[list[tuple[float, int]], bytes]:
    """Return when how many bytes had arrived at a client, and the bytes."""
    network = SimulatedNetwork()
    scheduler = Scheduler(5, clock=network.clock, poller=network, file=io.StringIO())
    left, right = network.socketpair()
    arrivals: list[tuple[float, int]] = []
    got = bytearray()

    def client() -> Fiber:
        yield RECV(right)
        while data := right.recv(65536):
            got.extend(data)
            arrivals.append((network.clock.now(), len(got)))
            yield RECV(right, timeout=30)

    def serve() -> Fiber:
        try:
            yield from bounded(fiber_of(left))
        finally:
            left.close()

    served = scheduler.add(serve())
    scheduler.add(client())
    scheduler.run()
    if served.error is not None:
        raise served.error
    return arrivals, bytes(got)


def bounded(generator: Any, most: int = 20_000) -> Fiber:
    """Run a fiber that may yield so often; RuntimeError if it spins."""
    if not isinstance(generator, Generator):
        raise TypeError(f"a fiber is a generator, a function with a yield in it; got {generator!r}")
    for _ in range(most):
        try:
            wait = next(generator)
        except StopIteration:
            return
        yield wait
    raise RuntimeError(f"it yielded {most} times and was still not at its end")


# -- Exercise 2: join late ----------------------------------------------------


class Shared:
    """A download as joiners see it: what has come so far, and whether that is all."""

    def __init__(self) -> None:
        self._data = b""
        self._over = False
        self._looks = 0

    @property
    def data(self) -> bytes:
        """What has come so far."""
        self._look()
        return self._data

    @property
    def over(self) -> bool:
        """Whether that is all."""
        self._look()
        return self._over

    def add(self, data: bytes, over: bool) -> None:
        """Add what has come."""
        self._data += data
        self._over = over

    def _look(self) -> None:
        # A loop that looks and never yields would keep all of them waiting for ever.
        self._looks += 1
        if self._looks > 10_000:
            raise RuntimeError("it looked 10,000 times and let no other fiber run")


def judge_joiners(function: Callable[[Any, Shared], Fiber]) -> Judgement:
    """Let three clients join a download at 0, 2.5 and 9 seconds; a piece comes each second."""
    trace = Trace(stall_after=None)
    got, first, error = _join(function, trace)
    whole = b"one two three four "
    seen = f"the clients got {', '.join(repr(each.decode()) for each in got)}"
    words = {word for number in (1, 2, 3) for word in story(trace, f"joiner-{number}")}
    if isinstance(error, NotImplementedError):
        raise error
    if isinstance(error, Deadlock):
        hint = "once the download is over, no fiber runs that could wake you: look before you wait"
        return Judgement(False, str(error), "three fibers that come to their end", hint)
    if isinstance(error, RuntimeError) or words & {"ready", "sleep"}:
        hint = "WAIT(None): it wakes when another fiber has run, such as the one that fetches"
        return Judgement(False, "it asks again and again", "a fiber that is woken", hint)
    if error is not None:
        raise error
    if got[0] == whole and got[1] != whole and whole.endswith(got[1]):
        hint = "each client has a position of its own, and that begins at 0"
        return Judgement(False, seen, "the whole file for each", hint)
    if got != [whole] * 3:
        hint = "to have sent all there is, is not the end: that is when the download is over"
        return Judgement(False, seen, "the whole file for each", hint)
    if first > 1.5:
        hint = "send what is there; wait only when there is no more"
        return Judgement(False, f"the first byte came after {first:g} s", "1 s", hint)
    return Judgement(True, "three whole copies")


def _join(
    function: Callable[[Any, Shared], Fiber], trace: Trace
) -> tuple[list[bytes], float, BaseException | None]:
    """Return what the clients got, when the first had something, and the first joiner's error."""
    network = SimulatedNetwork()
    scheduler = Scheduler(30, trace, clock=network.clock, poller=network, file=io.StringIO())
    shared, got, began = Shared(), [b"", b"", b""], []

    def fetch() -> Fiber:
        for word in (b"one ", b"two ", b"three ", b"four "):
            yield WAIT(1)
            shared.add(word, over=word == b"four ")

    def client(number: int, sock: Any) -> Fiber:
        yield RECV(sock)
        while data := sock.recv(1024):
            began.append(network.clock.now())
            got[number - 1] += data
            yield RECV(sock)

    def joiner(sock: Any) -> Fiber:
        with contextlib.closing(sock):
            yield from bounded(function(sock, shared), 200)

    def arrive(number: int, after: float) -> Fiber:
        yield WAIT(after) if after else WAIT(0)
        left, right = network.socketpair()
        joiners.append(scheduler.add(joiner(left), f"joiner-{number}"))
        yield from client(number, right)

    joiners: list[Any] = []
    for number, after in enumerate((0, 2.5, 9), 1):
        scheduler.add(arrive(number, after))
    scheduler.add(fetch())
    try:
        scheduler.run()
    except Deadlock as deadlock:
        return got, 0.0, deadlock
    error = next((each.error for each in joiners if each.error is not None), None)
    return got, min(began, default=0.0), error


# -- Exercise 3: which fibers woke the joiners --------------------------------


def judge_wakers(function: Callable[[Trace], dict[str, int]], trace: Trace) -> Judgement:
    """Count, in a trace, how often each fiber woke one that was parked."""
    names = {life.id: life.name for life in build_spans(trace).lives}
    wakes = [event for event in trace if event.ev == "wake"]
    parked = [event for event in wakes if event.why == "fiber"]
    right = Counter(names[event.by] for event in parked)
    answer = function(trace)
    if answer == right:
        return Judgement(True, f"{len(right)} fibers woke others")
    expected = "for each fiber that woke parked ones, how often"
    seen = f"an answer of {len(answer)} entries" if isinstance(answer, dict) else repr(answer)[:80]
    if answer == Counter(event.by for event in parked):
        hint = "a name for each id: the spawn events have both"
    elif answer == Counter(names[event.fid] for event in parked):
        hint = "fid is the fiber that was woken; `by` is the one that woke it"
    elif answer == Counter(names.get(event.by, "?") for event in wakes) or (
        isinstance(answer, dict) and sum(answer.values()) > sum(right.values())
    ):
        hint = "most wakes have other reasons; count those whose `why` is fiber"
    else:
        hint = "go through the events; those with ev wake and why fiber say in `by` which one"
    return Judgement(False, seen, expected, hint)


EXERCISES = (
    Exercise(
        "l15-e1",
        "Send no faster than a given rate.",
        judge_rate,
        Form("fiber", "sock, data, rate"),
        given=1,
    ),
    Exercise("l15-e2", "Join a download late.", judge_joiners, Form("fiber", "sock, shared")),
    Exercise(
        "l15-e3",
        "Tell which fibers woke the joiners.",
        judge_wakers,
        Form("function", "trace", "a dict: numbers by name"),
    ),
)
