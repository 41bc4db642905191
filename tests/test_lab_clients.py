"""load and record: clients that measure, and whole experiments."""

from __future__ import annotations

import threading
import time

import pytest
from lab_fibers import echo, failing, nothing_left, silent

from fiberlab import RECV, SEND, WAIT, start
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


# -- record -----------------------------------------------------------------------------


def test_record_returns_the_trace_of_a_whole_experiment():
    trace = record(echo, clients=2, requests=2)

    assert stories(trace) == {
        "accept-1": ["recv", "recv", "recv", "cancel"],
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


def test_a_function_that_makes_no_fiber_is_told():
    with (
        nothing_left(),
        pytest.raises(ClientError, match=r"the server: error: no fiber for .*TypeE"),
    ):
        record(lambda: None, clients=1)


def test_a_failing_client_is_recorded_if_that_is_asked_for():
    trace = record(failing, clients=2, strict=False)

    assert [each.client for each in trace.records if each.error] == [1, 2]


def test_an_exception_in_a_clients_function_is_its_failure():
    with nothing_left(), pytest.raises(ClientError, match="client 2 of 2: ZeroDivisionError"):
        record(echo, [b"hello", lambda sock: 1 / 0])


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
