"""The experiments of lesson 15: an origin with one file, clients that download it, and a herd."""

from __future__ import annotations

import contextlib
import http.client
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

from ....fiber import FiberGenerator
from ....replicator.cache import Cache, Download
from ....scheduler import Scheduler
from ....simulation.network import SimulatedNetwork
from ....waits import WAIT

# -- An origin, and clients ---------------------------------------------------

PIECES = [bytes([65 + number]) * 2_000 for number in range(10)]
FILE = b"".join(PIECES)


class Origin:
    """A server with one file, of which it sends a piece every 15 ms; it counts what it is asked.

    In the middle it stops until `clients` have begun to read, so that all of them join.
    """

    def __init__(self, clients: int) -> None:
        self.asked = 0
        self._clients = clients
        self._reading = 0
        self._lock = threading.Lock()
        self._all_read = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_port}/file"

    def note_reader(self) -> None:
        """Note that one more client has begun to read."""
        with self._lock:
            self._reading += 1
            if self._reading >= self._clients:
                self._all_read.set()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        origin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with origin._lock:
                    origin.asked += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(FILE)))
                self.end_headers()
                for number, piece in enumerate(PIECES):
                    if number == len(PIECES) // 2:
                        origin._all_read.wait(5)
                    self.wfile.write(piece)
                    time.sleep(0.015)

            def log_message(self, *_: object) -> None:
                """Say nothing: this is a thread."""

        return Handler

    def __enter__(self) -> Origin:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._all_read.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextlib.contextmanager
def fresh_cache() -> Iterator[Cache]:
    """Make a cache in a folder that is removed when this is left."""
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(Cache(folder)) as cache:
        yield cache


def download(
    proxy: tuple[str, int], origin: Origin, clients: int = 12, gap: float = 0.004
) -> list[bytes]:
    """Let clients download the origin's file through the proxy; return their copies.

    gap: seconds from one client's coming to the next one's.
    """
    copies = [b""] * clients

    def ask(number: int) -> None:
        time.sleep(gap * number)
        with contextlib.closing(http.client.HTTPConnection(*proxy, timeout=10)) as connection:
            connection.request("GET", origin.url)
            answer = connection.getresponse()
            first = answer.read(1)
            origin.note_reader()
            copies[number] = first + answer.read()

    threads = [threading.Thread(target=ask, args=(n,), daemon=True) for n in range(clients)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return copies


# -- The herd -----------------------------------------------------------------


def count_looks(joiners: int, crowd_sleeps: bool, steps: int = 100) -> int:
    """Return how often joiners look in a second in which nothing comes, in simulated time.

    Another client's fiber makes so many steps meanwhile. crowd_sleeps: a crowd waits as
    `Download.pause` says; else all wait by WAIT(None), however many they are.
    """
    network = SimulatedNetwork()
    shared = Download(SimpleNamespace(url="/file"))  # type: ignore[arg-type]
    shared.users = joiners
    looks = 0

    def joiner() -> FiberGenerator:
        nonlocal looks
        while not shared.over:
            looks += 1
            yield shared.pause() if crowd_sleeps else WAIT(None)

    def other() -> FiberGenerator:
        for _ in range(steps):
            yield WAIT(1 / steps)
        shared.over = True

    scheduler = Scheduler(clock=network.clock, poller=network)
    scheduler.add(other())
    for _ in range(joiners):
        scheduler.add(joiner())
    scheduler.run()
    return looks
