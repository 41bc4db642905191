"""Messages on their way: bodies, answers that come early, sloppy origins, slow clients."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import time

import pytest
from replicator_world import (
    BODY,
    SECONDS,
    File,
    ask,
    cached,
    origin_serving,
    proxy_serving,
    raw,
    says,
    scripted,
    wait_until,
)

pytestmark = pytest.mark.live

LARGE = 8_000_000


def request(method: str, url: str, *fields: str) -> bytes:
    return "\r\n".join([f"{method} {url} HTTP/1.1", "Host: x", *fields, "", ""]).encode()


def talk(running, data: bytes, rest: bytes = b"") -> bytes:
    """Send all of it, from another thread, while reading what comes; return that."""
    got = b""
    with socket.create_connection(running.address, timeout=SECONDS) as sock:

        def send() -> None:
            with contextlib.suppress(OSError):
                sock.sendall(data + rest)

        sender = threading.Thread(target=send)
        sender.start()
        with contextlib.suppress(ConnectionResetError):
            while part := sock.recv(65536):
                got += part
        sender.join()
    return got


def until(sock: socket.socket, mark: bytes, got: bytes = b"") -> bytes:
    """Receive until `mark` has come; return all."""
    while mark not in got:
        data = sock.recv(1000)
        assert data, f"closed after {got!r}"
        got += data
    return got


def drain(sock: socket.socket, size: int) -> int:
    """Receive up to `size` bytes; return how many came."""
    came = 0
    while came < size and (data := sock.recv(1 << 18)):
        came += len(data)
    return came


# -- Answers that come early -----------------------------------------------------------

REFUSED = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!"
FRAMES = {"length": f"Content-Length: {LARGE}", "chunks": "Transfer-Encoding: chunked"}
BODIES = {
    "length": bytes(LARGE),
    "chunks": b"%x\r\n%s\r\n" % (LARGE // 2, bytes(LARGE // 2)) * 2 + b"0\r\n\r\n",
}


@pytest.mark.parametrize("frame", ["length", "chunks"])
@pytest.mark.parametrize("expects", [(), ("Expect: 100-continue",)])
@pytest.mark.parametrize("ending", ["closes", "lingers", "resets"])
@pytest.mark.parametrize("status", [b"413", b"401", b"503"])
def test_an_origin_that_refuses_a_body_early_is_heard(tmp_path, ending, expects, frame, status):
    def play(sock, _):
        sock.sendall(REFUSED.replace(b"413", status))
        if ending == "lingers":
            sock.shutdown(socket.SHUT_WR)
            drain(sock, LARGE)
        elif ending == "resets":
            sock.recv(1000)

    with scripted(play) as (url, _), proxy_serving(tmp_path) as proxy:
        began = time.monotonic()
        got = talk(proxy, request("POST", url + "/up", FRAMES[frame], *expects), BODIES[frame])
        took = time.monotonic() - began

    assert got.startswith(b"HTTP/1.1 %s " % status)
    assert got.endswith(b"\r\n\r\nno!")
    assert took < 5
    assert "error" not in proxy.server.output


def test_a_client_that_waits_for_100_and_is_refused_need_not_send(tmp_path):
    with scripted(says(REFUSED)) as (url, heads), proxy_serving(tmp_path) as proxy:
        got = talk(proxy, request("PUT", url + "/up", "Content-Length: 9", "Expect: 100-continue"))

    assert got.endswith(b"\r\n\r\nno!")
    assert b"100 Continue" not in got
    assert b"expect: 100-continue" in heads[0].lower()


def test_100_continue_comes_from_the_origin(tmp_path):
    asked = threading.Event()

    def play(sock, head):
        asked.wait(SECONDS)
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = sock.recv(9)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with (
        scripted(play) as (url, heads),
        proxy_serving(tmp_path) as proxy,
        socket.create_connection(proxy.address, timeout=SECONDS) as sock,
    ):
        sock.sendall(request("PUT", url + "/up", "Content-Length: 9", "Expect: 100-continue"))
        wait_until(lambda: len(heads) == 1)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):  # the proxy has nothing to say of its own
            sock.recv(100)
        sock.settimeout(SECONDS)
        asked.set()
        first = sock.recv(100)
        sock.sendall(b"some body")
        answer = until(sock, b"some body")

    assert first.startswith(b"HTTP/1.1 100 ")
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_an_origin_that_answers_while_it_reads_is_heard_meanwhile(tmp_path):
    """An echo: each piece comes back before the next is sent, so nothing may be held back."""

    def play(sock, head):
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        size, data = 0, head.partition(b"\r\n\r\n")[2] or sock.recv(100)
        while data:
            size += len(data)
            sock.sendall(b"%x\r\n%s\r\n" % (len(data), data))
            data = sock.recv(100) if size < 50 else b""
        sock.sendall(b"0\r\n\r\n")

    with (
        scripted(play) as (url, _),
        proxy_serving(tmp_path) as proxy,
        socket.create_connection(proxy.address, timeout=SECONDS) as sock,
    ):
        sock.sendall(request("POST", url + "/echo", "Content-Length: 50"))
        answer = b""
        for number in range(5):
            sock.sendall(b"piece %04d" % number)
            answer = until(sock, b"piece %04d" % number, answer)
        answer = until(sock, b"\r\n0\r\n\r\n", answer)

    assert answer.count(b"piece") == 5


def test_an_origin_that_answers_first_and_reads_on_gets_the_whole_body(tmp_path):
    came = []

    def play(sock, head):
        sock.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\n\r\nsoon")
        if head.startswith(b"POST"):
            came.append(drain(sock, LARGE - len(head.partition(b"\r\n\r\n")[2])))

    with scripted(play) as (url, heads), proxy_serving(tmp_path) as proxy:
        post = request("POST", url + "/up", FRAMES["length"]) + BODIES["length"]
        got = talk(proxy, post, request("GET", url, "Connection: close"))
        wait_until(lambda: came != [])

    early = len(heads[0].partition(b"\r\n\r\n")[2])
    assert (got.count(b"\r\n\r\nsoon"), came) == (2, [LARGE - early])


def test_a_long_upload_is_not_silence(tmp_path):
    """The origin says nothing as long as it listens; the time-out is for after that."""
    with (
        origin_serving(file=File(b"done")) as origin,
        proxy_serving(tmp_path, timeout=0.5) as proxy,
        socket.create_connection(proxy.address, timeout=SECONDS) as sock,
    ):
        sock.sendall(request("POST", origin.url("/file"), "Content-Length: 10"))
        for _ in range(10):
            sock.sendall(b"x")
            time.sleep(0.1)
        got = sock.recv(1000)

    assert got.startswith(b"HTTP/1.1 200 ")
    assert origin.requests[0][3] == b"x" * 10


def test_an_origin_that_stops_reading_and_says_nothing_is_a_504(tmp_path):
    quiet = threading.Event()
    with (
        scripted(lambda sock, _: quiet.wait(SECONDS)) as (url, _),
        proxy_serving(tmp_path, timeout=0.2) as proxy,
    ):
        got = talk(proxy, request("POST", url + "/up", FRAMES["length"]), BODIES["length"])
        quiet.set()

    assert got.startswith(b"HTTP/1.1 504 ")


@pytest.mark.parametrize(
    ("fields", "body", "status"),
    [
        ("Transfer-Encoding: chunked", b"3\r\nabc\r\nno size\r\n", b"400"),
        ("Content-Length: 10", b"abc", b"400"),
        ("Transfer-Encoding: chunked", b"3\r\nabc\r\n", b"400"),
    ],
)
def test_a_body_that_breaks_off_reaches_no_origin_whole(tmp_path, fields, body, status):
    ends = []

    def play(sock, head):
        with contextlib.suppress(OSError):
            while sock.recv(1000):
                pass
        ends.append(True)

    with scripted(play) as (url, _), proxy_serving(tmp_path) as proxy:
        got = raw(proxy, request("POST", url + "/up", fields) + body)
        wait_until(lambda: ends != [])

    assert got.startswith(b"HTTP/1.1 %s " % status)
    assert b"0\r\n\r\n" not in got


def test_a_client_that_leaves_during_its_upload_lets_the_origin_go(tmp_path):
    ends = threading.Event()

    def play(sock, head):
        with contextlib.suppress(OSError):
            while sock.recv(65536):
                pass
        ends.set()

    with scripted(play) as (url, heads), proxy_serving(tmp_path) as proxy:
        with socket.create_connection(proxy.address, timeout=SECONDS) as sock:
            sock.sendall(request("POST", url + "/up", "Content-Length: 1000000") + b"some")
            wait_until(lambda: len(heads) == 1)

        assert ends.wait(SECONDS)


def test_a_request_with_a_body_leaves_the_connection_usable(tmp_path):
    with origin_serving(file=File(b"done")) as origin, proxy_serving(tmp_path) as proxy:
        post = request("POST", origin.url("/file"), "Content-Length: 4") + b"body"
        chunks = request("POST", origin.url("/file"), "Transfer-Encoding: chunked")
        chunks += b"4\r\nbody\r\n0\r\n\r\n"
        got = raw(proxy, post + chunks + request("GET", origin.url("/file")) + post)

    assert got.count(b"\r\n\r\ndone") == 4
    assert [each[3] for each in origin.requests] == [b"body", b"body", b"", b"body"]


# -- Informational answers -------------------------------------------------------------


@pytest.mark.parametrize(("code", "reason"), [(100, "Continue"), (102, "Processing"), (103, "x")])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_an_informational_answer_is_passed_on(tmp_path, method, code, reason):
    script = (
        f"HTTP/1.1 {code} {reason}\r\nLink: </a.css>\r\nConnection: X-Mine\r\nX-Mine: 1\r\n\r\n"
    )
    script += (
        f"\r\nHTTP/1.1 {code} again\r\nX : 2\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    )
    script += "" if method == "HEAD" else "hi"
    with scripted(says(script.encode())) as (url, _), proxy_serving(tmp_path) as proxy:
        got = raw(proxy, request(method, url + "/file"))

    first, second, final = got.split(b"\r\n\r\n")[:3]
    assert first.split(b"\r\n") == [
        f"HTTP/1.1 {code} {reason}".encode(),
        b"link: </a.css>",
        b"via: 1.1 fiberlab-replicator",
    ]
    assert second.startswith(f"HTTP/1.1 {code} again\r\nx: 2\r\n".encode())
    assert final.startswith(b"HTTP/1.1 200 OK\r\n")
    assert got.endswith(b"\r\n\r\n" if method == "HEAD" else b"\r\n\r\nhi")


def test_an_upgrade_that_nobody_asked_for_is_a_502(tmp_path):
    script = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
    with scripted(says(script)) as (url, _), proxy_serving(tmp_path) as proxy:
        answer = ask(proxy, url + "/file")

    assert answer.status == 502


# -- How far a request goes ------------------------------------------------------------


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_max_forwards_counts_down(tmp_path, method):
    with (
        scripted(says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as (url, heads),
        proxy_serving(tmp_path) as proxy,
    ):
        for hops in ("0", "1", "2", "00010", "many", "-1", ""):
            ask(proxy, url + "/file", {"Max-Forwards": hops}, method=method)
        ask(proxy, url + "/file", method=method)

    told = [re.findall(rb"(?i)max-forwards: ?(.*)\r", head) for head in heads]
    assert told == [[b"0"], [b"1"], [b"9"], [b"many"], [b"-1"], [b""], []]


def test_max_forwards_of_other_methods_is_left_alone(tmp_path):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        for method in ("GET", "POST"):
            ask(proxy, origin.url("/file"), {"Max-Forwards": "0"}, method=method)

    assert [told["max-forwards"] for _, _, told, _ in origin.requests] == ["0", "0"]


def test_the_last_to_get_a_trace_sends_it_back_without_its_secrets(tmp_path):
    told = {"Max-Forwards": "0", "X-Mine": "1", "Cookie": "a=b", "Authorization": "secret"}
    told |= {"Proxy-Authorization": "secret"}
    with proxy_serving(tmp_path) as proxy:
        answer = ask(proxy, "http://nowhere.invalid/x?", told, method="TRACE")

    assert (answer.status, answer.headers["content-type"]) == (200, "message/http")
    assert answer.body.startswith(b"TRACE http://nowhere.invalid/x? HTTP/1.1\r\nHost: ")
    assert b"X-Mine: 1\r\n" in answer.body
    assert not any(word in answer.body for word in (b"a=b", b"secret"))


@pytest.mark.parametrize("target", ["*", "http://nowhere.invalid/x", "http://nowhere.invalid"])
def test_the_last_to_get_options_tells_what_it_can(tmp_path, target):
    with proxy_serving(tmp_path) as proxy:
        got = raw(proxy, request("OPTIONS", target, "Max-Forwards: 0") * 2)

    assert got.count(b"HTTP/1.1 200 OK\r\nallow: GET, ") == 2


@pytest.mark.parametrize(
    ("told", "asked"), [("", b"*"), ("/", b"/"), ("?x", b"/?x"), ("#x", b"*"), ("/*", b"/*")]
)
def test_options_without_a_path_asks_about_the_server(tmp_path, told, asked):
    with (
        scripted(says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as (url, heads),
        proxy_serving(tmp_path) as proxy,
    ):
        raw(proxy, request("OPTIONS", url + told))

    assert [head.split(b" ")[1] for head in heads] == [asked]


# -- Sloppy senders --------------------------------------------------------------------


OK = b"HTTP/1.1 200 OK\r\nX-Mine: 1\r\n"
TWO = b"Content-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    "script",
    [
        OK.replace(b":", b" :") + TWO,
        OK.replace(b":", b"\t \t:") + TWO.replace(b":", b" :"),
        (OK.replace(b":", b" :") + TWO).replace(b"\r", b""),
        b"\r\n" + OK + TWO,
        b"\n\r\n\n" + OK + TWO,
        b"HTTP/1.1 103 x\r\nX : 1\r\n\r\n\r\n" + OK.replace(b":", b" :") + TWO,
        OK.replace(b"HTTP", b"http") + TWO,
        OK.replace(b"1.1 ", b"1.1  ") + TWO,
        OK.replace(b" OK", b"") + TWO,
        OK.replace(b"OK\r\n", b"OK\r\n  Content-Length: 9\r\n\t: x\r\n") + TWO,
        OK.replace(b"HTTP/1.1", b"ICY") + TWO,
        OK + b"Transfer-Encoding: identity\r\n" + TWO,
        OK + b"Transfer-Encoding : Chunked\r\n\r\n2  \r\nok\r\n0\r\n\r\n",
        OK + b"Content-Length: 2\r\n" + TWO + b"\r\n\r\n",
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_a_sloppy_origin_is_understood(tmp_path, script, piece):
    def play(sock, _):
        for begin in range(0, len(script), piece):
            sock.sendall(script[begin : begin + piece])

    with scripted(play) as (url, _), proxy_serving(tmp_path) as proxy:
        answers = [raw(proxy, f"GET {url}/file HTTP/1.0\r\n\r\n".encode()) for _ in range(2)]

    for head, _, body in (answer.partition(b"\r\n\r\n") for answer in answers):
        assert head.startswith(b"HTTP/1.1 200")
        assert (b"\r\nx-mine: 1\r\n" in head, body) == (True, b"ok")


@pytest.mark.parametrize(
    "line",
    [b"no colon at all", b": no name", b"a b: c", b"a/b: c", b"X\r: y", b"Content-Length : many"],
)
def test_what_could_be_read_in_two_ways_is_still_a_502(tmp_path, line):
    script = b"HTTP/1.1 200 OK\r\n" + line + b"\r\nContent-Length: 2\r\n\r\nok"
    with scripted(says(script)) as (url, _), proxy_serving(tmp_path) as proxy:
        answer = ask(proxy, url + "/file")

    assert answer.status == 502


def test_a_body_that_looks_like_a_sloppy_head_is_not_touched(tmp_path):
    body = b"\r\nX-Mine : 1\r\nTransfer-Encoding: identity\r\n\r\nhttp/1.1  200\r\n\r\n" * 50
    script = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with scripted(says(script)) as (url, _), proxy_serving(tmp_path) as proxy:
        answer = ask(proxy, url + "/file")

    assert answer.body == body


@pytest.mark.parametrize("name", [b"X ", b"Host ", b"Content-Length ", b"X\t"])
def test_a_request_with_a_blank_before_a_colon_stays_a_400(tmp_path, name):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        head = f"GET {origin.url('/file')} HTTP/1.1\r\nHost: x\r\n".encode()
        got = raw(proxy, head + name + b": 0\r\n\r\n")

    assert got.startswith(b"HTTP/1.1 400 ")
    assert origin.requests == []


@pytest.mark.parametrize("blank", [b"\r\n", b"\n", b"\r\n\r\n\r\n", b"\n\r\n"])
@pytest.mark.parametrize("at_once", [True, False])
def test_empty_lines_before_a_request_are_skipped(tmp_path, blank, at_once):
    with (
        origin_serving(file=File(b"done")) as origin,
        proxy_serving(tmp_path) as proxy,
        socket.create_connection(proxy.address, timeout=SECONDS) as sock,
    ):
        post = request("POST", origin.url("/file"), "Content-Length: 4") + b"body" + blank
        get = request("GET", origin.url("/file")) + blank
        parts = [blank + post + get + post] if at_once else [blank, post, get, post]
        for part in parts:
            sock.sendall(part)
            time.sleep(0.02)
        sock.shutdown(socket.SHUT_WR)
        got = b""
        while data := sock.recv(65536):
            got += data

    assert got.count(b"HTTP/1.1 200 ") == 3
    assert [each[3] for each in origin.requests] == [b"body", b"", b"body"]


# -- Slow clients ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begin", "drip", "status"),
    [
        (b"", b"G", b"408"),
        (b"", b"\r\n", b"408"),
        (b"GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n", b"408"),
        (b"POST {url} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n", b"x", b"408"),
        (b"POST {url} HTTP/1.1\r\nHost: x\r\n{chunked}\r\n\r\n", b"1\r\nx\r\n", b"408"),
        (b"GET {closed} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n", b"x", b"502"),
        (b"GET /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n", b"x", b"400"),
    ],
)
def test_a_client_that_sends_a_byte_now_and_then_is_let_go(tmp_path, begin, drip, status):
    """Each byte ends a silence; what bounds it is the time for the whole, in head and body."""
    with (
        scripted(lambda sock, _: drain(sock, 10**9)) as (url, _),
        proxy_serving(tmp_path, patience=0.5) as proxy,
        socket.create_connection(proxy.address, timeout=SECONDS) as sock,
    ):
        began, got = time.monotonic(), b""
        begin = begin.replace(b"{url}", url.encode() + b"/up")
        begin = begin.replace(b"{chunked}", b"Transfer-Encoding: chunked")
        sock.sendall(begin.replace(b"{closed}", b"http://127.0.0.1:1/"))
        sock.settimeout(0.05)
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < SECONDS:
                sock.sendall(drip)
                with contextlib.suppress(TimeoutError):
                    if not (data := sock.recv(1000)):
                        break
                    got += data
        took = time.monotonic() - began

    assert got.startswith(b"HTTP/1.1 %s " % status)
    assert took < 5


def test_a_client_that_is_idle_between_two_requests_is_only_silent(tmp_path):
    with (
        origin_serving(file=File(b"done")) as origin,
        proxy_serving(tmp_path, patience=0.1) as proxy,
        socket.create_connection(proxy.address, timeout=SECONDS) as sock,
    ):
        got = []
        for _ in range(2):
            sock.sendall(request("GET", origin.url("/file")))
            got.append(until(sock, b"\r\n\r\ndone"))
            time.sleep(0.3)

    assert [each[:13] for each in got] == [b"HTTP/1.1 200 "] * 2


def test_an_upload_that_is_slow_but_steady_is_let_through(tmp_path, monkeypatch):
    monkeypatch.setattr("fiberlab.replicator.http.channel.SLOWEST", 1000)
    with (
        origin_serving(file=File(b"done")) as origin,
        proxy_serving(tmp_path, patience=0.2) as proxy,
        socket.create_connection(proxy.address, timeout=SECONDS) as sock,
    ):
        sock.sendall(request("POST", origin.url("/file"), "Content-Length: 5000"))
        for _ in range(10):
            sock.sendall(bytes(500))
            time.sleep(0.05)
        got = sock.recv(1000)

    assert got.startswith(b"HTTP/1.1 200 ")


def test_an_origin_whose_head_comes_byte_by_byte_is_a_504(tmp_path):
    def play(sock, _):
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000:
            sock.sendall(bytes([byte]))
            time.sleep(0.02)

    with scripted(play) as (url, _), proxy_serving(tmp_path, patience=0.3) as proxy:
        answer = ask(proxy, url + "/file")

    assert answer.status == 504


# -- Many at once ----------------------------------------------------------------------


def test_requests_sent_in_one_go_leave_turns_to_others(tmp_path):
    file = File(BODY[:100])
    with origin_serving(file=file) as origin, proxy_serving(tmp_path, static=True) as proxy:
        ask(proxy, origin.url("/file"))
        got = raw(proxy, request("GET", origin.url("/file")) * 300)

    assert got.count(b"HTTP/1.1 200 OK") == 300


def test_a_large_file_is_the_same_through_small_reads(tmp_path):
    body = os.urandom(3_000_000)
    with origin_serving(file=File(body)) as origin, proxy_serving(tmp_path, static=True) as proxy:
        bodies = [ask(proxy, origin.url("/file")).body for _ in range(2)]

    assert bodies == [body, body]
    assert cached(tmp_path) == {"file": body}
