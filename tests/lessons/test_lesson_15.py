"""Lesson 15, the replicator: what its question and its exercises make of an answer."""

from __future__ import annotations

import functools
from collections import Counter

import pytest
from misconceptions import Wrong

from fiberlab import WAIT, Scheduler, SimulatedNetwork, Trace, send_all
from fiberlab.lab import examine, serving
from fiberlab.lab.lessons.l15_replicator import FILE, Origin, count_looks, download, fresh_cache
from fiberlab.lab.lessons.l15_replicator.question import how_often_asked
from fiberlab.replicator.proxy import Proxy

# -- The question ----------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "choice"), [(12, "a"), (5, "a"), (1, "b"), (2, "c"), (0, "d")])
def test_the_choice_follows_from_how_often_the_origin_was_asked(asked, choice):
    assert how_often_asked(asked) == choice


@pytest.mark.live
def test_twelve_clients_share_one_download():
    with Origin(clients=12) as origin, fresh_cache() as cache:
        with serving(Proxy(cache).serve) as server:
            copies = download(server.address, origin)
        folder = cache.folder

    assert (copies, origin.asked) == ([FILE] * 12, 1)
    assert not folder.exists()


# -- The herd --------------------------------------------------------------------------


def test_a_small_herd_wakes_with_every_step():
    assert count_looks(10, crowd_sleeps=True) == count_looks(10, crowd_sleeps=False) > 1_000


def test_a_crowd_looks_equally_often_however_large_it_is():
    looks = [count_looks(joiners, crowd_sleeps=True) for joiners in (100, 200)]

    assert all(2_000 <= each < 2_500 for each in looks)


# -- Exercise 1: no faster than that ---------------------------------------------------


def send_limited(sock, data, rate):
    size = max(1, round(rate / 10))
    for begin in range(0, len(data), size):
        piece = data[begin : begin + size]
        yield from send_all(sock, piece)
        yield WAIT(len(piece) / rate)


def byte_by_byte(sock, data, rate):
    for number in range(len(data)):
        yield from send_all(sock, data[number : number + 1])
        yield WAIT(1 / rate)


def all_at_once(sock, data, rate):
    yield from send_all(sock, data)
    yield WAIT(len(data) / rate)


def waiting_first(sock, data, rate):
    yield WAIT(len(data) / rate)
    yield from send_all(sock, data)


def making_waits(sock, data, rate):
    for begin in range(0, len(data), 100):
        yield from send_all(sock, data[begin : begin + 100])
        WAIT(100 / rate)


def a_wait_for_each_piece(sock, data, rate):
    for begin in range(0, len(data), 100):
        yield from send_all(sock, data[begin : begin + 100])
        yield WAIT(1 / rate)


def too_slow(sock, data, rate):
    for begin in range(0, len(data), 100):
        yield from send_all(sock, data[begin : begin + 100])
        yield WAIT(1)


def losing_the_rest(sock, data, rate):
    for begin in range(0, len(data) - 300, 300):
        yield from send_all(sock, data[begin : begin + 300])
        yield WAIT(300 / rate)


@pytest.mark.parametrize("answer", [send_limited, byte_by_byte])
def test_a_steady_stream_passes(answer):
    judgement = examine("l15-e1", answer)

    assert judgement.passed
    assert (
        judgement.seen.startswith("4000 bytes in 3.9") or judgement.seen == "4000 bytes in 4.00 s"
    )


# -- Exercise 2: join late -------------------------------------------------------------


def follow(sock, shared):
    position = 0
    while position < len(shared.data) or not shared.over:
        piece = shared.data[position:]
        if piece:
            yield from send_all(sock, piece)
            position += len(piece)
        else:
            yield WAIT(None)


def from_now_on(sock, shared):
    position = len(shared.data) if not shared.over else 0
    while position < len(shared.data) or not shared.over:
        piece = shared.data[position:]
        if piece:
            yield from send_all(sock, piece)
            position += len(piece)
        else:
            yield WAIT(None)


def until_caught_up(sock, shared):
    position = 0
    while not shared.data:
        yield WAIT(None)
    while position < len(shared.data):
        piece = shared.data[position:]
        yield from send_all(sock, piece)
        position += len(piece)


def until_over(sock, shared):
    position = 0
    while not shared.over:
        piece = shared.data[position:]
        yield from send_all(sock, piece)
        position += len(piece)
        yield WAIT(None)


def taking_turns(sock, shared):
    position = 0
    while position < len(shared.data) or not shared.over:
        yield from send_all(sock, shared.data[position:])
        position = len(shared.data)
        yield WAIT(0)


def never_yielding(sock, shared):
    while not shared.over:
        pass
    yield from send_all(sock, shared.data)


def looking_often(sock, shared):
    position = 0
    while position < len(shared.data) or not shared.over:
        yield from send_all(sock, shared.data[position:])
        position = len(shared.data)
        yield WAIT(0.5)


def all_at_the_end(sock, shared):
    while not shared.over:
        yield WAIT(None)
    yield from send_all(sock, shared.data)


def waiting_for_ever(sock, shared):
    position = 0
    while True:
        yield from send_all(sock, shared.data[position:])
        position = len(shared.data)
        yield WAIT(None)


def test_a_joiner_with_a_position_of_its_own_passes():
    assert str(examine("l15-e2", follow)) == "passed: three whole copies"


# -- Exercise 3: which fibers woke the joiners -----------------------------------------


@functools.cache
def recorded():
    def joins():
        yield WAIT(None)
        yield WAIT(0.5)
        yield WAIT(None)

    def fetch():
        for _ in range(3):
            yield WAIT(1)

    network, trace = SimulatedNetwork(), Trace()
    scheduler = Scheduler(clock=network.clock, poller=network, trace=trace)
    for generator in (joins(), joins(), fetch()):
        scheduler.add(generator)
    scheduler.run()
    return trace


def given():
    return (recorded(),)


def wakers(trace):
    names = {event.fid: event.name for event in trace if event.ev == "spawn"}
    return Counter(names[e.by] for e in trace if e.ev == "wake" and e.why == "fiber")


def by_number(trace):
    return Counter(e.by for e in trace if e.ev == "wake" and e.why == "fiber")


def the_woken(trace):
    names = {event.fid: event.name for event in trace if event.ev == "spawn"}
    return Counter(names[e.fid] for e in trace if e.ev == "wake" and e.why == "fiber")


def every_wake(trace):
    names = {event.fid: event.name for event in trace if event.ev == "spawn"} | {0: "scheduler"}
    return Counter(names[e.by] for e in trace if e.ev == "wake")


def only_the_names(trace):
    names = {event.fid: event.name for event in trace if event.ev == "spawn"}
    return dict.fromkeys((names[e.by] for e in trace if e.ev == "wake" and e.why == "fiber"), 1)


def test_counting_the_wakes_by_their_waker_passes():
    assert len(wakers(recorded())) > 1
    assert examine("l15-e3", wakers, recorded()).passed


WRONG = (
    Wrong("l15-e1", all_at_once, "send a small piece, wait"),
    Wrong("l15-e1", waiting_first, "send a small piece, wait"),
    Wrong("l15-e1", making_waits, "the wait is a yield"),
    Wrong("l15-e1", a_wait_for_each_piece, "send a small piece, wait"),
    Wrong("l15-e1", too_slow, "may take n / rate seconds"),
    Wrong("l15-e1", losing_the_rest, "each piece once, the last too"),
    Wrong("l15-e2", from_now_on, "a position of its own"),
    Wrong("l15-e2", until_caught_up, "is not the end"),
    Wrong("l15-e2", until_over, "is not the end"),
    Wrong("l15-e2", taking_turns, "it wakes when another fiber has run"),
    Wrong("l15-e2", never_yielding, "it wakes when another fiber has run"),
    Wrong("l15-e2", looking_often, "it wakes when another fiber has run"),
    Wrong("l15-e2", all_at_the_end, "wait only when there is no more"),
    Wrong("l15-e2", waiting_for_ever, "look before you wait"),
    Wrong("l15-e3", by_number, "a name for each id", given),
    Wrong("l15-e3", the_woken, "fid is the fiber that was woken", given),
    Wrong("l15-e3", every_wake, "most wakes have other reasons", given),
    Wrong("l15-e3", only_the_names, "say in `by` which one", given),
)
