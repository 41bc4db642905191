"""Live: the page of a run that goes on, and what it refuses."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from chromium import complaints, until
from test_viewer import unpacked

from fiberlab import RECV, WAIT, Scheduler, SimulatedNetwork, Trace, build_spans
from fiberlab.lab import serving
from fiberlab.spans.spans import Spans
from fiberlab.viewer.feed import Feed
from fiberlab.viewer.live import LivePage

pytestmark = pytest.mark.live
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def served():
    with LivePage(Trace()) as page:
        yield page


def ask(url: str, path: str = "", method: str = "GET", **headers: str) -> tuple[int, bytes]:
    """Return the status and the body of the answer to a request below a page's address."""
    place = urlsplit(url)
    with closing(http.client.HTTPConnection(place.hostname, place.port, timeout=20)) as connection:
        connection.request(method, place.path + path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


# -- What is refused ------------------------------------------------------------------------


def test_the_page_is_served_on_loopback_only_with_a_long_token(served):
    place = urlsplit(served.url)

    assert place.hostname == "127.0.0.1"
    assert len(place.path) > 30
    assert ask(served.url)[0] == 200
    assert ask(served.url, "run")[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "localhost.evil.example", "[::1]", ""]
)
def test_another_host_is_refused(served, host):
    for path in ("", "run"):
        assert ask(served.url, path, Host=host)[0] == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"]
)
def test_another_origin_is_refused(served, origin):
    for path in ("", "run"):
        assert ask(served.url, path, Origin=origin)[0] == 403


def test_its_own_origin_is_answered(served):
    place = urlsplit(served.url)

    assert ask(served.url, "run", Origin=f"http://127.0.0.1:{place.port}")[0] == 200
    assert ask(served.url, "run", Host=f"localhost:{place.port}")[0] == 200


@pytest.mark.parametrize("token", ["", "x", "%00", "../"])
def test_without_the_token_there_is_nothing(served, token):
    place = urlsplit(served.url)
    with closing(http.client.HTTPConnection(place.hostname, place.port, timeout=20)) as connection:
        connection.putrequest("GET", f"/{token}/run", skip_accept_encoding=True)
        connection.endheaders()
        assert connection.getresponse().status == 404


def test_only_reading_is_possible(served):
    assert [ask(served.url, "run", method)[0] for method in ("POST", "PUT", "DELETE")] == [405] * 3


@pytest.mark.parametrize(
    "sent", [b"", b"\r\n\r\n", b"GET\r\n\r\n", b"x" * 20_000, b"\xff\x00\r\n\r\n"]
)
def test_what_is_no_request_ends_only_its_own_connection(served, sent):
    place = urlsplit(served.url)
    with socket.create_connection((place.hostname, place.port), timeout=20) as sock:
        got = b""
        with suppress(OSError):  # it may have hung up already
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
            got = sock.recv(100)

    assert got[:12] in (b"", b"HTTP/1.1 400")
    assert ask(served.url)[0] == 200


def test_nothing_is_left_behind():
    before = set(threading.enumerate())

    with LivePage(Trace()) as page:
        assert ask(page.url)[0] == 200

    assert set(threading.enumerate()) == before
    with pytest.raises(OSError):
        ask(page.url)


# -- What is shown --------------------------------------------------------------------------------


def watched(trace: Trace, most: int, *functions) -> list[Spans]:
    """Run fibers in simulated time; return what a feed shows after each pass."""
    network, shown, feed = SimulatedNetwork(), [], Feed(trace, most)

    class Watched(Scheduler):
        def run_once(self):
            super().run_once()
            shown.append(feed.spans())

    scheduler = Watched(None, trace, clock=network.clock, poller=network)
    for function in functions:
        scheduler.add(function())
    scheduler.run()
    return shown


def idle():
    yield WAIT(100)


def busy():
    for _ in range(200):
        yield WAIT(0.1)


def brief():
    yield WAIT(0.1)


def test_the_newest_events_are_shown_and_where_each_fiber_was_before():
    late = watched(Trace(), 50, idle, busy, brief)[150]

    asleep, [sleeping] = late.lives[0], late.of(1)
    assert [life.name for life in late.lives] == ["idle-1", "busy-2"]
    assert (asleep.born, sleeping.state.value, sleeping.start) == (0, "sleep", 0)
    assert sleeping.end == late.finish
    assert len(late.rows) < 60


def test_what_is_shown_is_what_the_whole_trace_says():
    trace = Trace()

    shown = watched(trace, 10_000, idle, busy, brief)[-1]

    assert list(shown) == list(build_spans(list(trace)[: len(shown.rows)]))


def test_a_trace_that_has_dropped_what_was_seen_is_read_anew():
    trace = Trace(limit=8)

    shown = watched(trace, 6, busy, busy)

    assert trace.dropped > 500
    assert [spans.finish for spans in shown] == sorted(spans.finish for spans in shown)
    assert [life.name for life in shown[-2].lives] == ["busy-1", "busy-2"]


def test_a_blocked_loop_is_seen_while_it_is_blocked(chromium):
    release = threading.Event()

    def blocker(sock, _address):
        yield RECV(sock)
        release.wait(20)

    with serving(blocker, trace=Trace(stall_after=0.05, cpu=True), live=True) as server:
        complaints(chromium)
        chromium.get(server.live_url)
        until(chromium, "window.viewer?.runs[0].fibers.length")
        with socket.create_connection(server.address, timeout=20) as client:
            client.sendall(b"x")
            try:
                until(chromium, "viewer.runs[0].columns.heldSpan.length")
                label = until(chromium, "document.querySelector('.fl-texts span')?.innerText")
                long = until(chromium, "viewer.runs[0].finish")
                until(chromium, f"viewer.runs[0].finish > {long}")
            finally:
                release.set()
    until(chromium, "viewer.live === false")

    assert label.startswith("test_viewer_live.py:")
    assert chromium.find_element("css selector", ".fl-found").text == "the server has ended"


def test_the_stall_is_in_the_next_picture_after_the_watchdog_has_seen_it():
    def blocker(sock, _address):
        yield RECV(sock)
        release.wait(20)

    release, trace = threading.Event(), Trace(stall_after=0.02)
    with (
        serving(blocker, trace=trace, live=True) as server,
        socket.create_connection(server.address, timeout=20) as client,
    ):
        client.sendall(b"x")
        try:
            while (ahead := trace.under_way) is None or not ahead().stalls:
                time.sleep(0.001)
            header, columns = unpacked(ask(server.live_url, "run")[1])
        finally:
            release.set()

    [held] = columns["heldSpan"]
    assert header["fibers"][columns["row"][held]]["name"] == "blocker-2"
    assert header["heldLabels"][0].startswith("test_viewer_live.py:")


def test_only_a_trace_can_be_shown_live():
    def quiet(sock, _address):
        yield RECV(sock)

    with pytest.raises(TypeError, match="shows a Trace"), serving(quiet, trace=print, live=True):
        pass


@pytest.mark.posix
def test_a_step_that_computes_is_blamed_while_it_computes():
    def hog(sock, _address):
        yield RECV(sock)
        while not ended.is_set():
            pass

    ended, trace = threading.Event(), Trace(stall_after=0.02, cpu=True)
    with (
        serving(hog, trace=trace, live=True) as server,
        socket.create_connection(server.address, timeout=20) as client,
    ):
        client.sendall(b"x")
        try:
            findings, given_up = [], time.monotonic() + 20
            while not any("computing at" in each["text"] for each in findings):
                findings = unpacked(ask(server.live_url, "run")[1])[0]["findings"]
                assert time.monotonic() < given_up, findings
        finally:
            ended.set()

    assert [each["row"] for each in findings][:1] == [1]


@pytest.mark.posix
def test_serve_says_where_its_live_page_is_and_ends_with_it(tmp_path):
    (tmp_path / "own.py").write_text("def quiet(sock, address):\n    yield from ()\n")
    command = [sys.executable, "-m", "fiberlab", "serve", "own.py:quiet", "--live"]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": paths},
    ) as server:  # fmt: skip
        url = server.stdout.readline().removeprefix("live: ").rstrip()
        listening = server.stdout.readline()
        status, text = ask(url)
        server.send_signal(signal.SIGINT)
        code = server.wait(20)

    assert (status, b"<title>own.py:quiet</title>" in text, code) == (200, True, 0)
    assert listening.startswith("listening on 127.0.0.1 port ")
