"""Lesson 05, fibers yield what they wait for: what its question and exercises make of an answer."""

from __future__ import annotations

import contextlib
import select

import pytest
from matplotlib.figure import Figure
from misconceptions import Wrong

from fiberlab import RECV, SEND, WAIT, Scheduler, SimulatedNetwork, Trace, recv_until, send_all
from fiberlab.lab import examine, record
from fiberlab.lab.lessons.l05_fibers_yield_waits import (
    draw_accounts,
    eight_clients,
    meeting,
    simulate_nap,
    unseen,
)
from fiberlab.lab.lessons.l05_fibers_yield_waits.question import colour_of_victims
from fiberlab.lab.shared.grown import Sockets

# -- The question ----------------------------------------------------------------------


def waiting_for_data(sock, clock):
    yield RECV(sock)


def taking_turns(sock, clock):
    yield WAIT(0)


def sleeping(sock, clock):
    yield WAIT(0.01)


def blocking(sock, clock):
    yield WAIT(0)
    clock.burn(0.2)


@pytest.mark.parametrize(
    ("victims", "choice"),
    [
        ([taking_turns, taking_turns], "a"),
        ([waiting_for_data, waiting_for_data], "b"),
        ([waiting_for_data, taking_turns], "c"),
        ([sleeping, sleeping], "d"),
    ],
)
def test_the_victims_colour_follows_from_their_states(victims, choice):
    network, trace = SimulatedNetwork(), Trace()
    scheduler = Scheduler(clock=network.clock, poller=network, trace=trace)
    kept = []
    for function in [blocking, *victims]:
        ours, theirs = network.socketpair(latency=0.1)
        theirs.send(b"word")
        kept.append(theirs)
        scheduler.add(function(ours, network.clock))
    scheduler.run()

    assert colour_of_victims(trace) == choice


# -- Clients and pictures --------------------------------------------------------------


def echo(sock, address):
    yield RECV(sock)
    while data := sock.recv(1024):
        yield SEND(sock)
        sock.send(data)
        yield RECV(sock)


@pytest.mark.live
def test_seven_clients_are_silent_when_the_eighth_asks_for_its_nap():
    trace = record(echo, eight_clients())

    assert trace.answers == [None] * 7 + [b"nap"]


@pytest.mark.live
@pytest.mark.parametrize(("handler", "whole"), [("send", False), ("send_all", True)])
def test_a_send_after_SEND_may_take_a_part_and_send_all_sends_the_rest(handler, whole):
    network = SimulatedNetwork(buffer_bytes=1000)
    sender, receiver = network.socketpair()
    came = []

    def echo():
        if handler == "send_all":
            yield from send_all(sender, bytes(5000))
        else:
            yield SEND(sender)
            sender.send(bytes(5000))
        sender.close()

    def client():
        yield RECV(receiver)
        while data := receiver.recv(4096):
            came.append(len(data))
            yield RECV(receiver)

    scheduler = Scheduler(clock=network.clock, poller=network)
    scheduler.add(echo())
    scheduler.add(client())
    scheduler.run()

    assert (sum(came) == 5000) is whole


def test_a_meeting_keeps_the_answers_in_the_order_of_the_words():
    with meeting(b"ann", b"ben") as (listener, answers):
        for _ in range(2):
            sock, _ = listener.accept()
            with sock:
                sock.sendall(sock.recv(9).upper())

    assert answers == [b"ANN", b"BEN"]


def test_a_victim_goes_on_when_the_nap_is_over_however_early_its_data_came():
    assert unseen(simulate_nap(0.2)) == {"ann": (60, 220), "ben": (120, 226), "cat": (180, 232)}
    assert unseen(simulate_nap(0.01)) == {"ann": (60, 60), "ben": (120, 120), "cat": (180, 180)}


def test_the_three_accounts_are_of_the_same_fibers():
    figure = Figure()
    draw_accounts(figure.subplots(3), 0.2)

    rows = [[text.get_text() for text in ax.get_yticklabels()] for ax in figure.axes]
    assert rows == [["dan (naps)", "ann", "ben", "cat"]] * 3


# -- Exercise 1: the second step of a scheduler ----------------------------------------


def ask(scheduler, timeout, take=dict.pop):
    readable, writable, _ = scheduler.select(scheduler.receivers, scheduler.senders, [], timeout)
    scheduler.queue.extend(take(scheduler.receivers, sock) for sock in readable)
    scheduler.queue.extend(take(scheduler.senders, sock) for sock in writable)


class OnlyLooking(Sockets):
    def poll(self, longest=None):
        ask(self, 0)


class WaitingAlways(Sockets):
    def poll(self, longest=None):
        if self.receivers or self.senders or longest:
            ask(self, longest)


class WithoutALimit(Sockets):
    def poll(self, longest=None):
        if self.receivers or self.senders or longest:
            ask(self, 0 if self.queue else None)


class NeverTakenOut(Sockets):
    def poll(self, longest=None):
        if self.receivers or self.senders or longest:
            ask(self, 0 if self.queue else longest, dict.get)


class OnlyWhenIdle(Sockets):
    def poll(self, longest=None):
        if not self.queue:
            super().poll(longest)


class OnlyReceivers(Sockets):
    def poll(self, longest=None):
        if self.receivers or self.senders or longest:
            timeout = 0 if self.queue else longest
            readable, _, _ = self.select(self.receivers, self.senders, [], timeout)
            self.queue.extend(self.receivers.pop(sock) for sock in readable)


class OtherWaitsLost(Sockets):
    def park(self, fiber, wait):
        if isinstance(wait, (RECV, SEND)):
            super().park(fiber, wait)


class NoWait(Sockets):
    def park(self, fiber, wait):
        self.queue.append(fiber)


class TurnedRound(Sockets):
    def park(self, fiber, wait):
        if isinstance(wait, RECV):
            self.senders[wait.sock] = fiber
        elif isinstance(wait, SEND):
            self.receivers[wait.sock] = fiber
        else:
            super().park(fiber, wait)


class AskingTheSystem(Sockets):
    def poll(self, longest=None):
        if self.receivers or self.senders:
            select.select(self.receivers, self.senders, [], 0 if self.queue else longest)


class ResumingInPoll(Sockets):
    def poll(self, longest=None):
        if self.receivers or self.senders or longest:
            timeout = 0 if self.queue else longest
            readable, writable, _ = self.select(self.receivers, self.senders, [], timeout)
            for sock in readable:
                self.turn(self.receivers.pop(sock))
            for sock in writable:
                self.turn(self.senders.pop(sock))


class ByFiber(Sockets):
    def park(self, fiber, wait):
        if isinstance(wait, RECV):
            self.receivers[fiber] = wait.sock
        else:
            super().park(fiber, wait)


class AlwaysAsking(Sockets):
    def poll(self, longest=None):
        ask(self, 0 if self.queue else longest)


class WithoutTheBase(Sockets):
    def __init__(self, select):
        self.select, self.receivers, self.senders = select, {}, {}


class OnlyASocket(Sockets):
    def park(self, fiber, wait):
        self.receivers[wait.sock] = fiber


# -- Exercise 2: a handler -------------------------------------------------------------


def shout(sock, address):
    yield RECV(sock)
    while data := sock.recv(1024):
        yield SEND(sock)
        sock.send(data.upper())
        yield RECV(sock)


def shout_by_helpers(sock, address):
    while True:
        yield RECV(sock)
        data = sock.recv(1024)
        if not data:
            return
        yield from send_all(sock, data.upper())


def shout_without_yield(sock, address):
    RECV(sock)
    while data := sock.recv(1024):
        yield SEND(sock)
        sock.send(data.upper())


def shout_once(sock, address):
    yield RECV(sock)
    data = sock.recv(1024)
    yield SEND(sock)
    sock.send(data.upper())


def shout_for_ever(sock, address):
    while True:
        yield RECV(sock)
        data = sock.recv(1024)
        yield SEND(sock)
        sock.send(data.upper())


def shout_at_once(sock, address):
    yield RECV(sock)
    while data := sock.recv(1024):
        sock.send(data.upper())
        yield RECV(sock)


def repeat(sock, address):
    yield from echo(sock, address)


def shout_as_a_function(sock, address):
    return b"ONE"


@pytest.mark.parametrize("handler", [shout, shout_by_helpers])
def test_a_handler_that_waits_before_each_operation_passes(handler):
    judgement = examine("l05-e2", handler)

    assert str(judgement) == "passed: story recv send recv send recv return"


# -- Exercise 3: lines -----------------------------------------------------------------


def lines(sock, address):
    kept = b""
    yield RECV(sock)
    while data := sock.recv(1024):
        kept += data
        while b"\n" in kept:
            line, _, kept = kept.partition(b"\n")
            yield SEND(sock)
            sock.send(line[::-1] + b"\n")
        yield RECV(sock)


def lines_by_helpers(sock, address):
    while True:
        line = yield from recv_until(sock, b"\n")
        yield from send_all(sock, line[-2::-1] + b"\n")


def packets(sock, address):
    yield RECV(sock)
    while data := sock.recv(1024):
        yield SEND(sock)
        sock.send(data.strip()[::-1] + b"\n")
        yield RECV(sock)


def one_line_a_packet(sock, address):
    kept = b""
    yield RECV(sock)
    while data := sock.recv(1024):
        kept += data
        if b"\n" in kept:
            line, _, kept = kept.partition(b"\n")
            yield SEND(sock)
            sock.send(line[::-1] + b"\n")
        yield RECV(sock)


def losing_the_rest(sock, address):
    kept = b""
    yield RECV(sock)
    while data := sock.recv(1024):
        kept += data
        *whole, _rest = kept.split(b"\n")
        for line in whole:
            yield SEND(sock)
            sock.send(line[::-1] + b"\n")
        if whole:
            kept = b""
        yield RECV(sock)


@pytest.mark.parametrize("handler", [lines, lines_by_helpers])
def test_a_handler_that_keeps_what_has_come_passes(handler):
    assert str(examine("l05-e3", handler)) == "passed: 4 ways to cut lines, every answer right"


# -- Exercise 4: the overwritten waiter ------------------------------------------------


def first_of(scheduler, wait):
    return scheduler.receivers.get(wait.sock) if isinstance(wait, RECV) else None


def both(first, fiber):
    return RuntimeError(f"{first.__name__} and {fiber.__name__} both wait on one socket")


class Mended(Sockets):
    def park(self, fiber, wait):
        first = first_of(self, wait)
        if first is None:
            super().park(fiber, wait)
            return
        with contextlib.suppress(Exception):
            fiber.throw(both(first, fiber))


class Raising(Sockets):
    def park(self, fiber, wait):
        if first := first_of(self, wait):
            raise both(first, fiber)
        super().park(fiber, wait)


class NotCatching(Sockets):
    def park(self, fiber, wait):
        if first := first_of(self, wait):
            fiber.throw(both(first, fiber))
        super().park(fiber, wait)


class Ignoring(Sockets):
    def park(self, fiber, wait):
        if not first_of(self, wait):
            super().park(fiber, wait)


class BlamingTheFirst(Sockets):
    def park(self, fiber, wait):
        if first := first_of(self, wait):
            with contextlib.suppress(Exception):
                first.throw(both(first, fiber))
        super().park(fiber, wait)


class TryingAgain(Sockets):
    def park(self, fiber, wait):
        if first_of(self, wait):
            self.queue.append(fiber)
        else:
            super().park(fiber, wait)


class Nameless(Sockets):
    def park(self, fiber, wait):
        if not first_of(self, wait):
            super().park(fiber, wait)
            return
        with contextlib.suppress(RuntimeError):
            fiber.throw(RuntimeError("busy"))


@pytest.mark.live
def test_a_scheduler_that_tells_the_second_waiter_passes():
    judgement = examine("l05-e4", Mended)

    assert str(judgement).startswith("passed: ann received; ben was told: ann and ben both wait")


WRONG = (
    Wrong("l05-e1", OnlyLooking, "if no fiber is ready, poll waits"),
    Wrong("l05-e1", WaitingAlways, "poll only looks: timeout 0"),
    Wrong("l05-e1", WithoutALimit, "and longest if not"),
    Wrong("l05-e1", NeverTakenOut, "self.receivers.pop(sock)"),
    Wrong("l05-e1", OnlyWhenIdle, "ask in every pass"),
    Wrong("l05-e1", OnlyReceivers, "receivers and senders"),
    Wrong("l05-e1", OtherWaitsLost, "is for super().park(fiber, wait)"),
    Wrong("l05-e1", NoWait, "goes into self.receivers"),
    Wrong("l05-e1", TurnedRound, "goes into self.receivers"),
    Wrong("l05-e1", AskingTheSystem, "ask self.select"),
    Wrong("l05-e1", ResumingInPoll, "the next pass resumes it"),
    Wrong("l05-e1", ByFiber, "the socket is the key"),
    Wrong("l05-e1", AlwaysAsking, "leave its first lines in"),
    Wrong("l05-e1", WithoutTheBase, "super().__init__(...)"),
    Wrong("l05-e1", OnlyASocket, "only RECV and SEND have a sock"),
    Wrong("l05-e2", shout_without_yield, "RECV(sock) only makes a value"),
    Wrong("l05-e2", shout_once, "yield RECV(sock) again after each answer"),
    Wrong("l05-e2", shout_for_ever, "recv returns b'': leave the loop"),
    Wrong("l05-e2", shout_at_once, "yield SEND(sock): there may be no room"),
    Wrong("l05-e2", repeat, "by .upper()"),
    Wrong("l05-e2", shout_as_a_function, "a call cannot wait for its caller"),
    Wrong("l05-e3", echo, "without the line break, reversed"),
    Wrong("l05-e3", packets, "a packet is not a line"),
    Wrong("l05-e3", one_line_a_packet, "not if"),
    Wrong("l05-e3", losing_the_rest, "the beginning of the next line"),
    Wrong("l05-e4", Sockets, "look before you write"),
    Wrong("l05-e4", Raising, "ends the loop for all fibers"),
    Wrong("l05-e4", NotCatching, "comes out of throw(): catch it"),
    Wrong("l05-e4", Ignoring, "waits nowhere"),
    Wrong("l05-e4", BlamingTheFirst, "keeps its place"),
    Wrong("l05-e4", TryingAgain, "the second is to get an error"),
    Wrong("l05-e4", Nameless, "name both"),
)
