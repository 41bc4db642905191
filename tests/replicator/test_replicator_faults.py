"""What goes wrong: origins, clients, disks and names; each has an answer with a reason in words."""

from __future__ import annotations

import contextlib
import errno
import os
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
)

from fiberlab.replicator.cache import Entry

pytestmark = pytest.mark.live

OK = b"HTTP/1.1 200 OK\r\n"


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


# -- Origins ---------------------------------------------------------------------------


def test_an_origin_that_cannot_be_reached_is_a_502(tmp_path):
    with proxy_serving(tmp_path) as proxy:
        answer = ask(proxy, f"http://127.0.0.1:{closed_port()}/file")

    assert answer.status == 502
    assert b"cannot be reached" in answer.body


def test_a_name_that_is_not_found_is_a_502(tmp_path):
    with proxy_serving(tmp_path) as proxy:
        answers = [ask(proxy, f"http://{name}/file") for name in ("nowhere.invalid", "a..b")]

    assert [answer.status for answer in answers] == [502, 502]
    assert all(b"cannot be reached" in answer.body for answer in answers)


def test_a_name_is_looked_up_without_blocking_the_others(tmp_path, monkeypatch):
    looking, found = threading.Event(), threading.Event()
    ask_system = socket.getaddrinfo

    def slow(host, *rest, **more):
        if host == "slow.invalid" and not more.get("flags"):
            looking.set()
            found.wait(SECONDS)
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return ask_system(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        answers = []
        url = "http://slow.invalid/"
        other = threading.Thread(target=lambda: answers.append(ask(proxy, url).status))
        other.start()
        looking.wait(SECONDS)
        meanwhile = ask(proxy, origin.url("/file")).status
        found.set()
        other.join()

    assert (meanwhile, answers) == (200, [502])


def test_an_origin_that_is_silent_is_a_504(tmp_path):
    quiet = threading.Event()
    with (
        scripted(lambda sock, head: quiet.wait(SECONDS)) as (url, _),
        proxy_serving(tmp_path, timeout=0.2) as proxy,
    ):
        answer = ask(proxy, url + "/file")
        quiet.set()

    assert answer.status == 504
    assert b"did not answer in time" in answer.body


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x00\xff\x00garbage\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        OK + b"Content-Length: many\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        OK + b"X: " + b"x" * 70000 + b"\r\n\r\n",
        OK + b"X: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_garbage_from_an_origin_is_a_502(tmp_path, garbage, method):
    with scripted(says(garbage)) as (url, _), proxy_serving(tmp_path) as proxy:
        answer = ask(proxy, url + "/file", method=method)

    assert answer.status == 502
    assert len(answer.body) > 20
    assert cached(tmp_path) == {}


@pytest.mark.parametrize(
    ("body", "came"),
    [
        (b"Content-Length: 10\r\n\r\nabc", b"abc"),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"abc"),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nno size\r\n", b"abc"),
    ],
)
def test_an_answer_that_is_cut_is_never_complete(tmp_path, body, came):
    with scripted(says(OK + body)) as (url, heads), proxy_serving(tmp_path) as proxy:
        request = f"GET {url}/file HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        got = [raw(proxy, request) for _ in range(2)]

    assert [came in each and b"0\r\n\r\n" not in each.partition(came)[2] for each in got] == [
        True
    ] * 2
    assert len(heads) == 2
    assert cached(tmp_path) == {}


def test_a_cut_answer_resets_a_client_that_could_not_tell(tmp_path):
    cut = says(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    with (
        scripted(cut) as (url, _),
        proxy_serving(tmp_path) as proxy,
        socket.create_connection(proxy.address, timeout=SECONDS) as sock,
    ):
        sock.sendall(f"GET {url}/file HTTP/1.0\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            while sock.recv(65536):
                pass


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Range: bytes 0-6/10\r\nContent-Length: 7\r\n\r\ndefghij",
        b"Content-Range: bytes 3-8/10\r\nContent-Length: 6\r\n\r\ndefghi",
        b"Content-Range: bytes 3-11/12\r\nContent-Length: 9\r\n\r\ndefghijkl",
        b'Content-Range: bytes 3-9/10\r\nETag: "2"\r\nContent-Length: 7\r\n\r\ndefghij',
        b"Content-Range: bytes 3-9/10\r\nContent-Length: 9\r\n\r\ndefghijkl",
        b"Content-Length: 7\r\n\r\ndefghij",
        b"Content-Range: bytes 3-9/10\r\nContent-Encoding: br\r\nContent-Length: 7\r\n\r\ndefghij",
    ],
)
def test_a_rest_that_does_not_fit_is_not_used(tmp_path, rest):
    def play(sock, head):
        tag = b'ETag: "1"\r\n'
        if len(heads) == 1:
            sock.sendall(OK + tag + b"Content-Length: 10\r\n\r\nabc")
        elif b"range:" in head.lower():
            sock.sendall(b"HTTP/1.1 206 Partial\r\n" + rest)
        else:
            sock.sendall(OK + tag + b"Content-Length: 10\r\n\r\nabcdefghij")

    with scripted(play) as (url, heads), proxy_serving(tmp_path) as proxy:
        request = f"GET {url}/file HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        raw(proxy, request)
        answer = ask(proxy, url + "/file")

    assert (answer.body, answer.headers.get("content-encoding")) == (b"abcdefghij", None)
    assert cached(tmp_path) == {"file": b"abcdefghij"}


def test_a_final_answer_is_found_behind_informational_ones(tmp_path):
    script = b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi"
    with scripted(says(script)) as (url, _), proxy_serving(tmp_path) as proxy:
        answer = raw(proxy, f"GET {url}/file HTTP/1.0\r\n\r\n".encode())

    assert (answer[:15], answer[-6:]) == (b"HTTP/1.1 200 OK", b"\r\n\r\nhi")
    assert b" 103 " not in answer  # HTTP/1.0 knows no such thing


# -- Clients ---------------------------------------------------------------------------

HEAD = b"GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (b"garbage\r\n\r\n", 400, b"request line"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9 + b"\r\n\r\n", 400, b""),
        (HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, b"which is it"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, b"Content-Length"),
        (HEAD + b"Content-Length: 1, 2\r\n\r\n", 400, b"Content-Length"),
        (HEAD + b"Content-Length: +1\r\n\r\n", 400, b"Content-Length"),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, b"Transfer-Encoding"),
        (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501, b""),
        (HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n", 400, b"HTTP/1.0"),
        (HEAD + b"X: a\rContent-Length: 5\r\n\r\n", 400, b"header"),
        (HEAD + b"X : a\r\n\r\n", 400, b"header"),
        (HEAD + b"X: \x00\r\n\r\n", 400, b"header"),
        (HEAD + b"X: " + b"x" * 70000 + b"\r\n\r\n", 431, b"too"),
        (HEAD + b"X: " + b"x" * 70000, 431, b"too"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, b"a proxy is asked for http://host/path"),
        (b"GET https://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, b"or by CONNECT"),
        (b"GET http:///x HTTP/1.1\r\nHost: x\r\n\r\n", 400, b"no host and port"),
        (b"GET http://x:0/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, b"no host and port"),
        (b"GET http://x:99999/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, b"no host and port"),
        (b"GET http://x:y/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, b"no host and port"),
        (b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, b"no host and port"),
        (b"GET http://u:p@x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, b"no host and port"),
        (b"GET http://" + b"x" * 300 + b"/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, b"no host"),
        (b"CONNECT x HTTP/1.1\r\nHost: x\r\n\r\n", 400, b"no host and port"),
        (b"CONNECT x:25 HTTP/1.1\r\nHost: x\r\n\r\n", 400, b"does not lead to port 25"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(tmp_path, sent, status, words):
    with proxy_serving(tmp_path) as proxy:
        got = raw(proxy, sent)

    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert words in body
    assert len(body) > 20


def test_a_refused_request_never_reaches_the_origin(tmp_path):
    both = (
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /two HTTP/1.1\r\n\r\n"
    )
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        got = raw(proxy, f"POST {origin.url('/file')} HTTP/1.1\r\nHost: x\r\n{both}".encode())

    assert origin.requests == []
    assert got.count(b"HTTP/1.1 ") == 1


def test_a_field_that_goes_on_in_the_next_line_reaches_the_origin_in_one(tmp_path):
    """So no origin can take the second line for a field of its own (RFC 9112, 5.2)."""
    folded = "X-Long: a\r\n Content-Length: 5\r\n\r\n"
    with origin_serving(file=File(b"")) as origin, proxy_serving(tmp_path) as proxy:
        raw(proxy, f"GET {origin.url('/file')} HTTP/1.1\r\nHost: x\r\n{folded}".encode())

    [(_, _, told, body)] = origin.requests
    assert (told["x-long"], told.get("content-length"), body) == ("a Content-Length: 5", None, b"")


def test_a_chunked_body_hides_no_second_request(tmp_path):
    hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
    body = f"{len(hidden):x};name=value\r\n{hidden}\r\n0\r\n\r\n"
    with origin_serving(file=File(b"done")) as origin, proxy_serving(tmp_path) as proxy:
        head = f"POST {origin.url('/file')} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
        got = raw(proxy, f"{head}\r\n\r\n{body}".encode())

    assert got.endswith(b"done")
    assert [(each[1], each[3]) for each in origin.requests] == [("/file", hidden.encode())]


def test_requests_to_the_proxy_itself_are_refused(tmp_path):
    with proxy_serving(tmp_path, tunnel_ports=frozenset(range(65536))) as proxy:
        port = proxy.address[1]
        answers = [ask(proxy, f"http://{host}:{port}/") for host in ("127.0.0.1", "localhost")]
        tunnel = raw(proxy, f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    assert [answer.status for answer in answers] == [400, 400]
    assert all(b"this proxy itself" in text for text in (answers[0].body, answers[1].body, tunnel))


def test_a_client_that_sends_a_long_body_still_reads_why_it_is_refused(tmp_path):
    with proxy_serving(tmp_path) as proxy:
        answer = ask(proxy, "/not/for/a/proxy", method="POST", body=b"x" * 500_000)

    assert answer.status == 400
    assert b"a proxy is asked for" in answer.body


def test_a_client_that_says_nothing_is_let_go(tmp_path):
    with (
        proxy_serving(tmp_path, timeout=0.1) as proxy,
        socket.create_connection(proxy.address, timeout=SECONDS) as sock,
    ):
        sock.sendall(b"GET http")

        assert sock.recv(100) == b""


# -- Names -----------------------------------------------------------------------------

PATHS = [
    "/../../secret",
    "/%2e%2e/%2e%2e/secret",
    "/..%2f..%2fsecret",
    "/a%00b",
    "/..%5c..%5csecret",
    "/" + "x" * 5000,
    "/" + "x/" * 2000,
    "/" + "%ff" * 100,
    "/a?b=/../../c",
    "/" + "?" + "q" * 3000,
    "/a%23part",
    "/a",
    "/a/",
    "/a/b",
    "/a//b",
    "/",
    "/.",
    "/..",
    "/.lock",
]


def test_no_path_leaves_the_cache_and_none_takes_another_ones_place(tmp_path):
    folder = tmp_path / "deep" / "cache"
    bodies = {path: f"this is {path[:50]}".encode() for path in PATHS}
    with origin_serving() as origin, proxy_serving(folder, static=True) as proxy:
        origin.files = {path: File(body) for path, body in bodies.items()}
        for order in (PATHS, PATHS[::-1]):
            for path in order:
                request = f"GET {origin.url(path)} HTTP/1.0\r\n\r\n"
                assert raw(proxy, request.encode()).partition(b"\r\n\r\n")[2] == bodies[path]
        host = f"127.0.0.1:{origin.server_port}"

    assert sorted(path.name for path in tmp_path.rglob("*") if path.parent == tmp_path) == ["deep"]
    assert sorted(path.name for path in folder.iterdir()) == [".lock", host]
    assert [path for path in tmp_path.rglob("*") if path.is_symlink()] == []


def test_a_file_and_a_folder_of_one_name_are_both_served(tmp_path):
    for order in (["/a", "/a/b"], ["/a/b", "/a"]):
        folder = tmp_path / str(len(order[0]))
        with origin_serving() as origin:
            origin.files = {"/a": File(b"file"), "/a/b": File(b"below")}
            with proxy_serving(folder) as proxy:
                for path in order:
                    ask(proxy, origin.url(path))
            with proxy_serving(folder, offline=True) as proxy:
                got = {path: ask(proxy, origin.url(path)).body for path in order}

        assert got == {"/a": b"file", "/a/b": b"below"}


# -- Disks -----------------------------------------------------------------------------


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_from_the_start_is_a_507(tmp_path, monkeypatch):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        with monkeypatch.context() as patched:
            patched.setattr(Entry, "begin", no_room)
            answer = ask(proxy, origin.url("/file"))
        after = ask(proxy, origin.url("/file"))

    assert answer.status == 507
    assert b"No space left" in answer.body
    assert after.body == BODY


@pytest.mark.posix
def test_a_file_that_grows_too_large_for_the_disk_is_cut_and_can_be_resumed(tmp_path):
    import resource

    large = os.urandom(3_000_000)
    with origin_serving(file=File(large)) as origin, proxy_serving(tmp_path) as proxy:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
        try:
            request = f"GET {origin.url('/file')} HTTP/1.1\r\nHost: x\r\n\r\n"
            cut = raw(proxy, request.encode())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert cached(tmp_path) == {}
        after = ask(proxy, origin.url("/file"))

    body = cut.partition(b"\r\n\r\n")[2]
    assert body == large[: len(body)]
    assert after.body == large
    assert origin.requests[1][2]["range"] == "bytes=1000000-"


def test_a_cache_that_cannot_be_written_is_a_500(tmp_path, monkeypatch):
    def forbidden(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Entry, "begin", forbidden)
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        answer = ask(proxy, origin.url("/file"))

    assert answer.status == 500
    assert b"the cache cannot be written: Permission denied" in answer.body


def test_a_file_that_cannot_get_its_name_is_answered_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(Entry, "finish", no_room)
    with origin_serving(file=File(chunked=True)) as origin, proxy_serving(tmp_path) as proxy:
        answers = [ask(proxy, origin.url("/file")).body for _ in range(2)]

    assert answers == [BODY, BODY]
    assert cached(tmp_path) == {}


# -- Tunnels ---------------------------------------------------------------------------


@contextlib.contextmanager
def tunnel(proxy, url: str):
    """Open a tunnel and yield its socket."""
    place = url.removeprefix("http://")
    with socket.create_connection(proxy.address, timeout=SECONDS) as sock:
        sock.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\nearly\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        assert head.startswith(b"HTTP/1.1 200 ")
        yield sock


EVERY_PORT = frozenset(range(65536))


def test_a_tunnel_carries_bytes_both_ways(tmp_path):
    def play(sock, head):
        while data := sock.recv(65536):
            sock.sendall(data[::-1])
        sock.sendall(b"end")

    with (
        scripted(play) as (url, heads),
        proxy_serving(tmp_path, tunnel_ports=EVERY_PORT) as proxy,
        tunnel(proxy, url) as sock,
    ):
        until = time.monotonic() + SECONDS
        while not heads and time.monotonic() < until:  # else the script takes both for the head
            time.sleep(0.005)
        sock.sendall(b"\x00\x01binary\xff")
        back = b""
        while len(back) < 9:
            back += sock.recv(100)
        sock.shutdown(socket.SHUT_WR)
        end = sock.recv(100)

    assert (back, end) == (b"\xffyranib\x01\x00", b"end")
    assert heads == [b"early\r\n\r\n"]


def test_a_tunnel_ends_when_the_origin_breaks_it(tmp_path):
    def play(sock, head):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, *[0] * 7]))

    with (
        scripted(play) as (url, _),
        proxy_serving(tmp_path, tunnel_ports=EVERY_PORT) as proxy,
        tunnel(proxy, url) as sock,
    ):
        assert sock.recv(100) == b""
