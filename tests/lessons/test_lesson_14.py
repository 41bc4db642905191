"""Lesson 14, other coats: what its question and its exercises make of an answer."""

from __future__ import annotations

import asyncio
import socket
import types

import pytest
from misconceptions import Wrong

from fiberlab import RECV, diagnose, plot_comparison, recv_until, send_all
from fiberlab.lab import examine, stories
from fiberlab.lab.lessons.l14_other_coats import (
    Callbacks,
    converse,
    count_twice,
    in_asyncio,
    in_callbacks,
    in_fibers,
    in_greenlets,
    in_threads,
    installed,
    memory_costs,
    nap_in,
    queue_up,
    sell,
    switch_costs,
)
from fiberlab.lab.lessons.l14_other_coats.exercises import shout
from fiberlab.lab.lessons.l14_other_coats.question import who_switches
from fiberlab.spans.check import check_story

# -- The question ----------------------------------------------------------------------

ALL = {"threads": 2, "callbacks": 2, "fibers": 2, "greenlets": 2, "asyncio": 2}


@pytest.mark.parametrize(
    ("lost", "choice"),
    [
        (("threads",), "a"),
        (("threads", "greenlets"), "b"),
        (("threads", "greenlets", "asyncio"), "c"),
        ((), "d"),
    ],
)
def test_who_switches_follows_from_the_counts(lost, choice):
    assert who_switches(ALL | dict.fromkeys(lost, 1)) == choice


@pytest.mark.live
def test_only_threads_lose_an_increment():
    assert count_twice() == ALL | {"threads": 1}


# -- The coats -------------------------------------------------------------------------


def echo_thread(sock):
    while data := sock.recv(100):
        sock.sendall(data)


class EchoCallbacks(Callbacks):
    def handle_read(self):
        if data := self.sock.recv(100):
            self.buffer += data
        else:
            self.close()

    def handle_write(self):
        self.buffer = self.buffer[self.sock.send(self.buffer) :]


def echo_fiber(sock, address):
    yield RECV(sock)
    while data := sock.recv(100):
        yield from send_all(sock, data)
        yield RECV(sock)


def echo_greenlet(sock, hub):
    while data := hub.recv(sock):
        hub.send_all(sock, data)


async def echo_async(reader, writer):
    while data := await reader.read(100):
        writer.write(data)
        await writer.drain()


COATS = {
    "echo_thread": in_threads(echo_thread),
    "EchoCallbacks": in_callbacks(EchoCallbacks),
    "echo_fiber": in_fibers(echo_fiber),
    "echo_greenlet": in_greenlets(echo_greenlet),
    "echo_async": in_asyncio(echo_async),
}


@pytest.mark.live
@pytest.mark.parametrize("coat", COATS)
def test_every_coat_holds_the_same_conversation(coat):
    trace = converse(COATS[coat], [b"ann", b"ben"], requests=2)
    told = [story for name, story in stories(trace).items() if name.startswith(coat)]

    waits = ["recv", "recv"] if coat == "echo_async" else ["recv", "send"] * 2
    assert trace.answers == [b"annann", b"benben"]
    assert told == [[*waits, "recv", "return"]] * 2
    if coat != "echo_thread":  # of threads the system does not tell which one runs
        check_story(trace)


@pytest.mark.live
def test_a_server_that_fails_is_told():
    def fails(sock, hub):
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        converse(in_greenlets(fails), [b"ann"])


@pytest.mark.live
@pytest.mark.live
def test_asyncios_write_sends_at_once_and_keeps_only_what_finds_no_room():
    async def main():
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        with theirs:
            _, writer = await asyncio.open_connection(sock=ours)
            writer.write(b"now")
            at_once = theirs.recv(10)
            writer.write(bytes(10_000_000))
            kept = writer.transport.get_write_buffer_size()
            writer.transport.abort()
        return at_once, kept

    at_once, kept = asyncio.run(main())

    assert at_once == b"now"
    assert 0 < kept < 10_000_000


def test_the_costs_are_measured_for_every_coat():
    switch, memory = switch_costs(), memory_costs()

    assert set(switch) >= {"fibers", "greenlets", "asyncio", "threads"}
    assert set(memory) >= {"fibers", "greenlets", "asyncio"}
    assert min(*switch.values(), *memory.values()) > 0


# -- The same program ------------------------------------------------------------------


@pytest.mark.live
@pytest.mark.posix  # trio needs epoll on Linux
@pytest.mark.parametrize("coat", ["fibers", "gevent", "asyncio", "trio"])
def test_the_same_program_has_the_same_rows_and_the_same_victims(coat):
    if coat not in installed():
        pytest.skip(f"{coat} is not installed")
    trace = nap_in(coat)
    told = stories(trace)

    check_story(trace)
    assert list(told) == ["main-1", "steady-2", "steady-3", "blocks-4"]
    assert told["steady-2"] == told["steady-3"] == ["sleep"] * 6 + ["return"]
    assert told["blocks-4"] == ["sleep", "return"]
    blamed = next(finding for finding in diagnose(trace) if finding.blames)
    assert blamed.name == "blocks-4"
    assert {victim.name for victim in blamed.victims} & {"steady-2", "steady-3"}


@pytest.mark.live
def test_in_threads_the_program_has_the_same_rows_and_no_victims():
    trace = nap_in("threads")

    assert list(stories(trace)) == ["main-1", "steady-2", "steady-3", "blocks-4"]
    assert str(diagnose(trace)) == ""


@pytest.mark.live
def test_two_coats_are_drawn_on_one_axis_with_the_same_rows():
    axes = plot_comparison(nap_in("threads"), nap_in("asyncio")).figure.axes

    labels = [[label.get_text() for label in ax.get_yticklabels()] for ax in axes[:2]]
    assert labels[0] == labels[1]
    assert axes[0].get_xlim() == axes[1].get_xlim()


@pytest.mark.live
def test_what_goes_wrong_in_a_coat_is_raised():
    with pytest.raises(KeyError):
        nap_in("curio")


# -- Exercise 1: the same in an async def ----------------------------------------------


async def shout_async(sock, address):
    line = b""
    while line != b"bye\n":
        line = await recv_until(sock, b"\n")
        await send_all(sock, line.upper())


async def sending_unawaited(sock, address):
    line = b""
    while line != b"bye\n":
        line = await recv_until(sock, b"\n")
        send_all(sock, line.upper())


async def receiving_unawaited(sock, address):
    line = b""
    while line != b"bye\n":
        line = recv_until(sock, b"\n")
        await send_all(sock, line.upper())


async def sleeping_in_asyncio(sock, address):
    await asyncio.sleep(0)
    await shout_async(sock, address)


async def with_asyncios_sockets(sock, address):
    await asyncio.get_running_loop().sock_recv(sock, 100)


async def not_waiting(sock, address):
    await send_all(sock, sock.recv(100).upper())


async def byte_by_byte(sock, address):
    line = b""
    while line != b"bye\n":
        line = b""
        while not line.endswith(b"\n"):
            await RECV(sock)
            line += sock.recv(1)
        await send_all(sock, line.upper())


def test_the_same_in_an_async_def_passes():
    assert examine("l14-e1", shout_async).passed


# -- Exercise 2: a trace hook for coroutines -------------------------------------------


@types.coroutine
def watched(coroutine, note):
    while True:
        note("resume")
        try:
            wanted = coroutine.send(None)
        except StopIteration as end:
            note("return")
            return end.value
        note("yield")
        yield wanted


@types.coroutine
def dropping(coroutine, note):
    while True:
        note("resume")
        try:
            coroutine.send(None)
        except StopIteration as end:
            note("return")
            return end.value
        note("yield")
        yield


@types.coroutine
def hiding(coroutine, note):
    note("resume")
    result = yield from coroutine
    note("return")
    return result


async def awaiting(coroutine, note):
    note("resume")
    result = await coroutine
    note("return")
    return result


@types.coroutine
def forgetting(coroutine, note):
    while True:
        note("resume")
        try:
            wanted = coroutine.send(None)
        except StopIteration:
            note("return")
            return
        note("yield")
        yield wanted


@types.coroutine
def noting_late(coroutine, note):
    for wanted in coroutine.__await__():
        note("resume")
        yield wanted
        note("yield")
    note("return")
    return "rested"


@types.coroutine
def never_sending(coroutine, note):
    while coroutine.cr_frame is not None:
        note("resume")
    yield


def undecorated(coroutine, note):
    yield from coroutine.__await__()


def test_a_hook_that_notes_every_step_passes():
    assert str(examine("l14-e2", watched)) == "passed: resume yield resume yield resume return"


# -- Exercise 3: the switch that the source does not show ------------------------------


def counting_first(shop, name):
    if shop.tickets > 0:
        shop.tickets -= 1
        shop.log(name)
        shop.hand_over(name)


def handing_over_first(shop, name):
    if shop.tickets > 0:
        shop.hand_over(name)
        shop.log(name)
        shop.tickets -= 1


def checking_twice(shop, name):
    if shop.tickets > 0:
        shop.log(name)
        if shop.tickets > 0:
            shop.tickets -= 1
            shop.hand_over(name)


def not_logging(shop, name):
    if shop.tickets > 0:
        shop.tickets -= 1
        shop.hand_over(name)


def counting_twice(shop, name):
    if shop.tickets > 0:
        shop.tickets -= 1
        shop.hand_over(name)
        shop.log(name)
        shop.tickets -= 1


def giving_nothing(shop, name):
    if shop.tickets > 0:
        shop.tickets -= 1
        shop.log(name)


def test_counting_before_logging_passes():
    assert examine("l14-e3", counting_first).passed
    assert queue_up(sell).sold == ["ann", "ben", "cat"]


WRONG = (
    Wrong("l14-e1", shout, "write async def, and await where yield from was"),
    Wrong("l14-e1", sending_unawaited, "a call that is not awaited only makes something"),
    Wrong("l14-e1", receiving_unawaited, "without await the name holds something"),
    Wrong("l14-e1", sleeping_in_asyncio, "works under asyncio only"),
    Wrong("l14-e1", with_asyncios_sockets, "works under asyncio only"),
    Wrong("l14-e1", not_waiting, "wait for the data before you receive it"),
    Wrong("l14-e1", byte_by_byte, "use what shout uses"),
    Wrong("l14-e2", dropping, "hand on to the loop what send() returned"),
    Wrong("l14-e2", hiding, "yield from and await hide the steps"),
    Wrong("l14-e2", awaiting, "yield from and await hide the steps"),
    Wrong("l14-e2", forgetting, "the value of its StopIteration"),
    Wrong("l14-e2", noting_late, "note resume before each send"),
    Wrong("l14-e2", never_sending, "hand on to the loop what send() returned"),
    Wrong("l14-e2", undecorated, "decorate it with types.coroutine"),
    Wrong("l14-e3", handing_over_first, "count before you log"),
    Wrong("l14-e3", checking_twice, "a log entry for each sale"),
    Wrong("l14-e3", not_logging, "each sale is still to be logged"),
    Wrong("l14-e3", counting_twice, "taken off the count, once"),
    Wrong("l14-e3", giving_nothing, "a customer that finds a ticket must get it"),
)
