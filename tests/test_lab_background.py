"""serving: a server in the background that leaves nothing behind."""

from __future__ import annotations

import math
import re
import socket
import threading
import time

import pytest
from lab_fibers import echo, nothing_left

from fiberlab import RECV, SEND, WAIT, Trace
from fiberlab.lab import load, serving, stories

pytestmark = pytest.mark.live


def upper(sock, address):
    yield RECV(sock)
    data = sock.recv(1024)
    yield SEND(sock)
    sock.send(data.upper())


def talkative(sock, address):
    print("somebody came")
    yield RECV(sock)


def say(address, word: bytes) -> bytes:
    with socket.create_connection(address, timeout=5) as client:
        client.sendall(word)
        return client.recv(1024)


def test_a_server_answers_inside_the_with():
    with serving(echo) as server:
        answer = say(server.address, b"hello")

    assert answer == b"hello"


def test_several_functions_have_a_port_each():
    with serving(echo, upper) as server:
        answers = [say(address, b"hello") for address in server.addresses]

    assert answers == [b"hello", b"HELLO"]


def test_nothing_is_left_after_success():
    with nothing_left(), serving(echo) as server:
        load(server.address, clients=3, requests=2)


def test_nothing_is_left_after_an_exception_inside():
    with nothing_left(), pytest.raises(KeyError), serving(echo):
        raise KeyError("mine")


def test_nothing_is_left_while_a_client_stays_connected():
    with nothing_left(), socket.socket() as client, serving(echo) as server:
        client.connect(server.address)


def test_the_port_is_free_again():
    with serving(echo) as server:
        pass

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.address, timeout=5)


def test_what_kills_the_server_is_raised():
    def deadly(sock, address):
        yield RECV(sock)
        raise SystemExit(3)

    with nothing_left(), pytest.raises(SystemExit, match="3"), serving(deadly) as server:
        say(server.address, b"die")


def test_a_server_that_does_not_stop_is_named():
    at_work, let_go = threading.Event(), threading.Event()

    def stubborn(sock, address):
        yield RECV(sock)
        sock.recv(1)
        at_work.set()
        let_go.wait(5)

    with nothing_left():
        with (
            pytest.raises(
                RuntimeError,
                match=r"within 0\.05 s: fiber 'stubborn-2' has not yielded at "
                rf"test_lab_background.py:{stubborn.__code__.co_firstlineno + 4};",
            ),
            serving(stubborn, within=0.05) as server,
            socket.create_connection(server.address) as client,
        ):
            client.send(b"x")
            assert at_work.wait(5)
        let_go.set()
        server.stop()


def test_a_second_listener_that_fails_leaves_no_first():
    with nothing_left(), pytest.raises(TypeError, match="needs a generator function"):
        serving(echo, "no function").__enter__()


def test_serving_nothing_is_refused():
    with pytest.raises(TypeError, match="at least one generator function"):
        serving().__enter__()


def plain(sock, address):
    return sock.getpeername()


def test_a_function_that_makes_no_fiber_is_told_when_the_with_is_left():
    words = r"^plain\(sock, address\) made no fiber: it returned .* has a `yield` in it$"
    with nothing_left(), pytest.raises(TypeError, match=words), serving(echo, plain) as server:
        for address in server.addresses:
            say(address, b"x")


@pytest.mark.parametrize(
    ("within", "error"),
    [("5", TypeError), (None, TypeError), (True, TypeError), (0, ValueError), (-1, ValueError),
     (math.nan, ValueError), (math.inf, ValueError), (1e300, ValueError)],
)  # fmt: skip
def test_a_wrong_time_to_stop_is_refused_before_anything_is_opened(within, error):
    with nothing_left(), pytest.raises(error, match="within"):
        serving(echo, within=within).__enter__()


def test_what_fibers_print_is_kept(capsys):
    with serving(talkative) as server, socket.create_connection(server.address) as client:
        client.shutdown(socket.SHUT_WR)
        client.recv(1)

    head, line = server.output.splitlines()[:2]
    assert "talkative-2" in head
    assert re.fullmatch(r" *\d\.\d{3} +somebody came", line)
    assert capsys.readouterr().out == ""


def test_the_trace_is_whole_when_the_clients_have_left():
    with serving(echo) as server:
        load(server.address, clients=2, requests=2)

    echoed = ["recv", "send", "recv", "send", "recv", "return"]
    told = stories(server.trace)
    assert told["echo-2"] == told["echo-3"] == echoed


def test_a_trace_of_ones_own_is_used():
    trace = Trace()
    with serving(echo, trace=trace) as server:
        say(server.address, b"hello")

    assert server.trace is trace
    assert list(stories(trace)) == ["accept-1", "echo-2"]


def test_the_timeout_is_the_schedulers():
    with serving(echo, timeout=0.05) as server, socket.create_connection(server.address) as client:
        client.settimeout(5)
        ended = client.recv(1)

    assert ended == b""
    assert "FiberTimeout" in server.output


def test_debug_reports_a_traceback():
    def wrong(sock, address):
        yield RECV(sock)
        sock.recv(1)  # else the client is reset, since it has sent in vain
        raise ValueError("wrong")

    with serving(wrong, debug=True) as server:
        say(server.address, b"x")

    assert "Traceback" in server.output


def test_a_server_tells_where_it_is_and_whether_it_runs():
    with serving(echo) as server:
        inside = repr(server)

    port = server.address[1]
    assert inside == f"<Server at 127.0.0.1 port {port}, running>"
    assert repr(server) == f"<Server at 127.0.0.1 port {port}, stopped>"


def test_leaving_does_not_wait_for_sleeping_fibers():
    def sleeper(sock, address):
        yield WAIT(30)

    began = time.monotonic()
    with serving(sleeper) as server, socket.create_connection(server.address):
        pass

    assert time.monotonic() - began < 5
