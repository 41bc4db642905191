"""Records twelve clients that join one download through the replicator, and draws it.

    python data/record_replicator.py

The origin and the clients run in threads of their own and are not in the trace. The origin sends
a piece every 20 ms; a client comes every 8 ms, so the last ones come when half of it is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import platform
import re
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import matplotlib

from fiberlab import Trace, plot_timeline
from fiberlab.lab import serving
from fiberlab.replicator.cache import Cache
from fiberlab.replicator.proxy import Proxy

FOLDER = Path(__file__).parent
NAME = "replicator-joined.fiber.jsonl"
FIGURE = "replicator-joined.png"
PIECES = [bytes([number]) * 2000 for number in range(10)]
CLIENTS = 12


class Origin(BaseHTTPRequestHandler):
    """Sends one file, a piece every 20 ms."""

    asked = 0

    def do_GET(self) -> None:
        Origin.asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(sum(map(len, PIECES))))
        self.end_headers()
        for piece in PIECES:
            self.wfile.write(piece)
            time.sleep(0.02)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def client(place: tuple[str, int], url: str, number: int, got: list[bytes]) -> None:
    time.sleep(0.008 * number)
    with contextlib.closing(http.client.HTTPConnection(*place, timeout=10)) as connection:
        connection.request("GET", url)
        got.append(connection.getresponse().read())


def record() -> Trace:
    """Do it, and see that all got the same by one request at the origin."""
    got: list[bytes] = []
    with HTTPServer(("127.0.0.1", 0), Origin) as origin, tempfile.TemporaryDirectory() as folder:
        threading.Thread(target=origin.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{origin.server_port}/file"
        with (
            contextlib.closing(Cache(folder)) as cache,
            serving(Proxy(cache).serve, trace=Trace()) as server,
        ):
            clients = [
                threading.Thread(target=client, args=(server.address, url, number, got))
                for number in range(CLIENTS)
            ]
            for each in clients:
                each.start()
            for each in clients:
                each.join()
            time.sleep(0.05)  # the fiber that fetches gives the file its name
        origin.shutdown()
    assert (got, Origin.asked) == ([b"".join(PIECES)] * CLIENTS, 1)
    return server.trace


def main() -> int:
    trace = record()
    trace.save(FOLDER / NAME)
    matplotlib.use("Agg")
    axes = plot_timeline(trace)
    axes.figure.savefig(FOLDER / FIGURE, dpi=110, bbox_inches="tight")
    made = hashlib.sha256((FOLDER / NAME).read_bytes()).hexdigest()
    fibers = sum(event.ev == "spawn" for event in trace)
    section = f"""## {NAME}

Twelve clients of the replicator join one download: one request at the origin, twelve equal copies.
They wait by WAIT(None) and wake with the fiber that fetches (`fetch-3`); `{FIGURE}` shows it.

- command: `python data/record_replicator.py`
- recorded: {trace.header["wall"]}, Python {trace.header["python"]}, """
    section += f"""{platform.system()} on {platform.machine()}
- holds: {len(trace)} events of {fibers} fibers
- sha256: `{made}`
"""
    readme = FOLDER / "README.md"
    text = readme.read_text("utf-8")
    rest = re.sub(rf"## {re.escape(NAME)}\n.*?(?=^## |\Z)", "", text, flags=re.S | re.M)
    readme.write_text(rest.rstrip("\n") + "\n\n" + section, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
