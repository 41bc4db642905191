"""load and record: clients that measure, and whole experiments."""

from __future__ import annotations

import _thread
import json
import math
import socket
import struct
import threading
import time
from collections import deque
from typing import Any

import pytest
from lab_fibers import echo, failing, nothing_left, silent

from fiberlab import (
    RECV,
    SEND,
    WAIT,
    Trace,
    in_thread,
    join,
    recv_exactly,
    recv_until,
    send_all,
    start,
)
from fiberlab.lab import ClientError, load, printed, record, serving, stories, story

pytestmark = pytest.mark.live

# -- load -------------------------------------------------------------------------------


def test_load_records_each_request_of_each_client_in_order():
    with serving(echo) as server:
        records = load(server.address, clients=3, requests=4, request=b"12345")

    told = [(each.client, each.request, each.bytes, each.error) for each in records]
    assert told == [(client, n, 5, None) for client in (1, 2, 3) for n in (1, 2, 3, 4)]
    assert all(0 <= each.start <= each.end for each in records)


def test_clients_of_a_list_do_as_it_says():
    said = []

    def shy(sock):
        said.append(sock.getpeername())

    with serving(echo) as server:
        records = load(server.address, [b"hello", shy, b"ok"], requests=2)

    assert [(each.client, each.bytes) for each in records] == [
        (1, 5),
        (1, 5),
        (2, 0),
        (3, 2),
        (3, 2),
    ]
    assert said == [server.address]


def test_load_leaves_no_thread_behind():
    with serving(echo) as server:
        load(server.address, clients=5, requests=3)
        clients = [each for each in threading.enumerate() if "client" in each.name]

    assert clients == []


def test_with_a_rate_requests_are_due_at_fixed_times():
    with serving(echo) as server:
        records = load(server.address, clients=2, requests=3, rate=100)

    due = sorted(round(each.start, 6) for each in records)
    assert due == [0.0, 0.01, 0.02, 0.03, 0.04, 0.05]


def test_with_a_rate_a_latency_counts_from_the_moment_the_request_was_due():
    def slow_at_first(sock, address):
        yield RECV(sock)
        time.sleep(0.2)
        while data := sock.recv(1024):
            yield SEND(sock)
            sock.send(data)
            yield RECV(sock)

    with serving(slow_at_first) as server:
        closed = load(server.address, clients=1, requests=5)
        opened = load(server.address, clients=1, requests=5, rate=50)

    assert [each.latency > 0.1 for each in closed] == [True, False, False, False, False]
    assert [each.latency > 0.1 for each in opened] == [True, True, True, True, True]


def test_a_client_that_fails_is_named():
    with serving(failing) as server, pytest.raises(ClientError, match="client 1 of 1: Connection"):
        load(server.address, clients=1)


def test_a_failure_is_recorded_if_that_is_asked_for():
    with serving(failing) as server:
        records = load(server.address, clients=2, requests=3, strict=False)

    assert [(each.client, each.request, each.bytes) for each in records] == [(1, 1, 0), (2, 1, 0)]
    assert all("Connection" in (each.error or "") for each in records)


def test_a_server_that_is_not_there_is_named():
    with serving(echo) as server:
        pass

    with pytest.raises(ClientError, match="client 1 of 8: ConnectionRefusedError"):
        load(server.address)


def test_a_server_that_never_answers_ends_the_load():
    with serving(silent) as server:
        with pytest.raises(ClientError, match="client 1 of 2: TimeoutError: timed out"):
            load(server.address, clients=2, timeout=0.05)
        with pytest.raises(ClientError, match="client 1 of 2: had not ended in time"):
            load(server.address, clients=2, deadline=0.05)


@pytest.mark.parametrize(
    ("clients", "words"),
    [
        (b"hello", "a number or a list"),
        ("hello", "a number or a list"),
        (None, "a number or a list"),
        (["hello"], "bytes to send or a function"),
        ([b""], "bytes to send or a function"),
    ],
)
def test_clients_that_make_no_sense_are_refused_before_anything_is_opened(clients, words):
    with nothing_left(), pytest.raises(TypeError, match=words):
        record(echo, clients)


NO_NUMBERS = ("3", b"3", None, True, 3j, [3])
NO_COUNTS = (*NO_NUMBERS, 2.0, math.nan)
WRONG = [
    *[("requests", each, TypeError) for each in NO_COUNTS],
    *[("requests", each, ValueError) for each in (0, -1)],
    *[("rate", each, TypeError) for each in NO_NUMBERS if each is not None],
    *[("rate", each, ValueError) for each in (0, -5, math.nan, math.inf, -math.inf, 1e300)],
    *[("deadline", each, TypeError) for each in NO_NUMBERS],
    *[("deadline", each, ValueError) for each in (0, -1.0, math.nan, math.inf, 1e300, 10**400)],
    ("clients", True, TypeError),
    ("clients", 2.0, TypeError),
    ("clients", math.nan, TypeError),
    ("clients", 0, ValueError),
    ("clients", -1, ValueError),
    ("clients", 10**30, ValueError),
    ("clients", [], ValueError),
]


@pytest.mark.parametrize(("name", "value", "error"), WRONG)
def test_a_wrong_argument_is_refused_before_anything_is_opened(name, value, error):
    arguments = {"clients": 2, name: value}
    with nothing_left(), pytest.raises(error, match=name):
        record(echo, **arguments)
    with nothing_left(), pytest.raises(error, match=name):
        load(("127.0.0.1", 1), **arguments)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        *[("timeout", each, TypeError) for each in NO_NUMBERS],
        *[("timeout", each, ValueError) for each in (0, -1, math.nan, math.inf, 1e300)],
        *[("request", each, TypeError) for each in (b"", "hello", None, 3)],
        ("address", 80, TypeError),
        ("address", ("127.0.0.1", "80"), TypeError),
        ("address", ("127.0.0.1", 99_999), ValueError),
    ],
)
def test_a_wrong_argument_of_load_is_refused(name, value, error):
    arguments = {"address": ("127.0.0.1", 1), name: value}
    with nothing_left(), pytest.raises(error):
        load(**arguments)


@pytest.mark.parametrize(
    ("value", "error"),
    [("x", TypeError), (True, TypeError), (0, ValueError), (math.inf, ValueError)],
)
def test_a_wrong_stall_after_is_refused(value, error):
    with nothing_left(), pytest.raises(error, match="stall_after"):
        record(echo, clients=1, stall_after=value)


# -- record -----------------------------------------------------------------------------


def test_record_returns_the_trace_of_a_whole_experiment():
    trace = record(echo, clients=2, requests=2)

    told = stories(trace)
    # One pass accepts all clients that wait by then: both, or one and then the other.
    assert told.pop("accept-1") in (["recv"] * 2 + ["cancel"], ["recv"] * 3 + ["cancel"])
    assert told == {
        "echo-2": ["recv", "send", "recv", "send", "recv", "return"],
        "echo-3": ["recv", "send", "recv", "send", "recv", "return"],
    }
    assert [event.reason for event in trace if event.ev == "stop"] == ["stopped"]


def test_client_number_k_is_accepted_as_the_kth():
    names = {}

    def naming(sock, address):
        names[sock.getpeername()] = len(names) + 1
        yield RECV(sock)
        yield SEND(sock)
        sock.send(sock.recv(1024))

    def own_address(sock):
        sock.sendall(b"x")
        sock.recv(1)
        return sock.getsockname()

    trace = record(naming, [own_address] * 20)

    assert [names[address] for address in trace.answers] == list(range(1, 21))


def test_all_are_accepted_before_any_begins():
    trace = record(echo, clients=8)

    kinds = [
        event.fields.get("op", event.ev)
        for event in trace
        if event.fid > 1 and (event.ev == "spawn" or event.fields.get("op") == "SEND")
    ]
    assert kinds == ["spawn"] * 8 + ["SEND"] * 8


def test_record_keeps_what_clients_saw():
    trace = record(echo, [b"hello", lambda sock: "nothing said"], requests=2)

    assert trace.answers == [b"hellohello", "nothing said"]
    assert [(each.client, each.bytes) for each in trace.records] == [(1, 5), (1, 5), (2, 0)]


def test_record_leaves_nothing_behind():
    with nothing_left():
        record(echo, clients=6, requests=3)


def test_record_waits_for_the_fibers_to_see_that_their_clients_have_left():
    def lingering(sock, address):
        yield RECV(sock)
        yield WAIT(0.05)

    trace = record(lingering, [lambda sock: None])

    assert story(trace, "lingering-2") == ["recv", "sleep", "return"]


def test_prints_of_fibers_are_in_the_recording_and_nowhere_else(capsys):
    def talkative(sock, address):
        print("hello", address[0])
        yield RECV(sock)

    trace = record(talkative, [lambda sock: None] * 2)

    assert printed(trace) == [
        ("talkative-2", "hello 127.0.0.1"),
        ("talkative-3", "hello 127.0.0.1"),
    ]
    assert trace.output.count("hello 127.0.0.1") == 2
    assert capsys.readouterr() == ("", "")


def test_fibers_that_go_on_for_ever_do_not_keep_the_experiment():
    def ticking():
        while True:
            yield WAIT(0.01)

    def with_ticker(sock, address):
        start(ticking(), "ticker")
        yield RECV(sock)

    trace = record(with_ticker, [lambda sock: None])

    assert [each[-1] for each in stories(trace).values()] == ["cancel", "return", "cancel"]


def test_an_error_in_the_server_is_told_with_its_line():
    with nothing_left(), pytest.raises(ClientError) as failure:
        record(failing, clients=2)

    words = r"fiber 'failing-2' ended with ValueError: no such word at lab_fibers.py:\d+"
    assert failure.match(words)
    assert failure.value.trace is not None
    assert failure.value.trace.header["clock"] == "perf_counter"


def plain(sock, address):
    sock.sendall(sock.recv(1024))


def returning(sock, address):
    return sock.getpeername()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (
            plain,
            r"^plain\(sock, address\) made no fiber: it raised BlockingIOError: .* `yield` in it",
        ),
        (
            returning,
            r"^returning\(sock, address\) made no fiber: it returned \('127.0.0.1', \d+\);",
        ),
        (lambda: None, r"made no fiber: it raised TypeError: .* takes 0 positional arguments"),
    ],
)
def test_a_function_that_makes_no_fiber_is_told_in_one_sentence(function, words):
    with nothing_left(), pytest.raises(ClientError, match=words):
        record(function, clients=3)


def test_it_is_told_even_if_the_clients_do_not_mind():
    with nothing_left(), pytest.raises(ClientError, match=r"^returning\(sock, address\) made no"):
        record(returning, [lambda sock: None])


def reply(sock, data):
    yield SEND(sock)
    sock.sendall(data)


def forgetful(sock, address):
    yield RECV(sock)
    reply(sock, sock.recv(1024))


def test_a_helper_called_without_yield_from_is_named_with_its_line():
    line = forgetful.__code__.co_firstlineno + 2
    words = (
        rf"forgetful calls reply\(...\) at test_lab_clients.py:{line} and drops what it makes: "
        r"write `yield from reply\(sock, sock.recv\(1024\)\)`$"
    )

    with nothing_left(), pytest.raises(ClientError, match=words):
        record(forgetful, clients=2)


def test_a_helper_that_is_yielded_is_told_at_the_line_that_yields_it():
    def yielding(sock, address):
        yield RECV(sock)
        yield reply(sock, sock.recv(1024))

    line = yielding.__code__.co_firstlineno + 2
    with pytest.raises(ClientError, match=rf"yield from at test_lab_clients.py:{line}$"):
        record(yielding, clients=1)


def test_a_failing_client_is_recorded_if_that_is_asked_for():
    trace = record(failing, clients=2, strict=False)

    assert [each.client for each in trace.records if each.error] == [1, 2]


def test_an_exception_in_a_clients_function_is_its_failure():
    with nothing_left(), pytest.raises(ClientError, match="client 2 of 2: ZeroDivisionError"):
        record(echo, [b"hello", lambda sock: 1 / 0])


class Died(BaseException):
    """Not even an Exception, as pytest's own failures are."""


ENDS = (SystemExit, KeyboardInterrupt, GeneratorExit, Died, pytest.fail.Exception, OSError)


@pytest.mark.parametrize("ends", ENDS)
def test_a_client_that_ends_by_whatever_it_raises_has_failed(ends):
    def client(sock):
        raise ends("so it was")

    words = f"client 2 of 2: {ends.__name__}: so it was"
    with nothing_left(), pytest.raises(ClientError, match=words) as failure:
        record(echo, [b"hello", client])
    with serving(echo) as server, pytest.raises(ClientError, match=words):
        load(server.address, [b"hello", client], requests=1)

    assert [each.error is None for each in failure.value.records] == [True, False]


@pytest.mark.parametrize("ends", ENDS)
def test_what_is_raised_inside_serving_comes_out_of_it(ends):
    with nothing_left(), pytest.raises(ends, match="so it was"), serving(echo):
        raise ends("so it was")


def test_a_client_that_is_a_generator_function_has_failed_since_nobody_runs_it():
    def client(sock):
        yield sock.send(b"x")

    with (
        nothing_left(),
        pytest.raises(ClientError, match=r"client 1 of 1: TypeError: .*never runs"),
    ):
        record(echo, [client])


def test_a_client_whose_connection_dies_has_failed():
    def dying(sock, address):
        yield RECV(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    with nothing_left(), pytest.raises(ClientError, match="client 1 of 1: Connection"):
        record(dying, clients=1)


def test_a_standstill_ends_at_once_and_names_the_fiber_its_wait_and_its_line():
    line = silent.__code__.co_firstlineno + 3
    words = (
        "client 1 of 2: had not ended in time; "
        rf"the server: fiber silent-2 waits in RECV at lab_fibers.py:{line}$"
    )

    began = time.monotonic()
    with nothing_left(), pytest.raises(ClientError, match=words):
        record(silent, clients=2, deadline=60)

    assert time.monotonic() - began < 30


def test_a_child_that_waits_for_the_client_makes_a_standstill_too():
    def reading(sock):
        while True:
            yield RECV(sock)
            sock.recv(1)

    def parent(sock, address):
        yield from join(start(reading(sock), "child"))

    began = time.monotonic()
    with pytest.raises(ClientError, match=r"fiber parent-2 waits in WAIT\(\) at"):
        record(parent, clients=1, deadline=60)

    assert time.monotonic() - began < 30


def test_a_failure_elsewhere_is_told_with_the_wait_of_the_clients_own_fiber():
    def first_waits(sock, address):
        yield RECV(sock)
        if sock.recv(1024) == b"other":
            raise ValueError("gone")
        yield RECV(sock)

    words = (
        r"client 1 of 2: had not .*fiber first_waits-2 waits in RECV at .*; fiber 'first_waits-3'"
    )
    with pytest.raises(ClientError, match=words):
        record(first_waits, [b"first", b"other"])


def test_an_interrupt_does_not_wait_for_a_client_that_sleeps():
    let_go = threading.Event()
    interrupt = threading.Timer(0.3, _thread.interrupt_main)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupt.start()
        record(echo, [lambda sock: let_go.wait(60)], deadline=60)
    let_go.set()

    assert time.monotonic() - began < 30


def test_a_fiber_that_ends_before_it_has_answered_is_told():
    def half(sock, address):
        yield RECV(sock)
        sock.recv(100)

    def leaves(sock):
        raise AssertionError("mine")

    with pytest.raises(ClientError) as failed:
        record(half, 1)
    with pytest.raises(ClientError) as other:
        record(half, [leaves])

    assert str(failed.value).endswith("; the server: fiber 'half-2' had ended, without an error")
    assert str(other.value) == "client 1 of 1: AssertionError: mine"


@pytest.mark.parametrize(
    "fault",
    ["json.loads('x')", "start(record)", "raise StopIteration", "yield from recv_exactly(0, 1)"],
)
def test_the_line_of_a_fiber_that_fails_inside_a_library_is_its_own(tmp_path, fault):
    source = f"def handler(sock, address):\n    yield RECV(sock)\n    {fault}\n"
    names: dict[str, Any] = {
        "RECV": RECV,
        "json": json,
        "start": start,
        "record": record,
        "recv_exactly": recv_exactly,
    }
    exec(compile(source, tmp_path / "mine.py", "exec"), names)

    with pytest.raises(ClientError, match=r" at mine\.py:3$"):
        record(names["handler"], 1)


def test_the_line_of_a_fiber_that_waits_inside_a_helper_is_its_own():
    def lines(sock, address):
        while True:
            line = yield from recv_until(sock, b"!")
            yield from send_all(sock, line)

    line = lines.__code__.co_firstlineno + 2
    with pytest.raises(ClientError, match=rf"waits in RECV at test_lab_clients.py:{line}$"):
        record(lines, [lambda sock: (sock.sendall(b"?"), sock.makefile("rb").readline())])


def test_what_only_looks_like_a_standstill_goes_on():
    def threaded(sock, address):
        yield RECV(sock)
        data = sock.recv(1024)
        yield from in_thread(threading.Event().wait, 1.5)
        yield SEND(sock)
        sock.send(data)

    def hesitant(sock):
        threading.Event().wait(1.5)
        sock.sendall(b"x")
        return sock.recv(1)

    assert record(threaded, [b"hello"]).answers == [b"hello"]
    assert record(echo, [hesitant]).answers == [b"x"]


def test_a_fiber_that_sleeps_at_the_deadline_is_named_with_its_wait():
    def sleeper(sock, address):
        yield WAIT(30)

    line = sleeper.__code__.co_firstlineno + 1
    words = rf"fiber sleeper-2 waits in WAIT\(30\) at test_lab_clients.py:{line}$"
    with nothing_left(), pytest.raises(ClientError, match=words):
        record(sleeper, clients=1, deadline=0.2)


def test_a_fiber_that_spins_is_named_with_its_line():
    def spinning(sock, address):
        pause = WAIT(0)
        while True:
            yield pause

    line = spinning.__code__.co_firstlineno + 3
    words = rf"fiber spinning-2 spins: it yielded WAIT\(0\) [\d,]+ times .*_clients.py:{line}$"
    with nothing_left(), pytest.raises(ClientError, match=words):
        record(spinning, clients=1, deadline=1.5)


def endless(sock, address):
    yield RECV(sock)
    while True:
        pass


def asleep(sock, address):
    yield RECV(sock)
    threading.Event().wait(3600)


def catching_all(sock, address):
    yield RECV(sock)
    while True:
        try:
            int("no number")
        except:  # noqa: E722 - as a learner writes it
            continue


@pytest.mark.posix  # elsewhere a call that blocks is not torn out of its wait
@pytest.mark.parametrize("function", [endless, asleep, catching_all])
def test_a_fiber_that_never_yields_is_interrupted_and_named_with_its_line(function):
    name = function.__name__
    words = rf"the server: fiber {name}-2 has not yielded at test_lab_clients.py:\d+, in {name}$"

    with nothing_left(), pytest.raises(ClientError, match=words) as failure:
        record(function, clients=1, deadline=0.3)

    assert failure.value.trace is not None
    assert story(failure.value.trace, 2)[0] == "recv"


def test_a_fiber_that_yields_after_the_deadline_is_named_with_the_line_it_was_at():
    def slow(sock, address):
        yield RECV(sock)
        until = time.monotonic() + 0.8
        while time.monotonic() < until:
            pass
        yield WAIT(30)

    words = r"fiber slow-2 was running at test_lab_clients.py:\d+$"
    with nothing_left(), pytest.raises(ClientError, match=words):
        record(slow, clients=1, deadline=0.3)


def test_a_fiber_that_never_yields_is_interrupted_in_another_thread_too():
    told = []

    def experiment():
        with pytest.raises(ClientError) as failure:
            record(endless, clients=1, deadline=0.3)
        told.append(str(failure.value))

    thread = threading.Thread(target=experiment)
    thread.start()
    thread.join(30)

    assert "fiber endless-2 has not yielded at test_lab_clients.py" in told[0]


def test_a_fiber_that_does_not_end_after_its_client_is_told():
    def afterwards(sock, address):
        yield RECV(sock)
        sock.sendall(sock.recv(1024))
        while True:
            pass

    words = "all clients ended in time; the server: fiber afterwards-2 has not yielded at"
    with nothing_left(), pytest.raises(ClientError, match=words):
        record(afterwards, clients=1, deadline=0.3)


class Stuck(deque):
    """A run queue that never gives anything out."""

    def popleft(self):
        while True:
            pass


def test_one_interrupt_is_enough_for_a_run_queue_that_does_not_come_back():
    interrupt = threading.Timer(0.3, _thread.interrupt_main)

    with nothing_left(but=interrupt), pytest.raises(KeyboardInterrupt):
        interrupt.start()
        record(echo, clients=3, run_queue=Stuck())


def test_a_run_queue_that_does_not_come_back_is_interrupted_and_named():
    with nothing_left(), pytest.raises(ClientError, match=r"still at work at .*:\d+, in popleft$"):
        record(echo, clients=3, run_queue=Stuck(), deadline=0.3)


def test_record_ends_at_its_deadline():
    began = time.monotonic()
    with nothing_left(), pytest.raises(ClientError, match="client 1 of 1: had not ended in time"):
        record(silent, clients=1, deadline=0.1)

    assert time.monotonic() - began < 5


def test_an_interrupt_leaves_nothing_behind():
    def interrupted(sock, address):
        yield RECV(sock)
        raise KeyboardInterrupt

    with nothing_left(), pytest.raises(KeyboardInterrupt):
        record(interrupted, clients=4, requests=50, rate=10)


def test_the_scheduler_runs_in_the_calling_thread():
    threads = []

    def where(sock, address):
        threads.append(threading.current_thread())
        yield RECV(sock)

    record(where, [lambda sock: threads.append(threading.current_thread())])

    assert threads[0] is threading.current_thread()
    assert threads[1] is not threading.current_thread()


def test_options_are_passed_on_to_the_scheduler():
    trace = record(silent, clients=1, strict=False, timeout=0.05, debug=True)

    assert story(trace, "silent-2") == ["recv", "recv", "error"]
    assert "Traceback" in trace.output


def test_a_trace_of_ones_own_is_refused_since_record_makes_it():
    with pytest.raises(TypeError, match=r"record\(\) makes the trace and returns it"):
        record(echo, 1, trace=Trace())
    with pytest.raises(KeyError, match=r"no fiber 'echo-2' .* none: was anything recorded"):
        story(Trace(), "echo-2")


def test_the_fiber_of_the_client_that_failed_is_named_not_the_first_that_failed():
    def second_fails_first(sock, address):
        yield RECV(sock)
        word = sock.recv(1024)
        if word == b"first":
            yield WAIT(0.05)
        raise ValueError(word.decode())

    with pytest.raises(ClientError, match=r"client 1 of 2: .* ended with ValueError: first"):
        record(second_fails_first, [b"first", b"other"])


def test_an_abandoned_client_does_not_wait_for_its_timeout():
    began = time.monotonic()
    with nothing_left(), pytest.raises(ClientError, match="had not ended in time"):
        record(silent, [lambda sock: (sock.settimeout(None), sock.recv(1))], deadline=0.1)

    assert time.monotonic() - began < 1
