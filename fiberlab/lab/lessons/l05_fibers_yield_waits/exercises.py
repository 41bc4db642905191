"""The exercises of lesson 05, and what judges them.

The rule kept here: a judge ends, whatever it is given. Handlers run in simulated time and are
stopped after so many events. A scheduler is given a `select` that jumps, or a socket on which there
is always something to read.
"""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ....errors import Deadlock, one_line
from ....fiber import FiberGenerator
from ....scheduler import Scheduler
from ....simulation.network import SimulatedNetwork
from ....trace.events import TraceEvent
from ....trace.trace import Trace
from ....waits import RECV, SEND, WAIT
from ...exercises import Exercise, Judgement
from ...facts import story
from ...mistakes import Form
from ...shared.simulated_select import AskedTooOften, simulated_select

MOST_EVENTS = 2_000
MOST_EMPTY = 20
MOST_POLLS = 200
PAUSE = 0.1
"""Simulated seconds between two packets of a client."""


# -- Exercise 1: the second step of a scheduler -------------------------------

TURNS, TURN = 6, 0.005
"""How often dan takes a turn, and how long each takes, in simulated seconds."""


def judge_sockets(built: Callable[..., Any]) -> Judgement:
    """Judge a class whose fibers wait for sockets: beside a busy fiber, and when none is ready."""
    waits = judge_longest(built)
    world = _World(built)
    try:
        world.scheduler.run()
    except Deadlock:
        hint = "readers first, then writers: self.select(self.receivers, self.senders, [], timeout)"
        if not (world.scheduler.receivers or world.scheduler.senders):
            hint = "where there is nothing to ask for, poll returns: leave its first lines in"
        return Judgement(
            False, "poll waits, and nothing will ever come", "the sockets waited for", hint
        )
    except BlockingIOError:
        hint = "a fiber that yields RECV goes into self.receivers, and not into the queue"
        return Judgement(False, "a fiber was resumed before its data had come", "a wait", hint)
    except AttributeError as error:
        if "fileno" not in str(error):
            raise
        hint = "the socket is the key, and the fiber the value: self.receivers[wait.sock] = fiber"
        return Judgement(False, f"select was given what is no socket: {error}", "sockets", hint)
    except AskedTooOften:
        hint = "a fiber that is woken waits no longer: take it out, self.receivers.pop(sock)"
        return Judgement(False, "it never comes to its end", "each fiber is woken once", hint)
    except ValueError as error:
        if "descriptor" not in str(error):
            raise
        hint = "ask self.select and not select.select: a check gives you another one"
        return Judgement(False, "the system was asked for simulated sockets", "self.select", hint)
    return (
        world.judge() or waits or Judgement(True, f"data at 10 ms seen at {world.seen['ann']} ms")
    )


def judge_longest(built: Callable[..., Any]) -> Judgement | None:
    """Judge `poll(longest)`, which the next lesson needs; None: it is right."""
    network = SimulatedNetwork()
    scheduler = built(simulated_select(network))
    with contextlib.suppress(Deadlock):
        scheduler.poll(0.02)
    if network.clock.now() == 0.02:
        return None
    seen = f"poll(0.02) with an empty queue took {network.clock.now() * 1000:g} ms"
    hint = "the timeout is 0 if self.queue holds a fiber, and longest if not"
    return Judgement(False, seen, "20 ms", hint)


class _World:
    """Four fibers under a student's scheduler, in simulated time, and what they noted."""

    def __init__(self, built: Callable[..., Any]) -> None:
        self.network, self.seen = SimulatedNetwork(), dict[str, int]()
        self.turns: list[int] = []  # in ms, when each turn of dan's was over
        self.twice = False
        self.scheduler = built(simulated_select(self.network, MOST_POLLS))
        self.kept = []
        for name, latency in (("ann", 0.01), ("ben", 0.05), ("eve", 0.0)):
            ours, theirs = self.network.socketpair(latency=latency)
            theirs.send(b"12")
            self.kept.append(theirs)
            self.scheduler.add(self.receive(name, ours))
        ours, theirs = self.network.socketpair()
        self.kept.append(theirs)
        self.scheduler.add(self.send(ours))
        self.scheduler.add(self.busy())

    def now(self) -> int:
        """Return the milliseconds since the beginning."""
        return round(self.network.clock.now() * 1000)

    def receive(self, name: str, sock: Any) -> FiberGenerator:
        """Take one byte of two, so that the socket stays ready; then take turns."""
        yield RECV(sock)
        self.seen[name] = self.now()
        sock.recv(1)
        for _ in range(3):
            resumed = len(self.turns)
            yield WAIT(0)
            # While dan is busy, it has a turn between any two of a fiber that is in once.
            self.twice |= len(self.turns) == resumed < TURNS
        self.seen[f"{name}'s end"] = self.now()

    def send(self, sock: Any) -> FiberGenerator:
        """Send when there is room, which is at once."""
        yield SEND(sock)
        self.seen["cat"] = self.now()
        sock.send(b"word")

    def busy(self) -> FiberGenerator:
        """Take turns, each of which takes its time."""
        for _ in range(TURNS):
            self.network.clock.burn(TURN)
            self.turns.append(self.now())
            yield WAIT(0)

    def judge(self) -> Judgement | None:
        """Return what is wrong with the scheduler, or None."""
        seen, turns = self.seen, self.turns
        right = [round(TURN * 1000 * number) for number in range(1, TURNS + 1)]
        if len(turns) < TURNS:
            hint = "what is no RECV and no SEND is for super().park(fiber, wait)"
            return Judgement(False, f"dan had {len(turns)} turns of {TURNS}", "all its turns", hint)
        if turns != right:
            hint = "while the queue holds a fiber, poll only looks: timeout 0"
            return Judgement(False, f"dan's turns end at {turns} ms", f"{right} ms", hint)
        if self.twice:
            hint = "a fiber that is woken waits no longer: take it out, self.receivers.pop(sock)"
            return Judgement(False, "a fiber had two turns in one pass", "one turn in a pass", hint)
        if missing := [name for name in ("ann", "ben", "cat", "eve") if name not in seen]:
            hint = "poll puts the fibers of all ready sockets into the queue, receivers and senders"
            if missing == ["ben"]:
                hint = (
                    "if no fiber is ready, poll waits: the timeout is longest, which is None here"
                )
            what = f"{' and '.join(missing)} had data or room, and never went on"
            return Judgement(False, what, "every fiber goes on", hint)
        if seen["ann"] < 15:
            hint = "poll puts a fiber into the queue; the next pass resumes it"
            return Judgement(False, f"ann went on at {seen['ann']} ms", "in the next pass", hint)
        if seen["ann"] > 15 or seen["eve"] > 10:
            late = "ann" if seen["ann"] > 15 else "eve"
            hint = "ask in every pass, also while other fibers are ready"
            return Judgement(False, f"{late} went on at {seen[late]} ms", "in the next pass", hint)
        return None


# -- A handler, and one client ------------------------------------------------


@dataclass
class Talk:
    """What came of a talk: the answer to each packet, the handler's story, and its error.

    endless: it was stopped. sends: how often it called send.
    """

    answers: list[bytes]
    story: list[str]
    error: BaseException | None
    endless: bool
    sends: int


class _Endless(RuntimeError):
    """Raised in a handler that goes on receiving from a client that has left."""


class _Ear:
    """A socket that loses patience with a handler that does not see the end."""

    def __init__(self, sock: Any) -> None:
        self._sock, self._empty = sock, 0
        self.sends = 0

    def recv(self, *args: Any) -> bytes:
        data: bytes = self._sock.recv(*args)
        self._empty += not data
        if self._empty > MOST_EMPTY:
            raise _Endless("the client has left, and it goes on receiving")
        return data

    def send(self, *args: Any) -> int:
        self.sends += 1
        sent: int = self._sock.send(*args)
        return sent

    def sendall(self, *args: Any) -> None:
        self.sends += 1
        self._sock.sendall(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def talk(function: Callable[[Any, Any], Any], packets: Sequence[bytes]) -> Talk:
    """Let a client send `packets` to a fiber of `function`, and leave; in simulated time."""
    network, trace = SimulatedNetwork(), Trace(stall_after=None)

    def observe(event: TraceEvent) -> None:
        trace(event)
        if len(trace) > MOST_EVENTS:
            scheduler.stop()

    scheduler = Scheduler(clock=network.clock, poller=network, trace=observe, file=io.StringIO())
    ours, theirs = network.socketpair()
    answers: list[bytes] = []
    ear = _Ear(ours)
    fiber = scheduler.add(function(ear, ("client", 1)), "yours")
    scheduler.add(_client(theirs, packets, answers), "client")
    with contextlib.suppress(Deadlock):
        scheduler.run()
    if isinstance(fiber.error, NotImplementedError):
        raise fiber.error  # the stub
    endless = len(trace) > MOST_EVENTS or isinstance(fiber.error, _Endless)
    return Talk(answers, story(trace, "yours"), fiber.error, endless, ear.sends)


def _client(sock: Any, packets: Sequence[bytes], answers: list[bytes]) -> FiberGenerator:
    for packet in packets:
        sock.send(packet)
        yield WAIT(PAUSE)
        try:
            answers.append(sock.recv(1024))
        except BlockingIOError:
            answers.append(b"")
    sock.close()


def _trouble(seen: Talk) -> Judgement | None:
    """Return what is wrong with a handler of any kind, or None."""
    expected = "a fiber that waits, answers, and ends when its client has left"
    if seen.endless:
        hint = "once the client has closed, recv returns b'': leave the loop then"
        return Judgement(False, "it went on for ever after its client had left", expected, hint)
    if isinstance(seen.error, BlockingIOError):
        hint = "RECV(sock) only makes a value; the scheduler gets it by yield, before each recv"
        return Judgement(False, "it received when nothing was there", expected, hint)
    if seen.error is not None and not isinstance(seen.error, GeneratorExit):
        hint = "call it yourself, with record: its output tells the error"
        return Judgement(False, f"it ended with {one_line(seen.error)}", expected, hint)
    return None


# -- Exercise 2: a handler ----------------------------------------------------


def judge_shout(function: Callable[[Any, Any], Any]) -> Judgement:
    """Judge a handler that answers in upper case: its answers and its waits."""
    seen = talk(function, [b"one", b"two"])
    story = " ".join(seen.story)
    if seen.answers[:1] == [b"ONE"] and seen.answers != [b"ONE", b"TWO"]:
        return Judgement(
            False, f"answers {seen.answers}, story: {story}", "b'TWO' for the second word too",
            "one connection, many words: yield RECV(sock) again after each answer",
        )  # fmt: skip
    if (trouble := _trouble(seen)) is not None:
        return trouble
    if seen.answers != [b"ONE", b"TWO"]:
        hint = "answer what recv returned, by .upper(), with sock.send"
        return Judgement(False, f"answers {seen.answers}", "[b'ONE', b'TWO']", hint)
    if seen.story.count("send") < seen.sends:
        hint = "before each send, yield SEND(sock): there may be no room"
        return Judgement(False, f"{seen.sends} sends, the story {story}", "a send in it each", hint)
    if strange := set(seen.story) - {"recv", "send", "return"}:
        hint = "RECV(sock) and SEND(sock) are woken when there is something to do"
        expected = "waits for its client, and nothing else"
        return Judgement(False, f"{' and '.join(sorted(strange))} in {story}", expected, hint)
    return Judgement(True, f"story {story}")


# -- Exercise 3: lines, however they are cut ----------------------------------

CUTS: tuple[tuple[list[bytes], list[bytes], str], ...] = (
    (
        [b"abc\n", b"xyz\n"],
        [b"cba\n", b"zyx\n"],
        "answer each line with its bytes, without the line break, reversed, and a line break",
    ),
    (
        [b"a", b"b", b"\n", b"c", b"\n"],
        [b"", b"", b"ba\n", b"", b"c\n"],
        "a packet is not a line: keep what has come until there is a b'\\n' in it",
    ),
    (
        [b"ab\ncd\n"],
        [b"ba\ndc\n"],
        "one packet may hold two lines: go on while there is a b'\\n', not if",
    ),
    (
        [b"ab\nc", b"d\n"],
        [b"ba\n", b"dc\n"],
        "what stands behind the line break is the beginning of the next line: keep it",
    ),
)
"""Packets, the answer to each, and what to think of when it does not come."""


def judge_lines(function: Callable[[Any, Any], Any]) -> Judgement:
    """Judge a handler of lines: the same lines, cut into packets in four ways."""
    for packets, right, hint in CUTS:
        seen = talk(function, packets)
        if seen.answers != right:
            if seen.error is not None and (trouble := _trouble(seen)) is not None:
                return trouble
            return Judgement(False, f"packets {packets}: answers {seen.answers}", f"{right}", hint)
        if seen.endless:
            return _trouble(seen) or Judgement(False)
    return Judgement(True, f"{len(CUTS)} ways to cut lines, every answer right")


# -- Exercise 4: the overwritten waiter ---------------------------------------


def judge_mended(built: Callable[[], Any]) -> Judgement:
    """Judge a scheduler: two fibers wait to receive on one socket; the second must get an error."""
    log: dict[str, Any] = {}
    left, right = socket.socketpair()
    with left, right:
        right.sendall(b"12")
        right.close()  # from here on the socket is readable for ever: no poll can hang
        try:
            _run(built(), _readers(left, log))
        except NotImplementedError:
            raise
        except Exception as error:
            log["loop"] = error
    return _judge_log(log)


def _readers(sock: socket.socket, log: dict[str, Any]) -> list[FiberGenerator]:
    def noted(name: str) -> FiberGenerator:
        try:
            yield RECV(sock)
            log[name] = sock.recv(1)
        except Exception as error:
            log[name] = error
            raise

    def ann() -> FiberGenerator:
        yield from noted("ann")

    def ben() -> FiberGenerator:
        yield from noted("ben")

    def cat() -> FiberGenerator:
        yield WAIT(0)
        log["cat"] = b"a turn"

    return [ann(), ben(), cat()]


def _run(scheduler: Any, fibers: list[FiberGenerator]) -> None:
    for fiber in fibers:
        scheduler.add(fiber)
    for _ in range(300):
        scheduler.run_ready()
        if not (scheduler.queue or scheduler.receivers or scheduler.senders):
            break  # a poll would have nothing to wait for, and might wait for ever
        scheduler.poll()


def _judge_log(log: dict[str, Any]) -> Judgement:
    ann, ben, loop = log.get("ann"), log.get("ben"), log.get("loop")
    seen = "; ".join(f"{name}: {_told(log.get(name))}" for name in ("ann", "ben", "cat"))
    if loop is not None:
        seen += f"; the loop ended with {one_line(loop)}"
    hint = ""
    if isinstance(ann, Exception):
        hint = "ann was there first and keeps its place; the second gets an error"
    elif loop is not None and isinstance(ben, Exception):
        hint = "what a fiber raises comes out of throw(): catch it, for the others must go on"
    elif loop is not None:
        hint = "raise in park() ends the loop for all fibers: throw the error into the fiber"
    elif ann is None:
        hint = "the second entry took the first one's place: look before you write"
    elif ben is None:
        hint = "now ben waits nowhere, and will never be resumed: throw an error into it"
    elif not isinstance(ben, Exception):
        hint = "both wait and take each other's data: the second is to get an error"
    elif not ("ann" in str(ben) and "ben" in str(ben)):
        hint = "name both in the message: first.__name__ and fiber.__name__"
    if hint:
        expected = "ann receives; ben gets an error that names both; cat is not disturbed"
        return Judgement(False, seen, expected, hint)
    return Judgement(True, f"ann received; ben was told: {ben}")


def _told(value: Any) -> str:
    if value is None:
        return "was never resumed"
    return one_line(value) if isinstance(value, Exception) else f"got {value!r}"


EXERCISES = (
    Exercise(
        "l05-e1",
        "Let your scheduler wait for sockets.",
        judge_sockets,
        Form("class", "select", "park() and poll() return nothing"),
        given=1,
    ),
    Exercise(
        "l05-e2",
        "A handler that answers in upper case.",
        judge_shout,
        Form("fiber", "sock, address"),
    ),
    Exercise(
        "l05-e3",
        "A handler of lines, however they are cut into packets.",
        judge_lines,
        Form("fiber", "sock, address"),
    ),
    Exercise(
        "l05-e4",
        "Mend the overwritten waiter.",
        judge_mended,
        Form("class", "", "park() notes the fiber and returns nothing"),
    ),
)
