"""A request that came before, byte for byte: answered without h11, and never wrongly."""

from __future__ import annotations

import re
import socket
import time
from contextlib import closing, contextmanager

import h11
import pytest
from replicator_world import (
    LONG_AGO,
    SECONDS,
    File,
    ask,
    origin_serving,
    proxy_serving,
    raw,
)

pytestmark = pytest.mark.live


@pytest.fixture
def parsed(monkeypatch):
    """What h11 has been given to read."""
    given, real = [], h11.Connection.receive_data

    def receive_data(self, data):
        given.extend([bytes(data)] if data else [])  # not the end
        real(self, data)

    monkeypatch.setattr(h11.Connection, "receive_data", receive_data)
    return given


class Kept:
    """A connection that is kept; each answer is read to its end by its length."""

    def __init__(self, running) -> None:
        self.sock = socket.create_connection(running.address, timeout=SECONDS)

    def ask(self, request: bytes) -> tuple[dict[bytes, bytes], bytes]:
        self.sock.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            got += self._more()
        head, _, body = got.partition(b"\r\n\r\n")
        told = dict(re.findall(rb"(?m)^([\w-]+): (.*?)\r?$", head))
        told[b"status"] = head.split(b" ")[1]
        size = 0 if request.startswith(b"HEAD") else int(told.get(b"content-length", b"0"))
        while len(body) < size:
            body += self._more()
        return told, body

    def _more(self) -> bytes:
        data = self.sock.recv(65536)
        assert data, "the connection has ended"
        return data

    def close(self) -> None:
        self.sock.close()


@contextmanager
def world(tmp_path, file, **options):
    with (
        origin_serving(file=file) as origin,
        proxy_serving(tmp_path, static=True, **options) as proxy,
    ):
        ask(proxy, origin.url("/file"))
        with closing(Kept(proxy)) as kept:
            yield origin, proxy, kept


def get(url: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {url} HTTP/1.1", "Host: x", *fields, "", ""]).encode()


@pytest.mark.parametrize("body", [b"small", b"", b"x" * 65536])
def test_an_equal_request_is_not_parsed_again_and_answered_the_same(tmp_path, parsed, body):
    with world(tmp_path, File(body)) as (origin, proxy, kept):
        request = get(origin.url("/file"))
        answers = [kept.ask(request)]
        parsed.clear()
        answers += [kept.ask(request) for _ in range(3)]
        others = Kept(proxy)
        answers.append(others.ask(request))
        others.close()

    for told, _ in answers:
        assert int(told.pop(b"age")) < 5
    assert answers == [answers[0]] * 5
    assert answers[0][1] == body
    assert parsed == []
    assert proxy.server.output.count(f"GET {origin.url('/file')}") == 6


def test_its_age_goes_on(tmp_path, monkeypatch):
    with world(tmp_path, File(b"small")) as (origin, _, kept):
        request, now = get(origin.url("/file")), time.time()
        ages = []
        for later in (100, 100, 109, 110, 5000):
            monkeypatch.setattr(time, "time", lambda later=later: now + later)
            ages.append(int(kept.ask(request)[0][b"age"]))

    assert [age - ages[0] for age in ages] == [0, 0, 9, 10, 4900]


def test_a_change_of_the_file_is_seen(tmp_path):
    with world(tmp_path, File(b"old", {"ETag": '"1"'})) as (origin, proxy, kept):
        request = get(origin.url("/file"))
        bodies = [kept.ask(request)[1] for _ in range(3)]
        origin.files["/file"] = File(b"new", {"ETag": '"2"'})
        ask(proxy, origin.url("/file"), {"Cache-Control": "no-cache"})
        bodies += [kept.ask(request)[1] for _ in range(3)]
        origin.files["/file"] = File(b"newest", {"ETag": '"3"'})
        ask(proxy, origin.url("/file"), method="PUT", body=b"x")
        bodies += [kept.ask(request)[1] for _ in range(3)]

    assert bodies == [b"old"] * 3 + [b"new"] * 3 + [b"newest"] * 3


def test_a_change_of_what_is_known_of_it_is_seen(tmp_path):
    with world(tmp_path, File(b"same", {"ETag": '"1"', "X": "1"})) as (origin, _, kept):
        request = get(origin.url("/file"))
        told = [kept.ask(request)[0][b"etag"] for _ in range(2)]
        [path] = (each for each in tmp_path.rglob("file"))
        path.write_bytes(b"SAME")
        body = kept.ask(request)[1]
        path.unlink()
        after = kept.ask(request)[1]

    assert (told, body) == ([b'"1"'] * 2, b"SAME")
    assert (after, len(origin.requests)) == (b"same", 2)


@pytest.mark.parametrize(
    ("fields", "method", "status"),
    [
        (("Range: bytes=1-2",), "GET", b"206"),
        ((f"If-Modified-Since: {LONG_AGO}",), "GET", b"304"),
        ((), "HEAD", b"200"),
    ],
)
def test_other_answers_are_made_each_time(tmp_path, parsed, fields, method, status):
    with world(tmp_path, File(b"small")) as (origin, _, kept):
        request = get(origin.url("/file"), *fields, method=method)
        parsed.clear()
        answers = [kept.ask(request) for _ in range(3)]

    assert [told[b"status"] for told, _ in answers] == [status] * 3
    assert len(parsed) == 3


@pytest.mark.parametrize("field", ["Cache-Control: max-age=50", "Cache-Control: no-cache"])
def test_a_wish_is_looked_at_each_time(tmp_path, monkeypatch, field):
    with world(tmp_path, File(b"small")) as (origin, _, kept):
        request, now = get(origin.url("/file"), field), time.time()
        for later in (10, 10, 100):
            monkeypatch.setattr(time, "time", lambda later=later: now + later)
            kept.ask(request)

    assert len(origin.requests) == (2 if "max-age" in field else 4)


def test_requests_in_one_go_or_in_pieces_are_answered_one_by_one(tmp_path):
    with world(tmp_path, File(b"small")) as (origin, proxy, kept):
        request = get(origin.url("/file"))
        for _ in range(2):
            kept.ask(request)
        kept.sock.sendall(request[:9])
        time.sleep(0.05)
        pieces = kept.ask(request[9:])[1]
        many = raw(proxy, request * 3 + b"\r\n" + request + get(origin.url("/file"), "X: y"))

    assert pieces == b"small"
    assert many.count(b"\r\n\r\nsmall") == 5


def test_a_file_that_is_large_is_read_bit_by_bit(tmp_path, parsed):
    with world(tmp_path, File(b"x" * 65537)) as (origin, _, kept):
        request = get(origin.url("/file"))
        parsed.clear()
        bodies = [kept.ask(request)[1] for _ in range(2)]

    assert bodies == [b"x" * 65537] * 2
    assert len(parsed) == 2


def test_no_more_is_remembered_than_is_good(tmp_path, monkeypatch):
    monkeypatch.setattr("fiberlab.replicator.repeats._MOST", 3)
    with world(tmp_path, File(b"small")) as (origin, proxy, kept):
        for number in range(10):
            kept.ask(get(origin.url("/file"), f"X: {number}"))
        kept.ask(get(origin.url("/file"), "X: " + "y" * 3000))

        assert len(proxy.proxy.repeats._known) == 3
