"""The replicator's joining in many schedules: simulated connections, and a cache on the disk.

They are those with the fewest switches, and as many at random; thousands if FIBERLAB_EVERY=1.
"""

from __future__ import annotations

import contextlib
import os
import shutil

import pytest

from fiberlab import RECV, SEND, WAIT, explore, recv_until, send_all
from fiberlab.replicator import origins
from fiberlab.replicator.cache import Cache, download
from fiberlab.replicator.proxy import Proxy

SOME = 5_000 if os.environ.get("FIBERLAB_EVERY") else 50
BODY = b"0123456789"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nCache-Control: max-age=60\r\n\r\n"
ASK = b"GET http://127.0.0.1/file HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@pytest.fixture
def new_cache(tmp_path):
    """Make an empty cache, again and again; the last one is closed."""
    made = []

    def make():
        if made:
            made.pop().close()
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        made.append(Cache(tmp_path / "cache"))
        return made[0]

    yield make
    made[0].close()


def off_the_loop(function, *arguments):
    """Stand in for in_thread: other fibers run before the result is there."""
    yield WAIT(0)
    return function(*arguments)


def clients_of_one_file(world, cache, monkeypatch, *, breaks):
    """Two clients ask a proxy for a file that no cache has; the origin sends it in two pieces."""
    proxy = Proxy(cache)
    asked, got, sending = [], [], []

    def connect(address):
        sock = world.connect(address)
        yield SEND(sock)
        return sock

    monkeypatch.setattr(origins, "connect", connect)
    monkeypatch.setattr(download, "in_thread", off_the_loop)

    def origin(sock, _):
        asked.append((yield from recv_until(sock, b"\r\n\r\n")))
        assert not sending, "a client could have joined"
        sending.append(sock)
        yield from send_all(sock, ANSWER + BODY[:5])
        yield WAIT(0)
        if not breaks:
            yield from send_all(sock, BODY[5:])
        sending.clear()
        if breaks:
            sock.reset()
            return
        sock.close()

    def client(address):
        sock = world.connect(address)
        yield from send_all(sock, ASK)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while True:
                yield RECV(sock)
                if not (data := sock.recv(4096)):
                    break
                answer += data
        got.append(answer)
        sock.close()

    world.listen(origin, 80)
    address = world.listen(proxy.serve, 8080)
    for number in range(2):
        world.add(client(address), f"client {number}")
    world.at_end(lambda: proxy.downloads == {})
    return asked, got


def test_clients_that_join_a_download_all_get_the_whole_file(new_cache, monkeypatch):
    seen = set()

    def program(world):
        asked, got = clients_of_one_file(world, new_cache(), monkeypatch, breaks=False)

        def check():
            assert [answer.partition(b"\r\n\r\n")[2] for answer in got] == [BODY] * 2
            seen.add(len(asked))

        world.at_end(check)

    result = explore(program, at_most=SOME, seed=1)

    assert result, result
    assert seen <= {1, 2}, "a client that comes too late to join asks whether it has changed"
    assert 1 in seen


def test_clients_of_a_download_that_breaks_are_all_told(new_cache, monkeypatch):
    def program(world):
        _, got = clients_of_one_file(world, new_cache(), monkeypatch, breaks=True)
        world.at_end(lambda: len(got) == 2)
        world.at_end(lambda: all(not answer.endswith(BODY) for answer in got))

    result = explore(program, at_most=SOME, seed=1)

    assert result, result
