"""Threads, sampled: what is seen of them, and what is left unknown."""

from __future__ import annotations

import hashlib
import math
import queue
import socket
import sys
import threading
import time

import pytest

from fiberlab.diagnosis import assert_no_stall, diagnose
from fiberlab.elsewhere.threads import watching
from fiberlab.figures import plot_timeline
from fiberlab.report import compare, summarize
from fiberlab.spans.build import build_spans
from fiberlab.states import FiberState
from fiberlab.trace import Trace

pytestmark = pytest.mark.live

EVERY = 0.002


def time_in(trace, name):
    """Return in which states the thread whose function has this name was, the longest first."""
    [life] = [each for each in build_spans(trace).lives if each.name.startswith(name)]
    times = build_spans(trace).totals(life.id)
    return [state for state in sorted(times, key=lambda state: -times[state]) if times[state]]


def sampled(*functions, release=lambda: None, seconds=0.1):
    """Run each function in a thread, call `release` after a while, and return the trace."""
    trace = Trace()
    threads = [threading.Thread(target=function, daemon=True) for function in functions]
    with watching(trace, EVERY, all_threads=False):
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        release()
        for thread in threads:
            thread.join()
    return trace


def test_a_thread_in_a_known_call_waits_there_at_its_own_line():
    left, right = socket.socketpair()
    lock, event, box = threading.Lock(), threading.Event(), queue.Queue()
    lock.acquire()

    def receives():
        left.recv(1)

    def locked():
        with lock:
            pass

    def waits():
        event.wait()

    def gets():
        box.get()

    def sleeps():
        time.sleep(0.1)

    def release():
        right.send(b"x")
        lock.release()
        event.set()
        box.put(None)

    with left, right:
        trace = sampled(receives, locked, waits, gets, sleeps, release=release)

    states = {name: time_in(trace, name)[0] for name in ("receives", "locked", "waits", "gets")}
    assert states == {
        "receives": FiberState.RECV,
        "locked": FiberState.PARKED,
        "waits": FiberState.PARKED,
        "gets": FiberState.PARKED,
    }
    assert time_in(trace, "sleeps")[0] is FiberState.SLEEP
    first = receives.__code__.co_firstlineno
    assert f"test_elsewhere_threads.py:{first + 1}" in {e.src for e in trace if e.ev == "yield"}


def test_a_call_that_was_made_often_is_seen_like_the_first():
    def sleeps():
        for seconds in (*[0] * 50, 0.1):
            time.sleep(seconds)

    assert time_in(sampled(sleeps), "sleeps")[0] is FiberState.SLEEP


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a thread's processor time")
def test_a_thread_that_computes_ran_and_never_waits():
    def computes():
        before, began = time.thread_time(), time.monotonic()
        while time.monotonic() < began + 0.15:
            hashlib.sha256(bytes(5_000_000)).digest()  # without the interpreter's lock
        shares.append((time.thread_time() - before) / (time.monotonic() - began))

    shares = []
    for _ in range(5):  # a busy machine may not let it run
        trace = sampled(computes, seconds=0)
        seen = set(time_in(trace, "computes"))
        assert seen <= {FiberState.RUNNING, FiberState.READY, FiberState.UNKNOWN}
        if shares[-1] > 0.8:
            break

    assert FiberState.RUNNING in seen or shares[-1] <= 0.8


def test_what_nobody_can_tell_is_unknown():
    def blocks():
        (lambda a_name_in_no_table: a_name_in_no_table(0.1))(time.sleep)

    trace = sampled(blocks)

    assert time_in(trace, "blocks")[0] is FiberState.UNKNOWN
    assert "unknown" in str(summarize(trace))
    assert "unknown" in str(compare(trace, trace))
    assert "unknown" in plot_timeline(trace).get_legend().get_texts()[-1].get_text()


def test_a_trace_without_threads_has_no_column_for_what_is_unknown(scheduler, events):
    scheduler.run()

    assert "unknown" not in str(summarize(events))


def test_a_thread_that_runs_long_holds_up_nobody():
    def sleeps():
        time.sleep(0.1)

    def computes():
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            pass

    trace = sampled(sleeps, computes)

    assert str(diagnose(trace)) == ""
    assert build_spans(trace).unwatched() == []
    assert_no_stall(trace, 1)


def test_only_the_threads_that_began_inside_are_recorded_if_that_is_asked_for():
    over = threading.Event()
    before = threading.Thread(target=over.wait, name="before", daemon=True)
    before.start()
    try:
        some = sampled()
        every = Trace()
        with watching(every, EVERY):
            time.sleep(0.02)
    finally:
        over.set()
        before.join()

    assert [life.name for life in build_spans(some).lives if "before" in life.name] == []
    assert len([life for life in build_spans(every).lives if "before" in life.name]) == 1


def test_nothing_is_left_behind_even_if_the_block_fails():
    threads = threading.active_count()
    trace = Trace()
    with pytest.raises(ValueError, match="wrong"), watching(trace, EVERY):
        raise ValueError("wrong")

    assert threading.active_count() == threads
    assert list(trace)[-1].reason == "ValueError"


def test_a_sampled_trace_survives_a_round_trip_to_disk(tmp_path):
    trace = sampled(lambda: time.sleep(0.02), seconds=0)
    trace.save(tmp_path / "threads.fiber.jsonl")

    assert Trace.load(tmp_path / "threads.fiber.jsonl") == trace


@pytest.mark.parametrize("every", [0, -1, math.nan, math.inf, None, "1", True])
def test_a_time_that_is_none_is_refused(every):
    told = rf"watching\(every=\) is seconds > 0, got {every!r}; at most 3600"
    with pytest.raises(ValueError, match=told), watching(Trace(), every):
        pass
