"""gevent and bare greenlets, recorded in our events."""

from __future__ import annotations

import inspect
import subprocess
import sys
import time

import pytest

from fiberlab.diagnosis import diagnose
from fiberlab.lab import stories, story
from fiberlab.spans.check import check_story
from fiberlab.trace import Trace

greenlet = pytest.importorskip("greenlet")
gevent = pytest.importorskip("gevent")

from gevent import event, server, socket  # noqa: E402

from fiberlab.elsewhere.gevent_ import watching  # noqa: E402

pytestmark = pytest.mark.live


@pytest.fixture
def trace():
    """A trace that keeps the laws when the test is over."""
    trace = Trace(cpu=True)
    yield trace
    check_story(trace)


@pytest.fixture(autouse=True)
def quiet():
    """Let gevent not print the errors of greenlets."""
    hub = gevent.get_hub()
    before, hub.exception_stream = hub.exception_stream, None
    yield
    hub.exception_stream = before


def nap(times):
    for _ in range(times):
        gevent.sleep(0.001)
    gevent.sleep(0)


def test_sleeping_and_giving_a_turn_are_recorded_as_waits(trace):
    with watching(trace):
        gevent.joinall([gevent.spawn(nap, 1), gevent.spawn(nap, 2)])

    told = stories(trace)
    assert told["nap-2"] == ["sleep", "ready", "return"]
    assert told["nap-3"] == ["sleep", "sleep", "ready", "return"]
    assert set(told["main-1"][:-1]) == {"parked"}
    assert trace.header["source"] == "gevent"


def echo(sock, address):
    while data := sock.recv(100):
        sock.sendall(data)


def test_a_server_is_recorded_with_its_handlers_name_its_sockets_and_its_line(trace):
    with watching(trace):
        serving = server.StreamServer(("127.0.0.1", 0), echo)
        serving.start()
        with socket.create_connection(serving.address) as sock:
            for word in (b"one", b"two"):
                sock.sendall(word)
                assert sock.recv(100) == word
        gevent.sleep(0.02)
        serving.stop()

    [name] = [name for name in stories(trace) if name.startswith("echo")]
    _, first = inspect.getsourcelines(echo)
    assert set(story(trace, name)[:-1]) == {"recv"}
    assert story(trace, name)[-1] == "return"
    assert {e.src for e in trace if e.ev == "yield" and e.op == "RECV"} >= {
        f"test_elsewhere_gevent.py:{first + 1}"
    }
    assert "poll" in {e.ev for e in trace}


def test_how_greenlets_end_is_recorded(trace):
    def fails():
        raise ValueError("wrong")

    with watching(trace):
        sleeper = gevent.spawn(gevent.sleep, 100)
        gevent.joinall([gevent.spawn(fails), gevent.spawn(nap, 0)])
        sleeper.kill()

    ends = {e.fid: (e.how, e.err) for e in trace if e.ev == "exit"}
    assert ends == {
        1: ("return", None),
        2: ("cancel", None),
        3: ("error", "ValueError: wrong"),
        4: ("return", None),
    }


def test_the_greenlet_that_blocks_is_found_with_those_that_paid(trace):
    def blocks():
        gevent.sleep(0.005)
        time.sleep(0.08)

    with watching(trace):
        gevent.joinall([gevent.spawn(blocks), gevent.spawn(nap, 20)])

    finding = diagnose(trace)[0]
    assert finding.name == "blocks-2"
    assert finding.src == f"test_elsewhere_gevent.py:{blocks.__code__.co_firstlineno + 2}"
    assert "it was inside time.sleep(0.08)" in finding.text
    assert [victim.name for victim in finding.victims] == ["nap-3"]


def test_a_callback_that_blocks_the_hub_is_not_acquitted(trace):
    def blocks():
        time.sleep(0.08)

    with watching(trace):
        gevent.get_hub().loop.run_callback(blocks)
        gevent.joinall([gevent.spawn(nap, 20)])

    finding = diagnose(trace)[0]
    assert finding.blames
    assert finding.name.startswith("hub")
    assert finding.src == f"test_elsewhere_gevent.py:{blocks.__code__.co_firstlineno + 1}"


def test_a_greenlet_that_waits_for_an_event_is_parked(trace):
    with watching(trace):
        ready = event.Event()
        waiter = gevent.spawn(ready.wait)
        gevent.sleep(0.001)
        ready.set()
        waiter.join()

    assert stories(trace)["wait-2"] == ["parked", "return"]


def test_an_earlier_trace_function_goes_on_and_is_put_back(trace):
    seen = []

    def mine(event, args):
        seen.append(event)

    before = greenlet.settrace(mine)
    try:
        with watching(trace):
            gevent.sleep(0.001)
        assert greenlet.gettrace() is mine
    finally:
        greenlet.settrace(before)

    assert "switch" in seen


def test_an_error_in_the_block_ends_the_trace_and_the_watching(trace):
    with pytest.raises(ValueError, match="wrong"), watching(trace):
        raise ValueError("wrong")

    assert greenlet.gettrace() is None
    assert list(trace)[-1].reason == "ValueError"


def test_bare_greenlets_are_recorded_in_a_program_without_gevent(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(BARE, "utf-8")

    run = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [
        "greenlet",
        "{'greenlet-1': ['parked', 'parked', 'return'], 'greenlet-2': ['parked', 'error']}",
    ]


BARE = """
import greenlet
from fiberlab import Trace
from fiberlab.lab import stories
from fiberlab.spans.check import check_story
from fiberlab.elsewhere.gevent_ import watching

hub = greenlet.getcurrent()

def turns(number, fails):
    for _ in range(number):
        hub.switch()
    if fails:
        raise ValueError("wrong")

trace = Trace()
with watching(trace):
    one, two = greenlet.greenlet(turns), greenlet.greenlet(turns)
    one.switch(2, False)
    two.switch(1, True)
    one.switch()
    one.switch()
    try:
        two.switch()
    except ValueError:
        pass
check_story(trace)
print(trace.header["source"])
print(stories(trace))
"""
